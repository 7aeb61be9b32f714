//! The X25519 keys of other nodes, out of what they or the registry say of them.

use std::collections::{BTreeSet, HashMap, VecDeque};

use crate::{
    certificate::{
        node_prefix::NodePrefix, record::NodeRecord, revocations::RevocationList, serial::Serial,
        static_key::StaticPublicKey,
    },
    mesh::Known,
    time::Timestamp,
};

/// Nodes whose keys are remembered.
const MOST: usize = 4_096;

/// The keys of a bounded number of nodes: who was heard of first is forgotten first.
#[derive(Debug, Default)]
pub struct Keys {
    told: HashMap<NodePrefix, Told>,
    order: VecDeque<NodePrefix>,
}

/// What a node has signed last.
#[derive(Clone, Copy, Debug)]
struct Told {
    key: StaticPublicKey,
    made_at: Option<Timestamp>,
    /// Of its certificate; not known of the run before.
    serial: Option<Serial>,
}

impl Keys {
    /// Takes a record's key, in place of the one of before, unless the node has signed another record since. Whether it was taken.
    pub fn learn(&mut self, record: &NodeRecord) -> bool {
        let told = Told {
            key: record.static_key(),
            made_at: Some(record.made_at()),
            serial: Some(record.certificate().serial()),
        };
        self.take(record.node(), told)
    }

    /// Takes what was known in the run before.
    pub fn remember(&mut self, known: &Known, key: StaticPublicKey) {
        let (made_at, serial) = (known.made_at, None);
        let told = Told {
            key,
            made_at,
            serial,
        };
        self.take(known.node, told);
    }

    fn take(&mut self, node: NodePrefix, told: Told) -> bool {
        let before = self.told.get(&node);
        if before.is_some_and(|before| told.made_at < before.made_at) {
            return false;
        }
        if self.told.insert(node, told).is_some() {
            return true;
        }
        self.order.push_back(node);
        if self.order.len() > MOST
            && let Some(first) = self.order.pop_front()
        {
            self.told.remove(&first);
        }
        true
    }

    /// A node's key.
    pub fn get(&self, node: NodePrefix) -> Option<StaticPublicKey> {
        self.told.get(&node).map(|told| told.key)
    }

    /// The nodes whose certificates are revoked, as far as they are known. Numbers are of all authorities of a network together.
    pub fn revoked(&self, list: &RevocationList) -> BTreeSet<NodePrefix> {
        let revoked: BTreeSet<Serial> = list.all().map(|(serial, _)| serial).collect();
        let is_revoked = |told: &Told| told.serial.is_some_and(|serial| revoked.contains(&serial));
        let nodes = self.told.iter().filter(|(_, told)| is_revoked(told));
        nodes.map(|(node, _)| *node).collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test says what it wants by stopping")]
mod tests {
    use super::{super::known, *};
    use crate::certificate::{
        authority::Authority,
        record::Whereabouts,
        static_key::StaticKey,
        testing::{CertificateOf, START, authority, new_key, revocation_list},
    };

    #[test]
    fn whoever_was_heard_of_first_is_forgotten_first_and_nobody_for_one_that_is_known() {
        let node = |number: usize| Known {
            node: NodePrefix::new(number as u128, 16).unwrap_or_default(),
            addresses: Vec::new(),
            owner: None,
            made_at: None,
        };
        let key = |octet: u8| StaticPublicKey::new([octet; 32]);
        let mut keys = Keys::default();
        for number in 0..MOST {
            keys.remember(&node(number), key(1));
        }
        keys.remember(&node(MOST - 1), key(2));
        assert_eq!(keys.get(node(0).node), Some(key(1)));
        assert_eq!(keys.get(node(MOST - 1).node), Some(key(2)));
        keys.remember(&node(MOST), key(3));
        assert_eq!(keys.get(node(0).node), None);
        assert_eq!(keys.get(node(1).node), Some(key(1)));
    }

    /// One of node 7/16, with a key of its own.
    fn record(authority: &Authority, serial: u64, made_at: Timestamp) -> NodeRecord {
        let (key, fixed) = (new_key(), StaticKey::generate().unwrap());
        let certificate = CertificateOf {
            serial,
            ..CertificateOf::node(authority, NodePrefix::from_common_name("7/16").unwrap())
        };
        let certificate = certificate.issue_for(&key, Some(fixed.public_key()));
        let network = authority.certificate().network();
        let nowhere = Whereabouts::default();
        NodeRecord::sign(nowhere, &certificate, &key, &network, made_at).unwrap()
    }

    #[test]
    fn the_newest_record_of_a_node_counts_also_after_a_restart() {
        let authority = authority();
        let [old, new, newest] = [0, 1, 2].map(|second| record(&authority, 7, START.plus(second)));
        let node = old.node();

        let mut keys = Keys::default();
        assert!(keys.learn(&new) && !keys.learn(&old));
        assert_eq!(keys.get(node), Some(new.static_key()));
        assert!(keys.learn(&newest));
        assert_eq!(keys.get(node), Some(newest.static_key()));

        let mut again = Keys::default();
        again.remember(&known(&new), new.static_key());
        assert!(!again.learn(&old));
        assert_eq!(again.get(node), Some(new.static_key()));
    }

    #[test]
    fn whose_certificate_is_revoked_is_known_until_it_has_another_one() {
        let authority = authority();
        let list = revocation_list(&authority, &[7]);
        let (old, new) = (
            record(&authority, 7, START),
            record(&authority, 8, START.plus(1)),
        );
        let mut keys = Keys::default();
        keys.learn(&old);
        assert_eq!(keys.revoked(&RevocationList::default()), BTreeSet::new());
        assert_eq!(keys.revoked(&list), BTreeSet::from([old.node()]));
        keys.learn(&new);
        assert_eq!(keys.revoked(&list), BTreeSet::new());
    }
}
