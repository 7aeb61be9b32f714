//! The data plane in the kernel: programs and maps, loaded, pinned, attached, and found again.
//!
//! | module | concern |
//! |---|---|
//! | [`load`] | `load`, from a configuration to a running instance, or from one to the next |
//! | [`unload`] | every trace removed |
//! | [`status`] | what there is |
//! | [`resolve`] | how peers are reached |
//! | [`object`] | a fresh set of programs and maps |
//! | [`fill`] | a fresh set of maps, filled; INTERFACES, kept up to date |
//! | [`handshakes`] | how XDP judges initiations of handshakes |
//! | [`transmit`] | which interfaces take frames from XDP |
//! | [`offloads`] | what hides packets from XDP |
//! | [`policies`] | IPsec, which XDP does not know of |
//! | [`existing`] | what an earlier load left, finished or not |
//! | [`device`], [`device_names`] | the mesh device, its addresses, and the kernel's routes |
//! | [`losses`] | what is not as a load left it |
//! | [`forwarding`] | the kernel parameters for it |
//! | [`attach`] | programs on interfaces |
//! | [`attachments`] | whether they are there still, and first |
//! | [`stacking`] | how interfaces stand on one another |
//! | [`xdp`] | XDP on an interface, in the driver or in the stack |
//! | [`chain`] | several instances on one interface |
//! | [`maps`] | the maps of a running instance |
//! | [`plane`] | them as a [`DataPlane`](super::DataPlane), which changes while packets flow |
//! | [`manifest`], [`pins`] | what is where |
//! | [`node`] | whether a node runs on an instance |
//! | [`rollback`] | undoing a load that fails half-way |

pub mod attach;
pub mod attachments;
pub mod chain;
pub mod device;
pub mod device_names;
pub mod error;
pub mod existing;
pub mod fill;
pub mod forwarding;
pub mod handshakes;
pub mod load;
pub mod losses;
pub mod manifest;
pub mod maps;
pub mod node;
pub mod object;
pub mod offloads;
pub mod pins;
pub mod plane;
pub mod policies;
pub mod resolve;
pub mod rollback;
pub mod stacking;
pub mod status;
pub mod transmit;
pub mod unload;
pub mod xdp;

pub use error::BpfError;
pub use manifest::Manifest;
pub use pins::{InstanceName, Pins};

/// The map that says what was done.
pub const MANIFEST: &str = "MANIFEST";
/// The maps of the object, by name; pinned under the same name.
pub const MAPS: [&str; 11] = [
    "FIB",
    "FIB_TRIE",
    "NEXT_HOPS",
    "TUNNELS",
    "INTERFACES",
    "TUNNEL_COUNTERS",
    "REASONS",
    "CONFIRMATIONS",
    "HANDSHAKES",
    CONTROL_PROGRAM,
    "NEXT_INSTANCE",
];
/// The map that has the XDP program for what is the controller's.
pub const CONTROL_PROGRAM: &str = "CONTROL_PROGRAM";
/// The XDP program for interfaces whose driver keeps a frame in one piece.
pub const XDP: &str = "re6st_xdp";
/// The XDP program for frames in several pieces.
pub const XDP_FRAGS: &str = "re6st_xdp_frags";
/// What comes behind [`XDP`] for packets that are the controller's.
pub const CONTROL: &str = "re6st_control";
/// What comes behind [`XDP_FRAGS`] for them.
pub const CONTROL_FRAGS: &str = "re6st_control_frags";
/// TC ingress on the interfaces.
pub const HANDOVER: &str = "re6st_handover";
/// TC ingress on the mesh device's other end.
pub const SEND: &str = "re6st_send";
/// TC egress on the mesh device.
pub const GUARD: &str = "re6st_guard";

/// The XDP program of an instance.
pub const fn xdp_program(frags: bool) -> &'static str {
    if frags { XDP_FRAGS } else { XDP }
}

/// The program that comes behind [`xdp_program`].
pub const fn control_program(frags: bool) -> &'static str {
    if frags { CONTROL_FRAGS } else { CONTROL }
}

/// All programs of an instance.
pub const fn programs(frags: bool) -> [&'static str; 5] {
    [
        xdp_program(frags),
        control_program(frags),
        HANDOVER,
        SEND,
        GUARD,
    ]
}
