//! A node without neighbours: since when, and why that may be.

use std::{collections::BTreeMap, time::Duration};

use super::controller::Controller;
use crate::{babel::input::InterfaceId, time::Time};

/// A neighbour may be silent for so many of our Hello intervals, which it need not share.
const HELLOS: u32 = 3;

/// Where a neighbour could be, and what is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// `eth0`, `tunnel b`.
    pub name: String,
    /// What keeps neighbours away.
    pub state: State,
}

/// What keeps neighbours away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// No such interface.
    Missing,
    /// A tunnel that is not used, which is told of by itself.
    Unused,
    /// The registry has not said which keys there are.
    WithoutKeys,
    /// Nothing to send from.
    WithoutAddress,
    /// Down, or no carrier.
    Down,
    /// Nobody answers.
    Silent,
    /// Somebody is heard, who does not hear us.
    OneWay,
}

impl State {
    const fn words(self) -> &'static str {
        match self {
            Self::Missing => "there is no such interface",
            Self::Unused => "it cannot be used yet",
            Self::WithoutKeys => "waits for the keys of Babel's MAC, which come from the registry",
            Self::WithoutAddress => "it has no link-local IPv6 address",
            Self::Down => "its link is down",
            Self::Silent => {
                "nobody is heard (no node there, keys that differ, or a firewall between: for a tunnel its own packets, for a plain \
                 interface UDP port 6696 and multicast)"
            }
            Self::OneWay => "a neighbour is heard, but does not hear this node",
        }
    }
}

impl Controller {
    /// Where neighbours could be.
    pub(super) fn places(&self) -> Vec<Place> {
        let place = |name: String, interface: Option<InterfaceId>, unknown| {
            let (up, told) = interface
                .and_then(|id| self.known.get(&id))
                .map_or((false, false), |(up, settings)| (*up, settings.is_some()));
            let heard = interface.is_some_and(|id| self.routing.hears_on(id));
            let state = match (told, up, heard) {
                (false, _, _) => unknown,
                (_, false, _) => State::Down,
                (_, _, true) => State::OneWay,
                _ => State::Silent,
            };
            Place { name, state }
        };
        let tunnels = self.config.tunnels.iter().map(|tunnel| {
            let mut used = self.transport.tunnels.iter();
            let found = used.find(|(_, link)| link.resolved.tunnel.name == tunnel.name);
            let name = format!("tunnel {}", tunnel.name);
            place(name, found.map(|(id, _)| *id), State::Unused)
        });
        let named = |name: &String| {
            let found = self.transport.lans.iter();
            let mut found = found.filter(|(_, link)| link.name == *name);
            found.next().map(|(id, _)| *id)
        };
        let plain = self.babel.interfaces.iter().map(|name| {
            let unknown = match self.parameters.mac {
                None => State::WithoutKeys,
                Some(_) if self.host.is_there(name) => State::WithoutAddress,
                Some(_) => State::Missing,
            };
            place(name.clone(), named(name), unknown)
        });
        tunnels.chain(plain).collect()
    }
}

/// Since when a node is alone, and whether that was said.
#[derive(Debug, Default)]
pub struct Solitude {
    since: Option<Time>,
    said: bool,
}

impl Solitude {
    /// Notes whether the node is alone. Whether to say it now, once.
    pub fn note(&mut self, alone: bool, hopeless: bool, now: Time, hello: Duration) -> bool {
        if !alone {
            *self = Self::default();
            return false;
        }
        self.since.get_or_insert(now);
        let say = !self.said && (hopeless || self.is_long(now, hello));
        self.said |= say;
        say
    }

    /// Whether it is alone and that was said.
    pub const fn is_said(&self) -> bool {
        self.said
    }

    /// Whether it has to be looked at again by itself.
    pub const fn wants_attention(&self) -> bool {
        self.since.is_some() && !self.said
    }

    fn is_long(&self, now: Time, hello: Duration) -> bool {
        self.since
            .is_some_and(|since| now.since(since) > hello * HELLOS)
    }
}

/// Why there may be no neighbour, for people. `refused`: packets that were not taken, by reason.
pub fn why(places: &[Place], refused: &BTreeMap<String, u64>) -> String {
    if places.is_empty() {
        return "this node can have no neighbours: its configuration has neither a [[tunnel]] nor, in [babel], interfaces \
                on which other nodes are"
            .to_owned();
    }
    let mut reasons: Vec<String> = places
        .iter()
        .map(|place| format!("{}: {}", place.name, place.state.words()))
        .collect();
    reasons.extend(
        refused
            .iter()
            .filter(|(_, count)| **count > 0)
            .map(|(reason, count)| format!("{count} packets were refused: {reason}")),
    );
    format!("this node has no neighbours. {}", reasons.join("; "))
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::Duration};

    use super::{Place, Solitude, State, why};
    use crate::time::Time;

    const HELLO: Duration = Duration::from_secs(4);

    #[test]
    fn is_said_once_and_again_when_it_comes_again() {
        let begin = Time(0);
        let at = |seconds| begin + Duration::from_secs(seconds);
        let mut solitude = Solitude::default();

        assert!(
            !solitude.note(true, false, at(0), HELLO),
            "neighbours may come"
        );
        assert!(solitude.wants_attention());
        assert!(solitude.note(true, false, at(13), HELLO));
        assert!(!solitude.note(true, false, at(14), HELLO), "said already");
        assert!(solitude.is_said() && !solitude.wants_attention());
        assert!(!solitude.note(false, false, at(20), HELLO));
        assert!(!solitude.is_said() && !solitude.wants_attention());
        assert!(!solitude.note(true, false, at(21), HELLO));
        assert!(solitude.note(true, false, at(40), HELLO));
    }

    #[test]
    fn what_cannot_change_is_said_at_once() {
        assert!(Solitude::default().note(true, true, Time(0), HELLO));
    }

    #[test]
    fn every_place_has_its_reason_and_refusals_are_told() {
        let states = [
            State::Missing,
            State::Unused,
            State::WithoutKeys,
            State::WithoutAddress,
            State::Down,
            State::Silent,
            State::OneWay,
        ];
        for state in states {
            let place = Place {
                name: "lan0".to_owned(),
                state,
            };
            let refused = BTreeMap::from([("no MAC".to_owned(), 3), ("never".to_owned(), 0)]);

            let text = why(&[place], &refused);

            assert!(text.contains(&format!("lan0: {}", state.words())), "{text}");
            assert!(text.contains("3 packets were refused: no MAC"), "{text}");
            assert!(!text.contains("never"), "{text}");
        }
        assert!(why(&[], &BTreeMap::new()).contains("[babel]"));
    }
}
