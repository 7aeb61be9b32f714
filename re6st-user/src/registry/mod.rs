//! The registry: one small server that gives a network its identity. It issues certificates, assigns prefixes, publishes
//! the network's parameters and what was revoked.
//!
//! ```text
//!  request ─► Rules::handle(now, random, caller, command) ─► Outcome { reply, changes, notices }
//!                 │ in memory: the tree of prefixes, certificates          │
//!                 │ without their texts, tokens, revocations, parameters   ▼
//!                 │                                      Store::commit(changes of many outcomes)
//!                 │                                            │ done               │ refused: disk full
//!                 └──────────── Rules::undo(changes) ◄─────────┼────────────────────┘
//!                                                              └─► only now is the reply told
//! ```
//!
//! [`rules`] decide and know no disk, clock or socket. [`store`] keeps rows in SQLite and knows no rule. [`Registry`] joins
//! the two: nothing is told to anybody before it is durable, and what the disk refused has never happened.
//!
//! [`http`] finds out who is there and what is wanted, [`engine`] decides it in one thread, [`publication`] signs what all
//! nodes get, [`server`] is the process, and [`client`] the other side of all this.

pub mod api;
pub mod client;
pub mod config;
pub mod documents;
mod durable;
pub mod engine;
mod high_water;
pub mod http;
pub mod keys;
pub mod location;
pub mod mail;
mod mailing;
mod own_certificate;
pub mod publication;
pub mod rules;
pub mod server;
pub mod store;

#[cfg(test)]
mod tests;

pub use durable::{Handled, Registry, RegistryError, Request};
