//! A node as a member of a managed mesh: it keeps its certificate, the network's parameters, the revocation list and the keys
//! of Babel's MAC current, and goes on with the last good ones while the registry is away.
//!
//! | module | concern |
//! |---|---|
//! | [`member`] | what is asked when, what is made of the answers: pure |
//! | [`exchange`] | questions and answers |
//! | [`schedule`] | when something that failed is tried again |
//! | [`credentials`] | who the node is and whom it trusts |
//! | [`held`] | the network's signed documents |
//! | [`mac_keys`] | the keys of Babel's MAC |
//! | [`babel`] | what Babel makes of it |
//! | [`expiry`] | warnings |
//! | [`report`] | what people see of it |
//! | [`files`] | what survives a restart |
//! | [`shell`] | the thread that asks the registry |
//!
//! The data plane and Babel wait for none of this: it runs in a thread of its own and tells the controller what changed.

pub mod babel;
pub mod credentials;
pub mod exchange;
pub mod expiry;
pub mod files;
pub mod held;
pub mod mac_keys;
pub mod member;
pub mod report;
pub mod schedule;
pub mod shell;

#[cfg(test)]
mod tests;
