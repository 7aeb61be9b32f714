//! RFC 8967, as two speakers and somebody between them see it.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "what breaks a rule has to stop the test"
)]

use std::{net::Ipv6Addr, time::Duration};

use super::{Algorithm, Authentication, Key, Keys, Rejected, Verdict};
use crate::{
    babel::{
        message::Message,
        wire::{PacketParts, PacketWriter},
    },
    time::Time,
};

mod bounds;
mod captures;
mod challenges;
mod counters;
mod keys;
mod vectors;

const GROUP: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 6);
const ANNE: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0xa);
const BOB: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0xb);
const START: Time = Time(1_000_000);

fn key(name: &str) -> Key {
    Key::new(Algorithm::Blake2s128, name.as_bytes()).expect("a key")
}

/// Signs with some keys, accepts some.
fn keys(sign: &[&str], accept: &[&str]) -> Keys {
    let all = |names: &[&str]| names.iter().copied().map(key).collect();
    Keys {
        sign: all(sign),
        accept: all(accept),
    }
}

/// A speaker whose random octets are numbers that were never there.
struct Speaker {
    address: Ipv6Addr,
    authentication: Authentication,
    random: u64,
}

impl Speaker {
    fn new(address: Ipv6Addr, keys: Keys) -> Self {
        // every start has other random octets
        Self::started(address, keys, 1)
    }

    fn started(address: Ipv6Addr, keys: Keys, times: u64) -> Self {
        let mut random = (address.to_bits() as u64) << 32 | times << 16;
        let authentication = Authentication::new(keys, &mut entropy(&mut random));
        Self {
            address,
            authentication,
            random,
        }
    }

    /// Signs an empty packet.
    fn send(&mut self, destination: Ipv6Addr) -> Vec<u8> {
        self.sign(PacketWriter::new(100, self.address).finish(), destination)
    }

    fn sign(&mut self, mut packet: Vec<u8>, destination: Ipv6Addr) -> Vec<u8> {
        let (length, overhead) = (packet.len(), self.authentication.overhead());
        let mut entropy = entropy(&mut self.random);
        self.authentication
            .sign(&mut packet, self.address, destination, &mut entropy)
            .expect("a packet");
        assert_eq!(packet.len(), length + overhead, "as much as was said");
        packet
    }

    fn receive(
        &mut self,
        now: Time,
        packet: &[u8],
        source: Ipv6Addr,
        destination: Ipv6Addr,
    ) -> Verdict {
        let mut entropy = entropy(&mut self.random);
        self.authentication
            .verify(now, packet, source, destination, &mut entropy)
    }

    /// Whether a packet is taken, or why not.
    fn takes(&mut self, packet: &[u8], from: &Self, to: Ipv6Addr) -> Result<(), Rejected> {
        self.receive(START, packet, from.address, to).accepted
    }
}

fn entropy(random: &mut u64) -> impl FnMut(&mut [u8]) {
    |octets| {
        for place in octets.chunks_mut(8) {
            *random += 1;
            place.copy_from_slice(&random.to_be_bytes()[..place.len()]);
        }
    }
}

fn pair() -> (Speaker, Speaker) {
    let keys = || keys(&["one"], &["one"]);
    (Speaker::new(ANNE, keys()), Speaker::new(BOB, keys()))
}

/// One sends, the other challenges, the first answers.
fn introduce(sender: &mut Speaker, receiver: &mut Speaker, now: Time) {
    let packet = sender.send(GROUP);
    let verdict = receiver.receive(now, &packet, sender.address, GROUP);
    assert_eq!(verdict.accepted, Err(Rejected::Unknown));
    let challenge = receiver.sign(verdict.answer.expect("a challenge"), sender.address);
    let verdict = sender.receive(now, &challenge, receiver.address, sender.address);
    let reply = sender.sign(verdict.answer.expect("a reply"), receiver.address);
    let verdict = receiver.receive(now, &reply, sender.address, receiver.address);
    assert_eq!(verdict.accepted, Ok(()));
}

fn later(milliseconds: u64) -> Time {
    START + Duration::from_millis(milliseconds)
}
