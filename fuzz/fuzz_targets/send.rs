//! Frames that the host sends, or its kernel forwards, to the mesh device.
#![no_main]

#[path = "../../re6st-common/tests/support/mod.rs"]
mod support;

libfuzzer_sys::fuzz_target!(|input: &[u8]| support::invariants::send(input));
