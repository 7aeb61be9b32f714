//! The speaker as its caller sees it.

use super::{
    counters::Counters,
    input::{Input, Restored},
    output::{AnnouncementSnapshot, NeighbourSnapshot, Output, RouteSnapshot},
    quantities::SequenceNumber,
    settings::Settings,
    time::Time,
};
use crate::dataplane::RouteKey;

/// A router that speaks Babel. It does nothing by itself: [`Speaker::handle`] is called whenever something happens, and
/// at the latest at [`Speaker::next_deadline`] with [`Input::Time`].
#[derive(Debug)]
pub struct Speaker {
    settings: Settings,
    sequence_number: SequenceNumber,
    counters: Counters,
}

impl Speaker {
    /// A speaker without interfaces and routes of its own. `seed` decides all its jitter.
    pub fn new(_now: Time, settings: Settings, restored: &Restored, _seed: u64) -> Self {
        Self {
            settings,
            sequence_number: restored.sequence_number.unwrap_or_default(),
            counters: Counters::default(),
        }
    }

    /// Handles what happened, and whatever is due at `now`; appends what is to be done, in order.
    pub fn handle(&mut self, _now: Time, _input: Input, _outputs: &mut Vec<Output>) {}

    /// When [`Speaker::handle`] must be called at the latest, `None` if nothing is due. It may lie in the past, when
    /// work was left undone to keep the call short.
    pub fn next_deadline(&self) -> Option<Time> {
        None
    }

    /// What it was given.
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Of our own routes.
    pub const fn sequence_number(&self) -> SequenceNumber {
        self.sequence_number
    }

    /// How often what happened.
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// All neighbours.
    pub fn neighbours(&self, _now: Time) -> Vec<NeighbourSnapshot> {
        Vec::new()
    }

    /// Learned routes, in no particular order; only this one if `route` is given.
    pub fn routes(&self, _now: Time, _route: Option<RouteKey>) -> Vec<RouteSnapshot> {
        Vec::new()
    }

    /// Our own routes.
    pub fn announcements(&self) -> Vec<AnnouncementSnapshot> {
        Vec::new()
    }
}
