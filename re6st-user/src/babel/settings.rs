//! What people can set, with the defaults of RFC 8966 appendix B unless said otherwise.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{filter::Filter, limits::Limits, origins::Origins, quantities::RouterId};

/// A tenth, in 256ths.
const fn tenth() -> u16 {
    26
}

/// Of the whole speaker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Our own.
    pub router_id: RouterId,
    /// Our own, besides those of interfaces: nobody else may announce one.
    #[serde(default)]
    pub addresses: Vec<IpAddr>,
    /// How long routes of before a restart stay installed while they are not heard again.
    pub restart_time: Duration,
    /// How long packets to a lost prefix are refused rather than sent along a shorter prefix (RFC 8966 section 2.8).
    pub hold_time: Duration,
    /// For how long another route must be better before it replaces one that still works; a route that is better by a
    /// quarter replaces it at once (RFC 8966 section 3.6, hysteresis).
    pub hysteresis: Duration,
    /// In 256ths of what was announced: a metric that changes by less is not announced before the next full announcement (RFC 8966
    /// section 3.7.2 leaves it to us). 0: all changes are announced at once, and what links cost follows what is measured exactly.
    #[serde(default = "tenth")]
    pub small_change: u16,
    /// Which selected routes are put into the data plane. Others are announced all the same.
    pub install: Filter,
    /// Whether, and in which network, only its own nodes may announce its parts, each its own, and routes out of it.
    #[serde(default)]
    pub origins: Option<Origins>,
    /// Fast failure detection between speakers of our kind.
    pub probing: Probing,
    /// Bounds on what neighbours may make us keep or do.
    pub limits: Limits,
}

impl Settings {
    /// The defaults for a router.
    pub fn new(router_id: RouterId) -> Self {
        Self {
            router_id,
            addresses: Vec::new(),
            restart_time: Duration::from_secs(60),
            hold_time: Duration::from_secs(64),
            hysteresis: Duration::from_secs(4),
            small_change: tenth(),
            install: Filter::default(),
            origins: None,
            probing: Probing::default(),
            limits: Limits::default(),
        }
    }
}

/// When a silent neighbour of our kind is asked for a sign of life, and when it is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probing {
    /// Silence before the first probe.
    pub interval: Duration,
    /// Between a probe and the next if there is no answer.
    pub repeat: Duration,
    /// Least silence before a neighbour is dead; at least `interval` + 3 round trips are granted too.
    pub timeout: Duration,
    /// Least number of probes without an answer before a neighbour is dead: a stalled process raises no false alarm.
    pub unanswered: u32,
}

impl Default for Probing {
    fn default() -> Self {
        Self {
            interval: Duration::from_millis(400),
            repeat: Duration::from_millis(40),
            timeout: Duration::from_millis(700),
            unanswered: 8,
        }
    }
}

/// Of one interface: what the kernel says of it, and what people set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InterfaceSettings {
    /// For people.
    pub name: String,
    /// Decides the defaults of what follows.
    pub kind: InterfaceKind,
    /// Octets of an IPv6 packet.
    pub mtu: u32,
    /// Octets of a Babel packet to leave for authentication.
    pub reserved: usize,
    /// Our link-local address, the source of our packets.
    pub link_local: Ipv6Addr,
    /// The next hop of IPv4 routes; without one they are announced via IPv6 (RFC 9229).
    pub ipv4: Option<Ipv4Addr>,
    /// Between scheduled multicast Hellos.
    pub hello_interval: Duration,
    /// Between full announcements.
    pub update_interval: Duration,
    /// Routes are not announced where they were learned: right only on links where all hear all (section 3.7.4).
    pub split_horizon: bool,
    /// How costs follow from what is heard.
    pub cost: Cost,
    /// Cost by round-trip time, if wanted (RFC 9616); timestamps are sent then.
    pub round_trip: Option<RoundTrip>,
    /// What we take from neighbours: denied routes count as retracted.
    pub accept: Filter,
    /// What neighbours hear from us.
    pub announce: Filter,
    /// They hear of nothing but our own routes: what comes from there is not passed on.
    #[serde(default)]
    pub own_only: bool,
    /// Somebody else measures the link and says how it is ([`super::input::Input::Quality`]): the channel of a tunnel. Babel
    /// sends no probes, times or large packets of its own there, and counts the loss.
    #[serde(default)]
    pub measured: bool,
}

impl InterfaceSettings {
    /// The interface in a sentence.
    pub fn place(&self) -> String {
        match self.kind {
            InterfaceKind::Lan => self.name.clone(),
            InterfaceKind::Tunnel => format!("tunnel {}", self.name),
        }
    }

    /// Whether round-trip time is measured by Babel itself (RFC 9616).
    pub const fn sends_times(&self) -> bool {
        self.round_trip.is_some() && !self.measured
    }

    /// The defaults for a kind of interface, with Hellos every 4 and updates every 16 seconds.
    pub fn new(kind: InterfaceKind, link_local: Ipv6Addr) -> Self {
        Self {
            name: String::new(),
            kind,
            mtu: 1420,
            reserved: 0,
            link_local,
            ipv4: None,
            hello_interval: Duration::from_secs(4),
            update_interval: Duration::from_secs(16),
            split_horizon: kind == InterfaceKind::Lan,
            cost: Cost::TwoOutOfThree { nominal: 96 },
            round_trip: (kind == InterfaceKind::Tunnel).then(RoundTrip::default),
            accept: Filter::default(),
            announce: Filter::default(),
            own_only: false,
            measured: false,
        }
    }
}

/// What is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InterfaceKind {
    /// Any number of neighbours that hear each other.
    Lan,
    /// One neighbour.
    Tunnel,
}

/// How the cost of a link follows from the Hellos heard (RFC 8966 appendix A.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cost {
    /// Usable while two of the last three Hellos came (A.2.1).
    TwoOutOfThree {
        /// The cost while usable, at least 1.
        nominal: u16,
    },
}

/// How round-trip time adds to the cost (RFC 9616 section 4): nothing up to `min`, the whole penalty from `max` on, and
/// linear between.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoundTrip {
    /// Up to here nothing is added.
    pub min: Duration,
    /// From here on the whole penalty is added.
    pub max: Duration,
    /// Added at most.
    pub max_penalty: u16,
    /// Weight of a new sample, in 256ths.
    pub decay: u8,
}

impl RoundTrip {
    /// What a round trip adds to the cost of a link: nothing below the minimum, then linear, then all (RFC 9616 section 4).
    pub fn penalty(&self, round_trip: Duration) -> u16 {
        if round_trip <= self.min {
            return 0;
        }
        if round_trip >= self.max {
            return self.max_penalty;
        }
        let above = (round_trip - self.min).as_micros();
        let range = (self.max - self.min).as_micros();
        (u128::from(self.max_penalty) * above / range) as u16
    }
}

impl Default for RoundTrip {
    /// re6st's profile: about 10 for each millisecond.
    fn default() -> Self {
        Self {
            min: Duration::from_millis(10),
            max: Duration::from_millis(500),
            max_penalty: 5000,
            decay: 125,
        }
    }
}
