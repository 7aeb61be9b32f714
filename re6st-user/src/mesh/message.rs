//! What nodes that have no tunnel with each other say over the mesh, in UDP datagrams between mesh addresses: a question where the
//! other one is and what its ways cost, and the answer. Each is signed, and brings the record of who says it, so both learn who
//! the other is and where, whatever way the datagrams took.
//!
//! | octets | what |
//! |---|---|
//! | 1 | version: 1 |
//! | 1 | 1 a question, 2 an answer |
//! | 1 | flags: bit 0 of a question: try and reach me, at the addresses of my record; of an answer: there is room for you |
//! | 8 | identifier of the question |
//! | 8 | when it was said, in seconds since 1970 |
//! | 1, and as many bits | the name of the node that it is for: how many bits, and their number in as few octets as hold them |
//! | 2, and as many | a question: names of destinations, each as above; an answer: a metric (2) for each of them, in their order |
//! | 2, and as many | the record of who says it |
//! | 2, and as many | its signature of [`DOMAIN`] and all of the above |

use std::net::IpAddr;

use thiserror::Error;

use super::{QuestionId, routes::Metric};
use crate::{
    certificate::{
        key::PrivateKey,
        node_prefix::NodePrefix,
        record::{MAX_RECORD_SIZE, NodeRecord, RecordError},
        revocations::RevocationList,
        verify::Authorities,
    },
    octets::Reader,
    time::Timestamp,
};

/// The UDP port on which nodes are asked, at their mesh address.
pub const PORT: u16 = 4755;
/// Octets of a message, at most: of 256 destinations with names of 48 bits, and a record.
pub const MAX_MESSAGE_SIZE: usize = 2_048 + MAX_RECORD_SIZE;
/// Destinations of a question, at most.
pub const MAX_DESTINATIONS: usize = 256;
/// Clocks may differ by so many seconds, and messages may be so old.
const CLOCK_SKEW: u64 = 600;
/// What is signed is nothing else.
const DOMAIN: &[u8] = b"re6st-ebpf mesh message\0";
const VERSION: u8 = 1;
const QUESTION: u8 = 1;
const ANSWER: u8 = 2;
/// The flag of a question.
const REACH_US: u8 = 1;
/// The flag of an answer.
const HAS_ROOM: u8 = 1;

/// What is said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Content {
    /// Where are you, and what do your ways to these cost?
    Question {
        /// These; may be none.
        destinations: Vec<NodePrefix>,
        /// And try to reach whoever asks, at the addresses of its record, and no others: so nobody makes others send packets
        /// to an address that it has not put its own name to.
        reach_us: bool,
    },
    /// Where it is says the record.
    Answer {
        /// It serves fewer than it may.
        has_room: bool,
        /// What the ways to the destinations cost, in their order.
        metrics: Vec<Metric>,
    },
}

impl Content {
    const fn kind(&self) -> u8 {
        match self {
            Self::Question { .. } => QUESTION,
            Self::Answer { .. } => ANSWER,
        }
    }

    fn flags(&self) -> u8 {
        match self {
            Self::Question { reach_us, .. } => u8::from(*reach_us) * REACH_US,
            Self::Answer { has_room, .. } => u8::from(*has_room) * HAS_ROOM,
        }
    }
}

/// Something said to this node, and by whom.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    /// Who says it.
    pub by: NodeRecord,
    /// Of the question.
    pub id: QuestionId,
    /// What.
    pub content: Content,
}

/// Why a message is not listened to.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum MessageError {
    /// Not a message.
    #[error("not a message of the mesh")]
    Form,
    /// Somebody sent it from outside of the mesh.
    #[error("it came by no way of the mesh")]
    Outside,
    /// For another node.
    #[error("it is for another node")]
    Recipient,
    /// Too old, or of a clock that is wrong.
    #[error("it is out of date")]
    OutOfDate,
    /// Who says it is nobody we believe.
    #[error("the record of its sender: {0}")]
    Record(#[from] RecordError),
    /// Sent from another node's address, or from nobody's.
    #[error("it comes from another address than its sender's")]
    Sender,
    /// Not signed by who says it.
    #[error("its signature is not its sender's")]
    Signature,
}

impl Message {
    /// Makes a datagram. `own` is the record of who says it, and `key` that of its certificate.
    ///
    /// # Errors
    /// It is too long, or the key cannot sign.
    pub fn sign(
        content: &Content,
        id: QuestionId,
        to: NodePrefix,
        own: &NodeRecord,
        key: &PrivateKey,
        now: Timestamp,
    ) -> Result<Vec<u8>, MessageError> {
        let mut octets = vec![VERSION, content.kind(), content.flags()];
        octets.extend(id.0.to_be_bytes());
        octets.extend(now.0.to_be_bytes());
        put_name(&mut octets, to);
        match content {
            Content::Question { destinations, .. } => {
                octets.extend(count(destinations.len())?);
                destinations
                    .iter()
                    .for_each(|name| put_name(&mut octets, *name));
            }
            Content::Answer { metrics, .. } => {
                octets.extend(count(metrics.len())?);
                octets.extend(metrics.iter().flat_map(|metric| metric.0.to_be_bytes()));
            }
        }
        put(&mut octets, own.octets())?;
        let signature = key.sign(&[DOMAIN, &octets].concat());
        put(
            &mut octets,
            &signature.map_err(|_| MessageError::Signature)?,
        )?;
        Ok(octets)
    }
}

/// A message of which nothing is proven.
#[derive(Clone, Debug)]
pub struct Unproven<'a> {
    id: QuestionId,
    said_at: Timestamp,
    to: NodePrefix,
    content: Content,
    record: &'a [u8],
    /// All that is signed.
    body: &'a [u8],
    signature: &'a [u8],
}

impl<'a> Unproven<'a> {
    /// Takes a datagram, from whomever: all that costs next to nothing is looked at. `own` is the name of this node.
    ///
    /// # Errors
    /// It is no message to this node that could be said now.
    pub fn read(octets: &'a [u8], own: NodePrefix, now: Timestamp) -> Result<Self, MessageError> {
        let message = Self::parse(octets).ok_or(MessageError::Form)?;
        if message.to != own {
            return Err(MessageError::Recipient);
        }
        match message.said_at.since(now).max(now.since(message.said_at)) > CLOCK_SKEW {
            true => Err(MessageError::OutOfDate),
            false => Ok(message),
        }
    }

    /// Verifies two signatures, which takes a quarter of a millisecond. `source` is where it came from: nobody else than a node sends
    /// its messages, or the answers to what somebody has kept would go to it again.
    ///
    /// # Errors
    /// Who says it is nobody that is believed now, or has not said it.
    pub fn prove(
        self,
        source: IpAddr,
        authorities: &Authorities,
        revoked: &RevocationList,
        now: Timestamp,
    ) -> Result<Message, MessageError> {
        let by = NodeRecord::verify(self.record, authorities, revoked, now)?;
        let address = by.node().address(&authorities.network());
        if address.map(|address| IpAddr::V6(address.addr())) != Some(source) {
            return Err(MessageError::Sender);
        }
        let message = [DOMAIN, self.body].concat();
        let key = by.certificate().public_key();
        if !key.verify(&message, self.signature) {
            return Err(MessageError::Signature);
        }
        Ok(Message {
            by,
            id: self.id,
            content: self.content,
        })
    }

    fn parse(octets: &'a [u8]) -> Option<Self> {
        if octets.len() > MAX_MESSAGE_SIZE {
            return None;
        }
        let mut reader = Reader::new(octets);
        if reader.u8()? != VERSION {
            return None;
        }
        let kind = reader.u8()?;
        let flags = reader.u8()?;
        let id = QuestionId(reader.u64()?);
        let said_at = Timestamp(reader.u64()?);
        let to = name(&mut reader)?;
        let count = usize::from(reader.u16()?);
        if count > MAX_DESTINATIONS {
            return None;
        }
        let content = match kind {
            QUESTION => {
                let names: Option<Vec<_>> = (0..count).map(|_| name(&mut reader)).collect();
                Content::Question {
                    destinations: names?,
                    reach_us: flags & REACH_US != 0,
                }
            }
            ANSWER => {
                let metrics: Option<Vec<_>> =
                    (0..count).map(|_| reader.u16().map(Metric)).collect();
                Content::Answer {
                    has_room: flags & HAS_ROOM != 0,
                    metrics: metrics?,
                }
            }
            _ => return None,
        };
        let record = reader.measured()?;
        let body = octets.get(..octets.len() - reader.rest().len())?;
        let signature = reader.measured()?;
        reader.is_empty().then_some(Self {
            id,
            said_at,
            to,
            content,
            record,
            body,
            signature,
        })
    }
}

fn name(reader: &mut Reader<'_>) -> Option<NodePrefix> {
    let length = reader.u8()?;
    let octets = reader.octets(usize::from(length.div_ceil(8)))?;
    let mut number = [0; 16];
    let front = number.len().checked_sub(octets.len())?;
    number.get_mut(front..)?.copy_from_slice(octets);
    NodePrefix::new(u128::from_be_bytes(number), length).ok()
}

fn put_name(out: &mut Vec<u8>, name: NodePrefix) {
    out.push(name.length());
    let number = name.number().to_be_bytes();
    let octets = usize::from(name.length().div_ceil(8)).min(16);
    out.extend(number.get(16 - octets..).unwrap_or_default());
}

fn put(out: &mut Vec<u8>, octets: &[u8]) -> Result<(), MessageError> {
    let length = u16::try_from(octets.len()).map_err(|_| MessageError::Form)?;
    out.extend(length.to_be_bytes());
    out.extend(octets);
    match out.len() <= MAX_MESSAGE_SIZE {
        true => Ok(()),
        false => Err(MessageError::Form),
    }
}

fn count(count: usize) -> Result<[u8; 2], MessageError> {
    let count = u16::try_from(count).ok();
    let count = count.filter(|count| usize::from(*count) <= MAX_DESTINATIONS);
    Ok(count.ok_or(MessageError::Form)?.to_be_bytes())
}
