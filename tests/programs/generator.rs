//! Random frames: valid ones of every kind, then damaged.

use std::net::IpAddr;

use fastrand::Rng;
use testbed::packet::{Frame, Internet, address, protocol};

use crate::{
    namespace::{DEVICE_ADDRESS, INTERFACES, ethernet, neighbour},
    world::{BROKEN, FIRST, PORT, Peer, VLAN, counted, host_by},
};

/// A frame and where it arrives.
#[derive(Clone, Debug)]
pub struct Arriving {
    /// Its bytes.
    pub frame: Vec<u8>,
    /// Position of the interface.
    pub position: usize,
}

const ADDRESSES_IPV6: [&str; 26] = [
    "2001:db8:42:1::1",
    "2001:db8:42:1::2",
    "2001:db8:42:1::8",
    "2001:db8:42:1::9",
    "2001:db8:42:1::a",
    "2001:db8:42:1::77",
    "2001:db8:42:3ff::99",
    "2001:db8:42:3ff::9a",
    "2001:db8:42:f000::1",
    "2001:db8:42:f100::1",
    "2001:db8:42:1000::1",
    "2001:db8:42:ffff::1",
    "2001:db8:cafe::1",
    "2001:db8:cafe::2",
    "2001:db8:beef::1",
    "2001:db8:77::7",
    "2001:db8:ff::1",
    "fe80::1",
    "ff02::1:6",
    "::",
    "::1",
    "::ffff:10.42.1.1",
    "febf::1",
    "fec0::1",
    "2001:db8:41:ffff::1",
    "2001:db8:43::1",
];

const ADDRESSES_IPV4: [&str; 22] = [
    "10.42.1.1",
    "10.42.1.2",
    "10.42.1.8",
    "10.42.1.9",
    "10.42.1.77",
    "10.42.16.1",
    "10.42.200.1",
    "10.41.255.255",
    "203.0.113.1",
    "203.0.113.2",
    "198.18.0.1",
    "198.51.100.77",
    "192.0.2.1",
    "169.254.1.1",
    "224.0.0.5",
    "239.255.255.255",
    "255.255.255.255",
    "0.0.0.0",
    "127.0.0.1",
    "240.0.0.1",
    "9.9.9.9",
    "10.42.4.4",
];

/// A random frame.
pub fn frame(rng: &mut Rng) -> Arriving {
    let mut arriving = match rng.u8(..100) {
        0..55 => from_tunnel(rng),
        55..80 => from_plain(rng),
        80..88 => to_the_port(rng),
        88..92 => outer_special(rng),
        92..95 => from_other_peer(rng),
        95..98 => to_the_mesh_device(rng),
        _ => noise(rng),
    };
    if rng.u8(..100) < 8 {
        arriving.position = rng.usize(..INTERFACES.len());
    }
    // half of them stay whole
    if rng.bool() {
        for _ in 0..rng.usize(1..4) {
            damage(rng, &mut arriving.frame);
        }
    }
    // the kernel takes no shorter and no longer ones
    if arriving.frame.len() < 14 {
        arriving.frame.resize(14, 0);
    }
    arriving.frame.truncate(3000);
    arriving
}

fn any_peer(rng: &mut Rng) -> Peer {
    Peer::new(rng.u32(FIRST..=BROKEN))
}

fn any_address(rng: &mut Rng, ipv4: bool) -> IpAddr {
    if rng.bool() {
        let ids: Vec<u32> = counted().collect();
        return host_by(one_of(rng, &ids), ipv4);
    }
    match (ipv4, rng.u8(..20)) {
        (true, 0) => IpAddr::from(rng.u32(..).to_be_bytes()),
        (false, 0) => IpAddr::from(rng.u128(..).to_be_bytes()),
        (false, 1) => {
            let network = 0x2001_0db8_0042_0000u128 << 64;
            IpAddr::from((network | rng.u128(..) >> 48).to_be_bytes())
        }
        (true, _) => address(ADDRESSES_IPV4[rng.usize(..ADDRESSES_IPV4.len())]),
        (false, _) => address(ADDRESSES_IPV6[rng.usize(..ADDRESSES_IPV6.len())]),
    }
}

fn one_of<T: Copy>(rng: &mut Rng, choices: &[T]) -> T {
    choices[rng.usize(..choices.len())]
}

/// A packet of the mesh, or for it.
fn internet(rng: &mut Rng, source: IpAddr, destination: IpAddr) -> Internet {
    let length = match rng.u8(..10) {
        0..6 => rng.usize(..64),
        6 => rng.usize(1180..1300),
        7 => rng.usize(1340..1440),
        8 => 1420 - one_of(rng, &[20, 28, 29, 40, 48, 49, 60, 61]),
        _ => rng.usize(..1500),
    };
    let payload = vec![rng.u8(..); length];
    let packet = Internet::between(source, destination)
        .hop_limit(one_of(rng, &[0, 1, 2, 3, 64, 64, 64, 64, 64, 255]))
        .traffic_class(one_of(rng, &[0, 0, 1, 2, 3, 0xb8, 0xba, 0xff]))
        .flow_label(rng.u32(..0x10_0000));
    let ipv4 = source.is_ipv4();
    match rng.u8(..12) {
        0..4 => packet.udp(rng.u16(..), rng.u16(..), &payload),
        4..7 => packet.tcp(rng.u16(..), rng.u16(..), &[1; 4], &payload),
        7 => packet.payload(one_of(rng, &[1, 58, 50, 132]), &payload),
        8 if ipv4 => packet.options(&[1; 8]).udp(1, 2, &payload),
        8 => packet.payload(one_of(rng, &[0, 43, 44, 60]), &payload),
        9 if ipv4 => packet
            .fragment(rng.bool(), rng.u16(..200))
            .payload(protocol::UDP, &payload),
        9 => packet.payload(44, &payload),
        10 => packet.udp(PORT, PORT, &payload),
        _ => packet.payload(rng.u8(..), &payload),
    }
}

fn any_inner(rng: &mut Rng, peer: Peer) -> Vec<u8> {
    let ipv4 = rng.bool();
    let source = if rng.u8(..10) < 7 {
        peer.host(ipv4)
    } else {
        any_address(rng, ipv4)
    };
    let destination = any_address(rng, ipv4);
    internet(rng, source, destination).bytes()
}

/// Sometimes with the encapsulation limit of Linux's ip6gre devices.
fn wrapped(rng: &mut Rng, peer: Peer, key: u32, inner: &[u8]) -> Vec<u8> {
    let packet = wrapped_plainly(rng, peer, key, inner);
    if peer.is_ipv4() || rng.u8(..8) != 0 {
        return packet;
    }
    let limit = [packet[6], 0, 4, 1, rng.u8(..), 1, 1, 0];
    let payload = [&limit[..], &packet[40..]].concat();
    let mut limited = packet[..40].to_vec();
    limited[4..6].copy_from_slice(&(payload.len() as u16).to_be_bytes());
    limited[6] = 60;
    limited.extend(payload);
    limited
}

fn wrapped_plainly(rng: &mut Rng, peer: Peer, key: u32, inner: &[u8]) -> Vec<u8> {
    let outer = Internet::between(peer.remote(), peer.local())
        .traffic_class(one_of(rng, &[0, 0, 0, 1, 2, 3, 0xb8, 0xff]))
        .hop_limit(rng.u8(..))
        .flow_label(rng.u32(..0x10_0000));
    if peer.is_fou() {
        outer.fou(rng.u16(..), PORT, key, inner).bytes()
    } else {
        outer.gre(key, inner).bytes()
    }
}

fn from_tunnel(rng: &mut Rng) -> Arriving {
    let peer = any_peer(rng);
    let inner = any_inner(rng, peer);
    Arriving {
        frame: peer
            .frame_from()
            .bytes(&wrapped(rng, peer, peer.key(), &inner)),
        position: peer.position,
    }
}

/// A tunnel's packet with something of another tunnel's.
fn from_other_peer(rng: &mut Rng) -> Arriving {
    let (peer, other) = (any_peer(rng), any_peer(rng));
    let inner = any_inner(rng, peer);
    let key = match rng.u8(..3) {
        0 => other.key(),
        1 => peer.key() ^ 1 << rng.u32(..32),
        _ => rng.u32(..),
    };
    let front = if rng.bool() { other } else { peer };
    Arriving {
        frame: front.frame_from().bytes(&wrapped(rng, peer, key, &inner)),
        position: peer.position,
    }
}

fn from_plain(rng: &mut Rng) -> Arriving {
    let ipv4 = rng.bool();
    let position = rng.usize(..INTERFACES.len());
    let own = ["2", "8", "55"][rng.usize(..3)];
    let source = match rng.u8(..10) {
        0..5 if ipv4 => address(&format!("10.42.1.{own}")),
        0..5 => address(&format!("2001:db8:42:1::{own}")),
        _ => any_address(rng, ipv4),
    };
    let destination = any_address(rng, ipv4);
    let packet = internet(rng, source, destination).bytes();
    let front = Frame::new(ethernet(position as u8), neighbour(position as u8));
    let front = if rng.u8(..12) == 0 {
        front.vlan(VLAN)
    } else {
        front
    };
    let mut frame = front.bytes(&packet);
    if frame.len() < 60 && rng.bool() {
        frame.resize(60, 0);
    }
    Arriving { frame, position }
}

/// Anything to the tunnels' port.
fn to_the_port(rng: &mut Rng) -> Arriving {
    let peer = any_peer(rng);
    let mut payload = vec![rng.u8(..); rng.usize(..80)];
    for byte in payload.iter_mut().take(8) {
        *byte = one_of(rng, &[0, 0, 0, 0x20, 8, 0x86, 0xdd, 1, 5, 0xff]);
    }
    let destination = if rng.bool() {
        peer.local()
    } else {
        any_address(rng, peer.is_ipv4())
    };
    let source = if rng.bool() {
        peer.remote()
    } else {
        any_address(rng, peer.is_ipv4())
    };
    let packet = Internet::between(source, destination).udp_without_checksum(9, PORT, &payload);
    let mut frame = peer.frame_from().bytes(&packet.bytes());
    if frame.len() < 60 {
        frame.resize(60, 0);
    }
    Arriving {
        frame,
        position: peer.position,
    }
}

/// Fragments, options and extension headers outside.
fn outer_special(rng: &mut Rng) -> Arriving {
    let peer = any_peer(rng);
    let destination = if rng.u8(..4) == 0 {
        any_address(rng, peer.is_ipv4())
    } else {
        peer.local()
    };
    let packet = Internet::between(peer.remote(), destination);
    let next = one_of(rng, &[6, 17, 17, 47]);
    let flags = one_of(rng, &[[0x20, 0], [0, 0], [1, 0], [0x30, 0]]);
    let mut payload = [&flags[..], &[8, 0], &peer.key().to_be_bytes(), &[0; 40]].concat();
    if next == 17 {
        let port = one_of(rng, &[PORT, PORT, 53]).to_be_bytes();
        payload.splice(..0, [&[0, 1][..], &port, &[0, 56, 0, 0]].concat());
    }
    let packet = match (peer.is_ipv4(), rng.bool()) {
        (true, true) => packet.options(&vec![1; 4 * rng.usize(1..11)]),
        (true, false) => packet.fragment(rng.bool(), rng.u16(..4)),
        (false, _) => {
            let units = rng.u8(..3);
            let mut header = vec![0; 8 * (usize::from(units) + 1)];
            header[..4].copy_from_slice(&[next, units, 0, rng.u8(..16)]);
            payload.splice(..0, header);
            packet
        }
    };
    let protocol = match peer.is_ipv4() {
        true => next,
        false => one_of(rng, &[0, 43, 44, 44, 50, 51, 59, 60, 135, 139]),
    };
    payload.truncate(rng.usize(payload.len() / 2..payload.len() + 9));
    let packet = packet.payload(protocol, &payload);
    Arriving {
        frame: peer.frame_from().bytes(&packet.bytes()),
        position: peer.position,
    }
}

fn to_the_mesh_device(rng: &mut Rng) -> Arriving {
    let mut arriving = if rng.bool() {
        from_tunnel(rng)
    } else {
        from_plain(rng)
    };
    arriving.frame[..6].copy_from_slice(&DEVICE_ADDRESS);
    if rng.bool() {
        arriving.frame[rng.usize(..6)] ^= 1 << rng.u32(..8);
    }
    arriving
}

fn noise(rng: &mut Rng) -> Arriving {
    let mut frame = vec![0; rng.usize(14..200)];
    rng.fill(&mut frame);
    if rng.bool() {
        let ethertype: u16 = one_of(rng, &[0x0800, 0x86dd, 0x8100, 0x88a8, 0x0806]);
        frame[12..14].copy_from_slice(&ethertype.to_be_bytes());
    }
    Arriving {
        frame,
        position: rng.usize(..INTERFACES.len()),
    }
}

/// One change. Headers are where it matters: the first hundred bytes or so.
fn damage(rng: &mut Rng, frame: &mut Vec<u8>) {
    let length = frame.len();
    if length < 20 {
        return;
    }
    let at = rng.usize(..length.min(130));
    match rng.u8(..10) {
        0..3 => frame[at] ^= 1 << rng.u32(..8),
        3 => frame[at] = rng.u8(..),
        4 => frame[at] = one_of(rng, &[0, 1, 0x20, 0x45, 0x46, 0x60, 0x7f, 0x80, 0xfe, 0xff]),
        5 => {
            // a length a little off, perhaps
            let at = at.min(length - 2);
            let word = u16::from_be_bytes([frame[at], frame[at + 1]]);
            let by = one_of(rng, &[1, 2, 8, 0xffff, 0xfffe, 0xfff8]);
            frame[at..at + 2].copy_from_slice(&word.wrapping_add(by).to_be_bytes());
        }
        6 => frame.truncate(rng.usize(14..length)),
        7 => frame.truncate(length - rng.usize(1..length.min(20) - 13)),
        8 => frame.extend(vec![rng.u8(..); rng.usize(1..50)]),
        _ => {
            // a piece of it moved elsewhere
            let piece = frame[at..length.min(at + rng.usize(1..9))].to_vec();
            let to = rng.usize(..length - piece.len() + 1).min(130);
            let end = (to + piece.len()).min(length);
            frame[to..end].copy_from_slice(&piece[..end - to]);
        }
    }
}
