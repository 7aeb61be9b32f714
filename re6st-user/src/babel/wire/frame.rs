//! A packet's outermost form: header, body, trailer (RFC 8966 section 4.2), and the TLVs that authentication reads before
//! anybody looks at messages (RFC 8967).

use super::{
    encode,
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
pub const MAX_NONCE: usize = 192;
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
    /// Its header cannot tell how long it is.
    #[error("longer than a packet can be")]
    TooLong,
}

/// A packet, taken apart once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketParts<'a> {
    /// Header and body, which MACs cover.
    pub signed: &'a [u8],
    /// The TLVs of the body.
    pub body: &'a [u8],
    /// What follows the body.
    pub trailer: &'a [u8],
}

impl<'a> PacketParts<'a> {
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

/// Appends a packet counter to the body (RFC 8967 section 6.2). A trailer is dropped.
///
/// # Errors
/// [`PacketError`] if it is no packet, or one that would be too long.
pub fn append_packet_counter(
    packet: &mut Vec<u8>,
    counter: u32,
    index: &[u8],
) -> Result<(), PacketError> {
    let signed = PacketParts::new(packet)?.signed.len();
    let body = signed - HEADER + packet_counter_tlv_length(index.len());
    let length = u16::try_from(body).map_err(|_| PacketError::TooLong)?;
    packet.truncate(signed);
    encode::tlv(packet, kind::PACKET_COUNTER, |body| {
        body.extend_from_slice(&counter.to_be_bytes());
        body.extend_from_slice(index);
    });
    if let Some(place) = packet.get_mut(2..HEADER) {
        place.copy_from_slice(&length.to_be_bytes());
    }
    Ok(())
}

/// Appends a MAC to the trailer (RFC 8967 section 6.1).
pub fn append_mac(packet: &mut Vec<u8>, mac: &[u8]) {
    encode::tlv(packet, kind::MAC, |body| body.extend_from_slice(mac));
}

/// A packet that challenges, and answers a challenge; `None` if it would do neither (RFC 8967 sections 6.3 and 6.4).
pub fn challenges(request: Option<&[u8]>, reply: Option<&[u8]>) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    for (kind, nonce) in [
        (kind::CHALLENGE_REQUEST, request),
        (kind::CHALLENGE_REPLY, reply),
    ] {
        if let Some(nonce) = nonce.filter(|nonce| nonce.len() <= MAX_NONCE) {
            encode::tlv(&mut body, kind, |body| body.extend_from_slice(nonce));
        }
    }
    let mut packet = vec![MAGIC, VERSION];
    packet.extend_from_slice(&(body.len() as u16).to_be_bytes());
    packet.append(&mut body);
    (packet.len() > HEADER).then_some(packet)
}

/// Length of a MAC TLV, in octets.
pub const fn mac_tlv_length(mac: usize) -> usize {
    2 + mac
}

/// Length of a packet counter TLV, in octets.
pub const fn packet_counter_tlv_length(index: usize) -> usize {
    6 + index
}
