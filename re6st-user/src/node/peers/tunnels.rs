//! What channels agree on becomes tunnels.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::{super::controller::Controller, Peers};
use crate::{
    babel::input::InterfaceId,
    certificate::node_prefix::NodePrefix,
    channel::{self, Closing},
    config::{Config, Encapsulation, Keys, SourcePort, Tunnel},
    dataplane::bpf::stacking::Stacking,
    time::Time,
    tunnel::{TunnelDriver as _, TunnelError},
};

/// How long keys of the life before are accepted beside those that a peer has agreed on since.
const OVERLAP: Duration = Duration::from_secs(10);
/// What every link of IPv6 must carry (RFC 8200 section 5), in bytes.
const IPV6_MINIMUM_MTU: u16 = 1280;
/// Until another look whether routes have left tunnels that are to be closed.
const LEAVING: Duration = Duration::from_millis(100);

/// A peer's tunnel as the data plane knows tunnels.
fn as_configured(peer: NodePrefix, tunnel: &channel::Tunnel, port: u16) -> Option<Tunnel> {
    let (local, former) = tunnel.accept.split_first()?;
    let mut keys = Keys::new(*local, tunnel.send);
    keys.former = former.to_vec();
    Some(Tunnel {
        name: peer.common_name(),
        remote: tunnel.remote.ip(),
        local: Some(tunnel.local),
        encapsulation: Encapsulation::Fou,
        keys,
        mtu: Some(tunnel.mtu),
        source_port: match tunnel.fixed_source_port {
            true => SourcePort::Fixed,
            false => SourcePort::Flow,
        },
        remote_port: Some(tunnel.remote.port()).filter(|remote| *remote != port),
        of_peer: true,
    })
}

impl Peers {
    /// The keys that a tunnel accepts besides those agreed on now.
    fn also_accepted(&mut self, peer: NodePrefix, now: Time, keys: &mut Keys) {
        let Some(inherited) = self.inherited.get_mut(&peer) else {
            return;
        };
        if !std::mem::replace(&mut inherited.met, true) {
            inherited.until = now + OVERLAP;
        }
        let known: Vec<u32> = keys.accepted().collect();
        let former = inherited.keys.iter().filter(|key| !known.contains(key));
        keys.former.extend(former);
    }
}

impl Controller {
    /// Closes tunnels that were cut off and that no route leads through any more.
    pub(super) fn close_what_was_left(&mut self) {
        let now = self.now();
        let Some(peers) = &mut self.peers else {
            return;
        };
        if peers.closing.is_empty() || peers.close_at > now {
            return;
        }
        peers.close_at = now + LEAVING;
        let closing = std::mem::take(&mut peers.closing);
        let mut left = Vec::new();
        for number in closing {
            match self.installer.tunnels().close(number) {
                Ok(()) => {}
                Err(TunnelError::InUse { .. }) => left.push(number),
                Err(error) => {
                    self.say(&format!("WARNING: tunnel number {number}: {error}"));
                    left.push(number);
                }
            }
        }
        if let Some(peers) = &mut self.peers {
            peers.closing.extend(left);
        }
    }

    /// Opens a peer's tunnel, or changes it.
    pub(super) fn tunnel_to_peer(&mut self, peer: NodePrefix, tunnel: &channel::Tunnel) {
        let Some(mut tunnel) = as_configured(peer, tunnel, self.config.port) else {
            return;
        };
        let now = self.now();
        if let Some(peers) = &mut self.peers {
            peers.also_accepted(peer, now, &mut tunnel.keys);
        }
        let was_open = self.link_to(peer).is_some();
        let outcome = match self.link_to(peer) {
            _ if self.is_too_narrow(&tunnel) => self.close_peer_tunnel(&tunnel.name).and_then(|()| {
                bail!(
                    "tunnel {}: the path to {} leaves {} bytes for packets in it, and IPv6 needs {IPV6_MINIMUM_MTU}",
                    tunnel.name,
                    tunnel.remote,
                    tunnel.mtu.unwrap_or_default()
                )
            }),
            Some(interface) => self.change_peer_tunnel(interface, tunnel),
            None => self.open_peer_tunnel(peer, tunnel),
        };
        if outcome.is_ok()
            && let Some(interface) = self.link_to(peer)
        {
            self.entitle(peer, interface);
            if !was_open {
                self.mesh_tunnel_is_up(peer);
            }
        }
        let why = outcome.as_ref().err().map(|error| format!("{error:#}"));
        self.tell(&format!("peer {}", peer.common_name()), outcome);
        if let Some(why) = why {
            self.channel(channel::Input::NoTunnel { peer, why });
        }
    }

    /// Whether the mesh's packets do not fit, whatever senders are told.
    fn is_too_narrow(&self, tunnel: &Tunnel) -> bool {
        let mut addresses = self.config.addresses.iter();
        tunnel.mtu.is_some_and(|mtu| mtu < IPV6_MINIMUM_MTU)
            && addresses.any(|address| address.addr().is_ipv6())
    }

    fn open_peer_tunnel(&mut self, peer: NodePrefix, tunnel: Tunnel) -> Result<Option<String>> {
        let name = tunnel.name.clone();
        let others = self.config.tunnels.iter();
        let others = others.filter(|other| other.name != name).cloned();
        let Some(then) = self.config.with_tunnels(others.chain([tunnel]).collect()) else {
            bail!("tunnel {name}: its key is another tunnel's");
        };
        self.go_on_with(then)?;
        match self.link_to(peer) {
            Some(_) => Ok(None),
            None => {
                let missing = &self.instance.manifest.missing;
                let why = missing
                    .iter()
                    .find(|(what, _)| what.ends_with(&format!(" {name}")));
                bail!(why.map_or_else(
                    || format!("tunnel {name} is not open"),
                    |(_, why)| why.clone()
                ))
            }
        }
    }

    /// Makes what runs like this configuration, by the smallest steps.
    fn go_on_with(&mut self, then: Config) -> Result<()> {
        let told = match self.steps(&then)? {
            Some(steps) => self.take(then, steps)?,
            None => self.load(then)?,
        };
        told.iter().for_each(|told| self.say(told));
        Ok(())
    }

    fn change_peer_tunnel(
        &mut self,
        interface: InterfaceId,
        tunnel: Tunnel,
    ) -> Result<Option<String>> {
        let mut config = self.config.clone();
        if !config.replace_tunnel(&tunnel) {
            bail!("tunnel {}: its key is another tunnel's", tunnel.name);
        }
        let stacking = Stacking::query(&mut self.host.netlink)?;
        let way = self.way(&config, &tunnel, &stacking)?;
        self.change_tunnel(interface, way)
            .with_context(|| format!("tunnel {}", tunnel.name))?;
        self.config = config;
        let peers = self.config.tunnels.iter().map(|tunnel| tunnel.remote);
        self.installer.set_peers(peers.collect());
        Ok(None)
    }

    /// Takes a peer's tunnel away.
    pub(super) fn no_tunnel_to_peer(&mut self, peer: NodePrefix, why: &Closing) {
        let name = peer.common_name();
        if let Some(peers) = &mut self.peers {
            peers.inherited.remove(&peer);
        }
        if self.config.tunnel(&name).is_none() {
            self.mesh_tunnel_is_closed(peer, why);
            return;
        }
        let outcome = self.close_peer_tunnel(&name);
        let outcome = outcome.with_context(|| format!("tunnel {name}, whose peer left: {why}"));
        let outcome = outcome.map(|()| None);
        self.tell(&format!("peer {name}"), outcome);
        self.mesh_tunnel_is_closed(peer, why);
    }

    fn close_peer_tunnel(&mut self, name: &str) -> Result<()> {
        let others = self.config.tunnels.iter();
        let others = others.filter(|other| other.name != name).cloned();
        let Some(then) = self.config.with_tunnels(others.collect()) else {
            bail!("the keys of the other tunnels are not told apart");
        };
        self.go_on_with(then)
    }

    /// Keys of the life before end, and tunnels whose peers were not met again.
    pub(super) fn forget_inherited(&mut self) {
        let now = self.now();
        let Some(peers) = &mut self.peers else {
            return;
        };
        let ended = peers
            .inherited
            .extract_if(.., |_, inherited| inherited.until <= now);
        for (peer, inherited) in ended.collect::<Vec<_>>() {
            let name = peer.common_name();
            let Some(mut tunnel) = self.config.tunnel(&name).cloned() else {
                continue;
            };
            let outcome = match (inherited.met, self.link_to(peer)) {
                (true, Some(interface)) => {
                    tunnel
                        .keys
                        .former
                        .retain(|key| !inherited.keys.contains(key));
                    self.change_peer_tunnel(interface, tunnel)
                }
                (true, None) => Ok(None),
                (false, _) => {
                    self.say(&format!(
                        "peer {name}: not met again since the restart; its tunnel is closed"
                    ));
                    let outcome = self.close_peer_tunnel(&name).map(|()| None);
                    self.mesh_tunnel_is_closed(peer, &Closing::Silent);
                    outcome
                }
            };
            self.tell(&format!("peer {name}"), outcome);
        }
    }
}
