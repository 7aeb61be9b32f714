//! What all peers share while something happens.

use std::{collections::HashMap, time::Duration};

use super::{
    PostQuantum, called::Called, counters::Counters, documents::Documents, event::Event,
    gre_keys::GreKeys, output::Output, own::Own, settings::Settings, wire::SessionIndex,
};
use crate::{
    certificate::node_prefix::NodePrefix,
    time::{Now, Time, Timestamp},
};

/// Whose session an index of ours is.
#[derive(Debug, Default)]
pub(super) struct Indexes(HashMap<SessionIndex, NodePrefix>);

impl Indexes {
    pub fn take(&mut self, node: NodePrefix, random: &mut dyn FnMut(&mut [u8])) -> SessionIndex {
        loop {
            let mut octets = [0; 4];
            random(&mut octets);
            // a source that gives nothing but zeros is no reason to stand still
            let mut number = u32::from_be_bytes(octets);
            for _ in 0..self.0.len() + 2 {
                if let Some(index) = SessionIndex::new(number).filter(|it| !self.0.contains_key(it))
                {
                    self.0.insert(index, node);
                    return index;
                }
                number = number.wrapping_add(1);
            }
        }
    }

    /// An index is that of another node's session from now on.
    pub fn give(&mut self, index: SessionIndex, node: NodePrefix) {
        self.0.insert(index, node);
    }

    pub fn give_back(&mut self, index: SessionIndex) {
        self.0.remove(&index);
    }

    pub fn owner(&self, index: SessionIndex) -> Option<NodePrefix> {
        self.0.get(&index).copied()
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

/// All but the peer itself.
pub(super) struct Context<'a> {
    pub time: Now,
    pub random: &'a mut dyn FnMut(&mut [u8]),
    pub outputs: &'a mut Vec<Output>,
    pub counters: &'a mut Counters,
    pub settings: &'a Settings,
    pub own: &'a Own,
    pub policy: PostQuantum,
    pub keys: &'a mut GreKeys,
    pub indexes: &'a mut Indexes,
    pub called: &'a mut Called,
    pub documents: &'a mut Documents,
}

impl Context<'_> {
    pub const fn now(&self) -> Time {
        self.time.elapsed
    }

    pub const fn wall(&self) -> Timestamp {
        self.time.wall
    }

    pub fn event(&mut self, event: Event) {
        self.outputs.push(Output::Event(event));
    }

    /// Between three and five quarters of a duration: those who begin together do not go on together.
    pub fn about(&mut self, duration: Duration) -> Duration {
        let mut octets = [0; 2];
        (self.random)(&mut octets);
        let part = u32::from(u16::from_be_bytes(octets));
        duration * 3 / 4 + duration / 2 * part / 65_536
    }
}
