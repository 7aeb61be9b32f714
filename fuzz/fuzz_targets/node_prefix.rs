//! A node's prefix, in the forms of certificates and of the registry's database.
#![no_main]

#[path = "../../re6st-user/tests/support/mod.rs"]
mod support;

libfuzzer_sys::fuzz_target!(|text: &str| support::node_prefix(text));
