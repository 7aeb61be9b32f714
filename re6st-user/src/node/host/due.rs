//! What of the host is to be looked at, and when. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::time::Time;

/// What is looked at by itself, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Look {
    /// What was loaded.
    Instance,
    /// Links and addresses of plain interfaces, and the links below tunnels.
    Interfaces,
    /// Interfaces with XDP, and what was missing when the instance was loaded.
    Underlays,
    /// The ways to tunnels' peers. Noted whenever [`Self::Underlays`] is, and so looked at after it.
    Tunnels,
    /// Programs on interfaces.
    Programs,
    /// Routes of ours, which may have gone without a word.
    Routes,
}

impl Look {
    /// All, in order.
    pub const ALL: [Self; 6] = [
        Self::Instance,
        Self::Interfaces,
        Self::Underlays,
        Self::Tunnels,
        Self::Programs,
        Self::Routes,
    ];
    /// All but the routes.
    pub const HOST: [Self; 5] = [
        Self::Instance,
        Self::Interfaces,
        Self::Underlays,
        Self::Tunnels,
        Self::Programs,
    ];

    /// Between two looks: the host's routes may change by the thousands, and ours may be very many.
    const fn between(self) -> Duration {
        match self {
            Self::Interfaces | Self::Programs => Duration::ZERO,
            Self::Instance | Self::Underlays | Self::Tunnels => Duration::from_millis(100),
            Self::Routes => Duration::from_millis(400),
        }
    }
}

/// What is to be looked at.
#[derive(Debug, Default)]
pub struct Due {
    looks: BTreeSet<Look>,
    last: BTreeMap<Look, Time>,
}

impl Due {
    /// Something may be different.
    pub fn note(&mut self, looks: &[Look]) {
        self.looks.extend(looks);
    }

    /// Until the next look, if there is to be one.
    pub fn wait(&self, now: Time) -> Option<Duration> {
        let waits = self.looks.iter().map(|look| self.pause(*look, now));
        waits.min()
    }

    /// Whether to look now; it then counts as done.
    pub fn take(&mut self, look: Look, now: Time) -> bool {
        let due = self.looks.contains(&look) && self.pause(look, now).is_zero();
        if due {
            self.looks.remove(&look);
            self.last.insert(look, now);
        }
        due
    }

    fn pause(&self, look: Look, now: Time) -> Duration {
        let last = self.last.get(&look);
        last.map_or(Duration::ZERO, |last| {
            look.between().saturating_sub(now.since(*last))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_look_is_taken_once_and_not_too_often() {
        let mut due = Due::default();
        let at = |milliseconds: u64| Time(1_000_000 + milliseconds * 1000);
        assert_eq!(due.wait(at(0)), None);
        assert!(!due.take(Look::Tunnels, at(0)));

        due.note(&[Look::Tunnels, Look::Routes]);
        assert_eq!(due.wait(at(0)), Some(Duration::ZERO));
        assert!(due.take(Look::Tunnels, at(0)) && !due.take(Look::Tunnels, at(0)));
        assert!(due.take(Look::Routes, at(0)));
        assert_eq!(due.wait(at(0)), None);

        due.note(&[Look::Tunnels, Look::Routes]);
        assert_eq!(due.wait(at(30)), Some(Duration::from_millis(70)));
        assert!(!due.take(Look::Tunnels, at(99)) && due.take(Look::Tunnels, at(100)));
        assert_eq!(due.wait(at(100)), Some(Duration::from_millis(300)));
    }
}
