//! What holds of the texts and octets of the registry.

use std::str::FromStr as _;

use re6st_user::{
    certificate::node_prefix::NodePrefix,
    registry::rules::{
        community::{Communities, Location},
        packed_integer::{pack, unpack},
        tree::Tree,
    },
};

/// Communities are read or refused with words; those that are read keep their text, and everybody has one that can be
/// allocated from.
pub fn community(text: &str) {
    match Communities::parse(text) {
        Ok(communities) => {
            assert_eq!(communities.text(), text);
            let tree: Tree<()> = Tree::new(128);
            let france = Location::parse("FR,EU").expect("a location");
            for location in [None, Some(&france)] {
                let community = communities.choose(location);
                let allocated = tree.clone().allocate(1, community, &mut Vec::new());
                assert_eq!(allocated.is_ok(), community.length() < 128);
            }
        }
        Err(words) => assert!(!words.is_empty()),
    }
}

/// A prefix has one name in each form.
pub fn node_prefix(text: &str) {
    if let Ok(prefix) = NodePrefix::from_str(text) {
        assert_eq!(prefix.to_string(), text);
        if prefix != NodePrefix::ROOT {
            assert_eq!(
                NodePrefix::from_common_name(&prefix.common_name()),
                Ok(prefix)
            );
        }
    }
    if let Ok(prefix) = NodePrefix::from_common_name(text) {
        assert_eq!(prefix.common_name(), text);
        assert_eq!(NodePrefix::from_str(&prefix.to_string()), Ok(prefix));
    }
}

/// A number has one form.
pub fn packed_integer(octets: &[u8]) {
    if let Ok((number, rest)) = unpack(octets) {
        let packed = pack(number).expect("a number that was packed");
        assert_eq!(octets.len(), packed.len() + rest.len());
        assert!(octets.starts_with(&packed));
    }
}
