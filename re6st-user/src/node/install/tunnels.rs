//! The tunnels that routes lead through.

use std::{collections::HashSet, net::IpAddr};

use super::{
    super::{kernel::KernelTable, transport::tunnel_id},
    Exit, Installer,
};
use crate::{
    babel::input::InterfaceId,
    dataplane::{DataPlane, bpf::resolve::ResolvedTunnel},
    route::RouteKey,
    tunnel::{TunnelDriver as _, TunnelError, clear::ClearTunnels},
};

impl<P: DataPlane, K: KernelTable> Installer<P, K> {
    /// A tunnel's packets go another way from now on, or carry other Ethernet addresses, or are smaller or bigger.
    ///
    /// # Errors
    /// What keeps the maps from being written.
    pub fn change_tunnel(
        &mut self,
        id: InterfaceId,
        tunnel: &ResolvedTunnel,
    ) -> Result<(), TunnelError> {
        let Some(Exit::Tunnel(next_hop, _)) = self.exits.get(&id).copied() else {
            return Ok(());
        };
        self.tunnels().change(next_hop, tunnel)?;
        self.set_tunnel_exit(next_hop, tunnel);
        Ok(())
    }

    /// Opens a tunnel, which routes may use then.
    ///
    /// # Errors
    /// What keeps the maps from being written; then it is closed again.
    pub fn open_tunnel(&mut self, number: u32, tunnel: &ResolvedTunnel) -> Result<(), TunnelError> {
        if let Err(error) = self.tunnels().open(number, tunnel) {
            self.tunnels().close(number)?;
            return Err(error);
        }
        self.set_tunnel_exit(number, tunnel);
        Ok(())
    }

    fn set_tunnel_exit(&mut self, number: u32, tunnel: &ResolvedTunnel) {
        let mtu = Some(tunnel.mtu).filter(|mtu| *mtu < self.device_mtu);
        self.exits
            .insert(tunnel_id(number), Exit::Tunnel(number, mtu));
    }

    /// The tunnels of the data plane.
    pub const fn tunnels(&mut self) -> ClearTunnels<'_, P> {
        ClearTunnels::new(&mut self.plane, self.port)
    }

    /// These are the outer addresses of peers from now on: routes that cover one more or less of them are judged again.
    pub fn set_peers(&mut self, peers: Vec<IpAddr>) {
        let before = std::mem::replace(&mut self.peers, peers);
        let before: HashSet<&IpAddr> = before.iter().collect();
        let now: HashSet<&IpAddr> = self.peers.iter().collect();
        let covers = |route: &RouteKey| {
            let mut changed = before.symmetric_difference(&now);
            changed.any(|peer| route.to().contains(*peer))
        };
        let settled = self.wishes.settled().map(|(route, _)| route);
        let all = settled.chain(self.wishes.refusals().keys().copied());
        for route in all.filter(covers).collect::<Vec<_>>() {
            self.wishes.repeat(route);
        }
    }
}
