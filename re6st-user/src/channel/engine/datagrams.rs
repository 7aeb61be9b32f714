//! Whose packets they are.

use std::net::{IpAddr, SocketAddr};

use super::Channels;
use crate::{
    channel::{
        output::Output,
        wire::{
            PacketKind, SessionIndex,
            packet::{CookieReply, Response, Transport},
        },
    },
    time::Now,
};

impl Channels {
    pub(super) fn datagram(
        &mut self,
        now: Now,
        way: (SocketAddr, IpAddr),
        bytes: &[u8],
        random: &mut dyn FnMut(&mut [u8]),
        outputs: &mut Vec<Output>,
    ) {
        self.counters.datagrams_received += 1;
        if self.own.is_none() || self.shut_down {
            self.counters.no_credentials += 1;
            return;
        }
        match PacketKind::of(bytes) {
            Some(PacketKind::Initiation) => self.initiation(now, way, bytes, random, outputs),
            Some(PacketKind::Response) => match Response::parse(bytes) {
                Ok(packet) => {
                    let index = packet.receiver;
                    self.response(now, index, way, bytes, random, outputs);
                }
                Err(_) => self.counters.malformed_packets += 1,
            },
            Some(PacketKind::CookieReply) => match CookieReply::parse(bytes) {
                Ok(reply) => self.cookie(now, &reply, random, outputs),
                Err(_) => self.counters.malformed_packets += 1,
            },
            Some(PacketKind::Transport) => self.transport(now, way, bytes, random, outputs),
            None => self.counters.malformed_packets += 1,
        }
    }

    /// A cookie for an initiation of ours.
    fn cookie(
        &mut self,
        now: Now,
        reply: &CookieReply,
        random: &mut dyn FnMut(&mut [u8]),
        outputs: &mut Vec<Output>,
    ) {
        let index = reply.receiver;
        let Some(node) = self.indexes.owner(index) else {
            self.counters.unknown_cookie += 1;
            return;
        };
        let peer = self.peers.get(&node);
        if self.probes.is_calling(node, index) {
            if let Some((parts, mut context)) = self.parts(now, random, outputs) {
                parts.probes.cookie(&mut context, node, reply);
            }
        } else if peer.is_some_and(|peer| peer.is_opening(index)) {
            self.one(now, node, random, outputs, |peer, context| {
                peer.cookie(context, reply);
            });
        } else {
            self.counters.unknown_cookie += 1;
        }
    }

    /// A response to an initiation of ours.
    fn response(
        &mut self,
        now: Now,
        index: SessionIndex,
        way: (SocketAddr, IpAddr),
        bytes: &[u8],
        random: &mut dyn FnMut(&mut [u8]),
        outputs: &mut Vec<Output>,
    ) {
        let Some(node) = self.indexes.owner(index) else {
            self.counters.unknown_response += 1;
            return;
        };
        if self.probes.is_calling(node, index) {
            if let Some((parts, mut context)) = self.parts(now, random, outputs) {
                parts.probes.response(&mut context, node, index, bytes);
            }
        } else if self.peers.contains_key(&node) {
            self.one(now, node, random, outputs, |peer, context| {
                peer.response(context, index, way, bytes);
            });
        } else {
            self.counters.unknown_response += 1;
        }
    }

    fn transport(
        &mut self,
        now: Now,
        way: (SocketAddr, IpAddr),
        bytes: &[u8],
        random: &mut dyn FnMut(&mut [u8]),
        outputs: &mut Vec<Output>,
    ) {
        let Ok(packet) = Transport::parse(bytes) else {
            self.counters.malformed_packets += 1;
            return;
        };
        let index = packet.receiver;
        if self.unconfirmed.contains_key(&index) {
            self.confirm(now, index, way, bytes, random, outputs);
            return;
        }
        let node = self.indexes.owner(index);
        let Some(node) = node.filter(|node| self.peers.contains_key(node)) else {
            self.counters.unknown_session += 1;
            return;
        };
        self.one(now, node, random, outputs, |peer, context| {
            peer.packet(context, index, way, bytes);
        });
    }
}
