//! The published vectors of RFC 8967's MACs: keys of other lengths than a block, one of each algorithm.

use std::net::Ipv6Addr;

use serde::Deserialize;

use crate::babel::{
    authentication::{Algorithm, Key},
    wire::tests::hex,
};

#[derive(Deserialize)]
struct Vector {
    alg: Algorithm,
    key: String,
    src: String,
    dst: String,
    packet: String,
    mac: String,
}

fn address(digits: &str) -> Ipv6Addr {
    let octets: [u8; 16] = hex(digits).try_into().expect("an address");
    octets.into()
}

#[test]
fn macs_are_those_of_the_published_vectors() {
    let vectors: Vec<Vector> =
        serde_json::from_str(include_str!("../../../../tests/babel/mac-vectors.json"))
            .expect("vectors");
    assert_eq!(vectors.len(), 2);
    for vector in vectors {
        let key = Key::new(vector.alg, &hex(&vector.key)).expect("a key");

        let mac = key.mac(
            &hex(&vector.packet),
            address(&vector.src),
            address(&vector.dst),
        );

        assert_eq!(mac.octets(), hex(&vector.mac), "{}", vector.alg);
        assert!(mac.matches(&hex(&vector.mac)));
        assert!(
            !mac.matches(&hex(&vector.mac)[1..]),
            "a part of it is not enough"
        );
        assert!(!mac.matches(&[]));
    }
}
