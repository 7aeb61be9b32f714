//! What people are told of a running node. Each answer is short: it is made within the loop.

use anyhow::{Context as _, Result, bail, ensure};
use serde::Serialize;

use super::{
    control::{PeerEntry, Question, Reconnected, Reloaded, RouteReport, Summary, TunnelTraffic},
    controller::Controller,
};
use crate::{
    babel::output::Page,
    certificate::node_prefix::NodePrefix,
    channel,
    dataplane::{DataPlane as _, bpf::error::chain as in_one_line},
};

/// Peers told of in one answer.
const PEERS: usize = 128;

impl Controller {
    /// The answer to a question, as JSON.
    pub(super) fn answer(&mut self, question: &Question) -> Vec<u8> {
        match question {
            Question::Summary => json(&self.summary()),
            Question::Reload => json(&match self.reload_and_say() {
                Ok(changes) => Reloaded::Changes(changes),
                Err(error) => Reloaded::Refused(in_one_line(error.as_ref())),
            }),
            Question::Peers { from } => json(&self.peer_page(*from)),
            Question::Reconnect { peer } => json(&match self.reconnect(peer) {
                Ok(()) => Reconnected::Begun,
                Err(error) => Reconnected::Refused(format!("{error:#}")),
            }),
            Question::Neighbours { from } => json(&self.routing.neighbour_page(*from)),
            Question::Routes { from, near } => {
                let page = self.routing.route_page(self.now(), *from, *near);
                let items = page.items.into_iter().map(|route| RouteReport {
                    not_installed: self.installer.wishes.why_not(&route.route),
                    route,
                });
                json(&Page {
                    items: items.collect(),
                    next: page.next,
                })
            }
        }
    }

    fn peer_page(&self, from: u32) -> Page<PeerEntry> {
        let all = match &self.peers {
            Some(peers) => peers.channels.peers(self.wall_and_elapsed()),
            None => Vec::new(),
        };
        let rest = all.len() > from as usize + PEERS;
        let page = all.into_iter().skip(from as usize).take(PEERS);
        let items = page.map(|channel| PeerEntry {
            tunnel: self.traffic(&channel.peer),
            channel,
        });
        Page {
            items: items.collect(),
            next: rest.then_some(from + PEERS as u32),
        }
    }

    fn traffic(&self, tunnel: &str) -> Option<TunnelTraffic> {
        let number = self.instance.manifest.tunnels.get(tunnel)?;
        let counters = self.installer.plane.tunnel_counters(*number).ok()?;
        Some(TunnelTraffic {
            sent_packets: counters.sent_packets,
            sent_bytes: counters.sent_bytes,
            received_packets: counters.received_packets,
            received_bytes: counters.received_bytes,
        })
    }

    fn reconnect(&mut self, name: &str) -> Result<()> {
        let node = NodePrefix::from_common_name(name)
            .with_context(|| format!("{name:?} is no node's name, which is such as 1/16"))?;
        let Some(peers) = &self.peers else {
            bail!("this node has no channels: it is not of a managed mesh");
        };
        let known = peers.channels.peers(self.wall_and_elapsed());
        ensure!(
            known.iter().any(|peer| peer.peer == node.common_name()),
            "{name} is no peer of this node: `re6st-user status peers` lists them"
        );
        self.channel(channel::Input::Reconnect(node));
        self.go_on_with_channels();
        Ok(())
    }

    fn summary(&self) -> Summary {
        let membership = self.membership.as_ref();
        let alone = self.solitude.is_said().then(|| self.why_alone());
        Summary {
            protocol: self.routing.summary(),
            not_installed: self.installer.wishes.not_as_wanted(),
            warnings: [
                self.routing.warnings(self.now()),
                self.troubles.warnings(),
                self.installer.wishes.warnings(),
                self.twins(self.now()),
                alone.into_iter().collect(),
                self.state.warning().into_iter().collect(),
                self.journal.warning().into_iter().collect(),
            ]
            .concat(),
            refused: self.transport.counters.clone(),
            channels: self.peers.as_ref().map(|peers| *peers.channels.counters()),
            mesh: self.mesh.as_ref().map(|mesh| mesh.report(self.now())),
            installing: self.installer.counters,
            distances: self.journal.counters,
            registry: membership.map(|standing| standing.borrow().report.clone()),
        }
    }
}

fn json(answer: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(answer).unwrap_or_default()
}
