//! Headers as they are on the wire: byte arrays in network order, so there is no padding and no alignment to mind.

/// A header that can be read from and written to packets.
///
/// # Safety
/// `repr(C)` of byte arrays only: alignment 1, no padding, every bit pattern valid.
pub unsafe trait Header: Copy {}

macro_rules! headers {
    ($($name:ident $size:literal),+ $(,)?) => {$(
        // SAFETY: repr(C) of byte arrays, and the size says there is nothing else in it.
        unsafe impl Header for $name {}
        const _: () = assert!(size_of::<$name>() == $size && align_of::<$name>() == 1);
    )+};
}
headers!(
    Ethernet 14, Vlan 4, Ipv4 20, Ipv6 40, EncapsulationLimit 8, Udp 8, Gre 8, GreInUdp 16, FouIpv4 36, FouIpv6 56, GreIpv4 28, GreIpv6 48,
);
// SAFETY: byte arrays.
unsafe impl<const N: usize> Header for [u8; N] {}

/// EtherTypes (IEEE 802), which GRE uses as protocol types too.
pub mod ethertype {
    /// IPv4.
    pub const IPV4: u16 = 0x0800;
    /// IPv6.
    pub const IPV6: u16 = 0x86dd;
    /// An 802.1Q tag.
    pub const VLAN: u16 = 0x8100;
}

/// IP protocol numbers.
pub mod protocol {
    /// IPv6 hop-by-hop options (RFC 8200 section 4.3).
    pub const HOP_BY_HOP: u8 = 0;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// IPv6 routing header.
    pub const ROUTING: u8 = 43;
    /// IPv6 fragment header (RFC 8200 section 4.5).
    pub const FRAGMENT: u8 = 44;
    /// GRE.
    pub const GRE: u8 = 47;
    /// IPv6 destination options.
    pub const DESTINATION_OPTIONS: u8 = 60;
}

/// Ethernet II. 14 bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Ethernet {
    /// Destination address.
    pub destination: [u8; 6],
    /// Source address.
    pub source: [u8; 6],
    /// See [`ethertype`].
    pub ethertype: [u8; 2],
}

/// What follows an [`ethertype::VLAN`]. 4 bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Vlan {
    /// Priority (3 bits), drop eligibility (1), VLAN identifier (12).
    pub control: [u8; 2],
    /// EtherType of what follows.
    pub ethertype: [u8; 2],
}

impl Vlan {
    /// The VLAN identifier of [`Self::control`].
    pub const IDENTIFIER: u16 = 0x0fff;
}

/// IPv4 without options (RFC 791). 20 bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Ipv4 {
    /// Version (4 bits), header length in 32-bit words (4).
    pub version_length: u8,
    /// DSCP (6 bits), ECN (2).
    pub traffic_class: u8,
    /// Header and payload.
    pub total_length: [u8; 2],
    /// Fragment identification.
    pub identification: [u8; 2],
    /// Flags (3 bits: reserved, DF, MF), offset in 8-byte units (13).
    pub fragment: [u8; 2],
    /// Time to live.
    pub hop_limit: u8,
    /// See [`protocol`].
    pub protocol: u8,
    /// Of the header alone.
    pub checksum: [u8; 2],
    /// Source address.
    pub source: [u8; 4],
    /// Destination address.
    pub destination: [u8; 4],
}

impl Ipv4 {
    /// Don't-fragment flag of [`Self::fragment`].
    pub const DONT_FRAGMENT: u16 = 0x4000;
    /// More-fragments flag and offset of [`Self::fragment`]: not zero in a fragment.
    pub const FRAGMENT: u16 = 0x3fff;
    /// Offset of [`Self::fragment`]: zero in the first fragment.
    pub const OFFSET: u16 = 0x1fff;
}

/// IPv6 without extension headers (RFC 8200). 40 bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Ipv6 {
    /// Version (4 bits), traffic class (8), flow label (20).
    pub version_class_label: [u8; 4],
    /// Bytes after this header.
    pub payload_length: [u8; 2],
    /// See [`protocol`].
    pub next_header: u8,
    /// Hop limit.
    pub hop_limit: u8,
    /// Source address.
    pub source: [u8; 16],
    /// Destination address.
    pub destination: [u8; 16],
}

/// IPv6 destination options with nothing but a tunnel encapsulation limit (RFC 2473 section 4.1.1). 8 bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct EncapsulationLimit {
    /// See [`protocol`].
    pub next_header: u8,
    /// Of the options header, in 8-byte units after the first.
    pub length: u8,
    /// [`Self::OPTION`].
    pub option: u8,
    /// 1.
    pub option_length: u8,
    /// How many more tunnels the packet may be put into.
    pub limit: u8,
    /// PadN of three bytes.
    pub padding: [u8; 3],
}

impl EncapsulationLimit {
    /// The option's type.
    pub const OPTION: u8 = 4;
}

/// UDP (RFC 768). 8 bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Udp {
    /// Source port.
    pub source: [u8; 2],
    /// Destination port.
    pub destination: [u8; 2],
    /// Header and payload.
    pub length: [u8; 2],
    /// 0: none (RFC 768; over IPv6 for tunnels: RFC 6935, RFC 6936).
    pub checksum: [u8; 2],
}

/// GRE with key, without checksum and sequence number (RFC 2784, RFC 2890). 8 bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Gre {
    /// Flags, reserved bits, version.
    pub flags: [u8; 2],
    /// See [`ethertype`].
    pub protocol: [u8; 2],
    /// The tunnel's key.
    pub key: [u8; 4],
}

impl Gre {
    /// [`Self::flags`] with nothing but the key-present bit.
    pub const KEY: [u8; 2] = [0x20, 0];
    /// [`Self::flags`] of a header without any optional field.
    pub const PLAIN: [u8; 2] = [0, 0];
}

/// GRE-in-UDP (RFC 8086) behind the outer IP header. 16 bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct GreInUdp {
    /// To the tunnels' port.
    pub udp: Udp,
    /// The tunnel's header.
    pub gre: Gre,
}

/// The outer headers of [`crate::maps::encapsulation::FOU_IPV4`]. 36 bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct FouIpv4 {
    /// Outer IPv4.
    pub ip: Ipv4,
    /// GRE-in-UDP (RFC 8086).
    pub udp: Udp,
    /// The tunnel's header.
    pub gre: Gre,
}

/// The outer headers of [`crate::maps::encapsulation::FOU_IPV6`]. 56 bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct FouIpv6 {
    /// Outer IPv6.
    pub ip: Ipv6,
    /// GRE-in-UDP (RFC 8086).
    pub udp: Udp,
    /// The tunnel's header.
    pub gre: Gre,
}

/// The outer headers of [`crate::maps::encapsulation::GRE_IPV4`]. 28 bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct GreIpv4 {
    /// Outer IPv4.
    pub ip: Ipv4,
    /// The tunnel's header.
    pub gre: Gre,
}

/// The outer headers of [`crate::maps::encapsulation::GRE_IPV6`]. 48 bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct GreIpv6 {
    /// Outer IPv6.
    pub ip: Ipv6,
    /// The tunnel's header.
    pub gre: Gre,
}
