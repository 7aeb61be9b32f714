//! What the maps need when the routes to one destination have changed: the steps of [`super`], one after another.

use std::{cmp::Reverse, collections::BTreeMap};

use re6st_common::{
    address::Family,
    maps::{TrieValue, next_hop_id, table},
};

use super::{
    super::prefix::{Prefix, destination_table},
    Fib, Write,
    destinations::{Destination, Destinations},
    direct,
    slots::Relation,
    trie,
};

/// A change under way: the routes have it already, the maps do not.
pub struct Change<'fib> {
    fib: &'fib mut Fib,
    family: Family,
    to: Prefix,
    /// Whether there were routes to the destination before, and whether there are any now.
    existed: bool,
    exists: bool,
    relation: Relation,
    writes: Vec<Write>,
}

/// A slot whose kind changed.
enum Turned {
    /// It has longer destinations inside now.
    Mixed(u32),
    /// It has none any more.
    Uniform(u32),
    Neither,
}

impl<'fib> Change<'fib> {
    /// The routes to `to` have changed.
    pub fn new(fib: &'fib mut Fib, family: Family, to: Prefix, existed: bool) -> Self {
        let exists = match family {
            Family::Ipv4 => fib.ipv4.has_routes(to),
            Family::Ipv6 => fib.ipv6.has_routes(to),
        };
        let relation = match (family, &fib.slots) {
            (Family::Ipv6, Some(slots)) => slots.relation(to),
            _ => Relation::Outside,
        };
        Self {
            fib,
            family,
            to,
            existed,
            exists,
            relation,
            writes: Vec::new(),
        }
    }

    /// The writes, in order.
    pub fn run(mut self) -> Vec<Write> {
        for heir in self.destinations().heirs(self.to) {
            self.refresh_table(heir);
        }
        let stale_table = self.own_table();
        let turned = self.turn_slots();
        if let Turned::Mixed(slot) = turned {
            self.reveal_covering(slot);
        }
        let value = self.wanted_value();
        if value.is_some() {
            self.set_value(self.to, value);
        }
        self.write_slots();
        if value.is_none() {
            self.set_value(self.to, None);
        }
        if let Turned::Uniform(slot) = turned {
            self.hide_covering(slot);
        }
        if let Some((number, entries)) = stale_table {
            self.write_table(number, &entries, &BTreeMap::new());
        }
        self.writes
    }

    fn destinations(&self) -> &Destinations {
        self.fib.destinations(self.family)
    }

    fn destination(&self) -> Option<&Destination> {
        self.destinations().get(self.to)
    }

    /// Brings the source table of a destination that has one up to date.
    fn refresh_table(&mut self, prefix: Prefix) {
        let wanted = self.destinations().by_source(prefix);
        let Some(destination) = self.fib.destinations_mut(self.family).get_mut(prefix) else {
            return;
        };
        let number = destination.table_number;
        let before = std::mem::replace(&mut destination.table, wanted.clone());
        self.write_table(number, &before, &wanted);
    }

    /// Makes the entries of one source table others: new ones first, the longest source first; then the superfluous
    /// ones, the shortest first.
    fn write_table(
        &mut self,
        number: u32,
        before: &BTreeMap<Prefix, u32>,
        after: &BTreeMap<Prefix, u32>,
    ) {
        let mut set: Vec<_> = after
            .iter()
            .filter(|(source, next_hop)| before.get(source) != Some(next_hop))
            .collect();
        set.sort_unstable_by_key(|(source, _)| Reverse(source.length()));
        let mut delete: Vec<_> = before
            .keys()
            .filter(|source| !after.contains_key(source))
            .collect();
        delete.sort_unstable_by_key(|source| source.length());
        let was = |source: &Prefix| before.get(source).copied().map(direct);
        let set = set
            .into_iter()
            .map(|(source, next_hop)| trie(number, *source, Some(direct(*next_hop)), was(source)));
        let delete = delete
            .into_iter()
            .map(|source| trie(number, *source, None, was(source)));
        self.writes.extend(set.chain(delete));
        self.fib.trie_entries = self.fib.trie_entries + after.len() - before.len();
    }

    /// Fills the destination's own source table, new or not. Returns a table that it does not need any more.
    fn own_table(&mut self) -> Option<(u32, BTreeMap<Prefix, u32>)> {
        let destination = self.destination()?;
        match (destination.table_number, destination.sources.is_empty()) {
            (0, true) => None,
            (0, false) => {
                let wanted = self.destinations().by_source(self.to);
                let number = self.fib.new_table();
                self.write_table(number, &BTreeMap::new(), &wanted);
                let destination = self.fib.destinations_mut(self.family).get_mut(self.to)?;
                destination.table = wanted;
                destination.table_number = number;
                None
            }
            (_, false) => {
                self.refresh_table(self.to);
                None
            }
            (number, true) => {
                let destination = self.fib.destinations_mut(self.family).get_mut(self.to)?;
                destination.table_number = 0;
                Some((number, std::mem::take(&mut destination.table)))
            }
        }
    }

    /// Tells the slots that the destination is new, or gone.
    fn turn_slots(&mut self) -> Turned {
        let length = self.to.length();
        let next = self.next_cover();
        let Some(slots) = &mut self.fib.slots else {
            return Turned::Neither;
        };
        match (&self.relation, self.existed, self.exists) {
            (Relation::Fills(range), false, true) => slots.cover(range.clone(), length),
            (Relation::Fills(range), true, false) => slots.uncover(range.clone(), length, next),
            (Relation::Inside(slot), false, true) if slots.enter(*slot) => {
                return Turned::Mixed(*slot);
            }
            (Relation::Inside(slot), true, false) if slots.leave(*slot) => {
                return Turned::Uniform(*slot);
            }
            _ => {}
        }
        Turned::Neither
    }

    /// The length of the next destination that fills the slots this one fills.
    fn next_cover(&self) -> Option<u8> {
        let shortest = self.fib.slots.as_ref()?.shortest();
        let mut covering = self.destinations().covering(self.to);
        let (next, _) = covering.find(|(prefix, _)| *prefix != self.to)?;
        (next.length() >= shortest).then_some(next.length())
    }

    /// Puts the destinations that answered by way of a slot in the trie.
    fn reveal_covering(&mut self, slot: u32) {
        for (prefix, next_hop) in self.filling(slot) {
            self.set_value(prefix, Some(direct(next_hop)));
        }
    }

    /// Takes those out of the trie again that now answer by way of slots alone.
    fn hide_covering(&mut self, slot: u32) {
        for (prefix, next_hop) in self.filling(slot) {
            let value = self.needs_trie(prefix).then_some(direct(next_hop));
            self.set_value(prefix, value);
        }
    }

    /// The destinations with one next hop for all sources that fill a slot.
    fn filling(&self, slot: u32) -> Vec<(Prefix, u32)> {
        let Some(slots) = &self.fib.slots else {
            return Vec::new();
        };
        self.destinations()
            .covering(slots.prefix(slot))
            .take_while(|(prefix, _)| prefix.length() >= slots.shortest())
            .filter_map(|(prefix, destination)| Some((prefix, destination.only_plain()?)))
            .collect()
    }

    /// Whether a destination with one next hop for all sources must be in the trie too.
    fn needs_trie(&self, prefix: Prefix) -> bool {
        match &self.fib.slots {
            Some(slots) if self.family == Family::Ipv6 => match slots.relation(prefix) {
                Relation::Fills(range) => slots.any_mixed(range),
                Relation::Outside | Relation::Inside(_) => true,
            },
            _ => true,
        }
    }

    /// What the trie must have of the destination.
    fn wanted_value(&self) -> Option<TrieValue> {
        let destination = self.destination()?;
        if !destination.sources.is_empty() {
            return Some(TrieValue {
                next_hop: next_hop_id::NONE,
                source_table: destination.table_number,
            });
        }
        let next_hop = destination.plain?;
        self.needs_trie(self.to).then_some(direct(next_hop))
    }

    /// Sets or deletes a destination's entry in the trie, if that is a change.
    fn set_value(&mut self, prefix: Prefix, value: Option<TrieValue>) {
        let Some(destination) = self.fib.destinations_mut(self.family).get_mut(prefix) else {
            return;
        };
        let before = std::mem::replace(&mut destination.value, value);
        if before == value {
            return;
        }
        self.writes
            .push(trie(destination_table(self.family), prefix, value, before));
        match (before, value) {
            (None, Some(_)) => self.fib.trie_entries += 1,
            (Some(_), None) => self.fib.trie_entries -= 1,
            _ => {}
        }
    }

    /// Brings the slots up to date that the destination answers for, or did until now.
    fn write_slots(&mut self) {
        let Some(slots) = &self.fib.slots else {
            return;
        };
        let (range, cover) = match &self.relation {
            Relation::Outside => return,
            Relation::Inside(slot) => (*slot..=*slot, slots.covered_by(*slot)),
            Relation::Fills(range) if self.exists => (range.clone(), Some(self.to.length())),
            Relation::Fills(range) => (range.clone(), self.next_cover()),
        };
        let answer = cover
            .and_then(|length| {
                self.destinations()
                    .get(slots.prefix(*range.start()).truncated(length))
            })
            .and_then(Destination::only_plain)
            .unwrap_or(next_hop_id::NONE);
        let Some(slots) = &mut self.fib.slots else {
            return;
        };
        for slot in range {
            if slots.covered_by(slot) != cover {
                continue;
            }
            let next_hop = match slots.is_mixed(slot) {
                true => next_hop_id::NONE,
                false => answer,
            };
            let before = slots.set(slot, next_hop);
            if before != next_hop {
                self.writes.push(Write::Slot {
                    slot,
                    next_hop,
                    before,
                });
            }
        }
    }
}

impl Fib {
    /// A number for a source table. Numbers come again only after four thousand million others, so that no packet in
    /// flight finds another table under the number it has just read.
    fn new_table(&mut self) -> u32 {
        if let Some(number) = self.table_again.take() {
            return number;
        }
        let number = self.next_table;
        self.next_table = number.checked_add(1).unwrap_or(table::FIRST_SOURCE);
        number
    }
}
