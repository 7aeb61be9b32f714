//! A NAT's router is asked to pass on what comes to one of its ports, so that nodes outside can open tunnels to this one: by PCP
//! (RFC 6887), NAT-PMP (RFC 6886), or UPnP's Internet Gateway Device, whichever it knows.
//!
//! Only the router of the default route is asked, by a thread of its own ([`shell`]), for it may be slow. What it answers is
//! judged ([`answer`], pure): anybody may be that router.

pub mod answer;
mod protocol;
pub mod shell;

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddrV4},
};

use serde::Serialize;

/// A mapping that is wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Wanted {
    /// The router that is asked.
    pub router: Ipv4Addr,
    /// Our address and port, to which it is to pass on.
    pub to: SocketAddrV4,
    /// By which a PCP server knows its client again, also after a restart: nobody else may guess it.
    pub nonce: Nonce,
}

/// RFC 6887, section 11.1.
pub type Nonce = [u32; 3];

/// How a router is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub enum Protocol {
    /// The Port Control Protocol.
    #[serde(rename = "PCP")]
    Pcp,
    /// The NAT Port Mapping Protocol, which is older.
    #[serde(rename = "NAT-PMP")]
    NatPmp,
    /// Universal Plug and Play.
    #[serde(rename = "UPnP")]
    Upnp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pcp => "PCP",
            Self::NatPmp => "NAT-PMP",
            Self::Upnp => "UPnP",
        })
    }
}

/// A mapping, as the router says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mapping {
    /// What was wanted.
    pub wanted: Wanted,
    /// How it was asked.
    pub protocol: Protocol,
    /// The router's address on the outside. Whoever says so is not to be trusted: see [`answer::outside`].
    pub address: IpAddr,
    /// Its port there.
    pub port: u16,
}

/// How far it is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Standing {
    /// There is none, and none is wanted.
    #[default]
    None,
    /// The router has not answered yet.
    Asking,
    /// There is one.
    Mapped(Mapping),
    /// The router gives none: why, by what it was asked by. It is asked again later.
    Refused(String),
}
