//! What the fuzzer found worth keeping, run again: `fuzz/corpus/receive` and `fuzz/corpus/send`.

// an input that breaks a rule has to stop the test
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use std::{fs, path::Path};

use support::invariants;

/// Runs every file of a corpus; an empty one is a mistake.
fn replay(target: &str, run: fn(&[u8])) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz/corpus")
        .join(target);
    let mut count = 0;
    for entry in fs::read_dir(&directory).expect("the corpus") {
        let path = entry.expect("the corpus").path();
        println!("{}", path.display());
        run(&fs::read(&path).expect("a file of the corpus"));
        count += 1;
    }
    assert!(count > 0, "{} is empty", directory.display());
}

#[test]
fn frames_that_arrive() {
    replay("receive", invariants::receive);
}

#[test]
fn frames_that_are_sent() {
    replay("send", invariants::send);
}
