//! Program and model on random frames: the same verdict, the same reason, the same bytes, the same counters.
//!
//! `RE6ST_PACKETS` says how many frames (default a million), `RE6ST_SEED` which ones; the seed is printed.

use std::{collections::BTreeMap, env, time::Instant};

use fastrand::Rng;
use re6st_common::{
    maps::{TunnelCounters, interface},
    reason::Reason,
};
use testbed::{
    model::{Outcome, Verdict, receive::receive, world::World},
    packet::hex,
};

use crate::{
    generator::{self, Arriving},
    namespace::{self, INTERFACES, Indices},
    programs::{Kind, Observed, Programs, xdp_answer},
    world::{self, ETH1},
};

/// In bytes: an Ethernet header, a tag, and the interfaces' MTU.
const LONGEST_FRAME: usize = 14 + 4 + 1500;

fn setting(name: &str, default: u64) -> u64 {
    match env::var(name) {
        Err(_) => default,
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{name}: {text:?} is not a number")),
    }
}

/// What is different; nothing if all is the same.
fn difference(outcome: &Outcome, observed: &Observed) -> Option<String> {
    // what the model cannot know: a next hop whose encapsulation does not exist, and the MTU of the interfaces, which padding
    // that is passed on may exceed
    let broken = outcome
        .sent
        .is_some_and(|traffic| traffic.next_hop == world::BROKEN);
    let redirected = matches!(outcome.verdict, Verdict::Redirect(_));
    let (verdict, reason) = if broken {
        (Verdict::Drop, Some(Reason::RewriteFailed))
    } else if redirected && outcome.bytes.len() > LONGEST_FRAME {
        (Verdict::Drop, Some(Reason::LinkMtu))
    } else {
        (outcome.verdict, outcome.reason)
    };
    let reasons: Vec<(Reason, u64)> = reason.map(|reason| (reason, 1)).into_iter().collect();
    let answer = xdp_answer(verdict);
    if (observed.answer, &observed.reasons) != (answer, &reasons) {
        return Some(format!(
            "answer {} for {:?}, the model says {answer} for {reasons:?}",
            observed.answer, observed.reasons
        ));
    }
    let dropped = verdict == Verdict::Drop;
    let bytes = outcome.without_flow(&outcome.bytes);
    if !dropped && outcome.without_flow(&observed.bytes) != bytes {
        return Some(format!(
            "bytes\n{}\nthe model says\n{}",
            hex(&observed.bytes),
            hex(&outcome.bytes)
        ));
    }
    None
}

struct Comparison {
    programs: Programs,
    world: World,
    indices: Indices,
    /// Bytes in the first part of each frame, if it has more.
    first_part: usize,
}

impl Comparison {
    fn new(kind: Kind, slots: bool) -> Self {
        let indices = namespace::enter();
        let mut world = world::example(&indices);
        if !slots && let Some(interface) = world.interfaces.get_mut(&indices.interfaces[ETH1]) {
            interface.flags |= interface::MERGED;
        }
        Self {
            programs: Programs::load(kind, &world, slots),
            world,
            indices,
            first_part: usize::MAX,
        }
    }

    fn compare(&mut self, arriving: &Arriving) -> (Outcome, Option<String>) {
        let arrival = self.indices.interfaces[arriving.position];
        let outcome = receive(&arriving.frame, &self.world, arrival);
        let observed = self
            .programs
            .receive_in_parts(&arriving.frame, self.first_part, arrival, 0);
        let difference = difference(&outcome, &observed);
        (outcome, difference)
    }

    /// The shortest and plainest frame found that still makes a difference.
    fn shrink(&mut self, arriving: &Arriving) -> Arriving {
        let mut smallest = arriving.clone();
        let mut progress = true;
        while progress {
            progress = false;
            for candidate in plainer(&smallest) {
                if self.compare(&candidate).1.is_some() {
                    smallest = candidate;
                    progress = true;
                    break;
                }
            }
        }
        smallest
    }

    fn report(&mut self, arriving: &Arriving) -> String {
        let smallest = self.shrink(arriving);
        let (outcome, difference) = self.compare(&smallest);
        format!(
            "{}\nframe on {} ({} bytes, {} in the first part):\n{}\nas etherparse reads it: {:?}\nthe model: {:?} {:?}",
            difference.unwrap_or_default(),
            INTERFACES[smallest.position],
            smallest.frame.len(),
            self.first_part.min(smallest.frame.len()),
            hex(&smallest.frame),
            etherparse::SlicedPacket::from_ethernet(&smallest.frame),
            outcome.verdict,
            outcome.reason,
        )
    }
}

/// Frames a little simpler than this one: shorter, or with a byte that is 0.
fn plainer(arriving: &Arriving) -> Vec<Arriving> {
    let frame = &arriving.frame;
    let with = |frame: Vec<u8>| Arriving {
        frame,
        position: arriving.position,
    };
    let mut candidates = Vec::new();
    for cut in [frame.len() / 2, 64, 16, 4, 1] {
        if frame.len() >= 14 + cut && cut > 0 {
            candidates.push(with(frame[..frame.len() - cut].to_vec()));
        }
    }
    for index in 0..frame.len() {
        if frame[index] != 0 {
            let mut frame = frame.clone();
            frame[index] = 0;
            candidates.push(with(frame));
        }
    }
    candidates
}

fn run(kind: Kind, slots: bool, frames: u64) {
    run_in_parts(kind, slots, frames, |_| usize::MAX);
}

fn run_in_parts(kind: Kind, slots: bool, frames: u64, first_part: impl Fn(&mut Rng) -> usize) {
    let seed = setting("RE6ST_SEED", fastrand::u64(..));
    println!("RE6ST_SEED={seed} ({frames} frames, {kind:?}, array {slots})");
    let mut rng = Rng::with_seed(seed);
    let mut comparison = Comparison::new(kind, slots);
    let mut sums: BTreeMap<u32, TunnelCounters> = BTreeMap::new();
    let mut fates: BTreeMap<String, u64> = BTreeMap::new();
    let start = Instant::now();
    for number in 0..frames {
        let arriving = generator::frame(&mut rng);
        comparison.first_part = first_part(&mut rng);
        let (outcome, difference) = comparison.compare(&arriving);
        if difference.is_some() {
            let report = comparison.report(&arriving);
            panic!("RE6ST_SEED={seed}, frame {number}: {report}");
        }
        if let Some(traffic) = outcome.received {
            let sum = &mut sums.entry(traffic.next_hop).or_default();
            sum.received_packets += 1;
            sum.received_bytes += traffic.bytes;
        }
        if let Some(traffic) = outcome.sent {
            let sum = &mut sums.entry(traffic.next_hop).or_default();
            sum.sent_packets += 1;
            sum.sent_bytes += traffic.bytes;
        }
        let fate = match outcome.reason {
            Some(reason) => reason.name().to_owned(),
            None => format!(
                "forwarded, {}",
                if outcome.sent.is_some() {
                    "mesh"
                } else {
                    "site"
                }
            ),
        };
        *fates.entry(fate).or_default() += 1;
    }
    println!("{:.1} s: {fates:?}", start.elapsed().as_secs_f64());
    for id in world::counted() {
        let expected = sums.get(&id).copied().unwrap_or_default();
        let counted = comparison.programs.tunnel(id);
        assert_eq!(counted, expected, "next hop {id}, RE6ST_SEED={seed}");
    }
    // a generator that misses a branch proves nothing about it
    let impossible = [
        // the host's own
        Reason::SendNoRoute,
        Reason::SendTooBig,
        Reason::SendLinkScoped,
        // a setting; a driver's fault; a next hop's fault
        Reason::ForwardingDisabled,
        Reason::NoHeadroom,
        Reason::LinkMtu,
        Reason::RewriteFailed,
        // another program's, which `handshakes` tries
        Reason::HandshakeMalformed,
        Reason::HandshakeVersion,
        Reason::HandshakeMac,
        Reason::HandshakeCookie,
    ];
    let impossible =
        |reason: &Reason| impossible.contains(reason) || (slots && *reason == Reason::Merged);
    let missed: Vec<&Reason> = Reason::ALL
        .iter()
        .filter(|reason| !impossible(reason) && !fates.contains_key(reason.name()))
        .collect();
    assert!(
        frames < 100_000 || missed.is_empty(),
        "no frame met {missed:?}"
    );
}

#[test]
fn a_million_random_frames() {
    run(Kind::OneBuffer, true, setting("RE6ST_PACKETS", 1_000_000));
}

#[test]
fn random_frames_with_the_trie_alone() {
    run(
        Kind::OneBuffer,
        false,
        setting("RE6ST_PACKETS", 1_000_000) / 10,
    );
}

#[test]
fn random_frames_with_fragments_allowed() {
    run(Kind::Frags, true, setting("RE6ST_PACKETS", 1_000_000) / 10);
}

/// As drivers split them that leave the first part short.
#[test]
fn random_frames_in_parts() {
    // the least that test runs take
    const ETHERNET: usize = 14;
    let frames = setting("RE6ST_PACKETS", 1_000_000) / 10;
    run_in_parts(Kind::Frags, true, frames, |rng| rng.usize(ETHERNET..150));
}
