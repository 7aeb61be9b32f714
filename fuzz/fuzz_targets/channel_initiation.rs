//! A packet of the secure channel, as an initiation.
#![no_main]

#[path = "../../re6st-user/tests/support/mod.rs"]
mod support;

libfuzzer_sys::fuzz_target!(|input: &[u8]| support::channel::initiation(input));
