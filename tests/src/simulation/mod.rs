//! Many real cores of the mesh on a virtual clock, over the round trips of the real Internet.
//!
//! Routing is assumed to have converged: the ways are the shortest ones over the tunnels there are, and follow them within a second.
//! Nothing is lost on the way to a node that lives.

pub mod baseline;
mod due;
pub mod experiments;
pub mod generator;
pub mod graph;
pub mod measure;
pub mod options;
pub mod underlay;
mod view;
pub mod world;

#[cfg(test)]
mod tests;
