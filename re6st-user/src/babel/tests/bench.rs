//! One speaker, alone, to which tests say what they like.

use std::{net::Ipv6Addr, time::Duration};

use ipnet::IpNet;

use super::network::{prefix, router_id};
use crate::babel::{
    input::{Input, InterfaceId, Restored},
    message::{Message, NextHop, Update},
    output::{CandidateSnapshot, GROUP, Output, RouteSnapshot},
    quantities::{Interval, Metric, SequenceNumber},
    settings::{InterfaceKind, InterfaceSettings, Settings},
    speaker::Speaker,
    wire::{PacketWriter, decode},
};
use crate::{route::RouteKey, time::Time};

pub const LAN: InterfaceId = InterfaceId(1);
pub const OURS: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
pub const OTHER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2);
pub const THIRD: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 3);

/// One speaker on a LAN, and whatever is said to it.
pub struct Bench {
    pub speaker: Speaker,
    pub now: Time,
    pub outputs: Vec<Output>,
    /// Number of the next Hello of those who wait with us.
    hellos: u16,
}

impl Bench {
    pub fn new(adjust: impl FnOnce(&mut Settings, &mut InterfaceSettings)) -> Self {
        let restored = Restored {
            sequence_number: Some(SequenceNumber(100)),
            ..Restored::default()
        };
        Self::restarted(&restored, adjust)
    }

    /// Of one that was there before.
    pub fn restarted(
        restored: &Restored,
        adjust: impl FnOnce(&mut Settings, &mut InterfaceSettings),
    ) -> Self {
        let mut settings = Settings::new(router_id(0));
        let mut lan = InterfaceSettings::new(InterfaceKind::Lan, OURS);
        adjust(&mut settings, &mut lan);
        let now = Time(1_000_000);
        let speaker = Speaker::new(now, settings, restored, 1);
        let mut bench = Self {
            speaker,
            now,
            outputs: Vec::new(),
            hellos: 4,
        };
        bench.input(Input::Interface {
            interface: LAN,
            settings: Box::new(lan),
        });
        bench
    }

    pub fn input(&mut self, input: Input) {
        self.speaker.handle(self.now, input, &mut self.outputs);
    }

    pub fn wait(&mut self, duration: Duration) {
        let until = self.now + duration;
        while let Some(next) = self.speaker.next_deadline().filter(|next| *next <= until) {
            self.now = self.now.max(next);
            self.input(Input::Time);
        }
        self.now = until;
    }

    pub fn with_announced(adjust: impl FnOnce(&mut Settings, &mut InterfaceSettings)) -> Self {
        let mut bench = Self::new(adjust);
        bench.input(Input::Announce {
            route: prefix(0),
            metric: Metric(0),
        });
        bench
    }

    /// Waits, while neighbours go on saying Hello and that they hear us.
    pub fn wait_among(&mut self, neighbours: &[Ipv6Addr], seconds: u16) {
        for second in 0..seconds {
            if second.is_multiple_of(50) {
                for neighbour in neighbours {
                    let number = self.hellos;
                    self.hear(*neighbour, &[hello(number), heard()]);
                }
                self.hellos += 1;
            }
            self.wait(Duration::from_secs(1));
        }
    }

    pub fn hear(&mut self, source: Ipv6Addr, messages: &[Message]) {
        let mut packet = PacketWriter::new(1400, source);
        for message in messages {
            packet.push(message).expect("legal, and there is room");
        }
        let (bytes, received_at) = (packet.finish(), self.now);
        self.input(Input::Received {
            interface: LAN,
            source,
            destination: GROUP,
            bytes,
            received_at,
        });
    }

    /// A usable neighbour.
    pub fn meet(&mut self, source: Ipv6Addr) {
        for number in 1..4 {
            self.hear(source, &[hello(number), heard()]);
        }
        self.wait(Duration::from_millis(500));
    }

    /// What was said to a neighbour or to all since the last call.
    pub fn said(&mut self) -> Vec<Message> {
        let sent =
            std::mem::take(&mut self.outputs)
                .into_iter()
                .filter_map(|output| match output {
                    Output::Send { packet, .. } => Some(packet.bytes),
                    _ => None,
                });
        sent.flat_map(|bytes| decode(&bytes, OURS).expect("our own").collect::<Vec<_>>())
            .collect()
    }

    /// The same, packet by packet, with whom to.
    pub fn sent(&mut self) -> Vec<(Ipv6Addr, Vec<Message>)> {
        let outputs = std::mem::take(&mut self.outputs);
        let packets = outputs.into_iter().filter_map(|output| match output {
            Output::Send {
                destination,
                packet,
                ..
            } => Some((destination, packet.bytes)),
            _ => None,
        });
        packets
            .map(|(to, bytes)| (to, decode(&bytes, OURS).expect("our own").collect()))
            .collect()
    }

    pub fn candidate(&self, n: usize, neighbour: Ipv6Addr) -> Option<CandidateSnapshot> {
        let mut candidates = self.route(n)?.candidates.into_iter();
        candidates.find(|candidate| candidate.neighbour == neighbour)
    }

    pub fn selected(&self, n: usize) -> Option<Ipv6Addr> {
        let mut candidates = self.route(n)?.candidates.into_iter();
        candidates
            .find(|candidate| candidate.selected)
            .map(|candidate| candidate.neighbour)
    }

    /// Why that neighbour's.
    pub fn why(&self, n: usize) -> &'static str {
        self.route(n).map_or("", |route| route.why)
    }

    pub fn route(&self, n: usize) -> Option<RouteSnapshot> {
        self.speaker.route(self.now, &prefix(n))
    }

    /// All of them, page by page.
    pub fn routes(&self, near: Option<IpNet>) -> Vec<RouteSnapshot> {
        let mut routes = Vec::new();
        let mut from = Some(0);
        while let Some(begin) = from {
            let page = self.speaker.route_page(self.now, begin, near);
            routes.extend(page.items);
            from = page.next;
        }
        routes
    }
}

pub fn hello(number: u16) -> Message {
    Message::Hello {
        unicast: false,
        sequence_number: SequenceNumber(number),
        interval: Interval(10_000),
        timestamp: None,
    }
}

pub fn heard() -> Message {
    Message::IHeardYou {
        address: Some(OURS.into()),
        reception_cost: Metric(96),
        interval: Interval(30_000),
        timestamps: None,
    }
}

pub fn update(from: Ipv6Addr, n: usize, origin: usize, number: u16, metric: u16) -> Message {
    Message::Update(Update {
        route: prefix(n),
        router_id: Some(router_id(origin)),
        sequence_number: SequenceNumber(number),
        metric: Metric(metric),
        interval: Interval(10_000),
        next_hop: Some(NextHop::Ipv6(from)),
    })
}

/// An update of prefix 100 that promises the next in four seconds.
pub fn often(from: Ipv6Addr, number: u16, metric: u16) -> Message {
    let Message::Update(update) = update(from, 100, 5, number, metric) else {
        unreachable!("it is an update");
    };
    Message::Update(Update {
        interval: Interval(400),
        ..update
    })
}

pub fn retraction(n: usize) -> Message {
    Message::Update(Update {
        route: prefix(n),
        router_id: None,
        sequence_number: SequenceNumber(0),
        metric: Metric::INFINITY,
        interval: Interval(10_000),
        next_hop: None,
    })
}

pub fn asks_for(messages: &[Message], n: usize) -> bool {
    let route = Some(prefix(n));
    messages
        .iter()
        .any(|message| matches!(message, Message::RouteRequest { route: asked } if *asked == route))
}

pub fn updates(messages: &[Message], n: usize) -> Vec<(u16, u16)> {
    let updates = messages.iter().filter_map(|message| match message {
        Message::Update(update) if update.route == prefix(n) => {
            Some((update.sequence_number.0, update.metric.0))
        }
        _ => None,
    });
    updates.collect()
}

/// Requests for newer numbers: of which prefix, how new, how far.
pub fn requests(messages: &[Message]) -> Vec<(RouteKey, u16, u8)> {
    let requests = messages.iter().filter_map(|message| match message {
        Message::SequenceNumberRequest {
            route,
            sequence_number,
            hop_count,
            ..
        } => Some((*route, sequence_number.0, *hop_count)),
        _ => None,
    });
    requests.collect()
}
