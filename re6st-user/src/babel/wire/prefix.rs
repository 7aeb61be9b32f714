//! Prefixes on the wire: as many octets as their length needs (RFC 8966 section 4.1.5), the first of them omitted if an
//! earlier prefix has given them.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{address::AddressEncoding, ignored::Ignored, reader::Reader};

/// The octets of a prefix, zeros behind its length; 4 or 16 of them count.
pub type PrefixOctets = [u8; 16];

/// How many octets a prefix of this length has.
pub const fn octet_count(length: u8) -> usize {
    length.div_ceil(8) as usize
}

/// The octets of a prefix, from the first one on.
pub fn octets(prefix: IpNet) -> PrefixOctets {
    match prefix.trunc() {
        IpNet::V6(prefix) => prefix.addr().octets(),
        IpNet::V4(prefix) => {
            let mut octets = [0; 16];
            if let Some(front) = octets.first_chunk_mut() {
                *front = prefix.addr().octets();
            }
            octets
        }
    }
}

/// Reads a prefix of `length` bits whose first `omitted` octets are those of `default`. Bits behind the length do not
/// count.
pub fn read(
    encoding: AddressEncoding,
    length: u8,
    omitted: u8,
    default: Option<PrefixOctets>,
    body: &mut Reader<'_>,
) -> Result<IpNet, Ignored> {
    let omitted = usize::from(omitted);
    let mut octets = match (omitted, default) {
        (0, _) => [0; 16],
        (_, Some(default)) => default,
        (_, None) => return Err(Ignored::BadPrefix),
    };
    let count = octet_count(length);
    let places = octets.get_mut(omitted..count).ok_or(Ignored::BadPrefix)?;
    let given = body.take(places.len()).ok_or(Ignored::TooShort)?;
    places.copy_from_slice(given);
    net(encoding, octets, length).ok_or(Ignored::BadPrefix)
}

/// Behind the prefix, `default` may have had more octets: they go too.
fn net(encoding: AddressEncoding, octets: PrefixOctets, length: u8) -> Option<IpNet> {
    match encoding {
        AddressEncoding::Ipv4 | AddressEncoding::Ipv4ViaIpv6 => {
            let address = Ipv4Addr::from(*octets.first_chunk::<4>()?);
            Ipv4Net::new(address, length)
                .ok()
                .map(|net| net.trunc().into())
        }
        AddressEncoding::Ipv6 => Ipv6Net::new(Ipv6Addr::from(octets), length)
            .ok()
            .map(|net| net.trunc().into()),
        AddressEncoding::Wildcard | AddressEncoding::LinkLocal => None,
    }
}

/// Writes a prefix without its first `omitted` octets.
pub fn write(prefix: IpNet, omitted: u8, packet: &mut Vec<u8>) {
    let all = octets(prefix);
    let given = all
        .get(usize::from(omitted)..octet_count(prefix.prefix_len()))
        .unwrap_or_default();
    packet.extend_from_slice(given);
}
