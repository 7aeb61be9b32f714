//! Places in the tables of neighbours and prefixes.

use super::input::InterfaceId;

/// A neighbour's place in the table.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NeighbourId(pub u32);

/// A prefix's place in the table.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct DestinationId(pub u32);

/// Who hears what is said.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Audience {
    /// All speakers of a link.
    Group(InterfaceId),
    /// One of them.
    Neighbour(NeighbourId),
}
