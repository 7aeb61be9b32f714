//! What holds whatever happens, from seeds: peers that come, go, lie and flood in any order.

use std::{collections::BTreeMap, time::Duration};

use super::world::{OWN, Ways, address, generator, known, node};
use crate::{
    certificate::node_prefix::NodePrefix,
    mesh::{
        Input, Known, Loss, Mesh, Metric, OpenFailure, OpenedBy, Output, QuestionId, Random,
        Settings, Source, random,
    },
    time::Time,
};

/// Any input, about one of 60 nodes.
fn any(random: Random<'_>) -> Input {
    let below = |limit, random: &mut dyn FnMut(&mut [u8])| random::below(limit, random);
    let number = below(60, &mut *random) as u32;
    let id = QuestionId(below(4, &mut *random) as u64);
    let node = node(number);
    let by = Known {
        addresses: vec![address(number); 20],
        ..known(number)
    };
    match below(15, &mut *random) {
        0 => Input::Up {
            node,
            opened_by: OpenedBy::Us,
            address: address(number),
        },
        1 | 2 => Input::Up {
            node,
            opened_by: OpenedBy::Peer,
            address: address(number),
        },
        3 => Input::OpenFailed {
            node,
            why: OpenFailure::Unreachable,
        },
        4 => Input::OpenFailed {
            node,
            why: OpenFailure::Full,
        },
        5 => Input::Closed {
            node,
            why: Loss::Silent,
        },
        6 => Input::Closed {
            node,
            why: Loss::Full,
        },
        7 => Input::Answered {
            by,
            id,
            has_room: true,
            metrics: vec![Metric(0); below(400, random)],
        },
        8 => Input::Probed {
            node,
            round_trip: Some(Duration::ZERO),
        },
        9 => Input::Asked {
            by,
            id,
            destinations: vec![node; below(400, random)],
            reach_us: true,
        },
        10 => Input::Learned {
            source: Source::Other,
            peers: (0..500)
                .map(|_| known(below(60_000, &mut *random) as u32))
                .collect(),
        },
        11 => Input::Traffic(
            (0..200)
                .map(|number| (super::world::node(number), u64::MAX))
                .collect(),
        ),
        12 => Input::Expelled(vec![node]),
        13 => Input::Drained(node),
        _ => Input::Time,
    }
}

/// What the controller knows of tunnels, by the outputs alone.
#[derive(Default)]
struct Told {
    opening: BTreeMap<NodePrefix, Time>,
}

impl Told {
    fn note(&mut self, now: Time, outputs: &[Output]) {
        for output in outputs {
            match output {
                Output::Open {
                    node, addresses, ..
                } => {
                    assert_ne!(*node, super::world::node(OWN), "a tunnel to itself");
                    assert!(!addresses.is_empty() && addresses.len() <= 8);
                    let before = self.opening.insert(*node, now);
                    assert_eq!(before, None, "opened twice");
                }
                Output::Close { node, .. } => {
                    self.opening.remove(node);
                }
                Output::Ask { destinations, .. } => assert!(destinations.len() <= 256),
                Output::Answer { metrics, .. } => assert!(metrics.len() <= 256),
                Output::Reach { addresses, .. } => assert!(addresses.len() <= 8),
                _ => {}
            }
        }
    }
}

#[test]
fn limits_hold_and_nothing_is_opened_twice_whatever_happens() {
    for seed in 0..30 {
        let mut random = generator(seed);
        let mut mesh = Mesh::new(node(OWN), Settings::default());
        let mut told = Told::default();
        let mut now = Time(0);
        for step in 0..400 {
            now = now + Duration::from_millis(random::below(3_000, &mut random) as u64);
            let ways = Ways::to(0..(step % 50));
            let input = any(&mut random);
            match &input {
                Input::Up { node, .. }
                | Input::OpenFailed { node, .. }
                | Input::Closed { node, .. } => {
                    told.opening.remove(node);
                }
                _ => {}
            }
            let mut outputs = Vec::new();
            mesh.handle(now, input, &ways, &mut random, &mut outputs);
            told.note(now, &outputs);
            let report = mesh.report(now);
            assert!(report.known <= 200, "seed {seed}: {} peers", report.known);
            let served = report
                .tunnels
                .iter()
                .filter(|tunnel| tunnel.owner == OpenedBy::Peer && tunnel.is_up);
            // those that both ends opened were wanted here as well
            assert!(served.count() <= 30, "seed {seed}");
            assert!(
                outputs.len() < 1_000,
                "seed {seed}: {} outputs",
                outputs.len()
            );
            let next = mesh.next_deadline().expect("it lives");
            assert!(
                next > now,
                "seed {seed}, step {step}: {next:?} is due already at {now:?}"
            );
        }
    }
}
