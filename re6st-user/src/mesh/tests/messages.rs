//! Questions and answers: from who says so, to whom they are for, in their time.

#![allow(clippy::unwrap_used, reason = "a test says what it wants by stopping")]

use crate::{
    certificate::{
        authority::Authority,
        key::PrivateKey,
        node_prefix::NodePrefix,
        record::{NodeRecord, Whereabouts},
        revocations::RevocationList,
        static_key::StaticKey,
        testing::{CertificateOf, START, authority, new_key},
        verify::Authorities,
    },
    mesh::{
        Metric, QuestionId,
        message::{Content, MAX_DESTINATIONS, MAX_MESSAGE_SIZE, Message, MessageError, Unproven},
    },
    time::Timestamp,
};

const ID: QuestionId = QuestionId(0x1234_5678_9abc_def0);

fn name(text: &str) -> NodePrefix {
    NodePrefix::from_common_name(text).unwrap()
}

struct Node {
    record: NodeRecord,
    key: PrivateKey,
}

fn node(authority: &Authority, text: &str) -> Node {
    let key = new_key();
    let fixed = StaticKey::generate().unwrap();
    let certificate = CertificateOf::node(authority, name(text));
    let certificate = certificate.issue_for(&key, Some(fixed.public_key()));
    let network = authority.certificate().network();
    let record = NodeRecord::sign(Whereabouts::default(), &certificate, &key, &network, START);
    Node {
        record: record.unwrap(),
        key,
    }
}

fn say(node: &Node, content: &Content) -> Vec<u8> {
    Message::sign(content, ID, name("9/16"), &node.record, &node.key, START).unwrap()
}

fn hear(authority: &Authority, octets: &[u8], now: Timestamp) -> Result<Message, MessageError> {
    hear_from("7/16", authority, octets, now)
}

/// What comes from a node's address.
fn hear_from(
    source: &str,
    authority: &Authority,
    octets: &[u8],
    now: Timestamp,
) -> Result<Message, MessageError> {
    let authorities = Authorities::new(authority.certificate().clone());
    let message = Unproven::read(octets, name("9/16"), now)?;
    let source = name(source).address(&authorities.network()).unwrap();
    let source = source.addr().into();
    message.prove(source, &authorities, &RevocationList::default(), now)
}

#[test]
fn what_comes_from_another_nodes_address_is_not_listened_to() {
    let authority = authority();
    let octets = say(&node(&authority, "7/16"), &question(Vec::new()));
    assert!(hear_from("7/16", &authority, &octets, START).is_ok());
    let from_another = hear_from("8/16", &authority, &octets, START);
    assert_eq!(from_another, Err(MessageError::Sender));
}

fn question(destinations: Vec<NodePrefix>) -> Content {
    Content::Question {
        destinations,
        reach_us: false,
    }
}

#[test]
fn what_is_said_is_heard() {
    let authority = authority();
    let sender = node(&authority, "7/16");
    let names = ["1/16", "5/18", "0/1", "65535/16", "281474976710655/48"].map(name);
    for content in [
        question(Vec::new()),
        question(names.to_vec()),
        question(vec![name("281474976710655/48"); MAX_DESTINATIONS]),
        Content::Question {
            destinations: names.to_vec(),
            reach_us: true,
        },
        Content::Answer {
            has_room: true,
            metrics: vec![Metric(0), Metric(300), Metric::INFINITY],
        },
        Content::Answer {
            has_room: false,
            metrics: Vec::new(),
        },
    ] {
        let octets = say(&sender, &content);
        let heard = hear(&authority, &octets, START).unwrap();
        assert_eq!((heard.id, &heard.content), (ID, &content));
        assert_eq!(heard.by, sender.record);
        assert!(octets.len() <= MAX_MESSAGE_SIZE);
    }
}

#[test]
fn whatever_a_stranger_puts_in_an_octet_is_refused_without_harm() {
    let authority = authority();
    let octets = say(&node(&authority, "7/16"), &question(vec![name("1/16")]));
    for at in 0..octets.len().min(64) {
        for value in [0, 1, 127, 128, 129, 136, 137, 255] {
            let mut changed = octets.clone();
            changed[at] = value;
            // lengths that say more than there is have something to count
            changed.extend([0x5a; 300]);
            assert!(hear(&authority, &changed, START).is_err(), "octet {at}");
        }
    }
}

#[test]
fn changed_cut_late_and_foreign_ones_are_refused() {
    let authority = authority();
    let sender = node(&authority, "7/16");
    let octets = say(&sender, &question(vec![name("1/16")]));
    for at in 0..octets.len() {
        let mut changed = octets.clone();
        changed[at] ^= 1;
        assert!(hear(&authority, &changed, START).is_err(), "octet {at}");
        assert_eq!(
            hear(&authority, &octets[..at], START),
            Err(MessageError::Form)
        );
    }
    for now in [START.plus(601), START.minus(601)] {
        assert_eq!(hear(&authority, &octets, now), Err(MessageError::OutOfDate));
    }
    let stranger = node(&self::authority(), "7/16");
    let octets = say(&stranger, &question(Vec::new()));
    assert!(matches!(
        hear(&authority, &octets, START),
        Err(MessageError::Record(_))
    ));
    let to_another = Message::sign(
        &question(Vec::new()),
        ID,
        name("8/16"),
        &sender.record,
        &sender.key,
        START,
    );
    let outcome = hear(&authority, &to_another.unwrap(), START);
    assert_eq!(outcome, Err(MessageError::Recipient));
}

#[test]
fn nobody_speaks_with_the_record_of_another() {
    let authority = authority();
    let (sender, thief) = (node(&authority, "7/16"), node(&authority, "8/16"));
    let stolen = Node {
        record: sender.record,
        key: thief.key,
    };
    let octets = say(
        &stolen,
        &Content::Answer {
            has_room: true,
            metrics: vec![Metric(1)],
        },
    );
    assert_eq!(
        hear(&authority, &octets, START),
        Err(MessageError::Signature)
    );
}

#[test]
fn more_destinations_than_allowed_are_not_sent() {
    let authority = authority();
    let sender = node(&authority, "7/16");
    let content = question(vec![name("1/16"); MAX_DESTINATIONS + 1]);
    let outcome = Message::sign(
        &content,
        ID,
        name("9/16"),
        &sender.record,
        &sender.key,
        START,
    );
    assert_eq!(outcome, Err(MessageError::Form));
}
