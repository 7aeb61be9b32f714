//! Which nodes are there, and where: what they have said lately, for newcomers and for who has lost all others. Kept in memory
//! alone: nodes say it again soon, and at once to a registry that was away. Pure.

use std::{collections::BTreeMap, ops::Bound, time::Duration};

use super::{UNLIMITED, limits::Limiter};
use crate::{
    babel::random::Random,
    certificate::node_prefix::NodePrefix,
    rate::Rate,
    time::{Time, Timestamp},
};

/// A node that has said nothing for so long is not there any more. It says it three times in this time.
pub const PRESENCE: Duration = Duration::from_secs(15 * 60);
/// Nodes that are remembered, at most: each takes some 1.2 kB.
const CAPACITY: usize = 65_536;
/// Nodes that are told to one that asks, at most.
pub const MOST_TOLD: usize = 16;

/// How often a node may say something: it does so every five minutes, at once when it moves, and every few seconds at most while it
/// looks for others.
const EACH: Rate = Rate {
    count: 30,
    seconds: 60,
};

/// What a node says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// Where it is: the octets of its record, which were verified.
    pub record: Vec<u8>,
    /// When that was made.
    pub made_at: Timestamp,
    /// The version of its program.
    pub version: Option<String>,
}

#[derive(Debug)]
struct Present {
    node: NodePrefix,
    said: Said,
    at: Time,
}

/// The nodes that are there.
#[derive(Debug)]
pub struct PresentNodes {
    asked: Limiter<NodePrefix>,
    /// In no order, so that one at random is found at once.
    nodes: Vec<Present>,
    places: BTreeMap<NodePrefix, usize>,
}

impl Default for PresentNodes {
    fn default() -> Self {
        Self {
            asked: Limiter::with_capacity(EACH, UNLIMITED, usize::MAX),
            nodes: Vec::new(),
            places: BTreeMap::new(),
        }
    }
}

impl PresentNodes {
    /// Whether a node may say something now.
    ///
    /// # Errors
    /// Too early: the seconds to wait.
    pub fn admit(&mut self, now: Timestamp, node: NodePrefix) -> Result<(), u64> {
        self.asked.take(node, now)
    }

    /// A node has said where it is; an older record than it has shown before does not count. Beyond the capacity, who has been silent longest is forgotten: any of those that are not
    /// there any more, else newcomers are not remembered.
    pub fn say(&mut self, now: Time, node: NodePrefix, said: Said) {
        let mut present = Present {
            node,
            said,
            at: now,
        };
        if let Some(known) = self.places.get(&node) {
            if let Some(known) = self.nodes.get_mut(*known) {
                if present.said.made_at < known.said.made_at {
                    present.said.made_at = known.said.made_at;
                    present.said.record = std::mem::take(&mut known.said.record);
                }
                *known = present;
            }
            return;
        }
        if self.nodes.len() >= CAPACITY {
            self.forget_absent(now);
        }
        if self.nodes.len() < CAPACITY {
            self.places.insert(node, self.nodes.len());
            self.nodes.push(present);
        }
    }

    /// The records of some nodes that are there, drawn at random; none twice, and not who asks.
    pub fn draw(
        &mut self,
        now: Time,
        asker: NodePrefix,
        count: usize,
        random: &mut Random,
    ) -> Vec<Vec<u8>> {
        let mut drawn = Vec::new();
        let count = count.min(MOST_TOLD);
        // the drawn ones are put in front, and the next is drawn behind them
        let mut front = 0;
        while drawn.len() < count && front < self.nodes.len() {
            let rest = self.nodes.len() - front;
            let at = front + random.below(rest as u64) as usize;
            let Some(present) = self.nodes.get(at) else {
                break;
            };
            if now.since(present.at) >= PRESENCE {
                self.forget(at);
                continue;
            }
            if present.node != asker {
                drawn.push(present.said.record.clone());
            }
            self.swap(front, at);
            front += 1;
        }
        drawn
    }

    /// Some of those that are there and `counts` says count, in the order of their names, behind the one named: what they said,
    /// and how long ago.
    pub fn page(
        &self,
        now: Time,
        after: Option<NodePrefix>,
        limit: usize,
        counts: impl Fn(&Said) -> bool,
    ) -> Vec<(Said, Duration)> {
        let begin = after.map_or(Bound::Unbounded, Bound::Excluded);
        let places = self.places.range((begin, Bound::Unbounded));
        let present = places.filter_map(|(_, at)| self.nodes.get(*at));
        let there = present.filter(|it| now.since(it.at) < PRESENCE && counts(&it.said));
        let there = there.map(|it| (it.said.clone(), now.since(it.at)));
        there.take(limit).collect()
    }

    /// How many have said something lately.
    pub fn count(&self, now: Time) -> usize {
        let mut nodes = self.nodes.iter();
        nodes
            .by_ref()
            .filter(|it| now.since(it.at) < PRESENCE)
            .count()
    }

    /// How long ago a node said where it is.
    pub fn silence(&self, now: Time, node: NodePrefix) -> Option<Duration> {
        let present = self.nodes.get(*self.places.get(&node)?)?;
        Some(now.since(present.at))
    }

    fn forget_absent(&mut self, now: Time) {
        let mut at = 0;
        while let Some(present) = self.nodes.get(at) {
            match now.since(present.at) < PRESENCE {
                true => at += 1,
                false => self.forget(at),
            }
        }
    }

    fn forget(&mut self, at: usize) {
        let gone = self.nodes.swap_remove(at);
        self.places.remove(&gone.node);
        if let Some(moved) = self.nodes.get(at) {
            self.places.insert(moved.node, at);
        }
    }

    fn swap(&mut self, one: usize, other: usize) {
        self.nodes.swap(one, other);
        for at in [one, other] {
            if let Some(present) = self.nodes.get(at) {
                self.places.insert(present.node, at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Time = Time(1_000_000_000);

    fn node(number: u16) -> NodePrefix {
        NodePrefix::new(number.into(), 16).unwrap_or_default()
    }

    fn record(number: u16) -> Vec<u8> {
        number.to_be_bytes().to_vec()
    }

    fn said(number: u16) -> Said {
        Said {
            record: record(number),
            made_at: Timestamp(1_000),
            version: None,
        }
    }

    fn nodes(count: u16) -> PresentNodes {
        let mut nodes = PresentNodes::default();
        for number in 0..count {
            nodes.say(START, node(number), said(number));
        }
        nodes
    }

    #[test]
    fn each_is_drawn_as_often_as_the_others_and_nobody_gets_himself_or_one_twice() {
        let (mut nodes, mut random) = (nodes(20), Random::new(1));
        let mut times = [0; 20];
        for _ in 0..4_000 {
            let mut drawn = nodes.draw(START, node(3), 5, &mut random);
            assert_eq!(drawn.len(), 5);
            drawn.sort();
            drawn.dedup();
            assert_eq!(drawn.len(), 5);
            for record in drawn {
                times[usize::from(record[1])] += 1;
            }
        }
        assert_eq!(times[3], 0);
        let expected = 4_000 * 5 / 19;
        for (number, times) in times.iter().enumerate().filter(|(number, _)| *number != 3) {
            assert!(
                (expected * 9 / 10..expected * 11 / 10).contains(times),
                "{number}: {times}"
            );
        }
    }

    #[test]
    fn who_is_silent_is_not_told_and_who_comes_again_is() {
        let (mut nodes, mut random) = (nodes(3), Random::new(1));
        let later = START + PRESENCE;
        nodes.say(later, node(1), said(9));
        assert_eq!(nodes.draw(later, node(7), 5, &mut random), [record(9)]);
        assert_eq!(nodes.count(later), 1);
        assert_eq!(nodes.silence(later, node(1)), Some(Duration::ZERO));
        nodes.say(later, node(0), said(8));
        assert_eq!(nodes.draw(later, node(1), 5, &mut random), [record(8)]);
    }

    #[test]
    fn an_older_record_replaces_none() {
        let mut nodes = nodes(1);
        let older = Said {
            made_at: Timestamp(999),
            ..said(7)
        };
        let later = START + PRESENCE / 2;
        nodes.say(later, node(0), older);
        let (mut random, asker) = (Random::new(1), node(1));
        assert_eq!(nodes.draw(later, asker, 5, &mut random), [record(0)]);
        assert_eq!(nodes.silence(later, node(0)), Some(Duration::ZERO));
        let as_new = said(8);
        nodes.say(later, node(0), as_new);
        assert_eq!(nodes.draw(later, asker, 5, &mut random), [record(8)]);
    }

    #[test]
    fn a_node_may_not_ask_all_the_time() {
        let mut nodes = PresentNodes::default();
        let now = Timestamp(1_000);
        let admitted = (0..3_000).filter(|_| nodes.admit(now, node(1)).is_ok());
        assert_eq!(admitted.count(), 30);
        assert_eq!(nodes.admit(now, node(1)), Err(2));
        assert_eq!(nodes.admit(now, node(2)), Ok(()));
        assert_eq!(nodes.admit(now.plus(2), node(1)), Ok(()));
    }

    #[test]
    fn those_that_are_there_are_shown_page_by_page_in_the_order_of_their_names() {
        let mut nodes = nodes(5);
        let later = START + PRESENCE / 2;
        for number in [4, 2, 1, 0] {
            nodes.say(later, node(number), said(number));
        }
        let later = START + PRESENCE;
        let page = |after: Option<u16>, limit| {
            let counts = |said: &Said| *said != self::said(1);
            let page = nodes.page(later, after.map(node), limit, counts);
            page.into_iter()
                .map(|(said, silence)| (said.record, silence))
                .collect::<Vec<_>>()
        };
        let silence = PRESENCE / 2;
        let expected = [0, 2].map(|number| (record(number), silence));
        assert_eq!(page(None, 2), expected);
        assert_eq!(page(Some(2), 2), [(record(4), silence)]);
    }

    #[test]
    fn a_full_book_makes_room_by_those_that_are_gone() {
        let mut nodes = PresentNodes::default();
        for number in 0..CAPACITY + 10 {
            let node = NodePrefix::new(number as u128, 32).unwrap_or_default();
            nodes.say(START, node, Said::default());
        }
        assert_eq!(nodes.count(START), CAPACITY);
        let later = START + PRESENCE;
        nodes.say(later, node(1), said(1));
        assert_eq!(
            nodes.draw(later, node(0), 5, &mut Random::new(1)),
            [record(1)]
        );
        assert_eq!(nodes.nodes.len(), 1);
    }
}
