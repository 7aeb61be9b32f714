//! Channels as the controller runs them, without sockets: two nodes, a way between them, and a time that is moved.

use std::{
    collections::VecDeque,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use nix::unistd::gettid;
use re6st_user::{
    babel::random::Random,
    channel::{
        ChannelCredentials, Channels, Input, Output, Peer, PeerState, Settings, settings::Limits,
    },
    rate::Rate,
    time::{Now, Time, Timestamp},
};

use super::super::core;
use crate::{
    bench::resident_memory,
    channel::{Issuer, name, wall},
};

/// Octets of the IPv4 and UDP headers around each datagram.
const HEADERS: u64 = 20 + 8;
/// The number of the node that is called; the others have higher ones.
const HUB: u16 = 1;

/// A node.
struct Node {
    channels: Channels,
    address: SocketAddr,
    random: Random,
    /// When it could send its first packet through a tunnel.
    opened: Option<Time>,
}

impl Node {
    /// Where node `number` is.
    fn address(number: u16) -> SocketAddr {
        let [high, low] = number.to_be_bytes();
        SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, high, low)), 4754)
    }

    /// Has no limits: what handshakes cost is to be seen, not how many are refused.
    fn new(number: u16) -> Self {
        let any = Rate {
            count: 1,
            seconds: 0,
        };
        let settings = Settings {
            served: usize::from(u16::MAX),
            limits: Limits {
                initiations: any,
                initiations_of_source: any,
                ..Limits::default()
            },
            ..Settings::default()
        };
        Self {
            channels: Channels::new(settings),
            address: Self::address(number),
            random: Random::new(number.into()),
            opened: None,
        }
    }

    fn connected(&self, now: Now) -> usize {
        let peers = self.channels.peers(now);
        peers
            .iter()
            .filter(|peer| peer.state == PeerState::Connected && peer.post_quantum == Some(true))
            .count()
    }
}

/// What was on the way.
#[derive(Clone, Copy, Default, Debug)]
pub struct Traffic {
    /// In both directions.
    pub packets: u64,
    /// With IPv4 and UDP headers.
    pub octets: u64,
}

struct Datagram {
    at: Time,
    from: SocketAddr,
    to: SocketAddr,
    bytes: Vec<u8>,
}

/// The way between two nodes.
struct Way {
    now: Time,
    wall: Timestamp,
    delay: Duration,
    under_way: VecDeque<Datagram>,
    traffic: Traffic,
}

impl Way {
    fn new(delay: Duration) -> Result<Self> {
        Ok(Self {
            now: Time(1_000_000),
            wall: wall()?,
            delay,
            under_way: VecDeque::new(),
            traffic: Traffic::default(),
        })
    }

    fn moment(&self) -> Now {
        Now {
            elapsed: self.now,
            wall: Timestamp(self.wall.0 + self.now.0 / 1_000_000),
        }
    }

    fn hand(&mut self, node: &mut Node, input: Input<'_>) {
        let now = self.moment();
        let mut outputs = Vec::new();
        let random = &mut node.random;
        let mut fill = |octets: &mut [u8]| octets.fill_with(|| random.next() as u8);
        node.channels.handle(now, input, &mut fill, &mut outputs);
        for output in outputs {
            match output {
                Output::Send { to, bytes, .. } => {
                    self.traffic.packets += 1;
                    self.traffic.octets += bytes.len() as u64 + HEADERS;
                    self.under_way.push_back(Datagram {
                        at: self.now + self.delay,
                        from: node.address,
                        to,
                        bytes,
                    });
                }
                Output::Tunnel { .. } => node.opened = node.opened.or(Some(self.now)),
                _ => {}
            }
        }
    }

    /// Lets the first node call the second one.
    fn call(&mut self, caller: &mut Node, credentials: ChannelCredentials, hub: &Peer) {
        self.hand(caller, Input::Credentials(Box::new(credentials)));
        self.hand(caller, Input::Peers(vec![hub.clone()]));
    }

    fn run(&mut self, ends: &mut [&mut Node; 2], time: Duration) {
        let end = self.now + time;
        loop {
            let arrival = self.under_way.front().map(|datagram| (datagram.at, None));
            let due = ends
                .iter()
                .enumerate()
                .filter_map(|(which, node)| Some((node.channels.next_deadline()?, Some(which))));
            // what has arrived comes before what is due
            let Some((at, which)) = arrival.into_iter().chain(due).min_by_key(|next| next.0) else {
                break;
            };
            if at > end {
                break;
            }
            self.now = self.now.max(at);
            match which {
                Some(which) => self.hand(ends[which], Input::Time),
                None => self.deliver(ends),
            }
        }
        self.now = end;
    }

    fn deliver(&mut self, ends: &mut [&mut Node; 2]) {
        let Some(Datagram {
            from, to, bytes, ..
        }) = self.under_way.pop_front()
        else {
            return;
        };
        // others have gone
        if let Some(node) = ends.iter_mut().find(|node| node.address == to) {
            let bytes = &bytes;
            let to = to.ip();
            self.hand(node, Input::Datagram { from, to, bytes });
        }
    }
}

/// A node that others call, and how it is called.
struct Hub {
    issuer: Issuer,
    node: Node,
    as_peer: Peer,
    way: Way,
}

impl Hub {
    fn new(delay: Duration) -> Result<Self> {
        let issuer = Issuer::new("2001:db8:42::/48")?;
        let credentials = issuer.credentials(HUB)?;
        let as_peer = Peer {
            node: name(HUB)?,
            addresses: vec![Node::address(HUB)],
            key: Some(credentials.key.public_key()),
        };
        let mut way = Way::new(delay)?;
        let mut node = Node::new(HUB);
        way.hand(&mut node, Input::Credentials(Box::new(credentials)));
        Ok(Self {
            issuer,
            node,
            as_peer,
            way,
        })
    }

    /// Somebody calls, and is gone when it has its channel.
    fn meet(&mut self, number: u16, credentials: ChannelCredentials) {
        let mut caller = Node::new(number);
        self.way.call(&mut caller, credentials, &self.as_peer);
        self.way
            .run(&mut [&mut self.node, &mut caller], 10 * self.way.delay);
    }

    fn meet_all(&mut self, numbers: std::ops::Range<u16>) -> Result<()> {
        for number in numbers {
            let credentials = self.issuer.credentials(number)?;
            self.meet(number, credentials);
        }
        Ok(())
    }

    /// Fails unless it has so many channels with keys of both kinds.
    fn check(&self, count: usize) -> Result<()> {
        let connected = self.node.connected(self.way.moment());
        ensure!(
            connected == count,
            "{connected} channels of {count}: {:?}",
            self.node.channels.counters()
        );
        Ok(())
    }
}

/// Little enough for all channels of a benchmark to be made while the first one is fresh.
const SHORT: Duration = Duration::from_micros(1);

/// Full handshakes of nodes that never met before, for each second of processor time of both ends together.
pub fn handshakes_per_second(count: u16) -> Result<f64> {
    let mut hub = Hub::new(SHORT)?;
    let credentials: Vec<_> = (0..count)
        .map(|number| Ok((HUB + 1 + number, hub.issuer.credentials(HUB + 1 + number)?)))
        .collect::<Result<_>>()?;
    let begin = core::time(&[gettid()])?;
    for (number, credentials) in credentials {
        hub.meet(number, credentials);
    }
    let time = core::time(&[gettid()])? - begin;
    hub.check(count.into())?;
    Ok(f64::from(count) / time.as_secs_f64())
}

/// Round trips between a node's first datagram and its first packet in the tunnel.
pub fn round_trips() -> Result<f64> {
    const DELAY: Duration = Duration::from_millis(50);
    let mut hub = Hub::new(DELAY)?;
    let mut caller = Node::new(HUB + 1);
    let credentials = hub.issuer.credentials(HUB + 1)?;
    let begin = hub.way.now;
    hub.way.call(&mut caller, credentials, &hub.as_peer);
    hub.way
        .run(&mut [&mut hub.node, &mut caller], Duration::from_secs(2));
    hub.check(1)?;
    let opened = caller.opened.context("no tunnel")?;
    Ok(opened.since(begin).as_secs_f64() / (2.0 * DELAY.as_secs_f64()))
}

/// Bytes that a process grows by with so many more idle channels, of one end.
pub fn memory(count: u16) -> Result<u64> {
    let mut hub = Hub::new(SHORT)?;
    // what was free before is taken by these
    let first = HUB + 1 + count;
    hub.meet_all(HUB + 1..first)?;
    let before = resident_memory("self")?;
    hub.meet_all(first..first + count)?;
    let after = resident_memory("self")?;
    hub.check(2 * usize::from(count))?;
    Ok(after.saturating_sub(before))
}

/// What two nodes tell each other in so much time, when nobody has anything to send.
pub fn idle_traffic(time: Duration) -> Result<Traffic> {
    const SETTLED: Duration = Duration::from_secs(120);
    let mut hub = Hub::new(Duration::from_millis(10))?;
    let mut caller = Node::new(HUB + 1);
    let credentials = hub.issuer.credentials(HUB + 1)?;
    hub.way.call(&mut caller, credentials, &hub.as_peer);
    let mut ends = [&mut hub.node, &mut caller];
    hub.way.run(&mut ends, SETTLED);
    let before = hub.way.traffic;
    hub.way.run(&mut ends, time);
    let after = hub.way.traffic;
    hub.check(1)?;
    Ok(Traffic {
        packets: after.packets - before.packets,
        octets: after.octets - before.octets,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail")]

    use super::*;

    #[test]
    fn a_handshake_takes_a_round_trip_for_each_of_noise_and_ml_kem() {
        let round_trips = round_trips().unwrap();

        assert!((1.99..2.01).contains(&round_trips), "{round_trips}");
    }

    #[test]
    fn handshakes_are_made_by_as_many_nodes_as_were_wanted() {
        assert!(handshakes_per_second(20).unwrap() > 0.0);
    }

    #[test]
    fn an_idle_channel_says_something_and_not_much() {
        let traffic = idle_traffic(Duration::from_secs(60)).unwrap();

        assert!(traffic.packets > 0);
        assert!(traffic.octets > traffic.packets * HEADERS);
        assert!(traffic.octets < 60 * 1_000, "{traffic:?}");
    }
}
