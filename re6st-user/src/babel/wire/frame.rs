//! A packet's outermost form: header, body, trailer (RFC 8966 section 4.2), and the TLVs that authentication reads before
//! anybody looks at messages (RFC 8967).

use super::{
    reader::Reader,
    tlv::{Tlvs, kind},
};

/// First octet of all packets.
pub const MAGIC: u8 = 42;
/// Second octet.
pub const VERSION: u8 = 2;
/// Magic, version and body length, in octets.
pub const HEADER: usize = 4;
/// The longest nonce of a challenge, in octets (RFC 8967 section 6.3).
const MAX_NONCE: usize = 192;
/// The longest index of a packet counter, in octets (RFC 8967 section 6.2).
const MAX_INDEX: usize = 32;

/// Why nothing of a packet is read (RFC 8966 sections 3.1 and 4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum PacketError {
    /// It is not from this link.
    #[error("the source address is not link-local")]
    NotLinkLocal,
    /// No room for the header.
    #[error("shorter than a header")]
    TooShort,
    /// Something else uses the port.
    #[error("the first octet is not 42")]
    BadMagic,
    /// Another protocol of the same name.
    #[error("another version than 2")]
    BadVersion,
    /// The body ends after the packet.
    #[error("the body is cut off")]
    Truncated,
}

/// A packet, taken apart once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Header and body, which MACs cover.
    pub signed: &'a [u8],
    /// The TLVs of the body.
    pub body: &'a [u8],
    /// What follows the body.
    pub trailer: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Takes a UDP payload apart.
    ///
    /// # Errors
    /// [`PacketError`], if the header does not fit it.
    pub fn new(packet: &'a [u8]) -> Result<Self, PacketError> {
        let mut reader = Reader::new(packet);
        let header: [u8; HEADER] = reader.array().ok_or(PacketError::TooShort)?;
        let [magic, version, length @ ..] = header;
        if magic != MAGIC {
            return Err(PacketError::BadMagic);
        }
        if version != VERSION {
            return Err(PacketError::BadVersion);
        }
        let body = HEADER + usize::from(u16::from_be_bytes(length));
        let (signed, trailer) = packet
            .split_at_checked(body)
            .ok_or(PacketError::Truncated)?;
        Ok(Self {
            signed,
            body: signed.get(HEADER..).unwrap_or_default(),
            trailer,
        })
    }

    /// The digests of the MAC TLVs. Other TLVs of a trailer are ignored (RFC 8966 section 4.2).
    pub fn macs(&self) -> impl Iterator<Item = &'a [u8]> {
        Tlvs::new(Reader::new(self.trailer))
            .map_while(Result::ok)
            .filter(|tlv| tlv.kind == kind::MAC)
            .map(|tlv| tlv.body.rest())
    }

    /// What the body says about its being new.
    pub fn freshness(&self) -> Freshness<'a> {
        let mut found = Freshness::default();
        for tlv in Tlvs::new(Reader::new(self.body)).map_while(Result::ok) {
            let mut body = tlv.body;
            match tlv.kind {
                kind::PACKET_COUNTER if found.counter.is_none() => {
                    found.counter = body
                        .u32()
                        .map(|counter| (counter, body.rest()))
                        .filter(|(_, index)| index.len() <= MAX_INDEX);
                }
                kind::CHALLENGE_REQUEST if body.rest().len() <= MAX_NONCE => {
                    found.request = Some(body.rest());
                }
                kind::CHALLENGE_REPLY if body.rest().len() <= MAX_NONCE => {
                    found.reply = Some(body.rest());
                }
                _ => {}
            }
        }
        found
    }
}

/// The TLVs of RFC 8967 in a body: the first packet counter and the last challenges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Freshness<'a> {
    /// The packet's number, and the index under which its sender counts.
    pub counter: Option<(u32, &'a [u8])>,
    /// A nonce to be sent back.
    pub request: Option<&'a [u8]>,
    /// A nonce sent back.
    pub reply: Option<&'a [u8]>,
}
