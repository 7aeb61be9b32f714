//! Against `docs/vectors/channel.json`, which `channel.py` beside it has made with other libraries.

use std::{convert::Infallible, net::SocketAddr};

use re6st_common::{
    address::Address,
    handshake::{SipKey, cookie, cookie_reply},
};
use serde_json::Value;

use super::support::{START, index, static_key};
use crate::channel::{
    PostQuantum,
    handshake::{Initiator, mac_key, respond},
    identity::Identity,
    post_quantum::SharedSecret,
    session::{Epoch, Session, SessionSettings},
    wire::{Features, Offer},
};

/// A table of the vectors.
struct Table(Value);

impl Table {
    fn read(name: &str) -> Self {
        let text = include_str!("../../../../docs/vectors/channel.json");
        let all: Value = serde_json::from_str(text).unwrap();
        Self(all[name].clone())
    }

    fn octets(&self, name: &str) -> Vec<u8> {
        octets(&self.0[name])
    }

    fn array<const N: usize>(&self, name: &str) -> [u8; N] {
        self.octets(name).try_into().unwrap()
    }

    fn number(&self, name: &str) -> u32 {
        self.0[name].as_u64().unwrap().try_into().unwrap()
    }
}

fn octets(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap();
    data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap()
}

/// Randomness that is one ephemeral key.
fn ephemeral(octets: [u8; 32]) -> impl FnMut(&mut [u8]) {
    move |out| out.copy_from_slice(&octets)
}

fn identity(table: &Table, side: &str) -> Identity {
    let key = static_key(&table.array(&format!("{side}_static_private")));
    Identity::new(&key, table.octets(&format!("{side}_certificate")))
}

fn offer(post_quantum: PostQuantum, seen_at: Option<SocketAddr>) -> Offer {
    Offer {
        version: 1,
        features: Features(3),
        post_quantum,
        seen_at,
    }
}

/// The vectors' handshake by our code: both packets, and both sessions.
fn handshake(settings: &SessionSettings) -> (Vec<u8>, Vec<u8>, Session, Session) {
    let table = Table::read("handshake");
    let responder = identity(&table, "responder");
    let (mut initiator, initiation) = Initiator::begin(
        &identity(&table, "initiator"),
        responder.public_key(),
        index(table.number("initiator_index")),
        &offer(PostQuantum::Preferred, None),
        &mut ephemeral(table.array("initiator_ephemeral_private")),
    )
    .unwrap();
    let seen_at = table.0["seen_at"].as_str().unwrap().parse().unwrap();
    let (_, response, responder) = respond(
        &responder,
        &initiation,
        index(table.number("responder_index")),
        START,
        settings,
        &mut ephemeral(table.array("responder_ephemeral_private")),
        |_| Ok::<_, Infallible>(offer(PostQuantum::Required, Some(seen_at))),
    )
    .unwrap();
    let (_, initiator) = initiator.finish(START, settings, &response).unwrap();
    (initiation, response, initiator, responder)
}

#[test]
fn a_whole_handshake() {
    let table = Table::read("handshake");
    let (initiation, response, initiator, responder) = handshake(&SessionSettings::default());
    assert_eq!(initiation, table.octets("initiation"));
    assert_eq!(response, table.octets("response"));
    assert_eq!(
        initiator.sending_secret()[..],
        table.octets("secret_0_from_initiator")
    );
    assert_eq!(
        responder.sending_secret()[..],
        table.octets("secret_0_from_responder")
    );
    let key = identity(&table, "responder");
    assert_eq!(
        key.public_key().octets()[..],
        table.octets("responder_static_public")
    );
    assert_eq!(
        mac_key(key.public_key()),
        SipKey::new(table.array("mac_key"))
    );
    assert_eq!(initiation[16..24], table.octets("mac"));
}

#[test]
fn cookies() {
    let table = Table::read("cookie");
    let secret = SipKey::new(table.array("secret"));
    let rows = table.0["cookies"].as_array().unwrap();
    let mut first = None;
    for row in rows {
        let address = match row["address"].as_str().unwrap().parse().unwrap() {
            std::net::IpAddr::V4(ip) => Address::from_ipv4(ip.octets()),
            std::net::IpAddr::V6(ip) => Address::from_ipv6(ip.octets()),
        };
        let row = Table(row.clone());
        let port = row.number("port").try_into().unwrap();
        let made = cookie(secret, address, port, row.number("minute"));
        assert_eq!(made[..], row.octets("cookie"));
        first.get_or_insert(made);
    }
    assert_eq!(rows.len(), 2);
    let initiation = Table::read("handshake").octets("initiation");
    let reply = cookie_reply(initiation.first_chunk().unwrap(), first.unwrap());
    assert_eq!(reply[..], table.octets("reply_with_the_first"));
    let again = [&initiation[..8], &first.unwrap(), &initiation[16..]].concat();
    assert_eq!(again, table.octets("initiation_with_the_first"));
}

#[test]
fn epochs_and_the_ratchet() {
    // Arrange
    let settings = SessionSettings {
        ratchet_packets: 1,
        ..SessionSettings::default()
    };
    let table = Table::read("post_quantum");
    let (_, _, mut initiator, mut responder) = handshake(&settings);
    let secret = SharedSecret::new(table.array("shared_secret"));
    responder.mix(START, &secret).unwrap();
    initiator.mix(START, &secret).unwrap();
    let first = initiator.seal(START, b"").unwrap();
    responder.open(START, &first).unwrap();
    // Act: an epoch a packet
    for (mut session, name) in [(initiator, "from_initiator"), (responder, "from_responder")] {
        let rows = table.0[name].as_object().unwrap();
        let mut seen = 0;
        for epoch in 1..=300 {
            if session.epochs().0 < Epoch(epoch) {
                session.seal(START, b"").unwrap();
            }
            // the first packet of the responder's is still of epoch 1
            if session.epochs().0 < Epoch(epoch) {
                session.seal(START, b"").unwrap();
            }
            // Assert
            assert_eq!(session.epochs().0, Epoch(epoch));
            let Some(row) = rows.get(&epoch.to_string()) else {
                continue;
            };
            assert_eq!(session.sending_secret()[..], octets(&row["secret"]));
            assert_eq!(session.sending_key()[..], octets(&row["key"]));
            seen += 1;
        }
        assert_eq!(seen, 6);
    }
}

#[test]
fn epoch_1_without_ml_kem() {
    use crate::channel::{keys::Secret, session::Side};
    let handshake = Table::read("handshake");
    let table = Table::read("without_post_quantum");
    for (side, name) in [
        (Side::Initiator, "from_initiator"),
        (Side::Responder, "from_responder"),
    ] {
        let secret = |name: &str| Secret::new(handshake.array(&format!("secret_0_{name}")).into());
        let split = crate::channel::noise::Split {
            from_initiator: secret("from_initiator"),
            from_responder: secret("from_responder"),
        };
        let indexes = (index(1), index(2));
        let settings = SessionSettings::default();
        let session = Session::new(side, indexes, split, false, START, settings).unwrap();
        let secret = session.first_secret();
        assert_eq!(secret.octets()[..], octets(&table.0[name]["1"]["secret"]));
        assert_eq!(secret.key_octets()[..], octets(&table.0[name]["1"]["key"]));
    }
}

#[test]
fn transport_packets() {
    // Arrange
    let table = Table::read("transport");
    let settings = SessionSettings {
        ratchet_packets: 1,
        ..SessionSettings::default()
    };
    let (_, _, mut initiator, mut responder) = handshake(&settings);
    let secret = SharedSecret::new(Table::read("post_quantum").array("shared_secret"));
    let plaintext = table.octets("plaintext");
    let seal = |session: &mut Session, name: &str| {
        let packet = session.seal(START, &plaintext).unwrap();
        assert_eq!(packet, table.octets(name), "{name}");
        packet
    };
    // Act and assert, in the order in which two nodes would send them
    let one = seal(&mut initiator, "from_initiator_in_epoch_0_with_counter_0");
    assert_eq!(
        responder.open(START, &one).unwrap(),
        (Epoch(0), plaintext.clone())
    );
    responder.mix(START, &secret).unwrap();
    let two = seal(&mut responder, "from_responder_in_epoch_0_with_counter_0");
    assert_eq!(initiator.open(START, &two).unwrap().0, Epoch(0));
    initiator.mix(START, &secret).unwrap();
    let three = seal(&mut initiator, "from_initiator_in_epoch_1_with_counter_1");
    assert_eq!(responder.open(START, &three).unwrap().0, Epoch(1));
    let four = seal(&mut responder, "from_responder_in_epoch_1_with_counter_1");
    assert_eq!(initiator.open(START, &four).unwrap().0, Epoch(1));
    let five = seal(&mut responder, "from_responder_in_epoch_2_with_counter_2");
    assert_eq!(initiator.open(START, &five).unwrap().0, Epoch(2));
}
