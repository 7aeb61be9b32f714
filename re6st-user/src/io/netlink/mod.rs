//! Netlink: a blocking socket that sends requests, waits for their answers, and keeps the kernel's own words for errors.
//!
//! [`Netlink`] is generic over the protocol's messages: rtnetlink here ([`Route`]), generic netlink in [`features`] and [`ethtool`].

use std::{io, time::Duration};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_ACK_TLVS, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR,
    NetlinkBuffer, NetlinkDeserializable, NetlinkHeader, NetlinkMessage, NetlinkPayload,
    NetlinkSerializable, NlasIterator,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use nix::sys::{
    socket::{setsockopt, sockopt},
    time::{TimeVal, TimeValLike as _},
};
use thiserror::Error;

pub mod address;
pub mod ethtool;
pub mod features;
pub mod filter;
mod generic;
pub mod link;
pub mod mesh_route;
pub mod monitor;
pub mod neighbour;
pub mod route;
pub mod xfrm;

/// rtnetlink: links, addresses, routes, neighbours of the network namespace the process was in when it was opened.
pub type Rtnetlink = Netlink<RouteNetlinkMessage>;

/// How long the kernel may take to answer one request.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of requests sent at once. Well below the socket's send buffer (`net.core.wmem_default`, 208 KiB).
const BATCH: usize = 64 * 1024;

/// Why a request failed.
#[derive(Debug, Error)]
pub enum NetlinkError {
    /// The kernel refused it; with its explanation where it gives one.
    #[error("{}{}", io::Error::from_raw_os_error(*.errno), .explanation.as_ref().map(|text| format!(" (the kernel says: {text})")).unwrap_or_default())]
    Refused {
        /// As in errno(3).
        errno: i32,
        /// The kernel's extended acknowledgement.
        explanation: Option<String>,
    },
    /// The socket failed.
    #[error("netlink socket: {0}")]
    Socket(#[from] io::Error),
    /// The answer makes no sense to us.
    #[error("the kernel's netlink answer was not understood: {0}")]
    Answer(String),
}

impl NetlinkError {
    /// Whether it is the kernel's refusal with this errno.
    pub fn is(&self, errno: i32) -> bool {
        matches!(self, Self::Refused { errno: own, .. } if *own == errno)
    }
}

/// A refusal of one request of a [`Netlink::batch`]: its place in the sequence, and why.
#[derive(Debug)]
pub struct Refusal {
    /// Counted from 0.
    pub index: usize,
    /// What the kernel answered.
    pub error: NetlinkError,
}

/// A netlink socket that speaks messages of type `M`.
pub struct Netlink<M> {
    socket: Socket,
    port: u32,
    sequence: u32,
    buffer: Vec<u8>,
    messages: std::marker::PhantomData<fn(M) -> M>,
}

impl Rtnetlink {
    /// Opens rtnetlink.
    pub fn open() -> Result<Self, NetlinkError> {
        Self::open_protocol(NETLINK_ROUTE)
    }
}

impl<M> Netlink<M>
where
    M: NetlinkSerializable + NetlinkDeserializable,
{
    /// Opens a netlink protocol (netlink(7)).
    pub fn open_protocol(protocol: isize) -> Result<Self, NetlinkError> {
        let mut socket = Socket::new(protocol)?;
        let port = socket.bind_auto()?.port_number();
        socket.connect(&SocketAddr::new(0, 0))?;
        socket.set_ext_ack(true)?;
        socket.set_cap_ack(true)?;
        let patience = TimeVal::seconds(PATIENCE.as_secs() as i64);
        setsockopt(&socket, sockopt::ReceiveTimeout, &patience).map_err(io::Error::from)?;
        Ok(Self {
            socket,
            port,
            sequence: 0,
            buffer: Vec::new(),
            messages: std::marker::PhantomData,
        })
    }

    /// What the kernel calls this socket: notifications of what it changes carry the number.
    pub const fn port(&self) -> u32 {
        self.port
    }

    /// Sends a request that changes something, and waits until it is done.
    pub fn change(&mut self, message: M, flags: u16) -> Result<(), NetlinkError> {
        self.send(message, NLM_F_REQUEST | NLM_F_ACK | flags)?;
        self.answers(|_| Ok(()))
    }

    /// Sends a request for one object.
    pub fn get(&mut self, message: M) -> Result<M, NetlinkError> {
        self.send(message, NLM_F_REQUEST | NLM_F_ACK)?;
        let mut found = None;
        self.answers(|answer| {
            found = Some(answer);
            Ok(())
        })?;
        found.ok_or_else(|| NetlinkError::Answer("no object in it".to_owned()))
    }

    /// Sends a request for many objects; `visit` sees them one at a time.
    pub fn dump(
        &mut self,
        message: M,
        visit: impl FnMut(M) -> Result<(), NetlinkError>,
    ) -> Result<(), NetlinkError> {
        self.send(message, NLM_F_REQUEST | NLM_F_DUMP)?;
        self.answers(visit)
    }

    /// Sends many requests that change something, many at a time, and waits until all are done. Those the kernel refuses
    /// are returned; the others took effect all the same.
    pub fn batch(
        &mut self,
        requests: impl IntoIterator<Item = (M, u16)>,
    ) -> Result<Vec<Refusal>, NetlinkError> {
        let mut refusals = Vec::new();
        let mut requests = requests.into_iter().enumerate().peekable();
        while let Some((first, _)) = requests.peek() {
            let first = *first;
            let first_sequence = self.sequence.wrapping_add(1);
            self.buffer.clear();
            while let Some((_, (message, flags))) = requests.next() {
                let last = self.buffer.len() >= BATCH || requests.peek().is_none();
                // one acknowledgement a batch; refusals come unasked
                let flags = NLM_F_REQUEST | flags | if last { NLM_F_ACK } else { 0 };
                self.append(message, flags);
                if last {
                    break;
                }
            }
            self.socket.send(&self.buffer, 0)?;
            let count = self.sequence.wrapping_sub(first_sequence) as usize + 1;
            self.acknowledgements(first_sequence, count, first, &mut refusals)?;
        }
        Ok(refusals)
    }

    fn acknowledgements(
        &mut self,
        first_sequence: u32,
        count: usize,
        first: usize,
        refusals: &mut Vec<Refusal>,
    ) -> Result<(), NetlinkError> {
        loop {
            let bytes = self.receive()?;
            for (header, payload) in split(&bytes)? {
                let place = header.sequence_number.wrapping_sub(first_sequence) as usize;
                if header.message_type != NLMSG_ERROR || place >= count {
                    continue;
                }
                if let Err(error) = acknowledgement(&header, payload) {
                    let index = first + place;
                    refusals.push(Refusal { index, error });
                }
                if place + 1 == count {
                    return Ok(());
                }
            }
        }
    }

    fn send(&mut self, message: M, flags: u16) -> Result<(), NetlinkError> {
        self.buffer.clear();
        self.append(message, flags);
        self.socket.send(&self.buffer, 0)?;
        Ok(())
    }

    fn append(&mut self, message: M, flags: u16) {
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.flags = flags;
        header.sequence_number = self.sequence;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(message));
        message.finalize();
        let start = self.buffer.len();
        let length = message.buffer_len().next_multiple_of(4);
        self.buffer.resize(start + length, 0);
        message.serialize(&mut self.buffer[start..start + message.buffer_len()]);
    }

    /// Receives until the last request is answered.
    fn answers(
        &mut self,
        mut visit: impl FnMut(M) -> Result<(), NetlinkError>,
    ) -> Result<(), NetlinkError> {
        // a visitor's error is kept until the answer is read to its end: the next request must not find its rest
        let mut outcome = Ok(());
        loop {
            let bytes = self.receive()?;
            for (header, payload) in split(&bytes)? {
                if header.sequence_number != self.sequence {
                    continue;
                }
                if header.flags & NLM_F_DUMP_INTR != 0 && outcome.is_ok() {
                    outcome = Err(NetlinkError::Refused {
                        errno: libc::EINTR,
                        explanation: Some("the list changed while it was read".to_owned()),
                    });
                }
                match header.message_type {
                    NLMSG_DONE => return outcome,
                    NLMSG_ERROR => return acknowledgement(&header, payload).and(outcome),
                    _ if outcome.is_err() => {}
                    _ => {
                        outcome = M::deserialize(&header, payload)
                            .map_err(|error| NetlinkError::Answer(error.to_string()))
                            .and_then(&mut visit);
                    }
                }
            }
        }
    }

    fn receive(&self) -> Result<Vec<u8>, NetlinkError> {
        loop {
            match self.socket.recv_from_full() {
                Ok((bytes, _)) => return Ok(bytes),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Err(NetlinkError::Socket(io::Error::new(
                        io::ErrorKind::TimedOut,
                        format!("no answer from the kernel in {} s", PATIENCE.as_secs()),
                    )));
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// The messages of one datagram.
fn split(bytes: &[u8]) -> Result<Vec<(NetlinkHeader, &[u8])>, NetlinkError> {
    let mut rest = bytes;
    let mut messages = Vec::new();
    while rest.len() >= 16 {
        let broken =
            |error: netlink_packet_core::DecodeError| NetlinkError::Answer(error.to_string());
        let buffer = NetlinkBuffer::new_checked(rest).map_err(broken)?;
        let mut header = NetlinkHeader::default();
        header.length = buffer.length();
        header.message_type = buffer.message_type();
        header.flags = buffer.flags();
        header.sequence_number = buffer.sequence_number();
        header.port_number = buffer.port_number();
        let length = buffer.length() as usize;
        messages.push((header, &rest[16..length]));
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(messages)
}

/// The outcome an `NLMSG_ERROR` reports: code 0 is success.
fn acknowledgement(header: &NetlinkHeader, payload: &[u8]) -> Result<(), NetlinkError> {
    const EXPLANATION: u16 = 1;
    // the code, then the request's header (with NETLINK_CAP_ACK nothing more of the request), then attributes
    const ATTRIBUTES: usize = 4 + 16;
    let code = payload
        .first_chunk()
        .map(|bytes| i32::from_ne_bytes(*bytes))
        .ok_or_else(|| NetlinkError::Answer("acknowledgement cut short".to_owned()))?;
    if code == 0 {
        return Ok(());
    }
    let attributes = match payload.get(ATTRIBUTES..) {
        Some(attributes) if header.flags & NLM_F_ACK_TLVS != 0 => attributes,
        _ => &[],
    };
    let explanation = NlasIterator::new(attributes)
        .filter_map(Result::ok)
        .find(|attribute| attribute.kind() == EXPLANATION)
        .map(|attribute| {
            String::from_utf8_lossy(attribute.value())
                .trim_end_matches('\0')
                .to_owned()
        });
    Err(NetlinkError::Refused {
        errno: code.wrapping_neg(),
        explanation,
    })
}
