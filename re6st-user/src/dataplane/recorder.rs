//! A data plane for tests: it forwards nothing, but remembers what it was told, and answers as the programs would.

use std::collections::BTreeMap;

use re6st_common::{
    maps::{NextHop, TunnelCounters, next_hop_id},
    reason::ReasonCounters,
};

use super::{
    DataPlane, DataPlaneError, Route, RouteKey,
    fib::{Applied, Fib},
    memory::MemoryMaps,
};

/// What the recorder was told, in order. Calls that failed are not among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// [`DataPlane::set_route`].
    SetRoute(Route),
    /// [`DataPlane::remove_route`].
    RemoveRoute(RouteKey),
    /// [`DataPlane::set_next_hop`].
    SetNextHop(u32, NextHop),
    /// [`DataPlane::remove_next_hop`].
    RemoveNextHop(u32),
}

/// A data plane without packets.
#[derive(Clone, Debug)]
pub struct Recorder {
    /// What the maps would hold.
    pub maps: MemoryMaps,
    /// What [`DataPlane::tunnel_counters`] answers, by next hop number.
    pub tunnel_counters: BTreeMap<u32, TunnelCounters>,
    /// What [`DataPlane::reason_counters`] answers.
    pub reason_counters: ReasonCounters,
    routes: Applied,
    capacity: u32,
    calls: Vec<Call>,
}

impl Recorder {
    /// `fib` says what the array FIB covers; it and the maps are empty. `capacity` is the size of NEXT_HOPS.
    pub fn new(fib: Fib, maps: MemoryMaps, capacity: u32) -> Self {
        Self {
            maps,
            tunnel_counters: BTreeMap::new(),
            reason_counters: ReasonCounters::default(),
            routes: fib.into(),
            capacity,
            calls: Vec::new(),
        }
    }

    /// What it was told since the last time.
    pub fn take_calls(&mut self) -> Vec<Call> {
        std::mem::take(&mut self.calls)
    }

    /// The routes.
    pub const fn fib(&self) -> &Fib {
        self.routes.fib()
    }

    fn set(&mut self, key: RouteKey, next_hop: Option<u32>) -> Result<(), DataPlaneError> {
        let maps = &mut self.maps;
        self.routes.set(key, next_hop, |write| {
            maps.write(write);
            Ok(())
        })
    }

    fn is_tunnel(&self, id: u32) -> Result<(), DataPlaneError> {
        let last = self.capacity.saturating_sub(1);
        match (next_hop_id::FIRST_TUNNEL..=last).contains(&id) {
            true => Ok(()),
            false => Err(DataPlaneError::NextHopOutOfRange { id, last }),
        }
    }
}

impl DataPlane for Recorder {
    fn set_route(&mut self, route: Route) -> Result<(), DataPlaneError> {
        let id = route.next_hop();
        if id >= next_hop_id::FIRST_TUNNEL && !self.maps.next_hops.contains_key(&id) {
            return Err(DataPlaneError::NoSuchNextHop { id });
        }
        self.set(route.key(), Some(id))?;
        self.calls.push(Call::SetRoute(route));
        Ok(())
    }

    fn remove_route(&mut self, key: RouteKey) -> Result<(), DataPlaneError> {
        if self.fib().get(key).is_none() {
            return Err(DataPlaneError::NoSuchRoute(key));
        }
        self.set(key, None)?;
        self.calls.push(Call::RemoveRoute(key));
        Ok(())
    }

    fn set_next_hop(&mut self, id: u32, next_hop: &NextHop) -> Result<(), DataPlaneError> {
        self.is_tunnel(id)?;
        self.maps.next_hops.insert(id, *next_hop);
        self.calls.push(Call::SetNextHop(id, *next_hop));
        Ok(())
    }

    fn remove_next_hop(&mut self, id: u32) -> Result<(), DataPlaneError> {
        self.is_tunnel(id)?;
        match self.fib().uses(id) {
            0 => {}
            routes => return Err(DataPlaneError::NextHopInUse { id, routes }),
        }
        match self.maps.next_hops.remove(&id) {
            None => Err(DataPlaneError::NoSuchNextHop { id }),
            Some(_) => {
                self.calls.push(Call::RemoveNextHop(id));
                Ok(())
            }
        }
    }

    fn tunnel_counters(&self, id: u32) -> Result<TunnelCounters, DataPlaneError> {
        self.is_tunnel(id)?;
        Ok(self.tunnel_counters.get(&id).copied().unwrap_or_default())
    }

    fn reason_counters(&self) -> Result<ReasonCounters, DataPlaneError> {
        Ok(self.reason_counters)
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

        assert_eq!(recorder.maps.route(Family::Ipv6, address, address), 3);
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
