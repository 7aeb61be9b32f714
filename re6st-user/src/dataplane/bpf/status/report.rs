//! What `status` reports: the JSON is exactly this.

use std::net::IpAddr;

use ipnet::IpNet;

use serde::Serialize;

use super::super::manifest::{Mode, TcAttachment};

/// The whole of it.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// The instance and its mesh device.
    pub instance: String,
    /// The version of the program that loaded it.
    pub version: String,
    /// Whether the last load finished.
    pub complete: bool,
    /// The configuration file.
    pub config: String,
    /// Seconds since 1970.
    pub loaded_at: u64,
    /// The controller.
    pub node: NodeStatus,
    /// UDP port of the tunnels.
    pub port: u16,
    /// Whether it relays for others.
    pub forward: bool,
    /// The programs.
    pub programs: Vec<ProgramStatus>,
    /// The network interfaces.
    pub interfaces: Vec<InterfaceStatus>,
    /// The tunnels, by number.
    pub tunnels: Vec<TunnelStatus>,
    /// How many routes of ours the kernel has.
    pub route_count: usize,
    /// These, if they are few.
    pub routes: Vec<RouteStatus>,
    /// Counters of packets that were not simply forwarded.
    pub reasons: Vec<ReasonStatus>,
    /// The maps.
    pub maps: Vec<MapStatus>,
    /// Bytes of kernel memory of all maps.
    pub memory: u64,
    /// What needs the operator's attention.
    pub warnings: Vec<String>,
    /// What the controller tells of itself, if one runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub controller: Option<serde_json::Value>,
}

/// The controller.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct NodeStatus {
    /// Whether it runs.
    pub state: NodeState,
    /// Its process, if it runs.
    pub process: Option<u32>,
}

/// Whether a controller runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NodeState {
    /// It does.
    Runs,
    /// It has ended, or was killed.
    Ended,
    /// There never was one: `load` was it.
    None,
}

/// A program.
#[derive(Clone, Debug, Serialize)]
pub struct ProgramStatus {
    /// Its name.
    pub name: String,
    /// The kernel's number of it.
    pub id: u32,
    /// The hash of its instructions, hexadecimal.
    pub tag: String,
}

/// A network interface.
#[derive(Clone, Debug, Serialize)]
pub struct InterfaceStatus {
    /// Its name.
    pub name: String,
    /// Interface index.
    pub index: u32,
    /// Where XDP runs; `None` if it is not attached any more.
    pub mode: Option<Mode>,
    /// Why not in the driver, for people.
    pub reason: Option<String>,
    /// How the TC program is attached; `None` if it is not any more.
    pub tc: Option<TcAttachment>,
    /// Whether XDP transmits on it, or TC does.
    pub transmit: &'static str,
    /// Whether it is an Internet gateway's uplink.
    pub gateway: bool,
}

/// A tunnel.
#[derive(Clone, Debug, Serialize)]
pub struct TunnelStatus {
    /// Its name.
    pub name: String,
    /// The next hop's number.
    pub number: u32,
    /// `fou` or `gre`.
    pub encapsulation: &'static str,
    /// The peer's outer address.
    pub remote: IpAddr,
    /// Our outer address.
    pub local: IpAddr,
    /// The interface it goes through.
    pub interface: String,
    /// The biggest inner packet, in bytes.
    pub mtu: u32,
    /// The Ethernet address packets go to; `None` while it is not known.
    pub neighbour: Option<String>,
    /// Whether XDP transmits, or TC does.
    pub transmit: &'static str,
    /// What does not fit the host any more.
    pub stale: Option<String>,
    /// Packets accepted from the peer.
    pub received_packets: u64,
    /// Their bytes, without outer headers.
    pub received_bytes: u64,
    /// Packets sent to the peer.
    pub sent_packets: u64,
    /// Their bytes, without outer headers.
    pub sent_bytes: u64,
}

/// A route.
#[derive(Clone, Debug, Serialize)]
pub struct RouteStatus {
    /// Destination prefix.
    pub to: IpNet,
    /// Source prefix.
    pub from: Option<IpNet>,
    /// The tunnel's name, or what else the data plane has there.
    pub via: String,
}

/// A counter of packets.
#[derive(Clone, Debug, Serialize)]
pub struct ReasonStatus {
    /// Its name.
    pub name: &'static str,
    /// `dropped`, `kernel` or `untouched`.
    pub fate: &'static str,
    /// One line for people.
    pub description: &'static str,
    /// How many.
    pub packets: u64,
}

/// A map.
#[derive(Clone, Debug, Serialize)]
pub struct MapStatus {
    /// Its name.
    pub name: &'static str,
    /// The most entries.
    pub entries: u32,
    /// Bytes of kernel memory.
    pub memory: u64,
}
