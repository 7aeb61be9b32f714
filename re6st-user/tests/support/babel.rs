//! Babel's packets.

use std::{net::Ipv6Addr, time::Duration};

use re6st_user::babel::{
    authentication::{Algorithm, Authentication, Key, Keys},
    message::Message,
    wire::{self, PacketParts, PacketWriter, PushError},
};
use re6st_user::time::Time;

const GROUP: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 6);
const OURS: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
/// Octets of a packet before its body.
const HEADER: usize = 4;
/// The longest answer of authentication: header, our nonce and one of the longest nonces of others.
const MAX_ANSWER: usize = HEADER + 2 + 16 + 2 + 192;

/// Octets as they are, and as a body. What is read can be written, and is read again.
pub fn decode(octets: &[u8]) {
    if let Ok(decoded) = wire::decode(octets, OURS) {
        assert!(decoded.count() <= octets.len());
    }
    let Some(packet) = packet(octets) else {
        return;
    };
    let mut decoded = wire::decode(&packet, OURS).expect("a header that fits");
    let messages: Vec<_> = decoded.by_ref().collect();
    assert!(messages.len() as u64 + decoded.ignored().total() <= octets.len() as u64);

    let mut again = Vec::new();
    let mut writer = PacketWriter::new(1400, OURS);
    for message in &messages {
        if let Err(error) = writer.push(message) {
            assert_eq!(error, PushError::Full, "{message:?}");
            again.append(&mut read(writer));
            writer = PacketWriter::new(1400, OURS);
            assert_eq!(writer.push(message), Ok(()), "{message:?}");
        }
    }
    again.append(&mut read(writer));
    assert_eq!(again, messages);
}

fn read(writer: PacketWriter) -> Vec<Message> {
    let packet = writer.finish();
    let mut decoded = wire::decode(&packet, OURS).expect("a packet of ours");
    let messages = decoded.by_ref().collect();
    assert_eq!(decoded.ignored().total(), 0);
    messages
}

/// A packet with this body, if it is not too long.
fn packet(body: &[u8]) -> Option<Vec<u8>> {
    let length = u16::try_from(body.len()).ok()?;
    let mut packet = vec![42, 2];
    packet.extend_from_slice(&length.to_be_bytes());
    packet.extend_from_slice(body);
    Some(packet)
}

/// A link on which members sign what they are told to: each entry is its length, options and a body. Options: the group (1)
/// or us, which member (2, 4), the signature damaged (8), time passed in tenths of a second (the rest).
pub fn authenticate(mut octets: &[u8]) {
    let mut random = 0;
    let mut link = Link {
        receiver: speaker(&mut random),
        members: [(); 4].map(|()| speaker(&mut random)),
        random,
        now: Time(0),
    };
    link.reject(octets);
    while let Some(([length, options], rest)) = octets.split_first_chunk() {
        let (body, rest) = rest.split_at(usize::from(*length).min(rest.len()));
        link.send(*options, body);
        octets = rest;
    }
}

fn speaker(random: &mut u8) -> Authentication {
    let key = || Key::new(Algorithm::Blake2s128, b"key").expect("a key");
    let keys = Keys {
        sign: vec![key()],
        accept: vec![key()],
    };
    Authentication::new(keys, &mut |octets| fill(random, octets))
}

/// Few values: nonces and indices that the fuzzer can guess.
fn fill(random: &mut u8, octets: &mut [u8]) {
    *random = random.wrapping_add(1);
    octets.fill(*random);
}

struct Link {
    receiver: Authentication,
    members: [Authentication; 4],
    random: u8,
    now: Time,
}

impl Link {
    /// What nobody signed is not taken.
    fn reject(&mut self, octets: &[u8]) {
        assert!(!self.receives(octets, OURS, OURS));
    }

    fn send(&mut self, options: u8, body: &[u8]) {
        self.now = self.now + Duration::from_millis(100) * u32::from(options >> 4);
        let destination = if options & 1 == 0 { OURS } else { GROUP };
        let number = options >> 1 & 3;
        let source = Ipv6Addr::from_bits(OURS.to_bits() + 1 + u128::from(number));
        let mut packet = packet(body).expect("a short body");
        let member = &mut self.members[usize::from(number)];
        let random = &mut self.random;
        member
            .sign(&mut packet, source, destination, &mut |octets| {
                fill(random, octets);
            })
            .expect("a short packet");

        let damaged = options & 8 != 0;
        if let Some(last) = packet.last_mut().filter(|_| damaged) {
            *last ^= 1;
        }
        let taken = self.receives(&packet, source, destination);

        assert!(!(taken && damaged));
        assert!(
            !(taken && self.receives(&packet, source, destination)),
            "twice"
        );
    }

    fn receives(&mut self, packet: &[u8], source: Ipv6Addr, destination: Ipv6Addr) -> bool {
        let random = &mut self.random;
        let verdict = self
            .receiver
            .verify(self.now, packet, source, destination, &mut |octets| {
                fill(random, octets);
            });
        if let Some(answer) = verdict.answer {
            assert!(answer.len() <= MAX_ANSWER);
            let frame = PacketParts::new(&answer).expect("a packet");
            assert!(frame.trailer.is_empty() && !frame.body.is_empty());
        }
        verdict.accepted.is_ok()
    }
}
