//! Single TLVs, written as told: what to compress is the writer's choice.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{
    address::{self, AddressEncoding},
    decode::{DEFAULT_PREFIX, UNICAST},
    prefix,
    sub_tlv::{SOURCE_PREFIX, TIMESTAMP},
    tlv::kind,
};
use crate::{
    babel::{
        message::{EchoedTimestamps, Message, Update},
        quantities::{Interval, Metric, RouterId, SequenceNumber},
    },
    route::RouteKey,
};

/// How an update is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpdateForm {
    /// Of the prefix.
    pub encoding: AddressEncoding,
    /// P and R.
    pub flags: u8,
    /// How many octets of the prefix are left out.
    pub omitted: u8,
}

/// Appends a TLV, or sub-TLV, whose body is what `write` appends: at most 255 octets.
pub fn tlv(packet: &mut Vec<u8>, kind: u8, write: impl FnOnce(&mut Vec<u8>)) {
    packet.extend_from_slice(&[kind, 0]);
    let start = packet.len();
    write(packet);
    let length = packet.len() - start;
    debug_assert!(length <= usize::from(u8::MAX));
    if let Some(place) = packet.get_mut(start - 1) {
        *place = length as u8;
    }
}

/// RFC 8966 section 4.6.2.
pub fn padding(packet: &mut Vec<u8>, octets: usize) {
    tlv(packet, kind::PADN, |body| {
        body.resize(body.len() + octets, 0);
    });
}

/// RFC 8966 section 4.6.7.
pub fn router_id(packet: &mut Vec<u8>, router_id: RouterId) {
    tlv(packet, kind::ROUTER_ID, |body| {
        body.extend_from_slice(&[0, 0]);
        body.extend_from_slice(&router_id.octets());
    });
}

/// RFC 8966 section 4.6.8.
pub fn next_hop(packet: &mut Vec<u8>, address: IpAddr, encoding: AddressEncoding) {
    tlv(packet, kind::NEXT_HOP, |body| {
        body.extend_from_slice(&[encoding.number(), 0]);
        address::write(encoding, address, body);
    });
}

/// RFC 8966 section 4.6.9, but what it says about the parser's state.
pub fn update(packet: &mut Vec<u8>, update: &Update, form: UpdateForm) {
    let to = update.route.to();
    tlv(packet, kind::UPDATE, |body| {
        body.extend_from_slice(&[
            form.encoding.number(),
            form.flags,
            to.prefix_len(),
            form.omitted,
        ]);
        body.extend_from_slice(&update.interval.0.to_be_bytes());
        body.extend_from_slice(&update.sequence_number.0.to_be_bytes());
        body.extend_from_slice(&update.metric.0.to_be_bytes());
        prefix::write(to, form.omitted, body);
        source_prefix(body, update.route.from());
    });
}

/// RFC 8966 section 4.6.9, address encoding 0. Interval and sequence number mean nothing; the interval must not be 0.
pub fn retract_all(packet: &mut Vec<u8>, interval: Interval, sequence_number: SequenceNumber) {
    tlv(packet, kind::UPDATE, |body| {
        body.extend_from_slice(&[AddressEncoding::Wildcard.number(), 0, 0, 0]);
        body.extend_from_slice(&interval.0.to_be_bytes());
        body.extend_from_slice(&sequence_number.0.to_be_bytes());
        body.extend_from_slice(&Metric::INFINITY.0.to_be_bytes());
    });
}

/// RFC 9079 section 5.1.
fn source_prefix(body: &mut Vec<u8>, from: Option<IpNet>) {
    if let Some(from) = from {
        tlv(body, SOURCE_PREFIX, |body| {
            body.push(from.prefix_len());
            prefix::write(from, 0, body);
        });
    }
}

/// All messages that stand for themselves on the wire, too; updates do not (see [`update`]).
pub fn message(packet: &mut Vec<u8>, message: &Message) {
    match *message {
        Message::AcknowledgmentRequest { opaque, interval } => {
            tlv(packet, kind::ACKNOWLEDGMENT_REQUEST, |body| {
                body.extend_from_slice(&[0, 0]);
                body.extend_from_slice(&opaque.to_be_bytes());
                body.extend_from_slice(&interval.0.to_be_bytes());
            });
        }
        Message::Acknowledgment { opaque } => tlv(packet, kind::ACKNOWLEDGMENT, |body| {
            body.extend_from_slice(&opaque.to_be_bytes());
        }),
        Message::Hello {
            unicast,
            sequence_number,
            interval,
            timestamp,
        } => tlv(packet, kind::HELLO, |body| {
            let flags = if unicast { UNICAST } else { 0 };
            body.extend_from_slice(&flags.to_be_bytes());
            body.extend_from_slice(&sequence_number.0.to_be_bytes());
            body.extend_from_slice(&interval.0.to_be_bytes());
            if let Some(timestamp) = timestamp {
                tlv(body, TIMESTAMP, |body| {
                    body.extend_from_slice(&timestamp.to_be_bytes());
                });
            }
        }),
        Message::IHeardYou {
            address,
            reception_cost,
            interval,
            timestamps,
        } => {
            let encoding = address.map_or(AddressEncoding::Wildcard, AddressEncoding::of);
            i_heard_you(
                packet,
                encoding,
                address,
                (reception_cost, interval),
                timestamps,
            );
        }
        Message::Update(_) => debug_assert!(false, "updates need a form"),
        Message::RetractAll => retract_all(packet, Interval::INFINITE, SequenceNumber::default()),
        Message::RouteRequest { route } => route_request(packet, route),
        Message::SequenceNumberRequest {
            route,
            router_id,
            sequence_number,
            hop_count,
        } => tlv(packet, kind::SEQUENCE_NUMBER_REQUEST, |body| {
            body.extend_from_slice(&[encoding_of(&route).number(), route.to().prefix_len()]);
            body.extend_from_slice(&sequence_number.0.to_be_bytes());
            body.extend_from_slice(&[hop_count, 0]);
            body.extend_from_slice(&router_id.octets());
            prefix::write(route.to(), 0, body);
            source_prefix(body, route.from());
        }),
        Message::Probe { token } => probe(packet, kind::PROBE, token),
        Message::ProbeReply { token } => probe(packet, kind::PROBE_REPLY, token),
        Message::Digest {
            first,
            interval,
            ref blocks,
        } => digest(packet, first, interval, blocks),
        Message::DigestMismatch { blocks } => tlv(packet, kind::DIGEST_MISMATCH, |body| {
            body.extend_from_slice(&blocks.to_be_bytes());
        }),
    }
}

/// RFC 8966 section 4.6.6, RFC 9616 section 3.2.
pub fn i_heard_you(
    packet: &mut Vec<u8>,
    encoding: AddressEncoding,
    address: Option<IpAddr>,
    (reception_cost, interval): (Metric, Interval),
    timestamps: Option<EchoedTimestamps>,
) {
    tlv(packet, kind::I_HEARD_YOU, |body| {
        body.extend_from_slice(&[encoding.number(), 0]);
        body.extend_from_slice(&reception_cost.0.to_be_bytes());
        body.extend_from_slice(&interval.0.to_be_bytes());
        if let Some(address) = address {
            address::write(encoding, address, body);
        }
        if let Some(timestamps) = timestamps {
            tlv(body, TIMESTAMP, |body| {
                body.extend_from_slice(&timestamps.origin.to_be_bytes());
                body.extend_from_slice(&timestamps.received.to_be_bytes());
            });
        }
    });
}

/// RFC 8966 section 4.6.10.
fn route_request(packet: &mut Vec<u8>, route: Option<RouteKey>) {
    tlv(packet, kind::ROUTE_REQUEST, |body| match route {
        None => body.extend_from_slice(&[AddressEncoding::Wildcard.number(), 0]),
        Some(route) => {
            body.extend_from_slice(&[encoding_of(&route).number(), route.to().prefix_len()]);
            prefix::write(route.to(), 0, body);
            source_prefix(body, route.from());
        }
    });
}

fn probe(packet: &mut Vec<u8>, kind: u8, token: u32) {
    tlv(packet, kind, |body| {
        body.extend_from_slice(&[0, 0]);
        body.extend_from_slice(&token.to_be_bytes());
    });
}

fn digest(packet: &mut Vec<u8>, first: u8, interval: Interval, blocks: &[u64]) {
    tlv(packet, kind::DIGEST, |body| {
        body.extend_from_slice(&[first, blocks.len() as u8]);
        body.extend_from_slice(&interval.0.to_be_bytes());
        for block in blocks {
            body.extend_from_slice(&block.to_be_bytes());
        }
    });
}

/// The encoding of a route where its next hop does not matter.
pub const fn encoding_of(route: &RouteKey) -> AddressEncoding {
    match route.to() {
        IpNet::V4(_) => AddressEncoding::Ipv4,
        IpNet::V6(_) => AddressEncoding::Ipv6,
    }
}

/// Flags of an update that sets the default prefix, or does not.
pub const fn default_prefix_flag(set: bool) -> u8 {
    if set { DEFAULT_PREFIX } else { 0 }
}
