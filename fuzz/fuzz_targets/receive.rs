//! Frames that arrive on a network interface, with strange maps.
#![no_main]

#[path = "../../re6st-common/tests/support/mod.rs"]
mod support;

libfuzzer_sys::fuzz_target!(|input: &[u8]| support::invariants::receive(input));
