//! The protocol's promises, kept in a simulated network.
#![expect(clippy::expect_used, reason = "a test may end there")]

mod bench;
mod digests;
mod failures;
mod families;
mod hostile;
mod installing;
mod network;
mod origins;
mod pages;
mod path_mtu;
mod promises;
mod published;
mod quality;
mod recoveries;
mod requests;
mod restarts;
mod rules;
mod scale;
mod work;
