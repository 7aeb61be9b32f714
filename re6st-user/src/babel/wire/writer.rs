//! Writing packets: messages are appended while they fit, as short as the state of the packet lets them be.

use std::net::{IpAddr, Ipv6Addr};

use super::{
    address::AddressEncoding,
    decode::BLOCKS,
    encode::{self, UpdateForm},
    frame::{HEADER, MAGIC, VERSION},
    prefix,
    state::{ParserState, is_host},
    tlv::kind,
};
use crate::babel::{
    message::{Message, NextHop, Update},
    quantities::{Interval, RouterId},
};

/// The longest body a header can tell, in octets.
const MAX_BODY: usize = u16::MAX as usize;
/// As many blocks as fit a TLV.
const MAX_BLOCKS: usize = 31;

/// Why a message was not appended. The packet is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// It belongs in the next packet.
    #[error("no room")]
    Full,
    /// There are no octets for it, in this packet or any other: see [`PacketWriter::push`].
    #[error("the message cannot be written")]
    Illegal,
}

/// A packet that is being written.
#[derive(Clone, Debug)]
pub struct PacketWriter {
    octets: Vec<u8>,
    limit: usize,
    state: ParserState,
    timestamp_at: Option<usize>,
}

impl PacketWriter {
    /// An empty packet that will be sent from `source`. `limit` is in octets of UDP payload; leave room for what
    /// authentication adds.
    pub fn new(limit: usize, source: Ipv6Addr) -> Self {
        let limit = limit.min(HEADER + MAX_BODY);
        let mut octets = Vec::with_capacity(limit);
        octets.extend_from_slice(&[MAGIC, VERSION, 0, 0]);
        Self {
            octets,
            limit,
            state: ParserState::new(source),
            timestamp_at: None,
        }
    }

    /// Whether nothing was appended.
    pub const fn is_empty(&self) -> bool {
        self.octets.len() == HEADER
    }

    /// Octets of UDP payload so far.
    pub const fn len(&self) -> usize {
        self.octets.len()
    }

    /// Where the 4 octets of a Hello's timestamp are, to be overwritten as late as possible (RFC 9616 section 3.1).
    pub const fn timestamp_at(&self) -> Option<usize> {
        self.timestamp_at
    }

    /// Appends a message. Updates are shortest in order of router-id, IPv6 before IPv4, neighbouring prefixes together.
    /// Router-id and next hop of retractions are not written.
    ///
    /// # Errors
    /// [`PushError::Full`] if it does not fit, also for a second Hello with a timestamp: a packet is sent once.
    /// [`PushError::Illegal`] for what receivers would ignore: an interval of 0 (but in Hellos and retractions), hop count
    /// 0, an update without router-id or with a next hop that is missing, of the wrong family or no host's, a digest
    /// without blocks, with more than 31, or beyond block 63.
    pub fn push(&mut self, message: &Message) -> Result<(), PushError> {
        let timestamped = matches!(
            message,
            Message::Hello {
                timestamp: Some(_),
                ..
            }
        );
        if timestamped && self.timestamp_at.is_some() {
            return Err(PushError::Full);
        }
        let (length, state) = (self.octets.len(), self.state);
        match message {
            Message::Update(update) => self.push_update(update)?,
            message if is_legal(message) => encode::message(&mut self.octets, message),
            _ => return Err(PushError::Illegal),
        }
        if self.octets.len() > self.limit {
            self.octets.truncate(length);
            self.state = state;
            return Err(PushError::Full);
        }
        if timestamped {
            self.timestamp_at = Some(self.octets.len() - 4);
        }
        Ok(())
    }

    /// Fills what is left of the packet with padding (RFC 8966 sections 4.6.1 and 4.6.2).
    pub fn pad(&mut self) {
        loop {
            match self.limit.saturating_sub(self.octets.len()) {
                0 => return,
                1 => self.octets.push(kind::PAD1),
                left => encode::padding(&mut self.octets, (left - 2).min(usize::from(u8::MAX))),
            }
        }
    }

    /// The packet; its trailer is empty.
    pub fn finish(mut self) -> Vec<u8> {
        let body = (self.octets.len() - HEADER) as u16;
        if let Some(length) = self.octets.get_mut(2..HEADER) {
            length.copy_from_slice(&body.to_be_bytes());
        }
        self.octets
    }

    fn push_update(&mut self, update: &Update) -> Result<(), PushError> {
        let encoding = if update.metric.is_infinite() {
            encode::encoding_of(&update.route)
        } else {
            let (router_id, next_hop) = origin(update).ok_or(PushError::Illegal)?;
            let encoding = encoding(update, next_hop).ok_or(PushError::Illegal)?;
            self.push_router_id(router_id);
            self.push_next_hop(encoding, next_hop);
            encoding
        };
        let form = self.form(encoding, update);
        if form.flags != 0 {
            let octets = prefix::octets(update.route.to());
            self.state.set_default_prefix(encoding, octets);
        }
        encode::update(&mut self.octets, update, form);
        Ok(())
    }

    fn push_router_id(&mut self, router_id: RouterId) {
        if self.state.router_id != Some(router_id) {
            encode::router_id(&mut self.octets, router_id);
            self.state.router_id = Some(router_id);
        }
    }

    fn push_next_hop(&mut self, encoding: AddressEncoding, next_hop: NextHop) {
        if self.state.next_hop(encoding) != Some(next_hop) {
            let address = address(next_hop);
            encode::next_hop(&mut self.octets, address, AddressEncoding::of(address));
            self.state.set_next_hop(address);
        }
    }

    /// Omits what the default prefix gives; what the prefix has beyond that becomes the default.
    fn form(&self, encoding: AddressEncoding, update: &Update) -> UpdateForm {
        let to = update.route.to();
        let count = prefix::octet_count(to.prefix_len());
        let omitted = self
            .state
            .default_prefix(encoding)
            .map_or(0, |default| common_octets(default, prefix::octets(to)))
            .min(count);
        UpdateForm {
            encoding,
            flags: encode::default_prefix_flag(count > omitted),
            omitted: omitted as u8,
        }
    }
}

fn common_octets(one: prefix::PrefixOctets, other: prefix::PrefixOctets) -> usize {
    one.iter()
        .zip(other)
        .take_while(|(one, other)| **one == *other)
        .count()
}

/// What an update that is no retraction must have.
fn origin(update: &Update) -> Option<(RouterId, NextHop)> {
    let next_hop = update
        .next_hop
        .filter(|next_hop| is_host(address(*next_hop)))?;
    let scheduled = update.interval != Interval::UNSCHEDULED;
    Some((update.router_id?, next_hop)).filter(|_| scheduled)
}

const fn encoding(update: &Update, next_hop: NextHop) -> Option<AddressEncoding> {
    match (encode::encoding_of(&update.route), next_hop) {
        (AddressEncoding::Ipv4, NextHop::Ipv6(_)) => Some(AddressEncoding::Ipv4ViaIpv6),
        (AddressEncoding::Ipv6, NextHop::Ipv4(_)) => None,
        (encoding, _) => Some(encoding),
    }
}

const fn address(next_hop: NextHop) -> IpAddr {
    match next_hop {
        NextHop::Ipv6(address) => IpAddr::V6(address),
        NextHop::Ipv4(address) => IpAddr::V4(address),
    }
}

/// Whether receivers may accept it.
fn is_legal(message: &Message) -> bool {
    match message {
        Message::AcknowledgmentRequest { interval, .. } | Message::IHeardYou { interval, .. } => {
            *interval != Interval::UNSCHEDULED
        }
        Message::SequenceNumberRequest { hop_count, .. } => *hop_count > 0,
        Message::Digest {
            first,
            interval,
            blocks,
        } => {
            (1..=MAX_BLOCKS).contains(&blocks.len())
                && usize::from(*first) + blocks.len() <= BLOCKS
                && *interval != Interval::UNSCHEDULED
        }
        _ => true,
    }
}
