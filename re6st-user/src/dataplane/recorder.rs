//! A data plane for tests: it forwards nothing, but remembers what it was told, and answers as the programs would.

use re6st_common::{
    maps::{Interface, NextHop, Tunnel, TunnelCounters},
    reason::ReasonCounters,
};

use super::{
    DataPlane, DataPlaneError, Route, RouteKey, fib::Fib, memory::MemoryMaps, plane::Plane,
};

/// What the recorder was told, in order. Calls that failed are not among them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// [`DataPlane::set_route`].
    SetRoute(Route),
    /// [`DataPlane::remove_route`].
    RemoveRoute(RouteKey),
    /// [`DataPlane::set_next_hop`].
    SetNextHop(u32, NextHop),
    /// [`DataPlane::remove_next_hop`].
    RemoveNextHop(u32),
    /// [`DataPlane::set_tunnel`].
    SetTunnel(Vec<Tunnel>, NextHop),
    /// [`DataPlane::remove_tunnel`].
    RemoveTunnel(u32),
}

/// A data plane without packets.
#[derive(Clone, Debug)]
pub struct Recorder {
    /// What does as it is told.
    pub plane: Plane<MemoryMaps>,
    calls: Vec<Call>,
}

impl Recorder {
    /// `fib` says what the array FIB covers; it and the maps are empty. `capacity` is the size of NEXT_HOPS.
    pub fn new(fib: Fib, mut maps: MemoryMaps, capacity: u32) -> Self {
        maps.capacity = capacity;
        Self {
            plane: Plane::new(maps, fib, []),
            calls: Vec::new(),
        }
    }

    /// What it was told since the last time.
    pub fn take_calls(&mut self) -> Vec<Call> {
        std::mem::take(&mut self.calls)
    }

    fn note(
        &mut self,
        call: Call,
        outcome: Result<(), DataPlaneError>,
    ) -> Result<(), DataPlaneError> {
        self.calls.extend(outcome.is_ok().then_some(call));
        outcome
    }
}

impl DataPlane for Recorder {
    fn set_route(&mut self, route: Route) -> Result<(), DataPlaneError> {
        let outcome = self.plane.set_route(route);
        self.note(Call::SetRoute(route), outcome)
    }

    fn remove_route(&mut self, key: RouteKey) -> Result<(), DataPlaneError> {
        let outcome = self.plane.remove_route(key);
        self.note(Call::RemoveRoute(key), outcome)
    }

    fn free_next_hop(&self, from: u32) -> Result<u32, DataPlaneError> {
        self.plane.free_next_hop(from)
    }

    fn set_next_hop(&mut self, id: u32, next_hop: &NextHop) -> Result<(), DataPlaneError> {
        let outcome = self.plane.set_next_hop(id, next_hop);
        self.note(Call::SetNextHop(id, *next_hop), outcome)
    }

    fn remove_next_hop(&mut self, id: u32) -> Result<(), DataPlaneError> {
        let outcome = self.plane.remove_next_hop(id);
        self.note(Call::RemoveNextHop(id), outcome)
    }

    fn set_tunnel(
        &mut self,
        id: u32,
        accepted: &[Tunnel],
        next_hop: &NextHop,
    ) -> Result<(), DataPlaneError> {
        let outcome = self.plane.set_tunnel(id, accepted, next_hop);
        self.note(Call::SetTunnel(accepted.to_vec(), *next_hop), outcome)
    }

    fn remove_tunnel(&mut self, id: u32) -> Result<(), DataPlaneError> {
        let outcome = self.plane.remove_tunnel(id);
        self.note(Call::RemoveTunnel(id), outcome)
    }

    fn tunnel_counters(&self, id: u32) -> Result<TunnelCounters, DataPlaneError> {
        self.plane.tunnel_counters(id)
    }

    fn reason_counters(&self) -> Result<ReasonCounters, DataPlaneError> {
        self.plane.reason_counters()
    }

    fn interface(&self, index: u32) -> Option<Interface> {
        self.plane.interface(index)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

    use re6st_common::{
        address::{Address, Family},
        maps::Settings,
        tables::Tables as _,
    };

    use super::*;

    fn recorder() -> Recorder {
        Recorder::new(Fib::new(None), MemoryMaps::new(Settings::EMPTY), 8)
    }

    fn route(to: &str, next_hop: u32) -> Route {
        Route::new(to.parse().unwrap(), None, next_hop).unwrap()
    }

    #[test]
    fn what_it_is_told_is_what_a_packet_finds() {
        let mut recorder = recorder();
        let address = Address::from_ipv6(
            "2001:db8::1"
                .parse::<std::net::Ipv6Addr>()
                .unwrap()
                .octets(),
        );

        recorder.set_next_hop(3, &NextHop::FREE).unwrap();
        recorder.set_route(route("2001:db8::/32", 3)).unwrap();

        assert_eq!(recorder.plane.maps.route(Family::Ipv6, address, address), 3);
        assert_eq!(
            recorder.take_calls(),
            [
                Call::SetNextHop(3, NextHop::FREE),
                Call::SetRoute(route("2001:db8::/32", 3))
            ]
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused_and_not_recorded() {
        let mut recorder = recorder();
        recorder.set_next_hop(3, &NextHop::FREE).unwrap();
        recorder.set_route(route("10.0.0.0/8", 3)).unwrap();
        recorder.take_calls();

        let errors = [
            recorder.set_route(route("10.0.0.0/8", 4)).unwrap_err(),
            recorder
                .remove_route(route("11.0.0.0/8", 3).key())
                .unwrap_err(),
            recorder.set_next_hop(2, &NextHop::FREE).unwrap_err(),
            recorder.set_next_hop(8, &NextHop::FREE).unwrap_err(),
            recorder.remove_next_hop(3).unwrap_err(),
            recorder.remove_next_hop(5).unwrap_err(),
        ];

        assert_eq!(
            errors.map(|error| error.to_string()),
            [
                "next hop 4 does not exist: add it before routes use it",
                "there is no route to 11.0.0.0/8",
                "next hop number 2: expected 3 to 7; load with room for more tunnels",
                "next hop number 8: expected 3 to 7; load with room for more tunnels",
                "next hop 3 is still used by 1 routes: remove them first",
                "next hop 5 does not exist: add it before routes use it",
            ]
        );
        assert_eq!(recorder.take_calls(), []);
    }
}
