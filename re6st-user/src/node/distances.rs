//! Feasibility distances as octets: frames that begin with their length, twice, and a checksum, each with some records.
//! Pure.
//!
//! A frame is written in one go before anything in it is announced. So one that is cut short at the end of the file was
//! not announced yet, and is left out; anything else that does not fit means that the file cannot be trusted.

use blake2::{Blake2s256, Digest as _};

use crate::babel::input::Distance;

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

/// Puts a record behind what is there: 32 octets for a /64 nobody is used for, up to 54 with the way.
pub fn put(distance: &Distance, into: &mut Vec<u8>) {
    // a vector takes all that is written to it
    into.extend(postcard::to_stdvec(distance).unwrap_or_default());
}

/// All records of a frame.
///
/// # Errors
/// [`Unusable::Damaged`].
pub fn records(mut payload: &[u8]) -> Result<Vec<Distance>, Unusable> {
    let mut records = Vec::new();
    while !payload.is_empty() {
        let taken = postcard::take_from_bytes(payload).map_err(|_| Unusable::Damaged)?;
        let (record, rest) = taken;
        records.push(record);
        payload = rest;
    }
    Ok(records)
}

#[cfg(test)]
#[expect(clippy::expect_used, reason = "a test may end there")]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::{
        babel::{
            input::InterfaceId,
            message::NextHop,
            quantities::{Metric, RouterId, SequenceNumber},
        },
        route::RouteKey,
    };

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
        assert_eq!(record.len(), 54);
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
