//! What is written is read again, whatever it is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use proptest::{
    collection::vec,
    option,
    prelude::{Just, Strategy, any, prop_oneof},
    prop_assert, prop_assert_eq, proptest,
};

use super::SOURCE;
use crate::{
    babel::{
        message::{EchoedTimestamps, Message, NextHop, Update},
        quantities::{Interval, Metric, RouterId, SequenceNumber},
        wire::{PacketWriter, PushError, decode},
    },
    route::RouteKey,
};

/// Addresses of few networks, so that prefixes and next hops have something in common.
fn ipv6() -> impl Strategy<Value = Ipv6Addr> {
    let networks = prop_oneof![
        Just(0x2001_0db8_0042_u128 << 80),
        Just(0xfe80_u128 << 112),
        any::<u128>().prop_map(|bits| bits >> 3 & !0xffff | 1 << 125),
    ];
    (networks, 0_u128..5, any::<u16>()).prop_map(|(network, subnet, host)| {
        Ipv6Addr::from_bits(network | subnet << 64 | u128::from(host.max(2)))
    })
}

fn ipv4() -> impl Strategy<Value = Ipv4Addr> {
    (0_u8..3, any::<u8>()).prop_map(|(subnet, host)| Ipv4Addr::new(10, 42, subnet, host))
}

fn ipv6_prefix(shortest: u8) -> impl Strategy<Value = IpNet> {
    (ipv6(), shortest..=128).prop_map(|(address, length)| {
        Ipv6Net::new(address, length)
            .expect("a length")
            .trunc()
            .into()
    })
}

fn ipv4_prefix(shortest: u8) -> impl Strategy<Value = IpNet> {
    (ipv4(), shortest..=32).prop_map(|(address, length)| {
        Ipv4Net::new(address, length)
            .expect("a length")
            .trunc()
            .into()
    })
}

fn key((to, from): (IpNet, Option<IpNet>)) -> RouteKey {
    RouteKey::new(to, from).expect("one family")
}

fn ipv6_route() -> impl Strategy<Value = RouteKey> {
    (ipv6_prefix(0), option::weighted(0.2, ipv6_prefix(1))).prop_map(key)
}

fn ipv4_route() -> impl Strategy<Value = RouteKey> {
    (ipv4_prefix(0), option::weighted(0.2, ipv4_prefix(1))).prop_map(key)
}

fn route() -> impl Strategy<Value = RouteKey> {
    prop_oneof![ipv6_route(), ipv4_route()]
}

fn router_id() -> impl Strategy<Value = RouterId> {
    (1_u64..4).prop_map(|number| RouterId::new(number.to_be_bytes()).expect("not reserved"))
}

fn interval() -> impl Strategy<Value = Interval> {
    (1..=u16::MAX).prop_map(Interval)
}

fn sequence_number() -> impl Strategy<Value = SequenceNumber> {
    any::<u16>().prop_map(SequenceNumber)
}

fn announcement() -> impl Strategy<Value = Message> {
    let to_ipv6 = ipv6().prop_map(NextHop::Ipv6);
    let to_any = prop_oneof![
        ipv6().prop_map(NextHop::Ipv6),
        ipv4().prop_map(NextHop::Ipv4),
        Just(NextHop::Ipv6(SOURCE))
    ];
    let ways = prop_oneof![(ipv6_route(), to_ipv6), (ipv4_route(), to_any)];
    let numbers = (router_id(), sequence_number(), 0..u16::MAX, interval());
    (ways, numbers).prop_map(
        |((route, next_hop), (router_id, number, metric, interval))| {
            Message::Update(Update {
                route,
                router_id: Some(router_id),
                sequence_number: number,
                metric: Metric(metric),
                interval,
                next_hop: Some(next_hop),
            })
        },
    )
}

fn retraction() -> impl Strategy<Value = Message> {
    (route(), sequence_number(), any::<u16>()).prop_map(|(route, sequence_number, interval)| {
        Message::Update(Update {
            route,
            router_id: None,
            sequence_number,
            metric: Metric::INFINITY,
            interval: Interval(interval),
            next_hop: None,
        })
    })
}

fn of_neighbours() -> impl Strategy<Value = Message> {
    let address = option::of(prop_oneof![
        ipv6().prop_map(IpAddr::V6),
        ipv4().prop_map(IpAddr::V4)
    ]);
    let echoed = option::of(
        any::<(u32, u32)>().prop_map(|(origin, received)| EchoedTimestamps { origin, received }),
    );
    prop_oneof![
        (
            any::<bool>(),
            sequence_number(),
            any::<u16>(),
            any::<Option<u32>>()
        )
            .prop_map(
                |(unicast, sequence_number, interval, timestamp)| Message::Hello {
                    unicast,
                    sequence_number,
                    interval: Interval(interval),
                    timestamp,
                }
            ),
        (address, any::<u16>(), interval(), echoed).prop_map(
            |(address, reception_cost, interval, timestamps)| Message::IHeardYou {
                address,
                reception_cost: Metric(reception_cost),
                interval,
                timestamps,
            }
        ),
        (any::<u16>(), interval())
            .prop_map(|(opaque, interval)| Message::AcknowledgmentRequest { opaque, interval }),
        any::<u16>().prop_map(|opaque| Message::Acknowledgment { opaque }),
    ]
}

fn of_routes() -> impl Strategy<Value = Message> {
    let numbers = (router_id(), sequence_number(), 1..=u8::MAX);
    prop_oneof![
        Just(Message::RetractAll),
        option::of(route()).prop_map(|route| Message::RouteRequest { route }),
        (route(), numbers).prop_map(|(route, (router_id, sequence_number, hop_count))| {
            Message::SequenceNumberRequest {
                route,
                router_id,
                sequence_number,
                hop_count,
            }
        }),
    ]
}

fn ours() -> impl Strategy<Value = Message> {
    prop_oneof![
        any::<u32>().prop_map(|token| Message::Probe { token }),
        any::<u32>().prop_map(|token| Message::ProbeReply { token }),
        any::<u64>().prop_map(|blocks| Message::DigestMismatch { blocks }),
        (vec(any::<u64>(), 1..=31), 0_u8..64, interval()).prop_map(|(blocks, first, interval)| {
            let first = first.min(64 - blocks.len() as u8);
            Message::Digest {
                first,
                interval,
                blocks,
            }
        }),
    ]
}

fn message() -> impl Strategy<Value = Message> {
    prop_oneof![
        4 => announcement(),
        1 => retraction(),
        1 => of_neighbours(),
        1 => of_routes(),
        1 => ours(),
    ]
}

/// The messages in as many packets as they need, at most `limit` octets each.
fn packets(limit: usize, messages: &[Message]) -> Vec<Vec<u8>> {
    let mut packets = Vec::new();
    let mut writer = PacketWriter::new(limit, SOURCE);
    for message in messages {
        if writer.push(message) == Err(PushError::Full) {
            packets.push(writer.finish());
            writer = PacketWriter::new(limit, SOURCE);
            writer.push(message).expect("room in an empty packet");
        }
    }
    packets.push(writer.finish());
    packets
}

proptest! {
    /// RFC 8966 section 4.5: what a writer leaves out, a reader finds in its state.
    #[test]
    fn messages_are_read_as_they_were_written(
        messages in vec(message(), 0..60),
        limit in 300_usize..1400,
    ) {
        let mut read = Vec::new();
        for packet in packets(limit, &messages) {
            prop_assert!(packet.len() <= limit);
            let mut decoded = decode(&packet, SOURCE).expect("a packet");
            read.extend(&mut decoded);
            prop_assert_eq!(decoded.ignored().total(), 0);
        }
        prop_assert_eq!(read, messages);
    }

    /// RFC 8966 section 4.2: whatever octets come, reading ends, and never costs more than they are.
    #[test]
    fn any_octets_are_read_to_an_end(
        body in vec(any::<u8>(), 0..600),
        trailer in vec(any::<u8>(), 0..100),
    ) {
        let mut packet = vec![42, 2];
        packet.extend_from_slice(&(body.len() as u16).to_be_bytes());
        packet.extend_from_slice(&body);
        packet.extend_from_slice(&trailer);
        let mut decoded = decode(&packet, SOURCE).expect("a header that fits");
        let messages = decoded.by_ref().count();
        prop_assert!(messages + decoded.ignored().total() as usize <= body.len());
        prop_assert!(decoded.next().is_none());
    }

    /// A packet that does not fit its own header is refused as a whole.
    #[test]
    fn any_packet_is_read_or_refused(packet in vec(any::<u8>(), 0..600)) {
        if let Ok(decoded) = decode(&packet, SOURCE) {
            prop_assert!(decoded.count() <= packet.len());
        }
    }
}
