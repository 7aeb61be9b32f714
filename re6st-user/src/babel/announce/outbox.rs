//! What waits to be said, and in which order.

use std::collections::{HashSet, VecDeque};

use crate::babel::{ids::DestinationId, message::Message, rib::Table};

/// Prefixes of a full announcement that are sorted and packed together.
const CHUNK: usize = 1024;
/// The same of what changed.
const BATCH: usize = 4096;
/// Looking whether a prefix belongs to a full announcement is this part of a step.
const LOOKS_PER_STEP: u64 = 8;

/// What waits to be sent to the group or to a neighbour.
#[derive(Debug, Default)]
pub struct Outbox {
    /// All but updates.
    pub messages: Vec<Message>,
    pending: HashSet<DestinationId>,
    /// The same, as it came.
    order: VecDeque<DestinationId>,
    /// The first of what was pending, sorted, the next one last.
    queue: Vec<DestinationId>,
    /// Where an announcement of everything goes on.
    dump: Option<u32>,
    /// Which blocks of the digest it covers.
    blocks: u64,
    /// The next part of it, sorted, the next one last.
    chunk: Vec<DestinationId>,
}

impl Outbox {
    /// Announces a prefix, once.
    pub fn announce(&mut self, id: DestinationId) {
        if self.pending.insert(id) {
            self.order.push_back(id);
        }
    }

    /// Announces everything, from the start.
    pub fn announce_all(&mut self) {
        self.announce_blocks(u64::MAX);
    }

    /// Announces all of some blocks of the digest, from the start.
    pub fn announce_blocks(&mut self, blocks: u64) {
        let before = if self.is_dumping() { self.blocks } else { 0 };
        self.blocks = before | blocks;
        self.dump = Some(0);
        self.chunk.clear();
    }

    /// Whether an announcement of everything goes on.
    pub const fn is_dumping(&self) -> bool {
        self.dump.is_some() || !self.chunk.is_empty()
    }

    /// Whether there are updates to send.
    pub fn has_updates(&self) -> bool {
        !self.pending.is_empty() || !self.queue.is_empty() || self.is_dumping()
    }

    /// It did not fit: it comes first in the next packet.
    pub fn give_back(&mut self, id: DestinationId, dump: bool) {
        if dump {
            self.chunk.push(id);
        } else {
            self.queue.push(id);
        }
    }

    /// The next prefix to announce, and whether just because everything is announced; adds the `steps` it took.
    pub fn next(&mut self, table: &Table, steps: &mut u64) -> Option<(DestinationId, bool)> {
        *steps += 1;
        if self.queue.is_empty() && !self.order.is_empty() {
            let batch = self.order.len().min(BATCH);
            self.queue.extend(self.order.drain(..batch));
            for id in &self.queue {
                self.pending.remove(id);
            }
            sort(&mut self.queue, table);
            *steps += batch as u64;
        }
        if let Some(id) = self.queue.pop() {
            return Some((id, false));
        }
        while self.chunk.is_empty() {
            let start = self.dump?;
            let end = table.end().min(start.saturating_add(CHUNK as u32));
            let covered = |id: &DestinationId| {
                let destination = table.get(*id);
                destination.is_some_and(|destination| self.blocks & (1 << destination.block) != 0)
            };
            self.chunk
                .extend((start..end).rev().map(DestinationId).filter(covered));
            sort(&mut self.chunk, table);
            self.dump = (end < table.end()).then_some(end);
            *steps += u64::from(end.saturating_sub(start)) / LOOKS_PER_STEP;
        }
        self.chunk.pop().map(|id| (id, true))
    }
}

/// By family, origin and prefix, so that updates compress well; backwards, because the last one is taken first. Most of the
/// time they are in order already, as they were learned.
fn sort(ids: &mut [DestinationId], table: &Table) {
    let order = |id: &DestinationId| {
        let destination = table.get(*id)?;
        let origin = destination.announced.map(|announced| announced.router_id);
        Some((
            destination.key.to().addr().is_ipv4(),
            origin,
            &destination.key,
        ))
    };
    ids.sort_by(|one, other| order(other).cmp(&order(one)));
}
