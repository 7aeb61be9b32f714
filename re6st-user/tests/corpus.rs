//! What the fuzzer found worth keeping, run again: `fuzz/corpus/config` and `fuzz/corpus/description`.

#![allow(
    clippy::expect_used,
    missing_docs,
    reason = "a text that breaks a rule has to stop the test"
)]

mod support;

use std::{fs, path::Path};

/// Runs every file of a corpus; an empty one is a mistake. The fuzzer's targets skip what is not UTF-8, too.
fn replay(target: &str, run: fn(&str)) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz/corpus")
        .join(target);
    let mut count = 0;
    for entry in fs::read_dir(&directory).expect("the corpus") {
        let path = entry.expect("the corpus").path();
        println!("{}", path.display());
        let bytes = fs::read(&path).expect("a file of the corpus");
        if let Ok(text) = core::str::from_utf8(&bytes) {
            run(text);
            count += 1;
        }
    }
    assert!(count > 0, "{} is empty", directory.display());
}

#[test]
fn configuration_files() {
    replay("config", support::config);
}

#[test]
fn described_packets() {
    replay("description", support::description);
}
