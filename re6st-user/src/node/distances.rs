//! Feasibility distances as octets: frames that begin with their length, twice, and a checksum, each with some records.
//! Pure.
//!
//! A frame is written in one go before anything in it is announced. So one that is cut short at the end of the file was
//! not announced yet, and is left out; anything else that does not fit means that the file cannot be trusted.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use blake2::{Blake2s256, Digest as _};
use ipnet::IpNet;

use crate::{
    babel::{
        input::{Distance, InterfaceId},
        message::NextHop,
        quantities::{Metric, RouterId, SequenceNumber},
    },
    route::RouteKey,
};

/// Length, its complement, checksum.
const FRAME_HEADER: usize = 16;

/// Why a file tells nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// A checksum, a length or a record is wrong.
    #[error("it is damaged")]
    Damaged,
    /// What was only in memory then may be missing.
    #[error("it was written before the last boot")]
    OtherBoot,
}

/// Puts a frame behind what is there.
pub fn frame(payload: &[u8], into: &mut Vec<u8>) {
    let length = payload.len() as u32;
    into.extend(length.to_le_bytes());
    into.extend((!length).to_le_bytes());
    into.extend(checksum(payload));
    into.extend(payload);
}

/// The payloads of all whole frames.
///
/// # Errors
/// [`Unusable::Damaged`].
pub fn frames(mut bytes: &[u8]) -> Result<Vec<&[u8]>, Unusable> {
    let mut payloads = Vec::new();
    while let Some((header, rest)) = bytes.split_at_checked(FRAME_HEADER) {
        let word = |at: usize| {
            let octets = header.get(at..).and_then(|rest| rest.first_chunk::<4>());
            u32::from_le_bytes(octets.copied().unwrap_or_default())
        };
        let length = word(0);
        if word(4) != !length {
            return Err(Unusable::Damaged);
        }
        let Some((payload, rest)) = rest.split_at_checked(length as usize) else {
            break;
        };
        if header[8..] != checksum(payload) {
            return Err(Unusable::Damaged);
        }
        payloads.push(payload);
        bytes = rest;
    }
    Ok(payloads)
}

fn checksum(payload: &[u8]) -> [u8; 8] {
    let hash = Blake2s256::digest(payload);
    hash.first_chunk::<8>().copied().unwrap_or_default()
}

/// Puts a record behind what is there: 24 octets for a /64 nobody is used for, 44 with the way.
pub fn put(distance: &Distance, into: &mut Vec<u8>) {
    put_prefix(Some(distance.route.to()), into);
    put_prefix(distance.route.from(), into);
    into.extend(distance.router_id.octets());
    into.extend(distance.sequence_number.0.to_le_bytes());
    into.extend(distance.metric.0.to_le_bytes());
    let Some((interface, next_hop)) = distance.via else {
        into.push(0);
        return;
    };
    match next_hop {
        NextHop::Ipv6(address) => {
            into.push(6);
            into.extend(address.octets());
        }
        NextHop::Ipv4(address) => {
            into.push(4);
            into.extend(address.octets());
        }
    }
    into.extend(interface.0.to_le_bytes());
}

/// Family, length, and as many octets as it has; a single 0 for none.
fn put_prefix(prefix: Option<IpNet>, into: &mut Vec<u8>) {
    let Some(prefix) = prefix else {
        into.push(0);
        return;
    };
    let length = prefix.prefix_len();
    let octets = usize::from(length).div_ceil(8);
    match prefix.network() {
        IpAddr::V4(address) => {
            into.extend([4, length]);
            into.extend(address.octets().iter().take(octets));
        }
        IpAddr::V6(address) => {
            into.extend([6, length]);
            into.extend(address.octets().iter().take(octets));
        }
    }
}

/// All records of a frame.
///
/// # Errors
/// [`Unusable::Damaged`].
pub fn records(mut payload: &[u8]) -> Result<Vec<Distance>, Unusable> {
    let mut records = Vec::new();
    while !payload.is_empty() {
        records.push(take(&mut payload).ok_or(Unusable::Damaged)?);
    }
    Ok(records)
}

fn take(bytes: &mut &[u8]) -> Option<Distance> {
    let to = take_prefix(bytes)??;
    let from = take_prefix(bytes)?;
    let router_id = RouterId::new(take_array(bytes)?)?;
    let sequence_number = SequenceNumber(u16::from_le_bytes(take_array(bytes)?));
    let metric = Metric(u16::from_le_bytes(take_array(bytes)?));
    let next_hop = match take_array(bytes)? {
        [0] => None,
        [6] => Some(NextHop::Ipv6(Ipv6Addr::from(take_array::<16>(bytes)?))),
        [4] => Some(NextHop::Ipv4(Ipv4Addr::from(take_array::<4>(bytes)?))),
        _ => return None,
    };
    let via = match next_hop {
        None => None,
        Some(next_hop) => {
            let interface = InterfaceId(u32::from_le_bytes(take_array(bytes)?));
            Some((interface, next_hop))
        }
    };
    Some(Distance {
        route: RouteKey::new(to, from).ok()?,
        router_id,
        sequence_number,
        metric,
        via,
    })
}

/// `None` if it cannot be read, `Some(None)` if there is none.
fn take_prefix(bytes: &mut &[u8]) -> Option<Option<IpNet>> {
    let [family] = take_array(bytes)?;
    if family == 0 {
        return Some(None);
    }
    let [length] = take_array(bytes)?;
    let (octets, rest) = bytes.split_at_checked(usize::from(length).div_ceil(8))?;
    *bytes = rest;
    let mut address = [0; 16];
    address.get_mut(..octets.len())?.copy_from_slice(octets);
    let address = match family {
        4 => IpAddr::from(*address.first_chunk::<4>()?),
        6 => IpAddr::from(address),
        _ => return None,
    };
    IpNet::new(address, length).ok().map(Some)
}

fn take_array<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*first)
}

#[cfg(test)]
#[expect(clippy::expect_used, reason = "a test may end there")]
mod tests {
    use super::*;

    fn distance(to: &str, from: Option<&str>, via: Option<&str>) -> Distance {
        let prefix = |text: &str| text.parse().expect("a prefix");
        Distance {
            route: RouteKey::new(prefix(to), from.map(prefix)).expect("one family"),
            router_id: RouterId::new([7; 8]).expect("not reserved"),
            sequence_number: SequenceNumber(40_000),
            metric: Metric(96),
            via: via.map(|address| {
                let next_hop = match address.parse().expect("an address") {
                    IpAddr::V4(address) => NextHop::Ipv4(address),
                    IpAddr::V6(address) => NextHop::Ipv6(address),
                };
                (InterfaceId(1 << 31 | 3), next_hop)
            }),
        }
    }

    fn examples() -> Vec<Distance> {
        vec![
            distance("2001:db8:42:1::/64", None, Some("fe80::1")),
            distance("::/0", Some("2001:db8:42::/48"), None),
            distance("10.42.0.0/15", None, Some("192.0.2.1")),
            distance("0.0.0.0/0", Some("10.0.0.0/8"), Some("fe80::2")),
            distance("2001:db8::1/128", None, None),
        ]
    }

    /// A frame for each record.
    fn file() -> Vec<u8> {
        let mut file = Vec::new();
        for example in examples() {
            let mut payload = Vec::new();
            put(&example, &mut payload);
            frame(&payload, &mut file);
        }
        file
    }

    fn read(file: &[u8]) -> Result<Vec<Distance>, Unusable> {
        let mut all = Vec::new();
        for payload in frames(file)? {
            all.extend(records(payload)?);
        }
        Ok(all)
    }

    #[test]
    fn what_is_read_is_what_was_written() {
        assert_eq!(read(&file()), Ok(examples()));
        let mut record = Vec::new();
        put(&examples()[0], &mut record);
        assert_eq!(record.len(), 44);
    }

    #[test]
    fn a_frame_that_is_cut_short_was_not_announced() {
        let file = file();
        for length in 0..file.len() {
            let read = read(&file[..length]).expect("cut, not damaged");
            assert!(examples().starts_with(&read), "{length} octets");
        }
    }

    #[test]
    fn no_changed_octet_goes_unnoticed() {
        let file = file();
        for place in 0..file.len() {
            for bit in 0..8 {
                let mut damaged = file.clone();
                damaged[place] ^= 1 << bit;
                assert_eq!(read(&damaged), Err(Unusable::Damaged), "octet {place}");
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn any_octets_are_records_or_not(octets: Vec<u8>) {
            let _ = records(&octets);
            let _ = frames(&octets);
        }
    }
}
