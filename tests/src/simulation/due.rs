//! What happens when.

use re6st_user::{mesh::Input, time::Time};

/// A node opened a tunnel, and the other end decides.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// Who opened it.
    pub from: usize,
    /// The other end.
    pub to: usize,
}

/// What happens to a node.
#[derive(Debug)]
pub enum Event {
    /// It is time.
    Wake,
    /// Something is told to its mesh.
    Hear(Input),
    /// Another one opens a tunnel to it.
    Called(Call),
}

/// When, in which order, to whom, what.
#[derive(Debug)]
pub struct Due {
    /// When.
    pub at: Time,
    /// What is due at the same time comes in this order.
    pub order: u64,
    /// To whom.
    pub node: usize,
    /// What.
    pub event: Event,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}
