//! re6stnet's integers of variable length.
#![no_main]

#[path = "../../re6st-user/tests/support/mod.rs"]
mod support;

libfuzzer_sys::fuzz_target!(|octets: &[u8]| support::packed_integer(octets));
