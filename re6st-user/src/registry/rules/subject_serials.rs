//! The numbers of the nodes (`serialNumber` of the subject): a newcomer gets the smallest that no node has.

use std::collections::BTreeMap;

use crate::certificate::network::SubjectSerial;

/// Which numbers are in use. Finds the smallest free one, and keeps account, in time logarithmic in the number of nodes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SubjectSerials {
    /// How many nodes have each number: one, unless a database of old is odd.
    holders: BTreeMap<u32, u32>,
    /// Runs of numbers in use, none touching another: first, last.
    runs: BTreeMap<u32, u32>,
}

impl SubjectSerials {
    /// The smallest number that nobody has; none if all 2^32 are in use.
    pub fn smallest_free(&self) -> Option<SubjectSerial> {
        match self.runs.first_key_value() {
            Some((0, last)) => last.checked_add(1).map(SubjectSerial),
            _ => Some(SubjectSerial(0)),
        }
    }

    /// Whether a node has this number.
    pub fn contains(&self, serial: SubjectSerial) -> bool {
        self.holders.contains_key(&serial.0)
    }

    /// A node has this number now.
    pub fn insert(&mut self, serial: SubjectSerial) {
        let number = serial.0;
        let holders = self.holders.entry(number).or_default();
        *holders += 1;
        if *holders > 1 {
            return;
        }
        let mut last = number;
        if let Some(next) = number.checked_add(1)
            && let Some(end) = self.runs.remove(&next)
        {
            last = end;
        }
        match self.runs.range_mut(..number).next_back() {
            Some((_, end)) if end.checked_add(1) == Some(number) => *end = last,
            _ => {
                self.runs.insert(number, last);
            }
        }
    }

    /// A node does not have this number any more.
    pub fn remove(&mut self, serial: SubjectSerial) {
        let number = serial.0;
        let Some(holders) = self.holders.get_mut(&number) else {
            return;
        };
        *holders -= 1;
        if *holders > 0 {
            return;
        }
        self.holders.remove(&number);
        let Some((first, last)) = self.runs.range(..=number).next_back() else {
            return;
        };
        let (first, last) = (*first, *last);
        self.runs.remove(&first);
        if first < number {
            self.runs.insert(first, number - 1);
        }
        if number < last {
            self.runs.insert(number + 1, last);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against counting from 0 on.
        #[test]
        fn the_smallest_free_number(steps in prop::collection::vec((any::<bool>(), 0..24_u32), 0..200)) {
            let mut serials = SubjectSerials::default();
            let mut model = Vec::new();
            for (insert, number) in steps {
                if insert {
                    serials.insert(SubjectSerial(number));
                    model.push(number);
                } else if let Some(at) = model.iter().position(|held| *held == number) {
                    model.swap_remove(at);
                    serials.remove(SubjectSerial(number));
                }
                let smallest = (0..).find(|number| !model.contains(number)).map(SubjectSerial);
                prop_assert_eq!(serials.smallest_free(), smallest);
            }
        }
    }

    #[test]
    fn the_largest_number_is_no_special_case() {
        let mut serials = SubjectSerials::default();
        serials.insert(SubjectSerial(u32::MAX));
        serials.insert(SubjectSerial(u32::MAX - 1));
        assert_eq!(serials.smallest_free(), Some(SubjectSerial(0)));
        serials.remove(SubjectSerial(u32::MAX));
        serials.remove(SubjectSerial(u32::MAX - 1));
        assert_eq!(serials, SubjectSerials::default());
    }
}
