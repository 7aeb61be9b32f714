//! Reading packets.

use std::net::Ipv6Addr;

use super::{
    address::{self, AddressEncoding},
    frame::{PacketError, PacketParts},
    ignored::{Ignored, IgnoredCounters},
    prefix,
    reader::Reader,
    state::ParserState,
    sub_tlv::SubTlvs,
    tlv::{Tlv, Tlvs, kind},
};
use crate::{
    babel::{
        message::{EchoedTimestamps, Message, Update},
        quantities::{Interval, Metric, RouterId, SequenceNumber},
    },
    route::RouteKey,
};

/// Hello flag: it counts in the unicast history (RFC 8966 section 4.6.5).
pub const UNICAST: u16 = 0x8000;
/// Update flag P: octets that later updates omit are this prefix's (RFC 8966 section 4.6.9).
pub const DEFAULT_PREFIX: u8 = 0x80;
/// Update flag R: the router-id is in the prefix (RFC 8966 section 4.6.9).
pub const ROUTER_ID_FROM_PREFIX: u8 = 0x40;
/// How many blocks all digests have.
pub const BLOCKS: usize = 64;

/// Takes a packet apart: a UDP payload from `source`. Messages come out one by one, as the packet is read.
///
/// # Errors
/// [`PacketError`], if nothing of it may be read.
pub fn decode(packet: &[u8], source: Ipv6Addr) -> Result<Decoded<'_>, PacketError> {
    if !source.is_unicast_link_local() {
        return Err(PacketError::NotLinkLocal);
    }
    let frame = PacketParts::new(packet)?;
    Ok(Decoded {
        frame,
        tlvs: Tlvs::new(Reader::new(frame.body)),
        state: ParserState::new(source),
        ignored: IgnoredCounters::default(),
    })
}

/// The messages of a packet.
#[derive(Clone, Debug)]
pub struct Decoded<'a> {
    frame: PacketParts<'a>,
    tlvs: Tlvs<'a>,
    state: ParserState,
    ignored: IgnoredCounters,
}

impl<'a> Decoded<'a> {
    /// The packet's parts.
    pub const fn frame(&self) -> &PacketParts<'a> {
        &self.frame
    }

    /// What follows the body.
    pub const fn trailer(&self) -> &'a [u8] {
        self.frame.trailer
    }

    /// How many TLVs were ignored so far.
    pub const fn ignored(&self) -> &IgnoredCounters {
        &self.ignored
    }
}

impl Iterator for Decoded<'_> {
    type Item = Message;

    fn next(&mut self) -> Option<Message> {
        loop {
            let tlv = match self.tlvs.next()? {
                Ok(tlv) => tlv,
                Err(_) => {
                    self.ignored.count(Ignored::Overrun);
                    return None;
                }
            };
            match self.state.read(tlv) {
                Ok(Some(message)) => return Some(message),
                Ok(None) => {}
                Err(reason) => self.ignored.count(reason),
            }
        }
    }
}

/// A field of a fixed part, which may not be there.
fn fixed<T>(field: Option<T>) -> Result<T, Ignored> {
    field.ok_or(Ignored::TooShort)
}

fn encoding(body: &mut Reader<'_>) -> Result<AddressEncoding, Ignored> {
    AddressEncoding::from_number(fixed(body.u8())?).ok_or(Ignored::BadAddressEncoding)
}

/// An interval that must not be 0.
fn interval(body: &mut Reader<'_>) -> Result<Interval, Ignored> {
    match fixed(body.u16())? {
        0 => Err(Ignored::IllegalValue),
        hundredths => Ok(Interval(hundredths)),
    }
}

/// Sub-TLVs of a TLV that knows none: they are looked at all the same, because one may forbid the TLV.
fn no_sub_tlvs(body: Reader<'_>) -> Result<(), Ignored> {
    SubTlvs::read(body, None).map(drop)
}

impl ParserState {
    /// The message of a TLV, if it is one. What the TLV leaves behind stays also where it is ignored because of a sub-TLV
    /// (RFC 8966 section 4.4).
    pub(super) fn read(&mut self, Tlv { kind, body }: Tlv<'_>) -> Result<Option<Message>, Ignored> {
        match kind {
            kind::ACKNOWLEDGMENT_REQUEST => acknowledgment_request(body).map(Some),
            kind::ACKNOWLEDGMENT => acknowledgment(body).map(Some),
            kind::HELLO => hello(body).map(Some),
            kind::I_HEARD_YOU => i_heard_you(body).map(Some),
            kind::ROUTER_ID => self.read_router_id(body).map(|()| None),
            kind::NEXT_HOP => self.read_next_hop(body).map(|()| None),
            kind::UPDATE => self.read_update(body).map(Some),
            kind::ROUTE_REQUEST => route_request(body).map(Some),
            kind::SEQUENCE_NUMBER_REQUEST => sequence_number_request(body).map(Some),
            // authentication has read them
            kind::PACKET_COUNTER | kind::CHALLENGE_REQUEST | kind::CHALLENGE_REPLY => Ok(None),
            kind::PROBE => token(body).map(|token| Some(Message::Probe { token })),
            kind::PROBE_REPLY => token(body).map(|token| Some(Message::ProbeReply { token })),
            kind::DIGEST => digest(body).map(Some),
            kind::DIGEST_MISMATCH => digest_mismatch(body).map(Some),
            _ => Err(Ignored::UnknownType),
        }
    }

    /// RFC 8966 section 4.6.7.
    fn read_router_id(&mut self, mut body: Reader<'_>) -> Result<(), Ignored> {
        fixed(body.u16())?;
        // a reserved one leaves none: the updates that follow are not of the router before
        self.router_id = RouterId::new(fixed(body.array())?);
        no_sub_tlvs(body)?;
        self.router_id.map(drop).ok_or(Ignored::IllegalValue)
    }

    /// RFC 8966 section 4.6.8; not with address encoding 4 (RFC 9229 section 4.2).
    fn read_next_hop(&mut self, mut body: Reader<'_>) -> Result<(), Ignored> {
        let encoding = encoding(&mut body)?;
        if matches!(
            encoding,
            AddressEncoding::Wildcard | AddressEncoding::Ipv4ViaIpv6
        ) {
            return Err(Ignored::BadAddressEncoding);
        }
        fixed(body.u8())?;
        let address = fixed(address::read(encoding, &mut body))?;
        self.set_next_hop(address);
        no_sub_tlvs(body)?;
        match super::state::is_host(address) {
            true => Ok(()),
            false => Err(Ignored::IllegalValue),
        }
    }

    /// RFC 8966 section 4.6.9.
    fn read_update(&mut self, mut body: Reader<'_>) -> Result<Message, Ignored> {
        let encoding = encoding(&mut body)?;
        let [flags, length, omitted] = fixed(body.array())?;
        let interval = Interval(fixed(body.u16())?);
        let sequence_number = SequenceNumber(fixed(body.u16())?);
        let metric = Metric(fixed(body.u16())?);
        if encoding == AddressEncoding::Wildcard {
            no_sub_tlvs(body)?;
            return match metric.is_infinite() && length == 0 && omitted == 0 {
                true => Ok(Message::RetractAll),
                false => Err(Ignored::IllegalValue),
            };
        }
        let to = self.read_prefix(encoding, flags, [length, omitted], &mut body)?;
        let from = SubTlvs::read(body, Some(encoding))?.source_prefix;
        let route = RouteKey::new(to, from).map_err(|_| Ignored::BadSubTlv)?;
        let (router_id, next_hop) = if metric.is_infinite() {
            // retractions have neither, whatever the state says
            (None, None)
        } else if interval == Interval::UNSCHEDULED {
            return Err(Ignored::IllegalValue);
        } else {
            let router_id = self.router_id.ok_or(Ignored::NoRouterId)?;
            let next_hop = self.next_hop(encoding).ok_or(Ignored::NoNextHop)?;
            (Some(router_id), Some(next_hop))
        };
        Ok(Message::Update(Update {
            route,
            router_id,
            sequence_number,
            metric,
            interval,
            next_hop,
        }))
    }

    /// The prefix of an update, and what its flags leave behind.
    fn read_prefix(
        &mut self,
        encoding: AddressEncoding,
        flags: u8,
        [length, omitted]: [u8; 2],
        body: &mut Reader<'_>,
    ) -> Result<ipnet::IpNet, Ignored> {
        if encoding == AddressEncoding::LinkLocal {
            return Err(Ignored::BadAddressEncoding);
        }
        let default = self.default_prefix(encoding);
        let prefix = prefix::read(encoding, length, omitted, default, body)?;
        let octets = prefix::octets(prefix);
        if flags & DEFAULT_PREFIX != 0 {
            self.set_default_prefix(encoding, octets);
        }
        if flags & ROUTER_ID_FROM_PREFIX != 0 {
            let bits = u128::from_be_bytes(octets);
            let low = match encoding {
                AddressEncoding::Ipv6 => bits as u64,
                _ => (bits >> 96) as u64,
            };
            self.router_id = RouterId::new(low.to_be_bytes());
        }
        Ok(prefix)
    }
}

/// RFC 8966 section 4.6.3.
fn acknowledgment_request(mut body: Reader<'_>) -> Result<Message, Ignored> {
    fixed(body.u16())?;
    let opaque = fixed(body.u16())?;
    let interval = interval(&mut body)?;
    no_sub_tlvs(body)?;
    Ok(Message::AcknowledgmentRequest { opaque, interval })
}

/// RFC 8966 section 4.6.4.
fn acknowledgment(mut body: Reader<'_>) -> Result<Message, Ignored> {
    let opaque = fixed(body.u16())?;
    no_sub_tlvs(body)?;
    Ok(Message::Acknowledgment { opaque })
}

/// RFC 8966 section 4.6.5; timestamp: RFC 9616 section 3.1.
fn hello(mut body: Reader<'_>) -> Result<Message, Ignored> {
    let flags = fixed(body.u16())?;
    let sequence_number = SequenceNumber(fixed(body.u16())?);
    let interval = Interval(fixed(body.u16())?);
    let sub_tlvs = SubTlvs::read(body, None)?;
    Ok(Message::Hello {
        unicast: flags & UNICAST != 0,
        sequence_number,
        interval,
        timestamp: sub_tlvs.timestamp.and_then(|mut body| body.u32()),
    })
}

/// RFC 8966 section 4.6.6; timestamps: RFC 9616 section 3.2.
fn i_heard_you(mut body: Reader<'_>) -> Result<Message, Ignored> {
    let encoding = encoding(&mut body)?;
    fixed(body.u8())?;
    let reception_cost = Metric(fixed(body.u16())?);
    let interval = interval(&mut body)?;
    let address = match encoding {
        AddressEncoding::Wildcard => None,
        AddressEncoding::Ipv4ViaIpv6 => return Err(Ignored::BadAddressEncoding),
        encoding => Some(fixed(address::read(encoding, &mut body))?),
    };
    let sub_tlvs = SubTlvs::read(body, None)?;
    let timestamps = sub_tlvs.timestamp.and_then(|mut body| {
        Some(EchoedTimestamps {
            origin: body.u32()?,
            received: body.u32()?,
        })
    });
    Ok(Message::IHeardYou {
        address,
        reception_cost,
        interval,
        timestamps,
    })
}

/// RFC 8966 section 4.6.10.
fn route_request(mut body: Reader<'_>) -> Result<Message, Ignored> {
    let encoding = encoding(&mut body)?;
    let length = fixed(body.u8())?;
    if encoding == AddressEncoding::Wildcard {
        no_sub_tlvs(body)?;
        return match length {
            0 => Ok(Message::RouteRequest { route: None }),
            _ => Err(Ignored::IllegalValue),
        };
    }
    let route = requested(encoding, length, body)?;
    Ok(Message::RouteRequest { route: Some(route) })
}

/// RFC 8966 section 4.6.11.
fn sequence_number_request(mut body: Reader<'_>) -> Result<Message, Ignored> {
    let encoding = encoding(&mut body)?;
    let length = fixed(body.u8())?;
    let sequence_number = SequenceNumber(fixed(body.u16())?);
    let [hop_count, _reserved] = fixed(body.array())?;
    let router_id = fixed(body.array())?;
    let route = requested(encoding, length, body)?;
    match (RouterId::new(router_id), hop_count) {
        (Some(router_id), 1..) => Ok(Message::SequenceNumberRequest {
            route,
            router_id,
            sequence_number,
            hop_count,
        }),
        _ => Err(Ignored::IllegalValue),
    }
}

/// The route of a request: no octets are omitted there. Encodings 1 and 4 mean the same (RFC 9229 section 4.3).
fn requested(
    encoding: AddressEncoding,
    length: u8,
    mut body: Reader<'_>,
) -> Result<RouteKey, Ignored> {
    if matches!(
        encoding,
        AddressEncoding::Wildcard | AddressEncoding::LinkLocal
    ) {
        return Err(Ignored::BadAddressEncoding);
    }
    let to = prefix::read(encoding, length, 0, None, &mut body)?;
    let from = SubTlvs::read(body, Some(encoding))?.source_prefix;
    RouteKey::new(to, from).map_err(|_| Ignored::BadSubTlv)
}

/// Body of a probe and its reply.
fn token(mut body: Reader<'_>) -> Result<u32, Ignored> {
    fixed(body.u16())?;
    let token = fixed(body.u32())?;
    no_sub_tlvs(body)?;
    Ok(token)
}

fn digest(mut body: Reader<'_>) -> Result<Message, Ignored> {
    let [first, count] = fixed(body.array())?;
    let interval = interval(&mut body)?;
    if count == 0 || usize::from(first) + usize::from(count) > BLOCKS {
        return Err(Ignored::IllegalValue);
    }
    let octets = fixed(body.take(usize::from(count) * 8))?;
    no_sub_tlvs(body)?;
    let (blocks, _) = octets.as_chunks();
    Ok(Message::Digest {
        first,
        interval,
        blocks: blocks.iter().copied().map(u64::from_be_bytes).collect(),
    })
}

fn digest_mismatch(mut body: Reader<'_>) -> Result<Message, Ignored> {
    let blocks = fixed(body.u64())?;
    no_sub_tlvs(body)?;
    Ok(Message::DigestMismatch { blocks })
}
