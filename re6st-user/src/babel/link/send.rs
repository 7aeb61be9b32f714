//! Messages packed into packets (RFC 8966 section 4).

use super::Links;
use crate::babel::{
    context::Context,
    ids::{Audience, NeighbourId},
    message::Message,
    output::{GROUP, OutgoingPacket, Output},
    wire::{PacketWriter, PushError},
};

impl Links {
    /// Sends messages at once, in as many packets as they need.
    pub fn send(&self, context: &mut Context, audience: Audience, messages: Vec<Message>) {
        let Some(mut packet) = self.writer(audience) else {
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
                && let Some(mut next) = self.writer(audience)
            {
                first = false;
                message.forget_times();
                result = next.push(&message);
                self.send_packet(context, audience, std::mem::replace(&mut packet, next));
            }
            context.counters.illegal_messages += u64::from(result.is_err());
        }
        self.send_packet(context, audience, packet);
    }

    /// To one neighbour, at once.
    pub(super) fn send_to(&self, context: &mut Context, id: NeighbourId, message: Message) {
        self.send(context, Audience::Neighbour(id), vec![message]);
    }

    /// Sends a packet, unless there is nothing in it.
    pub fn send_packet(&self, context: &mut Context, audience: Audience, packet: PacketWriter) {
        let Some(interface) = self.interface_of(audience).filter(|_| !packet.is_empty()) else {
            return;
        };
        let destination = match audience {
            Audience::Group(_) => GROUP,
            Audience::Neighbour(id) => match self.neighbours.get(id) {
                Some(neighbour) => neighbour.address,
                None => return,
            },
        };
        context.counters.packets_sent += 1;
        context.outputs.push(Output::Send {
            interface,
            destination,
            packet: OutgoingPacket {
                timestamp_at: packet.timestamp_at(),
                bytes: packet.finish(),
            },
        });
    }

    /// An empty packet of the size that gets through.
    pub fn writer(&self, audience: Audience) -> Option<PacketWriter> {
        Some(self.interfaces.get(&self.interface_of(audience)?)?.writer())
    }
}
