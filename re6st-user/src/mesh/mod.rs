//! The random mesh: whom this node keeps tunnels to. Pure: no clock, no socket, no thread; time and randomness are arguments.
//! `docs/mesh.md` describes every rule, timer and figure.
//!
//! [`Mesh`] decides. What happens is an [`Input`], what is to be done an [`Output`], and what it wants to know of the routes it looks up
//! in [`Routes`]. Two nodes have at most one tunnel with each other; it belongs to the one that opened it, and the other one serves it.
//!
//! | module | concern |
//! |---|---|
//! | [`input`], [`output`], [`event`] | what is told to the mesh, and what it tells |
//! | [`routes`] | what the routing protocol knows, as far as it matters here |
//! | [`settings`], [`counters`], [`report`] | times and limits; what is counted; what people see |
//! | [`address`], [`known`] | where nodes are; the nodes whose addresses are remembered |
//! | [`engine`] | the decisions |
//! | [`message`] | what nodes without a tunnel ask each other, octet by octet |

pub mod address;
pub mod counters;
pub mod engine;
pub mod event;
pub mod input;
pub mod known;
mod lot;
pub mod message;
pub mod output;
mod random;
pub mod report;
pub mod routes;
pub mod settings;

#[cfg(test)]
mod tests;

pub use address::{Address, Block, Country, Owner, Protocol};
pub use counters::Counters;
pub use engine::Mesh;
pub use event::Event;
pub use input::{Input, Loss, OpenFailure, Source};
pub use known::Known;
pub use output::{Closing, OpenedBy, Output, Why};
pub use report::Report;
pub use routes::{Metric, Routes};
pub use settings::Settings;

/// A source of randomness that nobody can predict: fills what it is given.
pub type Random<'a> = &'a mut dyn FnMut(&mut [u8]);

/// Matches an answer to its question: random, so that nobody answers what was not asked of him.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct QuestionId(pub u64);
