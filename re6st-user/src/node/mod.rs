//! The controller: a thin shell around the pure Babel. It owns sockets, netlink and the maps, and knows the time.
//!
//! | module | concern |
//! |---|---|
//! | [`before`] | what a controller before left |
//! | [`start`] | from a configuration to a running controller |
//! | [`transport`] | packets out of and into sockets |
//! | [`encapsulation`] | packets inside tunnels, pure |
//! | [`instance`] | what was loaded |
//! | `reload` | another configuration, taken up |
//! | `tunnels` | tunnels opened and closed, one by one |
//! | `repair` | what somebody else has changed of it, put right |
//! | `peers` | channels to peers, and what follows from what they agree on |
//! | [`lan`] | whether and how Babel can be spoken on a plain interface, pure |
//! | [`install`] | routes into the data plane and the kernel |
//! | [`kernel`] | the kernel's table, as `install` uses it |
//! | [`wishes`] | which routes wait for that, and which were refused, pure |
//! | `host` | links, addresses, neighbours, routes and programs of the host that change |
//! | `links` | what follows from that |
//! | `troubles` | what does not work, said once |
//! | [`state`] | what survives a restart |
//! | [`recorder`] | what happens, written down |
//! | [`journal`], [`distances`] | feasibility distances, which survive a kill |
//! | [`solitude`] | a node without neighbours, and why |
//! | [`control`], `report` | what people see of it |
//! | `orders` | what people want of it |
//! | `commands` | programs of others that run beside it |

pub mod before;
mod commands;
pub mod control;
pub mod controller;
pub mod distances;
mod draining;
pub mod encapsulation;
mod host;
pub mod install;
pub mod instance;
pub mod journal;
pub mod kernel;
pub mod lan;
mod links;
mod mesh;
mod orders;
mod outside;
mod peers;
pub mod recorder;
mod reload;
mod repair;
mod report;
pub mod solitude;
pub mod start;
pub mod state;
pub mod transport;
mod troubles;
mod tunnels;
mod twins;
pub mod wishes;
