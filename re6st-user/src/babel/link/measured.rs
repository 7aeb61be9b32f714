//! Tunnels whose channel measures them: it says how good they are, and Babel asks nothing of its own.

use super::{
    Links, PATH_MTU_AFTER, Timer,
    path_mtu::PathMtu,
    quality::{Quality, Report},
};
use crate::babel::{
    context::Context,
    ids::NeighbourId,
    input::InterfaceId,
    output::{DownReason, Event},
};

impl Links {
    /// Whether somebody else measures the links of an interface.
    pub fn is_measured(&self, id: InterfaceId) -> bool {
        self.settings(id).is_some_and(|settings| settings.measured)
    }

    /// How good the link of an interface is, if it is measured.
    pub fn set_quality(
        &mut self,
        context: &mut Context,
        id: InterfaceId,
        report: &Report,
        restarting: bool,
    ) {
        let interface = self.interfaces.get_mut(&id);
        let Some(interface) = interface.filter(|interface| interface.settings.measured) else {
            return;
        };
        let settings = &interface.settings;
        let profile = settings.round_trip.as_ref();
        let interval = settings.hello_interval;
        interface
            .quality
            .add(context.now, report, profile, interval);
        let quality = interface.quality;
        for neighbour in self.of_interface(id) {
            self.follow_quality(context, neighbour, &quality, restarting);
        }
    }

    /// What was said last still holds: averages go on.
    pub(super) fn hold_quality(
        &mut self,
        context: &mut Context,
        id: InterfaceId,
        restarting: bool,
    ) {
        let interface = self.interfaces.get_mut(&id);
        let Some(interface) = interface.filter(|interface| interface.settings.measured) else {
            return;
        };
        let settings = &interface.settings;
        let profile = settings.round_trip.as_ref();
        let interval = settings.hello_interval;
        interface.quality.hold(context.now, profile, interval);
        let quality = interface.quality;
        for neighbour in self.of_interface(id) {
            self.follow_quality(context, neighbour, &quality, restarting);
        }
    }

    fn follow_quality(
        &mut self,
        context: &mut Context,
        id: NeighbourId,
        quality: &Quality,
        restarting: bool,
    ) {
        let Some(neighbour) = self.neighbours.get_mut(id) else {
            return;
        };
        let was_responsive = !neighbour.probes.unresponsive;
        neighbour.take_quality(quality);
        let (interface, address) = (neighbour.interface, neighbour.address);
        let turned = was_responsive != quality.responsive;
        if turned && quality.responsive {
            context.event(Event::NeighbourResponsive { interface, address });
        } else if turned {
            context.counters.unresponsive_neighbours += 1;
            context.event(Event::NeighbourUnresponsive { interface, address });
        }
        self.cost_changed(context, id, DownReason::NotHeard);
        if turned {
            self.send_hearing(context, id, restarting);
        }
    }

    /// From now on the links of an interface are measured by somebody else, or not any more: what was measured so far is void.
    pub(super) fn measured_otherwise(&mut self, context: &mut Context, id: InterfaceId) {
        let Some(interface) = self.interfaces.get_mut(&id) else {
            return;
        };
        (interface.quality, interface.narrow) = (Quality::default(), false);
        let measured = interface.settings.measured;
        for id in self.of_interface(id) {
            if let Some(neighbour) = self.neighbours.get_mut(id) {
                neighbour.path_mtu = PathMtu::default();
                neighbour.take_quality(&Quality::default());
            }
            self.timers.cancel(Timer::Silence(id));
            self.timers.cancel(Timer::PathMtu(id));
            if !measured {
                self.send_probe(context, id);
                self.expect_path_mtu(context, id);
            }
        }
    }

    /// How large packets may be is to be found out soon, unless somebody else does.
    pub(super) fn expect_path_mtu(&mut self, context: &mut Context, id: NeighbourId) {
        let neighbour = self.neighbours.get(id);
        if neighbour.is_some_and(|neighbour| !self.is_measured(neighbour.interface)) {
            let first = context.random.between(PATH_MTU_AFTER.0, PATH_MTU_AFTER.1);
            self.timers.set(Timer::PathMtu(id), context.now + first);
        }
    }
}
