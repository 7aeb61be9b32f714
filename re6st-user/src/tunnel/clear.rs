//! `fou` and `gre`: tunnels in the clear, which the data plane carries all by itself.

use re6st_common::maps::{NextHop, TunnelCounters, interface, kind};

use super::{TunnelDriver, TunnelError};
use crate::dataplane::{DataPlane, DataPlaneError, bpf::resolve::ResolvedTunnel};

/// The tunnels of a data plane.
pub struct ClearTunnels<'plane, P> {
    plane: &'plane mut P,
    /// UDP port of `fou` tunnels.
    port: u16,
}

impl<'plane, P: DataPlane> ClearTunnels<'plane, P> {
    /// `port`: the UDP port of `fou` tunnels, at both ends.
    pub const fn new(plane: &'plane mut P, port: u16) -> Self {
        Self { plane, port }
    }
}

impl<P: DataPlane> TunnelDriver for ClearTunnels<'_, P> {
    type Tunnel = ResolvedTunnel;

    fn open(&mut self, number: u32, tunnel: &ResolvedTunnel) -> Result<(), TunnelError> {
        self.change(number, tunnel)
    }

    fn change(&mut self, number: u32, tunnel: &ResolvedTunnel) -> Result<(), TunnelError> {
        let Some(below) = self.plane.interface(tunnel.interface) else {
            return Err(TunnelError::NoPrograms);
        };
        let with_tc = below.flags & interface::TRANSMIT_WITH_TC != 0;
        let next_hop = tunnel.next_hop(self.port, with_tc);
        let accepted = tunnel.entries(number);
        Ok(self.plane.set_tunnel(number, &accepted, &next_hop)?)
    }

    fn cut(&mut self, number: u32) -> Result<(), TunnelError> {
        // for which every packet is too big
        let nowhere = NextHop {
            kind: kind::TUNNEL,
            ..NextHop::FREE
        };
        Ok(self.plane.set_tunnel(number, &[], &nowhere)?)
    }

    fn close(&mut self, number: u32) -> Result<(), TunnelError> {
        match self.plane.remove_tunnel(number) {
            Ok(()) | Err(DataPlaneError::NoSuchNextHop { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn counters(&self, number: u32) -> Result<TunnelCounters, TunnelError> {
        Ok(self.plane.tunnel_counters(number)?)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

    use re6st_common::maps::{Interface, NAME_SIZE, Settings, transmit};

    use super::*;
    use crate::{
        config::{Encapsulation, Keys, SourcePort, Tunnel},
        dataplane::{Route, fib::Fib, memory::MemoryMaps, recorder::Recorder},
    };

    const ETH0: u32 = 7;

    fn recorder(flags: u32) -> Recorder {
        let mut maps = MemoryMaps::new(Settings {
            tunnel_mask: 1023,
            ..Settings::EMPTY
        });
        let eth0 = Interface {
            flags,
            address: [2; 6],
            reserved: [0; 2],
            name: [0; NAME_SIZE],
        };
        maps.interfaces.insert(ETH0, eth0);
        Recorder::new(Fib::new(None), maps, 16)
    }

    fn tunnel(mtu: u32) -> ResolvedTunnel {
        let tunnel = Tunnel {
            name: "b".to_owned(),
            remote: "192.0.2.7".parse().unwrap(),
            local: None,
            encapsulation: Encapsulation::Fou,
            keys: Keys::new(0x705, 8),
            mtu: None,
            source_port: SourcePort::Flow,
            remote_port: None,
            of_peer: false,
        };
        ResolvedTunnel::example(&tunnel, ETH0, mtu)
    }

    #[test]
    fn a_tunnel_has_its_number_and_counters_from_its_opening_to_its_closing() {
        let mut plane = recorder(0);
        let maps = |plane: &Recorder| plane.plane.maps.clone();
        let mut driver = ClearTunnels::new(&mut plane, 4754);
        driver.open(3, &tunnel(1400)).unwrap();
        plane.plane.maps.tunnel_counters.insert(
            3,
            TunnelCounters {
                sent_packets: 5,
                ..TunnelCounters::default()
            },
        );
        let mut driver = ClearTunnels::new(&mut plane, 4754);
        driver.change(3, &tunnel(1300)).unwrap();
        assert_eq!(driver.counters(3).unwrap().sent_packets, 5);
        let open = maps(&plane);
        assert_eq!(
            open.tunnels[&0x305].next_hop, 3,
            "by the low bits of its key"
        );
        assert_eq!(open.next_hops[&3].mtu, 1300);
        assert_eq!(open.next_hops[&3].flags & transmit::WITH_TC, 0);

        let route = Route::new("2001:db8::/32".parse().unwrap(), None, 3).unwrap();
        plane.set_route(route).unwrap();
        let mut driver = ClearTunnels::new(&mut plane, 4754);
        let in_use = driver.close(3).unwrap_err();
        assert!(matches!(in_use, TunnelError::InUse { routes: 1 }));
        assert_eq!(maps(&plane).tunnels.len(), 1, "it stays open");

        let mut driver = ClearTunnels::new(&mut plane, 4754);
        driver.cut(3).unwrap();
        let cut = maps(&plane);
        assert!(cut.tunnels.is_empty(), "nothing is taken any more");
        assert_eq!(cut.next_hops[&3].mtu, 0, "and nothing fits");

        plane.remove_route(route.key()).unwrap();
        let mut driver = ClearTunnels::new(&mut plane, 4754);
        driver.close(3).unwrap();
        driver.close(3).unwrap();
        driver.open(3, &tunnel(1400)).unwrap();
        assert_eq!(driver.counters(3).unwrap(), TunnelCounters::default());
    }

    #[test]
    fn what_its_interface_takes_from_xdp_alone_is_told() {
        for (flags, expected) in [(0, 0), (interface::TRANSMIT_WITH_TC, transmit::WITH_TC)] {
            let mut plane = recorder(flags);
            let mut driver = ClearTunnels::new(&mut plane, 4754);
            driver.open(4, &tunnel(1400)).unwrap();
            let next_hop = plane.plane.maps.next_hops[&4];
            assert_eq!(next_hop.flags & transmit::WITH_TC, expected);
        }
    }
}
