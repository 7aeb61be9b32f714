//! A packet in one line, as people describe it, and back.
//!
//! ```text
//! DESCRIPTION = WHERE ":" [ OUTER ":" ] PACKET  |  WHERE ":" "hex" DIGITS
//! WHERE       = "on" INTERFACE [ "vlan" N ]  |  "from tunnel" NAME  |  "send"
//! OUTER       = ADDRESS ">" ADDRESS  ( "fou" [ "port" N ] | "gre" )  [ "key" N ]  MORE
//! PACKET      = ADDRESS ">" ADDRESS  [ "udp" [ N ">" N ] | "tcp" [ N ">" N ] | "icmp" | "protocol" N ]  MORE
//! MORE        = [ "hop-limit" N ] [ "class" N ] [ "length" N ] [ "options" ] [ "fragment" ]
//! ```

use std::{fmt, net::IpAddr, str::FromStr};

mod frame;
pub mod headers;
mod read;
#[cfg(test)]
mod tests;

pub use frame::{FrameError, frame};

/// The longest description, in bytes: room for a jumbo frame in hexadecimal.
pub const MAXIMUM: usize = 65_536;

/// Where a packet comes from, and what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// Where it comes from.
    pub place: Place,
    /// The packet or frame itself.
    pub content: Content,
}

/// Where a packet comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// It arrives on a network interface, with a VLAN tag or without.
    Interface {
        /// The interface's name.
        name: String,
        /// VLAN identifier.
        vlan: Option<u16>,
    },
    /// A peer sends it through the tunnel of this name: outer headers and interface are what the tunnel's are.
    Tunnel(String),
    /// This host sends it.
    Send,
}

/// What a packet is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// An IP packet, inside outer headers or not.
    Packet {
        /// The outer headers.
        outer: Option<Outer>,
        /// The packet.
        packet: Packet,
    },
    /// A whole frame, byte by byte.
    Frame(Vec<u8>),
}

/// The outer headers of a tunnel's packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outer {
    /// The outer IP header.
    pub ip: Ip,
    /// The UDP port, if it is GRE in UDP.
    pub port: Option<u16>,
    /// The GRE key, if there is one.
    pub key: Option<u32>,
}

/// An IP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Its header.
    pub ip: Ip,
    /// What it carries.
    pub transport: Transport,
}

/// An IP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ip {
    /// Source address.
    pub source: IpAddr,
    /// Destination address, of the same family.
    pub destination: IpAddr,
    /// Hop limit, or time to live.
    pub hop_limit: u8,
    /// Traffic class: DSCP and ECN.
    pub class: u8,
    /// Bytes of header and payload; as many as needed unless given.
    pub length: Option<u16>,
    /// IPv4 options, or an IPv6 hop-by-hop options header.
    pub options: bool,
    /// It is the first fragment of several.
    pub fragment: bool,
}

/// What an IP packet carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// UDP with its ports.
    Udp(Ports),
    /// A TCP segment with its ports.
    Tcp(Ports),
    /// An echo request: ICMP, or ICMPv6.
    Icmp,
    /// Something else, by its protocol number; 59 is "no next header".
    Protocol(u8),
}

/// Ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// Source port.
    pub source: u16,
    /// Destination port.
    pub destination: u16,
}

impl Ip {
    /// The hop limit unless given.
    pub const HOP_LIMIT: u8 = 64;
}

impl Transport {
    /// What a packet carries unless given: no next header (RFC 8200 section 4.7).
    pub const NOTHING: Self = Self::Protocol(59);
}

impl Ports {
    /// The ports unless given: from the dynamic range to the discard service.
    pub const DEFAULT: Self = Self {
        source: 49152,
        destination: 9,
    };
}

/// Why a text describes no packet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("packet description: {0}; see --help for the grammar and examples")]
pub struct DescriptionError(String);

impl FromStr for Description {
    type Err = DescriptionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        read::description(text).map_err(DescriptionError)
    }
}

impl fmt::Display for Description {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Interface { name, vlan: None } => write!(formatter, "on {name}: ")?,
            Place::Interface {
                name,
                vlan: Some(vlan),
            } => write!(formatter, "on {name} vlan {vlan}: ")?,
            Place::Tunnel(name) => write!(formatter, "from tunnel {name}: ")?,
            Place::Send => formatter.write_str("send: ")?,
        }
        match &self.content {
            Content::Frame(bytes) => {
                formatter.write_str("hex ")?;
                bytes
                    .iter()
                    .try_for_each(|byte| write!(formatter, "{byte:02x}"))
            }
            Content::Packet { outer, packet } => {
                if let Some(outer) = outer {
                    write!(formatter, "{outer}: ")?;
                }
                write!(formatter, "{packet}")
            }
        }
    }
}

impl fmt::Display for Outer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} > {}", self.ip.source, self.ip.destination)?;
        match self.port {
            Some(port) => write!(formatter, " fou port {port}")?,
            None => formatter.write_str(" gre")?,
        }
        if let Some(key) = self.key {
            write!(formatter, " key {key}")?;
        }
        more(&self.ip, formatter)
    }
}

impl fmt::Display for Packet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} > {}", self.ip.source, self.ip.destination)?;
        match self.transport {
            Transport::Udp(ports) => write!(formatter, " udp {ports}")?,
            Transport::Tcp(ports) => write!(formatter, " tcp {ports}")?,
            Transport::Icmp => formatter.write_str(" icmp")?,
            Transport::Protocol(number) => write!(formatter, " protocol {number}")?,
        }
        more(&self.ip, formatter)
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} > {}", self.source, self.destination)
    }
}

fn more(ip: &Ip, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
    if ip.hop_limit != Ip::HOP_LIMIT {
        write!(formatter, " hop-limit {}", ip.hop_limit)?;
    }
    if ip.class != 0 {
        write!(formatter, " class {}", ip.class)?;
    }
    if let Some(length) = ip.length {
        write!(formatter, " length {length}")?;
    }
    if ip.options {
        formatter.write_str(" options")?;
    }
    if ip.fragment {
        formatter.write_str(" fragment")?;
    }
    Ok(())
}
