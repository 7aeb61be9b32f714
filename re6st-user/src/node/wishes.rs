//! What shall become of each route, what has, and what the host refused: the installer's bookkeeping. Pure.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    net::IpAddr,
};

use crate::{
    babel::{input::InterfaceId, message::NextHop as Router},
    route::RouteKey,
};

/// What shall become of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Packets go this way.
    Via(InterfaceId, Router),
    /// Packets are refused.
    Unreachable,
    /// There is none.
    Nothing,
}

/// Why a route is not as wanted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Refusal {
    /// The configuration has the same prefix.
    #[error("a `[[route]]` or subnet of the configuration says otherwise")]
    Configured,
    /// Packets of a tunnel would go into the mesh.
    #[error("{0}, the outer address of a tunnel's peer, is in it")]
    Peer(IpAddr),
    /// What it goes out of is not there, or has no addresses.
    #[error("its interface is not ready")]
    Interface,
    /// What it goes out of is down: whoever sets it up is told of.
    #[error("its interface is down")]
    Down,
    /// A map of the data plane takes no more.
    #[error("the data plane refuses it: {0}")]
    DataPlane(String),
    /// The kernel's table.
    #[error("the kernel refuses it: {0}")]
    Kernel(String),
}

impl Refusal {
    /// Whether trying again after a while may help.
    const fn may_pass(&self) -> bool {
        !matches!(self, Self::Configured | Self::Peer(_) | Self::Down)
    }
}

#[derive(Clone, Copy, Debug)]
struct Wish {
    wanted: Wanted,
    /// Whether it is in the queue.
    waits: bool,
}

/// The last wish for each route.
#[derive(Debug, Default)]
pub struct Wishes {
    wishes: HashMap<RouteKey, Wish>,
    queue: VecDeque<RouteKey>,
    refusals: BTreeMap<RouteKey, Refusal>,
    /// How many of these may pass the next time.
    passing: usize,
    outcomes: Vec<(RouteKey, bool)>,
}

impl Wishes {
    /// Notes what shall become of a route; an earlier wish that still waits is forgotten.
    pub fn want(&mut self, route: RouteKey, wanted: Wanted) {
        let waits = true;
        let before = self.wishes.insert(route, Wish { wanted, waits });
        if !before.is_some_and(|before| before.waits) {
            self.queue.push_back(route);
        }
    }

    /// A route is as wanted without anything being done.
    pub fn assume(&mut self, route: RouteKey, wanted: Wanted) {
        let waits = false;
        self.wishes.insert(route, Wish { wanted, waits });
    }

    /// Whether any waits to be carried out.
    pub fn is_busy(&self) -> bool {
        !self.queue.is_empty()
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// The next to carry out; afterwards [`Self::done`] or [`Self::refused`] is called.
    pub fn take(&mut self) -> Option<(RouteKey, Wanted)> {
        loop {
            let route = self.queue.pop_front()?;
            if let Some(wish) = self.wishes.get_mut(&route) {
                wish.waits = false;
                return Some((route, wish.wanted));
            }
        }
    }

    /// It is as wanted.
    pub fn done(&mut self, route: RouteKey) {
        let nothing = |wish: &Wish| wish.wanted == Wanted::Nothing && !wish.waits;
        if self.wishes.get(&route).is_some_and(nothing) {
            self.wishes.remove(&route);
        }
        if let Some(why) = self.refusals.remove(&route) {
            self.passing -= usize::from(why.may_pass());
            self.outcomes.push((route, true));
        }
    }

    /// It is not. Whether that, or why, is new.
    pub fn refused(&mut self, route: RouteKey, why: Refusal) -> bool {
        self.passing += usize::from(why.may_pass());
        let Some(before) = self.refusals.insert(route, why) else {
            self.outcomes.push((route, false));
            return true;
        };
        self.passing -= usize::from(before.may_pass());
        self.refusals.get(&route) != Some(&before)
    }

    /// Somebody else has changed it, or may have: it is carried out once more. Whether it was not waiting already.
    pub fn repeat(&mut self, route: RouteKey) -> bool {
        match self.wishes.get_mut(&route) {
            Some(wish) if !wish.waits => {
                wish.waits = true;
                self.queue.push_back(route);
                true
            }
            _ => false,
        }
    }

    /// Whether some that were refused may pass the next time.
    pub const fn may_pass(&self) -> bool {
        self.passing > 0
    }

    /// All those are tried again.
    pub fn retry(&mut self) {
        self.repeat_refused(Refusal::may_pass);
    }

    /// So are they, and those that wait for an interface to be set up: one was, perhaps.
    pub fn retry_after_change(&mut self) {
        self.repeat_refused(|why| why.may_pass() || *why == Refusal::Down);
    }

    fn repeat_refused(&mut self, which: impl Fn(&Refusal) -> bool) {
        let refused = self.refusals.iter().filter(|(_, why)| which(why));
        for route in refused.map(|(route, _)| *route).collect::<Vec<_>>() {
            self.repeat(route);
        }
    }

    /// What came of routes, where it is not what was last told.
    pub fn outcomes(&mut self) -> Vec<(RouteKey, bool)> {
        std::mem::take(&mut self.outcomes)
    }

    /// How many are not as wanted.
    pub fn not_as_wanted(&self) -> usize {
        let fresh = self.queue.iter();
        let fresh = fresh.filter(|route| !self.refusals.contains_key(*route));
        self.refusals.len() + fresh.count()
    }

    /// Why a route is not as wanted; `None` if it is.
    pub fn why_not(&self, route: &RouteKey) -> Option<String> {
        if let Some(why) = self.refusals.get(route) {
            return Some(why.to_string());
        }
        let waits = self.wishes.get(route).is_some_and(|wish| wish.waits);
        waits.then(|| "it is being written".to_owned())
    }

    /// Those that are not as wanted.
    pub const fn refusals(&self) -> &BTreeMap<RouteKey, Refusal> {
        &self.refusals
    }

    /// Those that are as wanted, as far as we know.
    pub fn settled(&self) -> impl Iterator<Item = (RouteKey, Wanted)> {
        self.wishes
            .iter()
            .filter(|(route, wish)| !wish.waits && !self.refusals.contains_key(*route))
            .map(|(route, wish)| (*route, wish.wanted))
    }

    /// What is not installed, a line for each reason.
    pub fn warnings(&self) -> Vec<String> {
        /// So many prefixes are named.
        const NAMED: usize = 3;
        let mut by_reason: BTreeMap<&Refusal, Vec<&RouteKey>> = BTreeMap::new();
        for (route, why) in &self.refusals {
            by_reason.entry(why).or_default().push(route);
        }
        let line = |(why, routes): (&Refusal, Vec<&RouteKey>)| {
            let named: Vec<String> = routes.iter().take(NAMED).map(|route| name(route)).collect();
            let others = match routes.len().saturating_sub(NAMED) {
                0 => String::new(),
                others => format!(" and {others} more"),
            };
            warning(&(named.join(", ") + &others), why)
        };
        by_reason.into_iter().map(line).collect()
    }
}

/// What people are told of routes.
pub fn warning(routes: &str, why: &Refusal) -> String {
    format!("not installed, and so not announced: {routes}: {why}")
}

/// A route as people write it.
pub fn name(route: &RouteKey) -> String {
    match route.from() {
        None => route.to().to_string(),
        Some(from) => format!("{} from {from}", route.to()),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may end there")]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;

    const VIA: Wanted = Wanted::Via(InterfaceId(1), Router::Ipv6(Ipv6Addr::LOCALHOST));

    fn route(number: u8) -> RouteKey {
        RouteKey::new(format!("10.{number}.0.0/16").parse().unwrap(), None).unwrap()
    }

    fn kernel() -> Refusal {
        Refusal::Kernel("no".to_owned())
    }

    #[test]
    fn the_last_wish_counts_and_waits_once() {
        let mut wishes = Wishes::default();
        wishes.want(route(1), VIA);
        wishes.want(route(1), Wanted::Unreachable);
        assert_eq!(wishes.take(), Some((route(1), Wanted::Unreachable)));
        assert_eq!(wishes.take(), None);
    }

    #[test]
    fn a_refusal_is_told_once_and_tried_until_it_passes() {
        let mut wishes = Wishes::default();
        wishes.want(route(1), VIA);
        wishes.take();
        assert!(wishes.refused(route(1), kernel()), "it is new");
        assert_eq!(wishes.outcomes(), [(route(1), false)]);
        for _ in 0..3 {
            assert!(wishes.may_pass());
            wishes.retry();
            assert_eq!(wishes.take(), Some((route(1), VIA)));
            assert!(!wishes.refused(route(1), kernel()), "it is known");
            assert_eq!(wishes.outcomes(), []);
        }
        wishes.retry();
        wishes.take();
        wishes.done(route(1));
        assert_eq!(wishes.outcomes(), [(route(1), true)]);
        assert!(!wishes.may_pass() && wishes.warnings().is_empty());
    }

    #[test]
    fn what_its_interface_is_down_for_waits_until_something_changes() {
        let mut wishes = Wishes::default();
        wishes.want(route(1), VIA);
        wishes.take();
        wishes.refused(route(1), Refusal::Down);
        assert!(!wishes.may_pass(), "nothing ticks");
        wishes.retry();
        assert_eq!(wishes.take(), None);
        wishes.retry_after_change();
        assert_eq!(wishes.take(), Some((route(1), VIA)));
    }

    #[test]
    fn what_the_configuration_forbids_is_not_tried_again() {
        let mut wishes = Wishes::default();
        wishes.want(route(1), VIA);
        wishes.take();
        wishes.refused(route(1), Refusal::Configured);
        wishes.retry();
        assert_eq!(wishes.take(), None);
        assert!(!wishes.may_pass());
        // and is taken back when the route is not wanted any more
        wishes.outcomes();
        wishes.want(route(1), Wanted::Nothing);
        wishes.take();
        wishes.done(route(1));
        assert_eq!(wishes.outcomes(), [(route(1), true)]);
    }

    #[test]
    fn only_what_is_there_is_compared_and_written_again() {
        let mut wishes = Wishes::default();
        wishes.assume(route(1), VIA);
        wishes.want(route(2), VIA);
        wishes.want(route(3), Wanted::Nothing);
        wishes.want(route(4), VIA);
        for number in [2, 3] {
            wishes.take();
            wishes.done(route(number));
        }
        wishes.take();
        wishes.refused(route(4), kernel());
        let mut settled: Vec<_> = wishes.settled().map(|(route, _)| route).collect();
        settled.sort_unstable();
        assert_eq!(settled, [route(1), route(2)]);
        for number in [1, 1, 3, 9] {
            wishes.repeat(route(number));
        }
        assert_eq!(wishes.take(), Some((route(1), VIA)));
        assert_eq!(wishes.take(), None, "once, and nothing unknown");
    }

    #[test]
    fn warnings_name_some_and_count_the_others() {
        let mut wishes = Wishes::default();
        for number in 0..5 {
            wishes.refused(route(number), kernel());
        }
        wishes.refused(route(9), Refusal::Configured);
        let warnings = wishes.warnings();
        assert_eq!(warnings.len(), 2, "{warnings:?}");
        assert!(
            warnings[1].contains("10.0.0.0/16, 10.1.0.0/16, 10.2.0.0/16 and 2 more"),
            "{warnings:?}"
        );
    }
}
