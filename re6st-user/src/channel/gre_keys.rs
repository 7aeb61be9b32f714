//! GRE keys that this node accepts. Their low bits select an entry of a table, so no two may have the same.

use std::collections::{BTreeSet, HashSet};

/// Which entries are taken.
#[derive(Debug)]
pub(super) struct GreKeys {
    mask: u32,
    reserved: BTreeSet<u32>,
    taken: HashSet<u32>,
}

/// So many random ones are tried before the table is looked through.
const TRIES: u32 = 16;

impl GreKeys {
    /// Of the configuration's entries, which are never given.
    pub fn new(mask: u32, reserved: &BTreeSet<u32>) -> Self {
        Self {
            mask,
            reserved: reserved.iter().map(|index| index & mask).collect(),
            taken: HashSet::new(),
        }
    }

    /// A random key whose entry is free; none if there is none.
    pub fn take(&mut self, random: &mut dyn FnMut(&mut [u8])) -> Option<u32> {
        let mut key = 0;
        for _ in 0..TRIES {
            let mut octets = [0; 4];
            random(&mut octets);
            key = u32::from_be_bytes(octets);
            if key != 0 && self.is_free(key) {
                self.taken.insert(key & self.mask);
                return Some(key);
            }
        }
        let high = key & !self.mask;
        let free = (0..=self.mask)
            .map(|low| high | low)
            .find(|key| *key != 0 && self.is_free(*key))?;
        self.taken.insert(free & self.mask);
        Some(free)
    }

    /// The key is not accepted any more.
    pub fn give_back(&mut self, key: u32) {
        self.taken.remove(&(key & self.mask));
    }

    /// How many are accepted.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.taken.len()
    }

    fn is_free(&self, key: u32) -> bool {
        let index = key & self.mask;
        !self.taken.contains(&index) && !self.reserved.contains(&index)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashSet};

    use super::GreKeys;

    #[test]
    fn no_two_keys_share_an_entry_and_none_is_reserved_until_there_is_none() {
        let reserved: BTreeSet<u32> = [3, 0x100 | 7].into_iter().collect();
        let mut keys = GreKeys::new(0xff, &reserved);
        let mut state = 1_u32;
        let mut random = |octets: &mut [u8]| {
            for octet in octets {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                *octet = (state >> 24) as u8;
            }
        };
        let given: Vec<u32> = std::iter::from_fn(|| keys.take(&mut random)).collect();
        let entries: HashSet<u32> = given.iter().map(|key| key & 0xff).collect();
        assert_eq!((given.len(), entries.len()), (254, 254));
        assert!(!entries.contains(&3) && !entries.contains(&7));
        keys.give_back(given[9]);
        let again = keys.take(&mut random).map(|key| key & 0xff);
        assert_eq!(again, Some(given[9] & 0xff));
    }
}
