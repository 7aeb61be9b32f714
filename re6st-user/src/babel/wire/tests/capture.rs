//! Reads captures (libpcap's file format) of Babel over UDP over IPv6.

use std::{fs, net::Ipv6Addr, path::Path};

use crate::babel::wire::reader::Reader;

/// Octets of the file's header before the link type, of a record's header before its length, and of an IPv6 header before
/// its addresses.
const BEFORE_LINK_TYPE: usize = 20;
const BEFORE_LENGTH: usize = 8;
const BEFORE_ADDRESSES: usize = 8;
const UDP_HEADER: usize = 8;

/// A packet as it was captured.
pub struct Captured {
    /// The whole frame.
    pub frame: Vec<u8>,
    /// The Babel packet in it, if it is whole.
    pub packet: Option<Sent>,
}

/// A UDP payload with its addresses.
pub struct Sent {
    pub source: Ipv6Addr,
    pub destination: Ipv6Addr,
    pub octets: Vec<u8>,
}

/// All captures of a directory of `tests/babel`, by name.
pub fn captures(directory: &str) -> Vec<(String, Vec<Captured>)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/babel")
        .join(directory);
    let mut captures: Vec<_> = fs::read_dir(directory)
        .expect("the captures")
        .map(|entry| {
            let path = entry.expect("a capture").path();
            let name = path.file_name().expect("a name").to_string_lossy();
            let file = fs::read(&path).expect("a capture");
            (name.into_owned(), read(&file).expect("a whole capture"))
        })
        .collect();
    captures.sort_by(|(one, _), (other, _)| one.cmp(other));
    captures
}

/// `None` if the file is cut off. All of ours were written by little-endian machines.
fn read(file: &[u8]) -> Option<Vec<Captured>> {
    let mut file = Reader::new(file);
    assert_eq!(
        file.take(4)?,
        [0xd4, 0xc3, 0xb2, 0xa1],
        "libpcap, little-endian"
    );
    file.take(BEFORE_LINK_TYPE - 4)?;
    let before_ip = match file.u32()?.swap_bytes() {
        1 => 14,   // Ethernet
        101 => 0,  // IP
        113 => 16, // Linux "cooked"
        other => panic!("link type {other}"),
    };
    let mut captured = Vec::new();
    while !file.rest().is_empty() {
        file.take(BEFORE_LENGTH)?;
        let length = file.u32()?.swap_bytes() as usize;
        file.u32()?;
        let frame = file.take(length)?;
        captured.push(Captured {
            frame: frame.to_vec(),
            packet: sent(frame, before_ip),
        });
    }
    Some(captured)
}

fn sent(frame: &[u8], before_ip: usize) -> Option<Sent> {
    let mut frame = Reader::new(frame);
    frame.take(before_ip)?;
    let header = frame.take(BEFORE_ADDRESSES)?;
    let source = Ipv6Addr::from(frame.array::<16>()?);
    let destination = Ipv6Addr::from(frame.array::<16>()?);
    frame.take(4)?;
    let length = usize::from(frame.u16()?);
    frame.u16()?;
    let octets = frame.take(length.checked_sub(UDP_HEADER)?)?.to_vec();
    // version 6, and UDP right behind
    matches!(header, [0x60..=0x6f, _, _, _, _, _, 17, _]).then_some(Sent {
        source,
        destination,
        octets,
    })
}
