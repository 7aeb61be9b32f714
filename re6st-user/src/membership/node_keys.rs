//! The X25519 keys of other nodes, as the registry's certificates have them: which are known, and which are asked for when.
//! Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};

use super::schedule::{Pace, Retry};
use crate::{
    babel::random::Random,
    certificate::{node_prefix::NodePrefix, static_key::StaticPublicKey},
    time::{Now, Time, Timestamp},
};

/// How many names are asked for at a time; as many as there may be `[[peer]]` tables.
pub const MOST_WANTED: usize = 256;
/// How many keys are kept: those of peers of before too.
pub const MOST_KNOWN: usize = 1024;
/// A name that the registry does not know, or whose certificate is of no use.
const PACE: Pace = Pace {
    first: Duration::from_secs(8),
    longest: Duration::from_secs(300),
};
/// How long after an answer the same name is asked for again, at the soonest.
const BETWEEN: Duration = Duration::from_secs(60);

/// All of it.
#[derive(Debug, Default)]
pub struct NodeKeys {
    keys: Arc<BTreeMap<NodePrefix, StaticPublicKey>>,
    learned: BTreeMap<NodePrefix, Timestamp>,
    missing: Arc<BTreeSet<NodePrefix>>,
    wanted: BTreeMap<NodePrefix, Wanted>,
    /// When the registry gave a key last, since the start.
    answered: BTreeMap<NodePrefix, Time>,
}

/// A name whose key is wanted.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    /// When it was wanted last.
    at: Time,
    retry: Retry,
    /// The registry gave nothing of use.
    has_failed: bool,
}

/// A key as it is kept.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    node: String,
    key: String,
    learned: Timestamp,
}

impl NodeKeys {
    /// From what [`Self::to_json`] made.
    pub fn from_json(text: &[u8]) -> Option<Self> {
        let kept: Vec<Kept> = serde_json::from_slice(text).ok()?;
        if kept.len() > MOST_KNOWN {
            return None;
        }
        let (mut keys, mut learned) = (BTreeMap::new(), BTreeMap::new());
        for kept in kept {
            let node = NodePrefix::from_common_name(&kept.node).ok()?;
            let octets = HEXLOWER.decode(kept.key.as_bytes()).ok()?;
            let key = StaticPublicKey::new(octets.try_into().ok()?);
            if !key.is_contributory() {
                return None;
            }
            keys.insert(node, key);
            learned.insert(node, kept.learned);
        }
        Some(Self {
            keys: Arc::new(keys),
            learned,
            ..Self::default()
        })
    }

    /// JSON: an array of objects with `node`, `key`, and `learned`, in seconds since 1970.
    pub fn to_json(&self) -> Vec<u8> {
        let kept = self.keys.iter().map(|(node, key)| Kept {
            node: node.common_name(),
            key: HEXLOWER.encode(key.octets()),
            learned: self.learned.get(node).copied().unwrap_or_default(),
        });
        let kept: Vec<Kept> = kept.collect();
        serde_json::to_vec(&kept).unwrap_or_default()
    }

    /// The keys that are known.
    pub const fn keys(&self) -> &Arc<BTreeMap<NodePrefix, StaticPublicKey>> {
        &self.keys
    }

    /// The names that the registry does not know, as it said last.
    pub const fn missing(&self) -> &Arc<BTreeSet<NodePrefix>> {
        &self.missing
    }

    /// A key is wanted, perhaps another one than is known: at once, but a minute after the registry gave one at the soonest.
    /// Where too many are wanted, the one that was wanted longest ago is not any more.
    pub fn want(&mut self, now: Time, node: NodePrefix, random: &mut Random) {
        if let Some(wanted) = self.wanted.get_mut(&node) {
            wanted.at = now;
            return;
        }
        let mut retry = Retry::default();
        if let Some(answered) = self.answered.get(&node) {
            retry.postpone(*answered, BETWEEN, random);
        }
        let wanted = Wanted {
            at: now,
            retry,
            has_failed: false,
        };
        if self.wanted.len() >= MOST_WANTED {
            let oldest = self.wanted.iter().min_by_key(|(_, wanted)| wanted.at);
            let oldest = oldest.map(|(node, _)| *node);
            oldest.map(|oldest| self.wanted.remove(&oldest));
        }
        self.wanted.insert(node, wanted);
    }

    /// Which name is to be asked for next, and from when on. Those that failed wait for the others.
    pub fn next(&self, now: Time) -> Option<(NodePrefix, Time)> {
        let new = self.next_new().filter(|(_, due)| *due <= now);
        new.or_else(|| self.next_of(|_| true))
    }

    /// The same among those that were not asked for before: whoever wants them waits.
    pub fn next_new(&self) -> Option<(NodePrefix, Time)> {
        self.next_of(|wanted| !wanted.has_failed)
    }

    fn next_of(&self, which: impl Fn(&Wanted) -> bool) -> Option<(NodePrefix, Time)> {
        let wanted = self.wanted.iter().filter(|(_, wanted)| which(wanted));
        let due = wanted.map(|(node, wanted)| (*node, wanted.retry.not_before()));
        due.min_by_key(|(_, due)| *due)
    }

    /// The registry gave a key, and that is believed. Whether it is another one than before.
    pub fn learned(&mut self, now: Now, node: NodePrefix, key: StaticPublicKey) -> bool {
        self.wanted.remove(&node);
        self.answered.insert(node, now.elapsed);
        if self.missing.contains(&node) {
            Arc::make_mut(&mut self.missing).remove(&node);
        }
        if self.keys.get(&node) == Some(&key) {
            return false;
        }
        if self.keys.len() >= MOST_KNOWN && !self.keys.contains_key(&node) {
            let oldest = self.learned.iter().min_by_key(|(_, learned)| **learned);
            if let Some(oldest) = oldest.map(|(node, _)| *node) {
                Arc::make_mut(&mut self.keys).remove(&oldest);
                self.learned.remove(&oldest);
                self.answered.remove(&oldest);
            }
        }
        Arc::make_mut(&mut self.keys).insert(node, key);
        self.learned.insert(node, now.wall);
        true
    }

    /// The registry knows no such node: it is asked again, ever more rarely. Whether that is news.
    pub fn not_found(&mut self, now: Time, node: NodePrefix, random: &mut Random) -> bool {
        self.failed(now, node, random);
        // those that are not wanted any more make room
        if self.missing.len() >= MOST_WANTED {
            let wanted = &self.wanted;
            Arc::make_mut(&mut self.missing).retain(|node| wanted.contains_key(node));
        }
        !self.missing.contains(&node) && Arc::make_mut(&mut self.missing).insert(node)
    }

    /// What the registry gave is of no use, or it refuses: it is asked again, ever more rarely.
    pub fn failed(&mut self, now: Time, node: NodePrefix, random: &mut Random) {
        if let Some(wanted) = self.wanted.get_mut(&node) {
            wanted.has_failed = true;
            wanted.retry.failed(now, PACE, random);
        }
    }
}
