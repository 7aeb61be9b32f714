//! What becomes of a prefix when its routes, or what links cost, change: it is selected anew (RFC 8966 section 3.6), and what
//! follows is installed (section 3.5.4) and announced (section 3.7).

use std::time::Duration;

use super::{
    Change, Rib,
    calendar::{Appointment, Tick},
    digest::Digest,
    sender::as_heard,
    table::{Announcement, Destination, Installed, Route},
};
use crate::babel::{
    context::Context,
    ids::{DestinationId, NeighbourId},
    input::{InstalledRoute, InterfaceId},
    output::Output,
    quantities::{Metric, SequenceNumber, UNRESPONSIVE},
};

/// Routes that are compared or removed in one go, when many must be.
const BATCH: usize = 512;
/// How often what must not get lost is said again (section 3.7.2).
pub const RESENDS: u8 = 3;
/// Before the first repetition; doubled each time.
pub const RESEND_AFTER: Duration = Duration::from_millis(500);

impl Rib {
    /// A link costs something else: the neighbour's routes are compared anew, a part at a time.
    pub fn set_cost(&mut self, id: NeighbourId, cost: Metric) {
        if let Some(sender) = self.senders.get_mut(id) {
            sender.cost = cost;
        }
        self.compare_routes(id);
    }

    /// A neighbour is gone: nothing goes by it from now on, and its routes are removed bit by bit.
    pub fn leave(&mut self, id: NeighbourId) {
        if let Some(sender) = self.senders.get_mut(id) {
            sender.removed = true;
            sender.cost = Metric::INFINITY;
            let (interface, address) = (sender.interface, sender.address);
            self.distrust_all(interface, address);
            self.enqueue_work(id);
        }
    }

    /// A neighbour's routes are to be compared anew, a part at a time.
    pub(super) fn compare_routes(&mut self, id: NeighbourId) {
        if let Some(sender) = self.senders.get_mut(id) {
            sender.to_compare = sender.routes.len();
            self.enqueue_work(id);
        }
    }

    fn enqueue_work(&mut self, id: NeighbourId) {
        if !self.work.contains(&id) {
            self.work.push_back(id);
        }
    }

    /// Compares a part of a neighbour's routes anew after its cost has changed, or removes them after it is gone.
    pub fn work(&mut self, context: &mut Context) {
        let Some(id) = self.work.pop_front() else {
            return;
        };
        let Some(sender) = self.senders.get_mut(id) else {
            return;
        };
        let removed = sender.removed;
        let end = match removed {
            true => sender.routes.len(),
            false => sender.to_compare.min(sender.routes.len()),
        };
        let start = end.saturating_sub(BATCH);
        sender.to_compare = start;
        let batch = sender.routes[start..end].to_vec();
        if removed {
            for destination in batch.into_iter().rev() {
                self.remove_route(context, destination, id);
            }
        } else {
            for destination in batch {
                if !self.retract_void(context, destination, id) {
                    self.select(context, destination);
                }
                self.changes.push(Change::Compared(destination));
            }
        }
        if start > 0 {
            self.work.push_back(id);
        } else if removed {
            self.senders.remove(id);
            self.changes.push(Change::Left(id));
        }
    }

    /// The neighbour's route is unusable from now on (section 3.5.3); it is kept until it expires.
    pub fn retract(&mut self, context: &mut Context, id: DestinationId, from: NeighbourId) {
        let (Some(destination), Some(sender)) =
            (self.table.get_mut(id), self.senders.get_mut(from))
        else {
            return;
        };
        let key = destination.key;
        let Some(route) = destination
            .route_mut(from)
            .filter(|route| !route.metric.is_infinite())
        else {
            return;
        };
        if route.generation == sender.generation {
            sender.heard.remove(&key, as_heard(route));
        }
        route.generation = sender.generation;
        route.metric = Metric::INFINITY;
        route.expires = Tick::of_expiry(context.now, route.interval);
        self.select(context, id);
    }

    /// Retracts all routes of a neighbour (section 4.6.9): from now on none of them counts, and what follows from that is done
    /// bit by bit.
    pub fn retract_all(&mut self, from: NeighbourId) {
        let Some(sender) = self.senders.get_mut(from) else {
            return;
        };
        if std::mem::take(&mut sender.announces) {
            sender.generation = sender.generation.wrapping_add(1);
            sender.heard = Digest::default();
            self.compare_routes(from);
        }
    }

    /// Retracts a route if its neighbour has taken back all it said since. Gives whether it had.
    pub fn retract_void(
        &mut self,
        context: &mut Context,
        id: DestinationId,
        from: NeighbourId,
    ) -> bool {
        let destination = self.table.get(id);
        let route = destination.and_then(|destination| destination.route(from));
        let generation = self.senders.get(from).map(|sender| sender.generation);
        let void = route.is_some_and(|route| Some(route.generation) != generation);
        if void {
            self.retract(context, id, from);
        }
        void
    }

    /// Removes a route from the prefix and from the neighbour's list, where the last one takes its place.
    pub(super) fn remove_route(
        &mut self,
        context: &mut Context,
        id: DestinationId,
        from: NeighbourId,
    ) {
        let Some(destination) = self.table.get_mut(id) else {
            return;
        };
        let mut routes = destination.routes.iter();
        let Some(place) = routes.position(|route| route.neighbour == from) else {
            return;
        };
        let mut route = destination.routes.swap_remove(place);
        self.calendar
            .cancel(&mut route.appointment, Appointment::Route(id, from));
        let key = destination.key;
        if destination.selected == Some(from) {
            // selection knows no such route any more
            destination.better_since = None;
        }
        self.table.routes -= 1;
        if let Some(sender) = self.senders.get_mut(from) {
            if route.generation == sender.generation {
                sender.heard.remove(&key, as_heard(&route));
            }
            sender.origin_changed(Some(route.router_id), None);
            sender.routes.swap_remove(route.position as usize);
            if let Some(moved) = sender.routes.get(route.position as usize).copied()
                && let Some(moved) = self
                    .table
                    .get_mut(moved)
                    .and_then(|moved| moved.route_mut(from))
            {
                moved.position = route.position;
            }
        }
        self.select(context, id);
        self.forget_if_empty(id);
        if let Some(destination) = self.table.get(id)
            && destination.routes.is_empty()
        {
            self.look_by(id, Tick::after(context.now));
        }
    }

    /// Selects anew, installs and announces what changed.
    pub fn select(&mut self, context: &mut Context, id: DestinationId) {
        let Some(destination) = self.table.get(id) else {
            return;
        };
        context.steps += 1 + destination.routes.len() as u64;
        let before = destination.selected;
        let decision = self.costs(context).decide(id, destination, context.now);
        let chosen = decision.selected;
        let newly_better = decision.better_since.is_some() && destination.better_since.is_none();
        if let Some(destination) = self.table.get_mut(id) {
            destination.selected = chosen;
            destination.better_since = decision.better_since;
            if let Some(chosen) = chosen.filter(|_| chosen != before) {
                destination.leave_way_of_before(chosen);
            }
        }
        if newly_better {
            self.look_by(id, Tick::after(context.now + context.settings.hysteresis));
        }
        context.counters.selections += u64::from(chosen != before);
        self.reconsider(context, id, false);
        if chosen.is_some() && chosen != before {
            self.save_distance(context, id);
        }
        self.install(context, id, before.is_some());
        if chosen.is_none() && before.is_some() {
            self.changes.push(Change::Compared(id));
        }
        self.changes.push(Change::Selected(id));
    }

    /// Brings the data plane in line with the selection.
    fn install(&mut self, context: &mut Context, id: DestinationId, was_selected: bool) {
        let Some(destination) = self.table.get(id) else {
            return;
        };
        let old = destination.installed;
        let key = destination.key;
        let filter = &context.settings.install;
        let allowed = |route: &&Route| filter.apply(&key, Some(route.router_id)).is_some();
        let wanted = match destination.selected_route().filter(allowed) {
            Some(route) => Installed::Via {
                neighbour: route.neighbour,
                next_hop: route.next_hop,
            },
            None if destination.has_way() => Installed::Nothing,
            None if was_selected && matches!(old, Installed::Via { .. }) => Installed::Unreachable,
            None => old,
        };
        if wanted == old {
            return;
        }
        if wanted == Installed::Unreachable {
            self.refuse(context, id);
            return;
        }
        let new = self.installed_route(destination);
        // whatever becomes of it, it is not as before the restart any more
        let restored = self.restored.remove(&id);
        let is_new = |new: &InstalledRoute| {
            restored
                .is_none_or(|old| (old.interface, old.next_hop) != (new.interface, new.next_hop))
        };
        context.outputs.extend(match wanted {
            // nothing to do if it is what was installed before
            Installed::Via { .. } => new.filter(is_new).map(Output::Install),
            _ => Some(Output::Remove { route: key }),
        });
        if let Some(destination) = self.table.get_mut(id) {
            destination.installed = wanted;
            destination.hold = None;
        }
    }

    /// What is installed for a selected route.
    pub(super) fn installed_route(&self, destination: &Destination) -> Option<InstalledRoute> {
        let route = destination.selected_route()?;
        let (interface, next_hop) = self.senders.way(route)?;
        Some(InstalledRoute {
            route: destination.key,
            interface,
            next_hop,
            metric: self.senders.metric(route),
            origin: Some(route.router_id),
        })
    }

    /// Packets to a prefix that was lost are refused for a while (section 2.8): else they would follow a shorter prefix, maybe
    /// in a loop.
    pub(super) fn refuse(&mut self, context: &mut Context, id: DestinationId) {
        let hold = Tick::from_time(context.now + context.settings.hold_time);
        if let Some(destination) = self.table.get_mut(id) {
            destination.installed = Installed::Unreachable;
            destination.hold = Some(hold);
            let route = destination.key;
            context.outputs.push(Output::Unreachable { route });
            self.look_by(id, hold);
        }
    }

    /// Announces a prefix anew if what neighbours were told is too far from the truth (section 3.7.2), or with `exact`
    /// if it differs at all.
    pub fn reconsider(&mut self, context: &mut Context, id: DestinationId, exact: bool) {
        self.follow_horizon(id);
        let Some(destination) = self.table.get(id) else {
            return;
        };
        let old = destination.finite_announcement();
        let new = self.present_announcement(context, destination);
        let (new, urgent, reliable) = match (old, new) {
            (None, None) => return,
            (None, Some(new)) => (new, true, false),
            (Some(old), None) => {
                let retraction = Announcement {
                    metric: Metric::INFINITY,
                    ..old
                };
                (retraction, true, true)
            }
            (Some(old), Some(new)) if old.router_id != new.router_id => (new, true, true),
            (Some(old), Some(new)) => {
                let change = old.metric.0.abs_diff(new.metric.0);
                let small = u32::from(old.metric.0) * u32::from(context.settings.small_change);
                let big = u32::from(change) * 256 >= small && change > 0;
                if !(big || exact && old != new) {
                    return;
                }
                // as good as a retraction for whoever has another way
                let avoided = new.metric > old.metric && change >= UNRESPONSIVE / 2;
                (new, avoided, avoided)
            }
        };
        self.change_announcement(context, id, new, reliable);
        self.changes.push(Change::Announce { id, urgent });
    }

    /// What we have to say of a prefix: our own route before learned ones, and of these only what is installed.
    pub(super) fn present_announcement(
        &self,
        context: &Context,
        destination: &Destination,
    ) -> Option<Announcement> {
        if let Some(metric) = destination.own {
            return Some(Announcement {
                router_id: context.settings.router_id,
                sequence_number: self.own_number.value,
                metric,
            });
        }
        let route = destination.selected_route()?;
        let metric = match destination.not_installed {
            true => Metric::INFINITY,
            false => self.senders.metric(route),
        };
        (!metric.is_infinite()).then_some(Announcement {
            router_id: route.router_id,
            sequence_number: route.sequence_number,
            metric,
        })
    }

    /// Where a prefix is learned may change without a change of what is announced. Neighbours at the former place have
    /// heard nothing of it if the horizon is split there (section 3.7.4).
    fn follow_horizon(&mut self, id: DestinationId) {
        let Some(destination) = self.table.get(id) else {
            return;
        };
        let learned_on = self.learned_on(destination);
        let Some(destination) = self.table.get_mut(id) else {
            return;
        };
        if destination.learned_on == learned_on {
            return;
        }
        self.announced.remove(destination);
        let from = std::mem::replace(&mut destination.learned_on, learned_on);
        self.announced.add(destination);
        if destination.announced.is_some() && destination.has_way() {
            self.changes.push(Change::Moved { id, from });
        }
    }

    /// The interface that a prefix is learned on; `None` of our own and of those without a way.
    pub fn learned_on(&self, destination: &Destination) -> Option<InterfaceId> {
        if destination.own.is_some() {
            return None;
        }
        Some(self.senders.get(destination.selected?)?.interface)
    }

    /// Changes what neighbours are told of a prefix; the feasibility distance falls first (section 3.7.3).
    fn change_announcement(
        &mut self,
        context: &mut Context,
        id: DestinationId,
        new: Announcement,
        reliable: bool,
    ) {
        let now = Tick::from_time(context.now);
        let most = context.settings.limits.sources_per_route;
        let Some(destination) = self.table.get_mut(id) else {
            return;
        };
        destination.use_source(now);
        let distance = |destination: &Destination| {
            let source = destination.source(new.router_id)?;
            Some((source.sequence_number, source.metric))
        };
        let before = distance(destination);
        let limited = destination.own.is_none() && destination.raise_source(new, now, most);
        self.announced.remove(destination);
        destination.announced = Some(new);
        self.announced.add(destination);
        if reliable && std::mem::replace(&mut destination.resends, RESENDS) == 0 {
            let at = Tick::from_time(context.now + RESEND_AFTER);
            self.calendar
                .set_by(&mut destination.resend_at, at, Appointment::Resend(id));
        }
        let fell = before != distance(destination);
        let selected = destination.selected;
        if fell {
            self.save_distance(context, id);
        }
        if limited {
            context.counters.limited_sources += 1;
            if let Some(sender) = selected.and_then(|id| self.senders.get(id)) {
                context.limit_reached(sender.interface, "origins of a prefix");
            }
        }
    }

    /// A retraction of what we may have announced in a life before.
    pub(super) fn take_back(&mut self, context: &mut Context, id: DestinationId) {
        let retraction = Announcement {
            router_id: context.settings.router_id,
            sequence_number: SequenceNumber(0),
            metric: Metric::INFINITY,
        };
        self.change_announcement(context, id, retraction, true);
        self.changes.push(Change::Announce { id, urgent: true });
    }

    /// From now on our own routes carry another number, and neighbours hear it.
    pub(super) fn own_number_changed(&mut self, context: &mut Context) {
        let number = Output::SaveSequenceNumber(self.own_number.value);
        context.outputs.push(number);
        for id in self.own.values().copied().collect::<Vec<_>>() {
            self.reconsider(context, id, true);
        }
    }

    /// A prefix is to be looked after, then at the latest.
    pub(super) fn look_by(&mut self, id: DestinationId, at: Tick) {
        if let Some(destination) = self.table.get_mut(id) {
            let appointment = Appointment::Destination(id);
            self.calendar
                .set_by(&mut destination.look_at, at, appointment);
        }
    }

    /// Forgets a prefix of which nothing is left.
    pub(super) fn forget_if_empty(&mut self, id: DestinationId) {
        if let Some(mut gone) = self.table.remove_if_empty(id) {
            let calendar = &mut self.calendar;
            calendar.cancel(&mut gone.look_at, Appointment::Destination(id));
            calendar.cancel(&mut gone.resend_at, Appointment::Resend(id));
        }
    }
}
