//! What holds of the secure channel's packets and messages, whatever they are.

use std::{
    convert::Infallible,
    sync::{LazyLock, Mutex, PoisonError},
};

use re6st_common::{
    address::Address,
    handshake::{SipKey, Verdict, judge, mac},
};
use re6st_user::{
    certificate::static_key::StaticKey,
    channel::{
        PostQuantum,
        handshake::{Initiator, respond},
        identity::Identity,
        session::{Session, SessionSettings},
        wire::{
            Message, Messages, Offer, SessionIndex,
            item::Items,
            packet::{CookieReply, Initiation, Transport},
        },
    },
    time::Time,
};

const NOW: Time = Time(1);

/// A node, an initiator that waits for its response, and a session.
struct Fixture {
    node: Identity,
    waiting: Mutex<Initiator>,
    session: Mutex<Session>,
}

static FIXTURE: LazyLock<Fixture> = LazyLock::new(|| {
    let identity = || Identity::new(&StaticKey::generate().expect("a key"), vec![0x30; 900]);
    let (node, peer) = (identity(), identity());
    let index = SessionIndex::new(0x0102_0304).expect("not 0");
    let offer = Offer::ours(PostQuantum::Off);
    let settings = SessionSettings::default();
    let begin = |own: &Identity, other: &Identity, octet: u8| {
        let mut random = |out: &mut [u8]| out.fill(octet);
        Initiator::begin(own, other.public_key(), index, &offer, &mut random)
            .expect("an initiation")
    };
    let (_, initiation) = begin(&peer, &node, 1);
    let mut random = |out: &mut [u8]| out.fill(2);
    let answer = respond(
        &node,
        &initiation,
        index,
        NOW,
        &settings,
        &mut random,
        |_| Ok::<_, Infallible>(offer),
    );
    let (_, _, session) = answer.expect("a response");
    let (waiting, _) = begin(&node, &peer, 3);
    Fixture {
        node,
        waiting: Mutex::new(waiting),
        session: Mutex::new(session),
    }
});

/// An initiation from a stranger is refused by name, whether or not its MAC is right; and who judges its head agrees with who
/// splits it.
pub fn initiation(packet: &[u8]) {
    let fixture = &*FIXTURE;
    let mut packet = packet.to_vec();
    // half of them know the node's key, or nothing would get behind the MAC
    if let (Some(head), true) = (
        packet.first_chunk().copied(),
        packet.len().is_multiple_of(2),
    ) {
        packet[16..24].copy_from_slice(&mac(fixture.node.mac_key(), &head));
    }
    let index = SessionIndex::new(9).expect("not 0");
    let settings = SessionSettings::default();
    let mut random = |out: &mut [u8]| out.fill(4);
    let answer = respond(
        &fixture.node,
        &packet,
        index,
        NOW,
        &settings,
        &mut random,
        |_| Err::<Offer, _>(()),
    );
    assert!(answer.is_err());
    if let Ok(parsed) = Initiation::parse(&packet) {
        let source = Address::from_ipv4([192, 0, 2, 7]);
        let key = fixture.node.mac_key();
        let verdict = judge(key, SipKey::new([0; 16]), parsed.head, source, 4754, 0);
        assert!(!matches!(
            verdict,
            Verdict::Malformed | Verdict::UnknownVersion
        ));
    }
}

/// A forged response is refused by name, and a cookie is taken only with the initiation's MAC.
pub fn response(packet: &[u8]) {
    let mut waiting = FIXTURE
        .waiting
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    let settings = SessionSettings::default();
    let error = waiting.finish(NOW, &settings, packet).expect_err("forged");
    assert!(!error.name().is_empty());
    if let Ok(reply) = CookieReply::parse(packet) {
        let fits = waiting.packet()[16..24] == reply.mac && waiting.index() == reply.receiver;
        assert_eq!(waiting.answer(&reply).is_some(), fits);
    }
}

/// A forged transport packet is refused by name and changes nothing.
pub fn transport(packet: &[u8]) {
    let mut session = FIXTURE
        .session
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    let before = (session.receipt(), session.epochs(), session.is_confirmed());
    let error = session.open(NOW, packet).expect_err("forged");
    assert!(!error.name().is_empty());
    let after = (session.receipt(), session.epochs(), session.is_confirmed());
    assert_eq!(after, before);
    if let Ok(parsed) = Transport::parse(packet) {
        let header = Transport::header(parsed.label, parsed.receiver, parsed.counter);
        assert_eq!(*parsed.header, header);
    }
}

/// Messages that are understood mean the same when they are written and read again.
pub fn messages(plaintext: &[u8]) {
    for message in Messages::new(plaintext) {
        let message = match message {
            Ok(Message::Unknown(_)) => continue,
            Ok(message) => message,
            Err(error) => {
                assert!(!error.name().is_empty());
                continue;
            }
        };
        let mut written = Vec::new();
        message.encode(&mut written);
        assert_eq!(written.len(), message.encoded_length());
        assert_eq!(Messages::new(&written).next(), Some(Ok(message)));
    }
}

/// So do the handshake's items.
pub fn items(payload: &[u8]) {
    match Items::parse(payload) {
        Ok(items) => {
            let written = items.encode();
            assert_eq!(Items::parse(&written), Ok(items));
        }
        Err(error) => assert!(!error.name().is_empty()),
    }
}
