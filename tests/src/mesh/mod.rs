//! A mesh whose nodes find each other, over an emulated Internet: cities of the world, as far from each other as they really are.

mod network;
mod node;
mod prober;

pub use network::{CITIES, City, Network};
pub use node::Node;
pub use prober::{INTERVAL, Prober};
