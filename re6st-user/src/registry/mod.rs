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

mod durable;
pub mod rules;
pub mod store;

pub use durable::{Handled, Registry, RegistryError, Request};
