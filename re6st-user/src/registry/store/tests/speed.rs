//! An enrolment costs the same whatever the number of certificates.

use std::time::{Duration, Instant};

use super::{
    super::super::{
        Registry, Request,
        rules::{
            Caller, Change, Command, Reply, Rules, Settings, Stored,
            certificate::Certificate,
            tests::{Counting, START, authority, newcomer, open_settings},
            tree::{Block, Tree},
        },
    },
    Folder, new,
};
use crate::{
    certificate::{digest::KeyId, network::SubjectSerial, node_prefix::NodePrefix, serial::Serial},
    time::DAY,
};

const NETWORK: &str = "2001:db8:42::/48";

fn settings() -> Settings {
    let mut settings = open_settings(NETWORK);
    settings.anonymous_prefix_length = 20;
    settings
}

/// A registry with so many certificates, whose texts are as long as real ones.
fn registry_with(folder: &Folder, number: u32) -> Registry {
    let mut tree: Tree<Certificate> = Tree::new(80);
    let mut log = Vec::new();
    let mut changes = Vec::new();
    for index in 0..number {
        let prefix = tree.allocate(20, NodePrefix::ROOT, &mut log).expect("room");
        let serial = Serial::new(u64::from(index) + 1).expect("a serial number");
        let certificate = Certificate {
            serial,
            subject_serial: SubjectSerial(index),
            not_before: START,
            not_after: START.plus(100 * DAY + u64::from(index)),
            key: KeyId::of(&index.to_be_bytes()),
            static_key: None,
            email: None,
            enrolled: serial,
        };
        tree.hold(prefix, certificate, &mut log);
    }
    for (prefix, block) in tree.blocks(None) {
        changes.push(Change::Block {
            prefix,
            before: None,
            after: Some(block.clone()),
            pem: matches!(block, Block::Held(_)).then(|| "x".repeat(900).into()),
        });
    }
    let stored = Stored {
        blocks: tree
            .blocks(None)
            .map(|(prefix, block)| (prefix, block.clone()))
            .collect(),
        serial: u64::from(number),
        registry_prefix: NodePrefix::new(0, 20).ok(),
        ..Stored::default()
    };
    let mut store = new(&folder.file(&format!("{number}.db")));
    store.commit(&changes).expect("rows");
    let rules = Rules::restore(settings(), Box::new(authority(NETWORK)), stored).expect("rules");
    let mut registry = Registry::new(rules, store);
    let time = Request {
        from: Caller::Registry,
        command: Command::Time,
    };
    registry.handle(START, &mut Counting::default(), vec![time]);
    registry
}

/// How long a batch of enrolments takes.
fn batch(registry: &mut Registry) -> Duration {
    let requests = (0..50).map(|_| Request {
        from: Caller::Registry,
        command: Command::Enrol {
            token: None,
            request: newcomer().1,
            location: None,
        },
    });
    let requests = requests.collect();
    let start = Instant::now();
    let handled = registry.handle(START, &mut Counting::default(), requests);
    let time = start.elapsed();
    let issued = |reply| matches!(reply, &Ok(Reply::Issued { .. }));
    assert!(handled.replies.iter().all(issued));
    time
}

/// The goal is 0.8, on a machine without other work; half of it is a defect on any.
#[test]
fn fifty_thousand_certificates_cost_an_enrolment_nothing() {
    let folder = Folder::new();
    let (mut small, mut large) = (registry_with(&folder, 10), registry_with(&folder, 50_000));

    // turn by turn, and the fastest of each: other work on the machine slows both
    let (few, many) = (0..20)
        .map(|_| (batch(&mut small), batch(&mut large)))
        .reduce(|least, next| (least.0.min(next.0), least.1.min(next.1)))
        .expect("batches");

    let ratio = few.as_secs_f64() / many.as_secs_f64();
    println!(
        "50 enrolments: {few:?} with 10 certificates, {many:?} with 50,000: {ratio:.2} of the rate"
    );
    assert!(ratio > 0.4, "{few:?} and {many:?}");
}
