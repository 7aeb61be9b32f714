//! Sub-TLVs (RFC 8966 section 4.4): they follow the fixed part of a TLV.

use ipnet::IpNet;

use super::{address::AddressEncoding, ignored::Ignored, prefix, reader::Reader, tlv::Tlvs};

/// Of a Hello or IHU (RFC 9616 section 3).
pub const TIMESTAMP: u8 = 3;
/// Of an update or a request (RFC 9079 section 5).
pub const SOURCE_PREFIX: u8 = 128;
/// From this type on, a TLV is ignored whose sub-TLV is not understood.
const MANDATORY: u8 = 128;

/// The sub-TLVs of one TLV that mean something to us.
#[derive(Clone, Copy, Debug, Default)]
pub struct SubTlvs<'a> {
    /// The body of the first timestamp.
    pub timestamp: Option<Reader<'a>>,
    /// Only packets from here.
    pub source_prefix: Option<IpNet>,
}

impl<'a> SubTlvs<'a> {
    /// Reads what is left of a TLV. Only prefixes of an encoding can have a source prefix; elsewhere it is as unknown as
    /// any other mandatory sub-TLV.
    pub fn read(body: Reader<'a>, prefixes: Option<AddressEncoding>) -> Result<Self, Ignored> {
        let mut found = Self::default();
        for sub_tlv in Tlvs::new(body) {
            let sub_tlv = sub_tlv.map_err(|_| Ignored::BadSubTlv)?;
            match (sub_tlv.kind, prefixes) {
                (TIMESTAMP, _) => {
                    found.timestamp.get_or_insert(sub_tlv.body);
                }
                (SOURCE_PREFIX, Some(encoding)) => {
                    let source = source_prefix(encoding, sub_tlv.body).ok_or(Ignored::BadSubTlv)?;
                    // at most one (RFC 9079 section 5.1)
                    if found.source_prefix.replace(source).is_some() {
                        return Err(Ignored::BadSubTlv);
                    }
                }
                (MANDATORY.., _) => return Err(Ignored::UnknownMandatorySubTlv),
                _ => {}
            }
        }
        Ok(found)
    }
}

/// Length 0 is not allowed: it would say nothing (RFC 9079 section 5.1).
fn source_prefix(encoding: AddressEncoding, mut body: Reader<'_>) -> Option<IpNet> {
    let length = body.u8().filter(|length| *length > 0)?;
    prefix::read(encoding, length, 0, None, &mut body).ok()
}
