//! The array FIB, as userspace keeps it.

use std::{collections::BTreeSet, ops::RangeInclusive};

use ipnet::Ipv6Net;
use re6st_common::maps::next_hop_id;

use super::super::prefix::Prefix;

/// [`Slot::cover`] without any.
const NONE: u8 = u8::MAX;

/// The slots: one for each value of the node-prefix bits of a network.
#[derive(Clone, Debug)]
pub struct Slots {
    network: Prefix,
    /// Length of the prefix of one slot.
    length: u8,
    slots: Vec<Slot>,
    /// Slots with longer prefixes inside.
    mixed: BTreeSet<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    /// What the map has.
    next_hop: u32,
    /// How many destinations inside are longer than the slot.
    longer: u32,
    /// Length of the longest destination inside the network that covers the slot, or [`NONE`].
    cover: u8,
}

/// How a destination relates to the slots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Relation {
    /// Outside of the network, or covering it: the trie alone has it.
    Outside,
    /// It fills slots.
    Fills(RangeInclusive<u32>),
    /// It is longer than the prefix of the slot it is inside of.
    Inside(u32),
}

impl Slots {
    /// Slots for `bits` bits after those of the network, at least 1, all free.
    pub fn new(network: Ipv6Net, bits: u8) -> Self {
        let network = Prefix::from(ipnet::IpNet::V6(network));
        Self {
            network,
            length: network.length() + bits,
            slots: vec![
                Slot {
                    next_hop: next_hop_id::NONE,
                    longer: 0,
                    cover: NONE
                };
                1 << bits
            ],
            mixed: BTreeSet::new(),
        }
    }

    /// Where a destination lies.
    pub fn relation(&self, destination: Prefix) -> Relation {
        if !self.network.covers(destination) {
            return Relation::Outside;
        }
        let first = self.index(destination.bits());
        match self.length.checked_sub(destination.length()) {
            None => Relation::Inside(first),
            Some(free) => Relation::Fills(first..=first + ((1 << free) - 1)),
        }
    }

    fn index(&self, address: u128) -> u32 {
        // at most 20 bits are left: the network's are cut off by the mask
        ((address >> (128 - self.length)) as u32) & (self.slots.len() as u32 - 1)
    }

    /// The prefix of a slot.
    pub fn prefix(&self, slot: u32) -> Prefix {
        let bits = self.network.bits() | (u128::from(slot) << (128 - self.length));
        Prefix::new(bits, self.length)
    }

    /// The shortest destination that fills slots.
    pub fn shortest(&self) -> u8 {
        self.network.length()
    }

    /// A destination appeared that fills slots.
    pub fn cover(&mut self, range: RangeInclusive<u32>, length: u8) {
        for slot in self.range_mut(range) {
            if slot.cover == NONE || slot.cover < length {
                slot.cover = length;
            }
        }
    }

    /// A destination is gone that filled slots; `next` is the length of the next one that covers them.
    pub fn uncover(&mut self, range: RangeInclusive<u32>, length: u8, next: Option<u8>) {
        for slot in self.range_mut(range) {
            if slot.cover == length {
                slot.cover = next.unwrap_or(NONE);
            }
        }
    }

    /// A longer destination appeared inside. Whether it is the first in its slot.
    pub fn enter(&mut self, slot: u32) -> bool {
        self.slots[slot as usize].longer += 1;
        self.mixed.insert(slot)
    }

    /// A longer destination inside is gone. Whether it was the last in its slot.
    pub fn leave(&mut self, slot: u32) -> bool {
        let longer = &mut self.slots[slot as usize].longer;
        *longer -= 1;
        *longer == 0 && self.mixed.remove(&slot)
    }

    /// Whether a slot has longer destinations inside, so that the trie answers.
    pub fn is_mixed(&self, slot: u32) -> bool {
        self.slots[slot as usize].longer > 0
    }

    /// Whether any slot of a range has.
    pub fn any_mixed(&self, range: RangeInclusive<u32>) -> bool {
        self.mixed.range(range).next().is_some()
    }

    /// The length of the longest destination inside the network that covers a slot.
    pub fn covered_by(&self, slot: u32) -> Option<u8> {
        let length = self.slots[slot as usize].cover;
        (length != NONE).then_some(length)
    }

    /// Sets what the map has; returns what it had.
    pub fn set(&mut self, slot: u32, next_hop: u32) -> u32 {
        std::mem::replace(&mut self.slots[slot as usize].next_hop, next_hop)
    }

    /// All slots that answer.
    pub fn answers(&self) -> impl Iterator<Item = (u32, u32)> {
        self.slots
            .iter()
            .zip(0..)
            .filter(|(slot, _)| slot.next_hop != next_hop_id::NONE)
            .map(|(slot, number)| (number, slot.next_hop))
    }

    fn range_mut(&mut self, range: RangeInclusive<u32>) -> &mut [Slot] {
        &mut self.slots[*range.start() as usize..=*range.end() as usize]
    }
}
