//! The outer form of all TLVs (RFC 8966 section 4.3).

use super::reader::Reader;

/// Types of TLVs (RFC 8966 section 4.6, RFC 8967 section 6), and our own.
pub mod kind {
    /// One octet of padding.
    pub const PAD1: u8 = 0;
    /// Any amount of padding.
    pub const PADN: u8 = 1;
    /// RFC 8966 section 4.6.3.
    pub const ACKNOWLEDGMENT_REQUEST: u8 = 2;
    /// RFC 8966 section 4.6.4.
    pub const ACKNOWLEDGMENT: u8 = 3;
    /// RFC 8966 section 4.6.5.
    pub const HELLO: u8 = 4;
    /// RFC 8966 section 4.6.6.
    pub const I_HEARD_YOU: u8 = 5;
    /// RFC 8966 section 4.6.7.
    pub const ROUTER_ID: u8 = 6;
    /// RFC 8966 section 4.6.8.
    pub const NEXT_HOP: u8 = 7;
    /// RFC 8966 section 4.6.9.
    pub const UPDATE: u8 = 8;
    /// RFC 8966 section 4.6.10.
    pub const ROUTE_REQUEST: u8 = 9;
    /// RFC 8966 section 4.6.11.
    pub const SEQUENCE_NUMBER_REQUEST: u8 = 10;
    /// RFC 8967 section 6.1; of the trailer.
    pub const MAC: u8 = 16;
    /// RFC 8967 section 6.2.
    pub const PACKET_COUNTER: u8 = 17;
    /// RFC 8967 section 6.3.
    pub const CHALLENGE_REQUEST: u8 = 18;
    /// RFC 8967 section 6.4.
    pub const CHALLENGE_REPLY: u8 = 19;
    /// Ours (224 to 254 are for experiments, RFC 8966 section 5).
    pub const PROBE: u8 = 224;
    /// Ours.
    pub const PROBE_REPLY: u8 = 225;
    /// Ours.
    pub const DIGEST: u8 = 226;
    /// Ours.
    pub const DIGEST_MISMATCH: u8 = 227;
}

/// One TLV, or sub-TLV: they look alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tlv<'a> {
    /// See [`kind`].
    pub kind: u8,
    /// What follows the length.
    pub body: Reader<'a>,
}

/// A TLV claims more octets than there are; what follows cannot be found (RFC 8966 section 4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overrun;

/// The TLVs of a body or a trailer, or the sub-TLVs of a TLV, without padding. Ends after an [`Overrun`].
#[derive(Clone, Debug)]
pub struct Tlvs<'a>(Reader<'a>);

impl<'a> Tlvs<'a> {
    /// Of these octets.
    pub const fn new(octets: Reader<'a>) -> Self {
        Self(octets)
    }

    /// The next one; `None` where only one octet of it is there.
    fn read(&mut self, kind: u8) -> Option<Tlv<'a>> {
        let length = self.0.u8()?;
        let body = self.0.take(usize::from(length))?;
        Some(Tlv {
            kind,
            body: Reader::new(body),
        })
    }
}

impl<'a> Iterator for Tlvs<'a> {
    type Item = Result<Tlv<'a>, Overrun>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.0.u8()? {
                kind::PAD1 => {}
                kind => match self.read(kind) {
                    Some(Tlv {
                        kind: kind::PADN, ..
                    }) => {}
                    Some(tlv) => return Some(Ok(tlv)),
                    None => {
                        self.0 = Reader::new(&[]);
                        return Some(Err(Overrun));
                    }
                },
            }
        }
    }
}
