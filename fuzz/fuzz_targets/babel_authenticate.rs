//! Signed Babel packets of several neighbours, with any bodies.
#![no_main]

#[path = "../../re6st-user/tests/support/mod.rs"]
mod support;

libfuzzer_sys::fuzz_target!(|input: &[u8]| support::babel_authenticate(input));
