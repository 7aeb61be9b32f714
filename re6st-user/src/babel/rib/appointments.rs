//! What is due: routes expire, holds end, better routes have lasted, distances are forgotten, announcements are repeated.

use std::time::Duration;

use super::{
    Change, Rib,
    calendar::{Appointment, Tick},
    distances::SOURCE_LIFETIME,
    select::{RESEND_AFTER, RESENDS},
    table::Installed,
};
use crate::{
    babel::{
        context::Context,
        ids::{DestinationId, NeighbourId},
        output::Output,
    },
    time::Time,
};

/// How long a feasibility distance outlives the last announcement, in ticks.
fn lifetime() -> Tick {
    Tick::from_time(Time(0) + SOURCE_LIFETIME)
}

impl Rib {
    /// Something of what is due; `None` if nothing is.
    pub fn keep_appointment(&mut self, context: &mut Context) -> Option<()> {
        match self.calendar.pop(context.now)? {
            Appointment::Route(id, neighbour) => self.check_expiry(context, id, neighbour),
            Appointment::Destination(id) => self.look_after(context, id),
            Appointment::Resend(id) => self.resend(context, id),
        }
        Some(())
    }

    /// [`Appointment::Route`]: asks again for what is about to expire, retracts what has, removes what had.
    pub(super) fn check_expiry(
        &mut self,
        context: &mut Context,
        id: DestinationId,
        from: NeighbourId,
    ) {
        self.retract_void(context, id, from);
        let now = Tick::from_time(context.now);
        let (Some(destination), Some(sender)) = (self.table.get_mut(id), self.senders.get(from))
        else {
            return;
        };
        let (key, selected) = (destination.key, destination.selected == Some(from));
        let refreshed = Tick::from_time(sender.blocks_expire[usize::from(destination.block)]);
        let Some(route) = destination.route_mut(from) else {
            return;
        };
        route.appointment = Tick::UNSET;
        let appointment = Appointment::Route(id, from);
        let finite = !route.metric.is_infinite();
        let expires = match finite {
            true => route.expires.max(refreshed),
            false => route.expires,
        };
        let interval = route.interval.duration();
        let remind_at = Tick::from_time(expires.time() - interval);
        if expires > now {
            let remind = finite && remind_at <= now;
            let next = match finite && !remind {
                true => remind_at,
                false => expires,
            };
            let ask = remind && selected && !std::mem::replace(&mut route.asked, true);
            self.calendar.set(
                &mut route.appointment,
                next.max(Tick(now.0 + 1)),
                appointment,
            );
            if ask {
                self.changes.push(Change::Expiring {
                    route: key,
                    sender: from,
                });
            }
            // digests refresh it without an update, and an earlier request may have been lost
            self.changes.push(Change::Compared(id));
        } else if finite {
            context.counters.expired_routes += 1;
            let again = (interval * 7 / 2).max(Duration::from_millis(100));
            let again = Tick::from_time(context.now + again);
            self.calendar
                .set(&mut route.appointment, again, appointment);
            self.retract(context, id, from);
        } else {
            self.remove_route(context, id, from);
        }
    }

    /// [`Appointment::Destination`]: ends a hold, lets a better route win that lasted, forgets old origins.
    pub(super) fn look_after(&mut self, context: &mut Context, id: DestinationId) {
        let now = Tick::from_time(context.now);
        let Some(destination) = self.table.get_mut(id) else {
            return;
        };
        destination.look_at = Tick::UNSET;
        if destination.hold.is_some_and(|hold| hold <= now) {
            destination.hold = None;
            if destination.installed == Installed::Unreachable {
                destination.installed = Installed::Nothing;
                let route = destination.key;
                context.outputs.push(Output::Remove { route });
            }
        }
        // what was not feasible may be now
        if destination.forget_sources(now, lifetime().0) || destination.better_since.is_some() {
            self.select(context, id);
        }
        if let Some(next) = self.next_look(context, id) {
            self.look_by(id, next.max(Tick(now.0 + 1)));
        }
        self.forget_if_empty(id);
    }

    /// When a prefix has to be looked after again.
    fn next_look(&self, context: &Context, id: DestinationId) -> Option<Tick> {
        let destination = self.table.get(id)?;
        let hysteresis = context.settings.hysteresis;
        let lasted = destination
            .better_since
            .map(|since| Tick::after(since.time() + hysteresis));
        let announced = destination.finite_announcement().is_some();
        let sources = destination.sources.iter().filter(|_| !announced);
        let forgotten = sources.map(|source| Tick(source.used.0.saturating_add(lifetime().0)));
        [destination.hold, lasted, forgotten.min()]
            .into_iter()
            .flatten()
            .min()
    }

    /// [`Appointment::Resend`]: says it again, and at last forgets a retraction.
    pub(super) fn resend(&mut self, context: &mut Context, id: DestinationId) {
        let Some(destination) = self.table.get_mut(id) else {
            return;
        };
        destination.resend_at = Tick::UNSET;
        if destination.resends > 0 {
            destination.resends -= 1;
            let wait = RESEND_AFTER * (1 << (RESENDS - destination.resends));
            context.counters.resent_updates += 1;
            let at = Tick::from_time(context.now + wait);
            self.calendar
                .set(&mut destination.resend_at, at, Appointment::Resend(id));
            self.changes.push(Change::Announce { id, urgent: false });
            return;
        }
        if destination.finite_announcement().is_none() {
            destination.announced = None;
        }
        self.forget_if_empty(id);
    }
}
