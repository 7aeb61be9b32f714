//! The hash that spreads flows over queues: the same for every packet of a flow, different for most flows.

use std::collections::BTreeSet;

use testbed::packet::Internet;

use crate::{
    namespace::{self, Indices},
    programs::{Kind, Programs},
    world::{self, FIRST, FIRST_VLAN, Peer},
};

/// Source port and flow label of the outer packet that a packet leaves in.
fn outer_flow(
    programs: &mut Programs,
    indices: &Indices,
    packet: &Internet,
    to: Peer,
) -> (u16, u32) {
    let from = Peer::new(FIRST);
    let outer = Internet::between(from.remote(), from.local());
    let outer = outer.fou(0xc000, world::PORT, from.key(), &packet.bytes());
    let frame = from.frame_from().bytes(&outer.bytes());
    let observed = programs.receive(&frame, indices.interfaces[from.position], 0);
    let sent = &observed.bytes[18..];
    assert_eq!(observed.reasons, [], "it is relayed");
    if to.is_ipv4() {
        (u16::from_be_bytes([sent[20], sent[21]]), 0)
    } else {
        let label = u32::from_be_bytes([0, sent[1] & 0x0f, sent[2], sent[3]]);
        (u16::from_be_bytes([sent[40], sent[41]]), label)
    }
}

#[test]
fn packets_of_a_flow_stay_together_and_flows_are_spread() {
    // arrange
    let indices = namespace::enter();
    let mut programs = Programs::load(Kind::OneBuffer, &world::example(&indices), true);
    for to in [Peer::new(FIRST_VLAN), Peer::new(FIRST_VLAN + 1)] {
        for ipv4 in [false, true] {
            let base = || Internet::between(Peer::new(FIRST).host(ipv4), to.host(ipv4));
            let mut ports = BTreeSet::new();
            for port in 1000..1256 {
                // act
                let first = outer_flow(&mut programs, &indices, &base().udp(port, 53, b"a"), to);
                let longer = base()
                    .hop_limit(9)
                    .traffic_class(3)
                    .udp(port, 53, b"longer");
                let second = outer_flow(&mut programs, &indices, &longer, to);
                // assert
                assert_eq!(first, second, "two packets of one flow");
                assert!(first.0 >= 0xc000, "the dynamic range");
                assert!(to.is_ipv4() || first.1 != 0, "a flow label (RFC 6438)");
                ports.insert(first.0);
            }
            assert!(
                ports.len() > 200,
                "256 flows have {} source ports only",
                ports.len()
            );
        }
    }
}

#[test]
fn flows_that_differ_in_one_address_are_spread() {
    // arrange: the subnet, or the host, of the source or the destination counts from 0 to 255
    let indices = namespace::enter();
    let mut programs = Programs::load(Kind::OneBuffer, &world::example(&indices), true);
    let to = Peer::new(FIRST_VLAN);
    let ipv6 =
        |subnet: u32, host: u32, id: u32| format!("2001:db8:42:{id:x}{subnet:02x}::{host:x}");
    let ipv4 = |host: u32, id: u32| format!("10.42.{id}.{host}");
    type Addresses<'a> = dyn Fn(u32) -> (String, String) + 'a;
    let cases: [(&str, &Addresses<'_>); 6] = [
        ("source subnets", &|n| {
            (ipv6(n, 1, FIRST), ipv6(0, 1, to.id))
        }),
        ("source hosts", &|n| (ipv6(0, n, FIRST), ipv6(0, 1, to.id))),
        ("destination subnets", &|n| {
            (ipv6(0, 1, FIRST), ipv6(n, 1, to.id))
        }),
        ("destination hosts", &|n| {
            (ipv6(0, 1, FIRST), ipv6(0, n, to.id))
        }),
        ("IPv4 sources", &|n| (ipv4(n, FIRST), ipv4(1, to.id))),
        ("IPv4 destinations", &|n| (ipv4(1, FIRST), ipv4(n, to.id))),
    ];
    for (what, addresses) in cases {
        // act
        let ports: BTreeSet<u16> = (0..256)
            .map(|number| {
                let (source, destination) = addresses(number);
                let packet = Internet::new(&source, &destination).udp(5000, 53, b"a");
                outer_flow(&mut programs, &indices, &packet, to).0
            })
            .collect();
        // assert
        assert!(
            ports.len() > 200,
            "256 {what} have {} source ports only",
            ports.len()
        );
    }
}

#[test]
fn fragments_of_a_packet_stay_together() {
    // arrange
    let indices = namespace::enter();
    let mut programs = Programs::load(Kind::OneBuffer, &world::example(&indices), true);
    let to = Peer::new(FIRST_VLAN);
    let base = || Internet::between(Peer::new(FIRST).host(true), to.host(true));
    let first = base().fragment(true, 0).udp(1000, 2000, &[1; 64]);
    let last = base().fragment(false, 9).payload(17, &[2; 64]);
    // act
    let [first, last] =
        [first, last].map(|packet| outer_flow(&mut programs, &indices, &packet, to));
    // assert
    assert_eq!(first, last);
}
