//! The plaintext of a transport packet.
#![no_main]

#[path = "../../re6st-user/tests/support/mod.rs"]
mod support;

libfuzzer_sys::fuzz_target!(|input: &[u8]| support::channel::messages(input));
