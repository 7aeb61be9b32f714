//! What holds of the packet logic whatever the bytes are, and whatever is in the maps.

use re6st_common::{
    address::Address,
    apply::{self, Verdict},
    decide::{self, Decision, Otherwise},
    guard,
    maps::{TrieKey, TrieValue, settings, table, transmit},
    packet::Frame,
    reason::{Fate, Reason},
};

use super::{DEVICE_ADDRESS, FIRST, World};

/// The most that encapsulation adds: a VLAN tag, IPv6, UDP and GRE.
const MOST_ADDED: usize = 4 + 56;

/// What becomes of a frame: the reason, if it is not simply forwarded; the verdict; the bytes afterwards.
pub fn run(world: &World, bytes: &[u8], arrival: u32) -> (Option<Reason>, Verdict, Vec<u8>) {
    let mut frame = Frame::new(bytes);
    let decision = decide::receive(&frame, world, arrival);
    let reason = match decision {
        Decision::Decline(reason) => Some(reason),
        Decision::Carry(_, way) => match (way.next_hop, way.otherwise) {
            (None, Otherwise::Kernel(reason)) => Some(reason),
            _ => None,
        },
    };
    match apply::apply(&mut frame, world, &decision) {
        Ok(verdict) => (reason, verdict, frame.bytes().to_vec()),
        Err(reason) => (Some(reason), Verdict::Drop, frame.bytes().to_vec()),
    }
}

/// Checks a frame that arrives on an interface: what becomes of it is what its reason says, and nothing panics.
pub fn check(world: &World, bytes: &[u8], arrival: u32) {
    let (reason, verdict, after) = run(world, bytes, arrival);
    assert!(
        after.len() <= bytes.len() + MOST_ADDED,
        "longer than it can be"
    );
    match reason.map(Reason::fate) {
        Some(Fate::Untouched) => {
            assert_eq!(verdict, Verdict::Pass);
            assert_eq!(after, bytes, "untouched");
        }
        Some(Fate::Dropped) => assert_eq!(verdict, Verdict::Drop),
        Some(Fate::Kernel) => {
            assert_eq!(verdict, Verdict::Pass);
            assert!(after == bytes || after[..6] == DEVICE_ADDRESS);
        }
        None => assert!(
            matches!(verdict, Verdict::Redirect(_)) || after[..6] == DEVICE_ADDRESS,
            "forwarded"
        ),
    }
    // what leaves for our TC program is marked, and nothing that came in is
    if verdict == Verdict::Pass && after != bytes {
        assert!(apply::handed_over(&Frame::new(&after), world).is_some());
    }
    if bytes[..6] == DEVICE_ADDRESS {
        assert_eq!(reason, Some(Reason::ForgedFrame));
    }
}

/// Checks a frame that the host sends, segmented or not, or that its kernel forwards.
pub fn check_sent(world: &World, bytes: &[u8], segment_size: u32, arrival: u32) {
    let frame = Frame::new(bytes);
    match decide::send(&frame, world, segment_size) {
        Ok((carried, id, next_hop)) => {
            assert!(id >= FIRST);
            assert!(usize::from(carried.inner.length) + carried.front <= bytes.len());
            assert!(segment_size > 0 || u32::from(carried.inner.length) <= next_hop.mtu);
        }
        Err(reason) => assert_eq!(reason.fate(), Fate::Dropped),
    }
    if let Err(reason) = guard::may_enter(&frame, world, arrival) {
        assert_eq!(reason.fate(), Fate::Dropped);
    }
}

/// How many bytes of a fuzzer's input describe the world; what follows is the frame.
pub const DESCRIPTION: usize = 16;

/// A world, an arrival and a frame out of a fuzzer's input; none where it is too short.
pub fn from_input(input: &[u8]) -> Option<(World, u32, &[u8])> {
    let (description, frame) = input.split_at_checked(DESCRIPTION)?;
    if frame.len() < 14 {
        return None;
    }
    let mut world = World::of_node(1);
    world.settings.flags = u32::from(description[0])
        & (settings::FORWARD | settings::GRE | settings::NETWORK | settings::IPV6_MASQUERADE);
    // each tunnel's next hop, as strange as may be
    for (index, byte) in description[1..5].iter().enumerate() {
        let Some(next_hop) = world.next_hops.get_mut(&(FIRST + index as u32)) else {
            continue;
        };
        next_hop.ethernet_length = [14, 18, 0, 17][usize::from(byte & 3)];
        next_hop.flags = u16::from(byte >> 2) & (transmit::WITH_TC | transmit::FIXED_SOURCE_PORT);
        next_hop.encapsulation = next_hop
            .encapsulation
            .wrapping_add(u16::from(byte >> 4 & 1) * 7);
        next_hop.kind = next_hop.kind.wrapping_sub(u16::from(byte >> 5 & 1));
        next_hop.mtu = [1420, 1280, 68, 65_535][usize::from(byte >> 6)];
    }
    // two more routes, one by source
    let route = |prefix: u8, length: u8, next_hop: u8, table: u32, source_table: u32| {
        let high = u64::from_be_bytes([0x20, 1, 0x0d, 0xb8, 0, 0x42, prefix, 0]);
        let key = TrieKey::new(table, Address::new(high, 0));
        let value = TrieValue {
            next_hop: u32::from(next_hop % 9),
            source_table,
        };
        (32 + u32::from(length % 129), key, value)
    };
    let [a, b, c, d, e, f] = [5, 6, 7, 8, 9, 10].map(|at: usize| description[at]);
    world.trie.push(route(a, b, c, table::IPV6, 0));
    world
        .trie
        .push(route(d, e, 0, table::IPV6, table::FIRST_SOURCE));
    world.trie.push(route(f, 48, a, table::FIRST_SOURCE, 0));
    world
        .fib
        .insert(u32::from(description[11]), u32::from(description[12] % 9));
    Some((world, u32::from(description[13] % 6), frame))
}

/// A fuzzer's input for XDP.
pub fn receive(input: &[u8]) {
    if let Some((world, arrival, frame)) = from_input(input) {
        check(&world, frame, arrival);
    }
}

/// A fuzzer's input for the TC programs.
pub fn send(input: &[u8]) {
    if let Some((world, arrival, frame)) = from_input(input) {
        let segment_size = u32::from(input[14]) * 8;
        check_sent(&world, frame, segment_size, arrival);
    }
}
