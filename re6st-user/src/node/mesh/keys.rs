//! The X25519 keys of other nodes, out of what they or the registry say of them.

use std::collections::{HashMap, VecDeque};

use crate::certificate::{node_prefix::NodePrefix, static_key::StaticPublicKey};

/// Nodes whose keys are remembered.
const MOST: usize = 4_096;

/// The keys of a bounded number of nodes: who was heard of first is forgotten first.
#[derive(Debug, Default)]
pub struct Keys {
    keys: HashMap<NodePrefix, StaticPublicKey>,
    order: VecDeque<NodePrefix>,
}

impl Keys {
    /// Takes a key, in place of the one of before.
    pub fn learn(&mut self, node: NodePrefix, key: StaticPublicKey) {
        if self.keys.insert(node, key).is_some() {
            return;
        }
        self.order.push_back(node);
        if self.order.len() > MOST
            && let Some(first) = self.order.pop_front()
        {
            self.keys.remove(&first);
        }
    }

    /// A node's key.
    pub fn get(&self, node: NodePrefix) -> Option<StaticPublicKey> {
        self.keys.get(&node).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_was_heard_of_first_is_forgotten_first_and_nobody_for_one_that_is_known() {
        let node = |number: usize| NodePrefix::new(number as u128, 16).unwrap_or_default();
        let key = |octet: u8| StaticPublicKey::new([octet; 32]);
        let mut keys = Keys::default();
        for number in 0..MOST {
            keys.learn(node(number), key(1));
        }
        keys.learn(node(MOST - 1), key(2));
        assert_eq!(keys.get(node(0)), Some(key(1)));
        assert_eq!(keys.get(node(MOST - 1)), Some(key(2)));
        keys.learn(node(MOST), key(3));
        assert_eq!(keys.get(node(0)), None);
        assert_eq!(keys.get(node(1)), Some(key(1)));
    }
}
