//! The BPF programs, packet by packet: the kernel runs them on frames we hand it (BPF_PROG_TEST_RUN), and what they
//! answer is compared with what is written here, and with the model.
//!
//! | file | what |
//! |---|---|
//! | [`fixtures`] | described packets with expected verdict, reason and bytes: every branch of ARCHITECTURE.md |
//! | [`receive`] | runs the fixtures through both XDP programs, with and without the array FIB |
//! | [`host`] | the TC programs |
//! | [`differential`] | random and mutated packets: program and model must agree |
//! | [`flow`] | the hash that spreads flows |
//! | [`handshakes`] | initiations of the secure channel |
//! | [`confirmations`] | packets by which the kernel learns whether neighbours are still there |

// the tests' own set-up must not go wrong quietly
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod confirmations;
mod differential;
mod fixtures;
mod flow;
mod generator;
mod handshakes;
mod host;
mod namespace;
mod programs;
mod receive;
mod world;
