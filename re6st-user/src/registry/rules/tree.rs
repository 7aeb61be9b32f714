//! The prefix space as a partition: every bit string that can be a node's has exactly one block that contains it or lies
//! inside it. A block is free, held by a node, or reserved for ever.

use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;

use crate::certificate::node_prefix::NodePrefix;

/// What a block of the partition is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Block<T> {
    /// Nobody's.
    Free,
    /// Never anybody's: its node's address would be the subnet-router anycast address of the whole community.
    Reserved,
    /// A node's.
    Held(T),
}

/// One block replaced; `None` is a block that is not of the partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Replacement<T> {
    /// Which block of the partition.
    pub prefix: NodePrefix,
    /// The row before; none if there was none.
    pub before: Option<Block<T>>,
    /// The row from now on; none if it is gone.
    pub after: Option<Block<T>>,
}

/// Why no prefix can be had.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum AllocateError {
    /// No bits at all, or more than an address has behind the network.
    #[error("{0} bits are no length of a prefix here")]
    Length(u16),
    /// Nothing is free.
    #[error("no prefix of {0} bits is free")]
    Full(u8),
}

/// Why blocks are no partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum PartitionError {
    /// Two of them overlap.
    #[error("prefixes {0} and {1} overlap")]
    Overlap(NodePrefix, NodePrefix),
    /// Something belongs to none of them.
    #[error("no block contains prefix {0}")]
    Gap(NodePrefix),
    /// A prefix that no address has room for.
    #[error("prefix {0} is longer than an address behind the network")]
    TooLong(NodePrefix),
}

/// The partition. Every operation takes time logarithmic in the number of blocks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tree<T> {
    blocks: BTreeMap<NodePrefix, Block<T>>,
    /// The free ones, by length.
    free: BTreeSet<(u8, NodePrefix)>,
    /// How many are held, by length.
    held: BTreeMap<u8, usize>,
    /// Bits of the longest prefix.
    maximum: u8,
}

impl<T: Clone> Tree<T> {
    /// One free block, of prefixes of at most `maximum` bits.
    pub fn new(maximum: u8) -> Self {
        let mut tree = Self {
            blocks: BTreeMap::new(),
            free: BTreeSet::new(),
            held: BTreeMap::new(),
            maximum,
        };
        tree.replace(NodePrefix::ROOT, Some(Block::Free));
        tree
    }

    /// A partition from its blocks, in any order. Free siblings stay what they are until [`Tree::merge_all`].
    ///
    /// # Errors
    ///
    /// They are no partition.
    pub fn from_blocks(
        maximum: u8,
        blocks: impl IntoIterator<Item = (NodePrefix, Block<T>)>,
    ) -> Result<Self, PartitionError> {
        let mut tree = Self {
            blocks: BTreeMap::new(),
            free: BTreeSet::new(),
            held: BTreeMap::new(),
            maximum,
        };
        for (prefix, block) in blocks {
            tree.replace(prefix, Some(block));
        }
        tree.check()?;
        Ok(tree)
    }

    /// Walks the blocks in order: each has to begin where the one before ended.
    fn check(&self) -> Result<(), PartitionError> {
        // what the blocks seen so far leave over: right halves, the next one on top
        let mut rest = vec![NodePrefix::ROOT];
        let mut last = NodePrefix::ROOT;
        for prefix in self.blocks.keys().copied() {
            if prefix.length() > self.maximum {
                return Err(PartitionError::TooLong(prefix));
            }
            let mut gap = rest.pop().ok_or(PartitionError::Overlap(last, prefix))?;
            if !gap.contains(&prefix) {
                return Err(if last.contains(&prefix) {
                    PartitionError::Overlap(last, prefix)
                } else {
                    PartitionError::Gap(gap)
                });
            }
            while gap != prefix {
                let [left, right] = gap.children().ok_or(PartitionError::TooLong(prefix))?;
                if right.contains(&prefix) {
                    return Err(PartitionError::Gap(left));
                }
                rest.push(right);
                gap = left;
            }
            last = prefix;
        }
        rest.pop()
            .map_or(Ok(()), |gap| Err(PartitionError::Gap(gap)))
    }

    /// Puts a block, or takes it away, and gives what was there. Alone this breaks the partition: it is for taking back
    /// [`Replacement`]s and for a block's contents.
    pub fn replace(&mut self, prefix: NodePrefix, block: Option<Block<T>>) -> Option<Block<T>> {
        let key = (prefix.length(), prefix);
        if matches!(block, Some(Block::Free)) {
            self.free.insert(key);
        } else {
            self.free.remove(&key);
        }
        if matches!(block, Some(Block::Held(_))) {
            *self.held.entry(prefix.length()).or_default() += 1;
        }
        let before = match block {
            Some(block) => self.blocks.insert(prefix, block),
            None => self.blocks.remove(&prefix),
        };
        if matches!(before, Some(Block::Held(_)))
            && let Some(count) = self.held.get_mut(&prefix.length())
        {
            *count -= 1;
            if *count == 0 {
                self.held.remove(&prefix.length());
            }
        }
        before
    }

    /// Bits of the shortest prefix that is held.
    pub fn shortest_held(&self) -> Option<u8> {
        self.held.keys().next().copied()
    }

    /// [`Tree::replace`], noted down.
    fn note(&mut self, prefix: NodePrefix, after: Option<Block<T>>, log: &mut Vec<Replacement<T>>) {
        let before = self.replace(prefix, after.clone());
        log.push(Replacement {
            prefix,
            before,
            after,
        });
    }

    /// Makes a free block of `length` bits behind those of a community, the smallest hole first, and notes down what it
    /// replaced. The block is still free: the caller gives it to somebody, or takes all back.
    ///
    /// # Errors
    ///
    /// There is none; nothing was replaced.
    pub fn allocate(
        &mut self,
        length: u8,
        community: NodePrefix,
        log: &mut Vec<Replacement<T>>,
    ) -> Result<NodePrefix, AllocateError> {
        let target = u16::from(length) + u16::from(community.length());
        let target = u8::try_from(target)
            .ok()
            .filter(|target| (1..=self.maximum).contains(target))
            .ok_or(AllocateError::Length(target))?;
        loop {
            let hole = self
                .hole_in(target, community)
                .or_else(|| self.hole_around(community))
                .ok_or(AllocateError::Full(target))?;
            let prefix = self.split(hole, target, community, log);
            // a node's address is its prefix and then zeros but for the last bit: without room for that bit, this one's
            // would be the anycast address of all routers of the community
            if target < self.maximum || !is_zeros_behind(prefix, community) {
                return Ok(prefix);
            }
            self.note(prefix, Some(Block::Reserved), log);
        }
    }

    /// The longest free block inside the community that is not longer than the target; of equals the first.
    fn hole_in(&self, target: u8, community: NodePrefix) -> Option<NodePrefix> {
        (community.length()..=target).rev().find_map(|length| {
            self.free
                .range((length, community)..)
                .next()
                .filter(|(found, prefix)| *found == length && community.contains(prefix))
                .map(|(_, prefix)| *prefix)
        })
    }

    /// The free block that contains the community, if there is one.
    fn hole_around(&self, community: NodePrefix) -> Option<NodePrefix> {
        let (prefix, block) = self.containing(&community)?;
        matches!(block, Block::Free).then_some(prefix)
    }

    /// Halves a free block until it has the target's length, along the community's bits and then along zeros.
    fn split(
        &mut self,
        hole: NodePrefix,
        target: u8,
        community: NodePrefix,
        log: &mut Vec<Replacement<T>>,
    ) -> NodePrefix {
        let mut prefix = hole;
        while prefix.length() < target {
            let bit = community.bit(prefix.length()).unwrap_or(false);
            let (Some(next), Some(other)) = (prefix.child(bit), prefix.child(!bit)) else {
                break;
            };
            if prefix == hole {
                self.note(hole, None, log);
            }
            self.note(other, Some(Block::Free), log);
            prefix = next;
        }
        if prefix != hole {
            self.note(prefix, Some(Block::Free), log);
        }
        prefix
    }

    /// Gives a block to somebody, or changes who has it.
    pub fn hold(&mut self, prefix: NodePrefix, holder: T, log: &mut Vec<Replacement<T>>) {
        self.note(prefix, Some(Block::Held(holder)), log);
    }

    /// Makes a block free and joins it with its free siblings.
    pub fn release(&mut self, prefix: NodePrefix, log: &mut Vec<Replacement<T>>) {
        let mut joined = prefix;
        while let (Some(sibling), Some(parent)) = (joined.sibling(), joined.parent())
            && self.free.contains(&(sibling.length(), sibling))
        {
            self.note(joined, None, log);
            self.note(sibling, None, log);
            joined = parent;
        }
        if !matches!(self.blocks.get(&joined), Some(Block::Free)) {
            self.note(joined, Some(Block::Free), log);
        }
    }

    /// Joins all free siblings, the longest first: what a database of old has not joined yet.
    pub fn merge_all(&mut self, log: &mut Vec<Replacement<T>>) {
        let halves: Vec<NodePrefix> = self
            .free
            .iter()
            .rev()
            .map(|(_, prefix)| *prefix)
            .filter(|prefix| {
                prefix.sibling().is_some_and(|sibling| {
                    *prefix < sibling && self.free.contains(&(sibling.length(), sibling))
                })
            })
            .collect();
        for half in halves {
            // one that a longer pair has joined already is gone
            if self.free.contains(&(half.length(), half)) {
                self.release(half, log);
            }
        }
    }

    /// The block that contains a prefix.
    pub fn containing(&self, prefix: &NodePrefix) -> Option<(NodePrefix, &Block<T>)> {
        // of all blocks not behind it in order, only the last one can contain it
        self.blocks
            .range(..=*prefix)
            .next_back()
            .filter(|(block, _)| block.contains(prefix))
            .map(|(prefix, block)| (*prefix, block))
    }

    /// A block of the partition.
    pub fn get(&self, prefix: &NodePrefix) -> Option<&Block<T>> {
        self.blocks.get(prefix)
    }

    /// Who holds a prefix.
    pub fn holder(&self, prefix: &NodePrefix) -> Option<&T> {
        match self.blocks.get(prefix) {
            Some(Block::Held(holder)) => Some(holder),
            _ => None,
        }
    }

    /// The blocks in order, behind a prefix or from the start.
    pub fn blocks(
        &self,
        after: Option<NodePrefix>,
    ) -> impl Iterator<Item = (NodePrefix, &Block<T>)> {
        use std::ops::Bound::{Excluded, Unbounded};
        self.blocks
            .range((after.map_or(Unbounded, Excluded), Unbounded))
            .map(|(prefix, block)| (*prefix, block))
    }
}

/// Whether all bits of the prefix behind the community's are 0.
fn is_zeros_behind(prefix: NodePrefix, community: NodePrefix) -> bool {
    (community.length()..prefix.length()).all(|index| prefix.bit(index) == Some(false))
}
