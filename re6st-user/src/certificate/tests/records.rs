//! Where a node is: by its own word alone, for a while.

use super::{
    DAY, NOW, NodeCertificate, PrivateKey, both_authorities, new_authority, new_key, serial,
    subject, terms, trust,
};
use crate::{
    certificate::{
        authority::Authority,
        record::{
            MAX_ADDRESSES, MAX_RECORD_SIZE, NodeRecord, RECORD_LIFETIME, RecordError, Whereabouts,
        },
        request::CertificateRequest,
        revocations::{Revocation, RevocationList},
        static_key::StaticKey,
    },
    time::Timestamp,
};

fn node(authority: &Authority, static_key: bool) -> (NodeCertificate, PrivateKey) {
    let key = new_key();
    let public = static_key.then(|| StaticKey::generate().unwrap().public_key());
    let request = CertificateRequest::make(&key, public, &subject(&[])).unwrap();
    let certificate = authority.issue_node((&request).into(), &terms()).unwrap();
    (certificate, key)
}

fn whereabouts() -> Whereabouts {
    let addresses = ["192.0.2.7:4754", "[2001:db8:9::7]:4755"];
    Whereabouts {
        addresses: addresses.map(|it| it.parse().unwrap()).to_vec(),
        open: true,
        country: "fr".parse().ok(),
    }
}

fn record(authority: &Authority, whereabouts: Whereabouts) -> Vec<u8> {
    let (certificate, key) = node(authority, true);
    let network = authority.certificate().network();
    let record = NodeRecord::sign(whereabouts, &certificate, &key, &network, NOW).unwrap();
    record.octets().to_vec()
}

fn verify(authority: &Authority, octets: &[u8], now: Timestamp) -> Result<NodeRecord, RecordError> {
    NodeRecord::verify(octets, &trust(authority), &RevocationList::default(), now)
}

#[test]
fn what_a_node_says_is_read_as_it_was_said() {
    for authority in both_authorities() {
        for said in [whereabouts(), Whereabouts::default()] {
            let octets = record(&authority, said.clone());
            let read = verify(&authority, &octets, NOW).unwrap();
            assert_eq!(read.whereabouts(), &said);
            assert_eq!(read.node(), terms().prefix);
            assert_eq!(read.octets(), octets);
            assert!(octets.len() < 1_200, "fits a packet: {}", octets.len());
        }
    }
}

#[test]
fn a_changed_octet_and_a_missing_one_are_seen() {
    let authority = new_authority();
    let octets = record(&authority, whereabouts());
    for at in 0..octets.len() {
        let mut changed = octets.clone();
        changed[at] ^= 1;
        assert!(verify(&authority, &changed, NOW).is_err(), "octet {at}");
        assert_eq!(
            verify(&authority, &octets[..at], NOW),
            Err(RecordError::Form)
        );
    }
    let longer = [&octets[..], &[0]].concat();
    assert_eq!(verify(&authority, &longer, NOW), Err(RecordError::Form));
    assert_eq!(
        verify(&authority, &vec![1; MAX_RECORD_SIZE + 1], NOW),
        Err(RecordError::Form)
    );
}

#[test]
fn it_counts_for_a_while() {
    let authority = new_authority();
    let octets = record(&authority, whereabouts());
    let at = |now| verify(&authority, &octets, now).map(|_| ());
    assert_eq!(at(NOW.minus(300)), Ok(()), "a clock that is behind");
    assert_eq!(at(NOW.minus(3_600)), Err(RecordError::OutOfDate));
    assert_eq!(at(NOW.plus(RECORD_LIFETIME)), Ok(()));
    assert_eq!(
        at(NOW.plus(RECORD_LIFETIME + 1)),
        Err(RecordError::OutOfDate)
    );
}

#[test]
fn only_members_are_believed() {
    let (authority, other) = (new_authority(), new_authority());
    let octets = record(&authority, whereabouts());
    assert!(matches!(
        verify(&other, &octets, NOW),
        Err(RecordError::Trust(_))
    ));

    let mut revoked = RevocationList::default();
    let revocation = Revocation {
        at: NOW,
        not_after: NOW.plus(365 * DAY),
    };
    revoked.insert(authority.certificate().key_id(), serial(7), revocation);
    let outcome = NodeRecord::verify(&octets, &trust(&authority), &revoked, NOW);
    assert!(matches!(outcome, Err(RecordError::Trust(_))), "{outcome:?}");
}

#[test]
fn who_cannot_be_called_has_no_record() {
    let authority = new_authority();
    let (certificate, key) = node(&authority, false);
    let network = authority.certificate().network();
    let outcome = NodeRecord::sign(whereabouts(), &certificate, &key, &network, NOW);
    assert_eq!(outcome, Err(RecordError::NoKey));
}

#[test]
fn another_nodes_key_signs_nothing() {
    let authority = new_authority();
    let (certificate, _) = node(&authority, true);
    let (_, key) = node(&authority, true);
    let network = authority.certificate().network();
    let forged = NodeRecord::sign(whereabouts(), &certificate, &key, &network, NOW).unwrap();
    assert_eq!(
        verify(&authority, forged.octets(), NOW),
        Err(RecordError::Signature)
    );
}

#[test]
fn of_many_addresses_the_first_count() {
    let authority = new_authority();
    let many = (1..=20).map(|port| ([192, 0, 2, 7], port).into());
    let said = Whereabouts {
        addresses: many.collect(),
        ..Whereabouts::default()
    };
    let read = verify(&authority, &record(&authority, said.clone()), NOW).unwrap();
    assert_eq!(
        read.whereabouts().addresses,
        said.addresses[..MAX_ADDRESSES]
    );
}
