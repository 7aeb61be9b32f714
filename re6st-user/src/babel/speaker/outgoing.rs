//! What goes out: packets, and what the log hears.

use std::{collections::BTreeMap, time::Duration};

use super::Speaker;
use crate::{
    babel::{
        ids::{Audience, NeighbourId},
        input::InterfaceId,
        message::Message,
        output::{Event, OutgoingPacket, Output},
        wire::{PacketWriter, PushError},
    },
    time::Time,
};

/// The log hears of each bound this often, and for as long it is warned of.
const BETWEEN_REPORTS: Duration = Duration::from_secs(600);

/// A bound that was reached.
#[derive(Debug)]
struct Reached {
    /// Where, the last time.
    interface: InterfaceId,
    last: Time,
    /// When the log was told.
    reported: Option<Time>,
}

/// Bounds that were reached.
#[derive(Debug, Default)]
pub struct ReachedLimits(BTreeMap<&'static str, Reached>);

impl ReachedLimits {
    /// One was. Gives whether the log is to be told, which is seldom.
    pub fn note(&mut self, now: Time, interface: InterfaceId, limit: &'static str) -> bool {
        let reached = self.0.entry(limit).or_insert(Reached {
            interface,
            last: now,
            reported: None,
        });
        (reached.interface, reached.last) = (interface, now);
        let recent = |reported: Time| now.since(reported) < BETWEEN_REPORTS;
        let tell = !reached.reported.is_some_and(recent);
        if tell {
            reached.reported = Some(now);
        }
        tell
    }

    /// Those that were reached of late, and where.
    pub fn recent(&self, now: Time) -> impl Iterator<Item = (&'static str, InterfaceId)> {
        let all = self.0.iter();
        let recent = all.filter(move |(_, reached)| now.since(reached.last) < BETWEEN_REPORTS);
        recent.map(|(limit, reached)| (*limit, reached.interface))
    }
}

impl Speaker {
    pub(super) fn event(&mut self, event: Event) {
        self.outputs.push(Output::Event(event));
    }

    /// Notes that a bound was reached, and tells the log, seldom.
    pub(super) fn limit_reached(&mut self, interface: InterfaceId, limit: &'static str) {
        if self.limits.note(self.context.now, interface, limit) {
            self.event(Event::LimitReached { interface, limit });
        }
    }

    /// The same, of a neighbour.
    pub(super) fn limit_reached_by(&mut self, id: NeighbourId, limit: &'static str) {
        if let Some(interface) = self.links.interface_of(id) {
            self.limit_reached(interface, limit);
        }
    }

    /// Sends messages at once, in as many packets as they need.
    pub(super) fn send(&mut self, audience: Audience, messages: Vec<Message>) {
        let Some((interface, _)) = self.links.address(audience) else {
            return;
        };
        let Some(mut packet) = self.links.writer(interface) else {
            return;
        };
        let mut first = true;
        for mut message in messages {
            if !first {
                message.forget_times();
            }
            let mut result = packet.push(&message);
            if matches!(result, Err(PushError::Full))
                && !packet.is_empty()
                && let Some(mut next) = self.links.writer(interface)
            {
                message.forget_times();
                result = next.push(&message);
                self.send_packet(audience, std::mem::replace(&mut packet, next));
                first = false;
            }
            self.context.counters.illegal_messages += u64::from(result.is_err());
        }
        if !packet.is_empty() {
            self.send_packet(audience, packet);
        }
    }

    pub(super) fn send_packet(&mut self, audience: Audience, packet: PacketWriter) {
        let Some((interface, destination)) = self.links.address(audience) else {
            return;
        };
        let timestamp_at = packet.timestamp_at();
        let packet = OutgoingPacket {
            timestamp_at,
            bytes: packet.finish(),
        };
        self.context.counters.packets_sent += 1;
        self.outputs.push(Output::Send {
            interface,
            destination,
            packet,
        });
    }
}
