//! What can be set of the channels of a node.

use std::{collections::BTreeSet, time::Duration};

use super::session::SessionSettings;
use crate::rate::Rate;

/// Of all channels of a node.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The UDP port of channels and tunnels.
    pub port: u16,
    /// A GRE key's bits that select an entry of TUNNELS: no two keys that are accepted at a time have the same.
    pub tunnel_index_mask: u32,
    /// Such bits that are taken by tunnels of the configuration.
    pub reserved_indexes: BTreeSet<u32>,
    /// So many nodes that the configuration does not name may have a channel at a time.
    pub served: usize,
    /// Octets of the largest IP packet that our interfaces carry: how far the search for a path's MTU goes.
    pub link_mtu: u16,
    /// Octets of the largest packet that we take out of a tunnel.
    pub inner_mtu: u16,
    /// When sessions change their keys, and when they end.
    pub session: SessionSettings,
    /// How long what takes.
    pub timers: Timers,
    /// How much is done for others.
    pub limits: Limits,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            port: 4754,
            tunnel_index_mask: 0xffff,
            reserved_indexes: BTreeSet::new(),
            served: 64,
            link_mtu: 1500,
            inner_mtu: 1420,
            session: SessionSettings::default(),
            timers: Timers::default(),
            limits: Limits::default(),
        }
    }
}

/// How long what takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timers {
    /// Age of a session at which who opened it makes the next.
    pub rekey: Duration,
    /// So much later the other one does.
    pub rekey_other: Duration,
    /// Older sessions, and their GRE keys, are accepted so long after their last use.
    pub overlap: Duration,
    /// Before the second initiation; doubled with each.
    pub retry: Duration,
    /// Between initiations, at most.
    pub retry_max: Duration,
    /// A session that is not complete by then is given up.
    pub completion: Duration,
    /// A silent peer's channel is closed after so long.
    pub dead: Duration,
    /// The numbers of the documents that we hold are repeated.
    pub have: Duration,
    /// A document whose pieces do not come is asked for elsewhere.
    pub piece: Duration,
    /// Between the initiations of a probe.
    pub probe_retry: Duration,
    /// After the last of them its answer is awaited so long.
    pub probe: Duration,
}

impl Default for Timers {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            rekey: seconds(3_600),
            rekey_other: seconds(60),
            overlap: seconds(10),
            retry: Duration::from_millis(500),
            retry_max: seconds(60),
            completion: seconds(15),
            dead: seconds(60),
            have: seconds(30),
            piece: seconds(2),
            probe_retry: Duration::from_millis(400),
            probe: Duration::from_millis(1_500),
        }
    }
}

/// How much is done for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Initiations that are computed, of all together.
    pub initiations: Rate,
    /// Initiations of one source: an IPv4 address, or 56 bits of an IPv6 address.
    pub initiations_of_source: Rate,
    /// Sources that are told apart.
    pub sources: usize,
    /// Ephemeral keys of initiations that are remembered, for `replay_memory`.
    pub remembered_initiations: usize,
    /// How long.
    pub replay_memory: Duration,
    /// Sessions that others have opened and not yet confirmed, of all together.
    pub unconfirmed: usize,
    /// The same of one node.
    pub unconfirmed_of_node: usize,
    /// Sessions of a peer at a time.
    pub sessions: usize,
    /// Octets of a document.
    pub document: u32,
    /// Nodes that are probed at a time; half of them because they want to be.
    pub probes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        let rate = |count, seconds| Rate { count, seconds };
        Self {
            initiations: rate(500, 1),
            initiations_of_source: rate(20, 2),
            sources: 4_096,
            remembered_initiations: 4_096,
            replay_memory: Duration::from_secs(180),
            unconfirmed: 256,
            unconfirmed_of_node: 4,
            sessions: 16,
            document: 8 << 20,
            probes: 32,
        }
    }
}
