//! The text of the communities.
#![no_main]

#[path = "../../re6st-user/tests/support/mod.rs"]
mod support;

libfuzzer_sys::fuzz_target!(|text: &str| support::community(text));
