//! The messages inside transport packets: a type (u8), a length (u16) and a value, one after another. Unknown types are
//! skipped and counted; what follows the fields of a known one is ignored. So a later release can add either.

use std::net::SocketAddr;

use thiserror::Error;

use crate::octets::{Reader, put_socket_address};

/// Octets of an ML-KEM-768 encapsulation key (FIPS 203, table 3).
pub const ENCAPSULATION_KEY: usize = 1_184;
/// Octets of an ML-KEM-768 ciphertext.
pub const CIPHERTEXT: usize = 1_088;
/// Octets before a message's value.
pub const MESSAGE_HEADER: usize = 3;
/// Octets of the text of a Close message at most.
pub const MAX_CLOSE_TEXT: usize = 200;

/// How many packets of a session have come.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Receipt {
    /// The highest counter of them; 0 if none has come.
    pub highest: u64,
    /// How many.
    pub received: u64,
}

/// How data is carried beside the channel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Encapsulation {
    /// GRE in UDP, in clear.
    Fou,
    /// One that this release does not know.
    Other(u8),
}

/// What one side takes in the clear tunnel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TunnelTerms {
    /// The GRE key it accepts.
    pub key: u32,
    /// The biggest inner packet it takes, in octets.
    pub largest: u16,
    /// The encapsulation.
    pub encapsulation: Encapsulation,
    /// It has the other side's key (bit 0 of the flags).
    pub has_yours: bool,
    /// Somebody here is behind NAT: the other side is to send from the fixed port (bit 1).
    pub behind_nat: bool,
    /// It knows that the other side has its key, too: there is nothing to answer (bit 2).
    pub complete: bool,
    /// What comes from any other port reaches it, too: no firewall keeps out what it has not asked for (bit 3).
    pub open: bool,
}

/// Signed documents that nodes pass on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum DocumentKind {
    /// The network's parameters.
    Parameters,
    /// The revocation list.
    Revocations,
    /// Who succeeds an authority.
    Successions,
}

impl DocumentKind {
    const fn number(self) -> u8 {
        match self {
            Self::Parameters => 1,
            Self::Revocations => 2,
            Self::Successions => 3,
        }
    }

    const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Parameters),
            2 => Some(Self::Revocations),
            3 => Some(Self::Successions),
            _ => None,
        }
    }
}

/// Why a session ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CloseReason {
    /// The node ends (1).
    ShutDown,
    /// The peer is no longer in the file, or its place is needed (2).
    NotWanted,
    /// The peer's certificate is no longer valid by the clock (3).
    Expired,
    /// The peer's certificate was revoked (4).
    Revoked,
    /// The peer may not be here, for another reason (5).
    NotAuthorised,
    /// There is no room for more peers (6).
    Full,
    /// The data plane could not open the tunnel (7).
    NoTunnel,
    /// The mesh of the sender has no use for the tunnel any more (8).
    NotNeeded,
    /// Another reason, or one that this release does not know.
    Other(u8),
}

impl CloseReason {
    const fn number(self) -> u8 {
        match self {
            Self::ShutDown => 1,
            Self::NotWanted => 2,
            Self::Expired => 3,
            Self::Revoked => 4,
            Self::NotAuthorised => 5,
            Self::Full => 6,
            Self::NoTunnel => 7,
            Self::NotNeeded => 8,
            Self::Other(number) => number,
        }
    }

    const fn from_number(number: u8) -> Self {
        match number {
            1 => Self::ShutDown,
            2 => Self::NotWanted,
            3 => Self::Expired,
            4 => Self::Revoked,
            5 => Self::NotAuthorised,
            6 => Self::Full,
            7 => Self::NoTunnel,
            8 => Self::NotNeeded,
            number => Self::Other(number),
        }
    }
}

/// One message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Message<'a> {
    /// So many zeros that mean nothing (0).
    Padding(u16),
    /// A packet of Babel (1).
    Babel {
        /// To this neighbour alone, not to the group.
        unicast: bool,
        /// From its magic number on.
        packet: &'a [u8],
    },
    /// Asks for a reply at once (2).
    Probe(u64),
    /// The reply (3).
    ProbeReply {
        /// What the probe carried.
        echoed: u64,
        /// How long the probe waited here, in microseconds.
        waited: u32,
    },
    /// What has come of this session so far (4).
    Receipt(Receipt),
    /// ML-KEM-768's encapsulation key, from the initiator (5).
    EncapsulationKey(&'a [u8; ENCAPSULATION_KEY]),
    /// ML-KEM-768's ciphertext, from the responder (6).
    Ciphertext(&'a [u8; CIPHERTEXT]),
    /// The clear tunnel (7).
    Tunnel(TunnelTerms),
    /// The numbers of the documents it has; 0 if none (9).
    Have {
        /// Of the parameters.
        parameters: u64,
        /// Of the revocation list.
        revocations: u64,
    },
    /// Asks for a document's octets from here on (10).
    Want {
        /// Which.
        kind: DocumentKind,
        /// Its number.
        number: u64,
        /// From this octet on.
        offset: u32,
    },
    /// A part of a document (11).
    Piece {
        /// Which.
        kind: DocumentKind,
        /// Its number.
        number: u64,
        /// Where the part begins.
        offset: u32,
        /// Octets of the whole document.
        total: u32,
        /// The part.
        octets: &'a [u8],
    },
    /// The session ends (13).
    Close {
        /// Why.
        reason: CloseReason,
        /// Why, in words; up to [`MAX_CLOSE_TEXT`] octets. Not [printable](crate::printable) by itself.
        text: &'a str,
    },
    /// A packet of a certain size, filled up by padding (14).
    PathProbe {
        /// Which.
        id: u32,
        /// Octets of the whole IP packet.
        size: u16,
    },
    /// It has come (15).
    PathProbeReply {
        /// Which.
        id: u32,
    },
    /// Where the other side's packets come from (16).
    SeenAt(SocketAddr),
    /// A type that this release does not know. Not to be written.
    Unknown(u8),
}

/// Why a message is refused, and all that follow it in its packet.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Error)]
pub enum MessageError {
    /// It is longer than what is left of its packet.
    #[error("message {0} is cut off")]
    Truncated(u8),
    /// Its value is not what its type wants.
    #[error("message {0} is malformed")]
    Malformed(u8),
}

impl MessageError {
    /// Its counter's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Truncated(_) => "truncated_message",
            Self::Malformed(_) => "malformed_message",
        }
    }
}

impl<'a> Message<'a> {
    /// The type's number.
    pub const fn kind(&self) -> u8 {
        match self {
            Self::Padding(_) => 0,
            Self::Babel { .. } => 1,
            Self::Probe(_) => 2,
            Self::ProbeReply { .. } => 3,
            Self::Receipt(_) => 4,
            Self::EncapsulationKey(_) => 5,
            Self::Ciphertext(_) => 6,
            Self::Tunnel(_) => 7,
            Self::Have { .. } => 9,
            Self::Want { .. } => 10,
            Self::Piece { .. } => 11,
            Self::Close { .. } => 13,
            Self::PathProbe { .. } => 14,
            Self::PathProbeReply { .. } => 15,
            Self::SeenAt(_) => 16,
            Self::Unknown(kind) => *kind,
        }
    }

    /// Whether it may come in epoch 0 although ML-KEM is agreed on: only what leads to epoch 1, or ends the session, and the terms
    /// of the tunnel, whose key everybody on the path sees anyway. (Types that we do not know are skipped there as elsewhere.)
    pub const fn may_precede_post_quantum(&self) -> bool {
        matches!(
            self,
            Self::Padding(_)
                | Self::EncapsulationKey(_)
                | Self::Ciphertext(_)
                | Self::Tunnel(_)
                | Self::Close { .. }
                | Self::Unknown(_)
        )
    }

    fn parse(kind: u8, value: &'a [u8]) -> Option<Self> {
        let mut fields = Reader::new(value);
        Some(match kind {
            0 => Self::Padding(u16::try_from(value.len()).ok()?),
            1 => Self::Babel {
                unicast: match fields.u8()? {
                    0 => false,
                    1 => true,
                    _ => return None,
                },
                packet: fields.rest(),
            },
            2 => Self::Probe(fields.u64()?),
            3 => Self::ProbeReply {
                echoed: fields.u64()?,
                waited: fields.u32()?,
            },
            4 => Self::Receipt(Receipt {
                highest: fields.u64()?,
                received: fields.u64()?,
            }),
            5 => Self::EncapsulationKey(fields.array()?),
            6 => Self::Ciphertext(fields.array()?),
            7 => Self::Tunnel(tunnel(&mut fields)?),
            9 => Self::Have {
                parameters: fields.u64()?,
                revocations: fields.u64()?,
            },
            10 => Self::Want {
                kind: DocumentKind::from_number(fields.u8()?)?,
                number: fields.u64()?,
                offset: fields.u32()?,
            },
            11 => Self::Piece {
                kind: DocumentKind::from_number(fields.u8()?)?,
                number: fields.u64()?,
                offset: fields.u32()?,
                total: fields.u32()?,
                octets: fields.rest(),
            },
            13 => Self::Close {
                reason: CloseReason::from_number(fields.u8()?),
                text: Some(fields.rest())
                    .filter(|text| text.len() <= MAX_CLOSE_TEXT)
                    .and_then(|text| str::from_utf8(text).ok())?,
            },
            14 => Self::PathProbe {
                id: fields.u32()?,
                size: fields.u16()?,
            },
            15 => Self::PathProbeReply { id: fields.u32()? },
            16 => Self::SeenAt(fields.socket_address()?),
            unknown => Self::Unknown(unknown),
        })
    }

    /// Octets it takes in a packet.
    pub fn encoded_length(&self) -> usize {
        let value = match self {
            Self::Padding(zeros) => usize::from(*zeros),
            Self::Babel { packet, .. } => 1 + packet.len(),
            Self::Probe(_) => 8,
            Self::ProbeReply { .. } => 12,
            Self::Receipt(_) | Self::Have { .. } => 16,
            Self::EncapsulationKey(_) => ENCAPSULATION_KEY,
            Self::Ciphertext(_) => CIPHERTEXT,
            Self::Tunnel(_) => 8,
            Self::Want { .. } => 13,
            Self::Piece { octets, .. } => 17 + octets.len(),
            Self::Close { text, .. } => 1 + text.len().min(MAX_CLOSE_TEXT),
            Self::PathProbe { .. } => 6,
            Self::PathProbeReply { .. } => 4,
            Self::SeenAt(address) if address.is_ipv4() => 7,
            Self::SeenAt(_) => 19,
            Self::Unknown(_) => 0,
        };
        MESSAGE_HEADER + value
    }

    /// Appends it to a packet's plaintext. A value is up to 65,535 octets; callers keep packets below the path's MTU, so
    /// longer ones are an error of ours, and are cut.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.kind());
        let length_at = out.len();
        out.extend([0, 0]);
        self.put_value(out);
        let begin = length_at + 2;
        out.truncate(begin + usize::from(u16::MAX));
        let length = out.len() - begin;
        if let Some(field) = out.get_mut(length_at..begin) {
            field.copy_from_slice(&(length as u16).to_be_bytes());
        }
    }

    fn put_value(&self, out: &mut Vec<u8>) {
        match *self {
            Self::Padding(zeros) => out.resize(out.len() + usize::from(zeros), 0),
            Self::Babel { unicast, packet } => {
                out.push(unicast.into());
                out.extend(packet);
            }
            Self::Probe(opaque) => out.extend(opaque.to_be_bytes()),
            Self::ProbeReply { echoed, waited } => {
                out.extend(echoed.to_be_bytes());
                out.extend(waited.to_be_bytes());
            }
            Self::Receipt(receipt) => {
                out.extend(receipt.highest.to_be_bytes());
                out.extend(receipt.received.to_be_bytes());
            }
            Self::EncapsulationKey(key) => out.extend(key),
            Self::Ciphertext(ciphertext) => out.extend(ciphertext),
            Self::Tunnel(terms) => put_tunnel(out, terms),
            Self::Have {
                parameters,
                revocations,
            } => {
                out.extend(parameters.to_be_bytes());
                out.extend(revocations.to_be_bytes());
            }
            Self::Want {
                kind,
                number,
                offset,
            } => {
                out.push(kind.number());
                out.extend(number.to_be_bytes());
                out.extend(offset.to_be_bytes());
            }
            Self::Piece {
                kind,
                number,
                offset,
                total,
                octets,
            } => {
                out.push(kind.number());
                out.extend(number.to_be_bytes());
                out.extend(offset.to_be_bytes());
                out.extend(total.to_be_bytes());
                out.extend(octets);
            }
            Self::Close { reason, text } => {
                out.push(reason.number());
                let end = text.floor_char_boundary(MAX_CLOSE_TEXT);
                out.extend(text.as_bytes().iter().take(end));
            }
            Self::PathProbe { id, size } => {
                out.extend(id.to_be_bytes());
                out.extend(size.to_be_bytes());
            }
            Self::PathProbeReply { id } => out.extend(id.to_be_bytes()),
            Self::SeenAt(address) => put_socket_address(out, address),
            Self::Unknown(_) => {}
        }
    }
}

fn tunnel(fields: &mut Reader<'_>) -> Option<TunnelTerms> {
    let key = fields.u32()?;
    let largest = fields.u16()?;
    let encapsulation = match fields.u8()? {
        1 => Encapsulation::Fou,
        other => Encapsulation::Other(other),
    };
    let flags = fields.u8()?;
    Some(TunnelTerms {
        key,
        largest,
        encapsulation,
        has_yours: flags & 1 != 0,
        behind_nat: flags & 2 != 0,
        complete: flags & 4 != 0,
        open: flags & 8 != 0,
    })
}

fn put_tunnel(out: &mut Vec<u8>, terms: TunnelTerms) {
    out.extend(terms.key.to_be_bytes());
    out.extend(terms.largest.to_be_bytes());
    out.push(match terms.encapsulation {
        Encapsulation::Fou => 1,
        Encapsulation::Other(number) => number,
    });
    out.push(
        u8::from(terms.has_yours)
            | u8::from(terms.behind_nat) << 1
            | u8::from(terms.complete) << 2
            | u8::from(terms.open) << 3,
    );
}

/// The messages of a packet's plaintext, one by one. Ends with the first that is refused.
#[derive(Clone, Copy, Debug)]
pub struct Messages<'a>(Reader<'a>);

impl<'a> Messages<'a> {
    /// Of this plaintext.
    pub const fn new(plaintext: &'a [u8]) -> Self {
        Self(Reader::new(plaintext))
    }

    fn read(&mut self) -> Result<Message<'a>, MessageError> {
        let kind = self.0.u8().unwrap_or_default();
        let truncated = MessageError::Truncated(kind);
        let length = self.0.u16().ok_or(truncated)?;
        let value = self.0.octets(length.into()).ok_or(truncated)?;
        Message::parse(kind, value).ok_or(MessageError::Malformed(kind))
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Result<Message<'a>, MessageError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let message = self.read();
        if message.is_err() {
            self.0 = Reader::new(&[]);
        }
        Some(message)
    }
}
