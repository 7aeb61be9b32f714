//! A node as a member of a managed mesh: it keeps its certificate, the network's parameters, the revocation list and the keys
//! of Babel's MAC current, and goes on with the last good ones while the registry is away.
//!
//! | module | concern |
//! |---|---|
//! | [`member`] | puts the pure parts together, and judges answers and documents |
//! | [`exchange`] | what is asked when: pure |
//! | [`keeping`] | what could not be kept, and when it is tried again: pure |
//! | [`watch`] | what is to be said of the clock, and of what expires: pure |
//! | [`messages`] | what goes in and comes out: questions, answers, what is to be done |
//! | [`schedule`] | when something that failed is tried again |
//! | [`credentials`] | who the node is and whom it trusts |
//! | [`held`] | the network's signed documents |
//! | [`mac_keys`] | the keys of Babel's MAC |
//! | [`node_keys`] | the X25519 keys of other nodes: pure |
//! | [`channel`] | what channels to other nodes are made from |
//! | [`babel`] | what Babel makes of it |
//! | [`mesh`] | what it says of the mesh |
//! | [`report`] | what people see of it |
//! | [`files`] | what survives a restart |
//! | [`shell`] | the thread that asks the registry |
//!
//! The data plane and Babel wait for none of this: it runs in a thread of its own and tells the controller what changed.

pub mod babel;
pub mod channel;
pub mod credentials;
pub mod exchange;
pub mod files;
pub mod held;
pub mod keeping;
pub mod mac_keys;
pub mod member;
pub mod mesh;
pub mod messages;
pub mod node_keys;
pub mod presence;
pub mod report;
pub mod schedule;
pub mod shell;
pub mod watch;

#[cfg(test)]
mod tests;
