//! What the fuzzer found worth keeping, run again: the folders of `fuzz/corpus` that are about texts, Babel's packets,
//! certificates, and the registry.

#![allow(
    clippy::expect_used,
    missing_docs,
    reason = "a text that breaks a rule has to stop the test"
)]

mod support;

use std::{fs, path::Path};

/// Runs every text of a corpus; the fuzzer's targets skip what is not UTF-8, too.
fn replay_texts(target: &str, run: fn(&str)) {
    replay(target, |octets| {
        if let Ok(text) = core::str::from_utf8(octets) {
            run(text);
        }
    });
}

/// Runs every file of a corpus; an empty one is a mistake.
fn replay(target: &str, run: impl Fn(&[u8])) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz/corpus")
        .join(target);
    let mut count = 0;
    for entry in fs::read_dir(&directory).expect("the corpus") {
        let path = entry.expect("the corpus").path();
        println!("{}", path.display());
        let bytes = fs::read(&path).expect("a file of the corpus");
        run(&bytes);
        count += 1;
    }
    assert!(count > 0, "{} is empty", directory.display());
}

#[test]
fn configuration_files() {
    replay_texts("config", support::config);
}

#[test]
fn described_packets() {
    replay_texts("description", support::description);
}

#[test]
fn babel_packets() {
    replay("babel_decode", support::babel_decode);
}

#[test]
fn signed_babel_packets() {
    replay("babel_authenticate", support::babel_authenticate);
}

#[test]
fn packets_of_the_channel() {
    replay("channel_initiation", support::channel::initiation);
    replay("channel_response", support::channel::response);
    replay("channel_transport", support::channel::transport);
}

#[test]
fn what_is_inside_packets_of_the_channel() {
    replay("channel_items", support::channel::items);
    replay("channel_messages", support::channel::messages);
}

#[test]
fn node_certificates() {
    replay("node_certificate", support::node_certificate);
}

#[test]
fn certificate_requests() {
    replay("certificate_request", support::certificate_request);
}

#[test]
fn signed_documents() {
    replay("signed_document", support::signed_document);
}

#[test]
fn what_nodes_say_of_themselves_and_to_each_other() {
    replay("node_record", support::node_record);
    replay("mesh_message", support::mesh_message);
}

#[test]
fn communities_of_a_registry() {
    replay_texts("community", support::community);
}

#[test]
fn prefixes_of_nodes() {
    replay_texts("node_prefix", support::node_prefix);
}

#[test]
fn packed_integers() {
    replay("packed_integer", support::packed_integer);
}
