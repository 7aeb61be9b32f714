//! The neighbour table: who is heard, how well, and what the link costs (RFC 8966 sections 3.2.3 and 3.4, appendix A).

use std::{collections::HashMap, net::Ipv6Addr, time::Duration};

use super::{
    path_mtu::PathMtu,
    probing::ProbeState,
    quality::{Quality, loss_penalty},
    rtt::SmoothedRoundTrip,
};
use crate::{
    babel::{
        ids::NeighbourId,
        input::InterfaceId,
        limits::TokenBucket,
        quantities::{Interval, Metric, SequenceNumber, UNRESPONSIVE},
        settings::{Cost, InterfaceSettings},
    },
    time::Time,
};

/// Which of the last 16 Hellos of one kind came, the last one in the highest bit (appendix A.1).
#[derive(Clone, Copy, Debug, Default)]
pub struct HelloHistory {
    pub bits: u16,
    expected: SequenceNumber,
    /// Whether there was a Hello.
    known: bool,
    pub interval: Interval16,
}

/// Of the last Hello; 0 if none was scheduled.
type Interval16 = u16;

/// Smaller changes of a cost that follows from what is measured are noise.
const LEAST_CHANGE: u16 = 8;
/// Where somebody else measures loss and answers are there, so many of the last Hellos must be lost before a link is unusable.
const MEASURED: u32 = 6;
/// A jump of sequence numbers farther than this is a restart (appendix A.1).
const LARGEST_JUMP: i16 = 16;

impl HelloHistory {
    /// Counts a Hello in. Gives whether the neighbour seems to have started again; all it said before is void then, unless
    /// it `continues`.
    pub fn receive(
        &mut self,
        sequence_number: SequenceNumber,
        interval: Interval,
        continues: bool,
    ) -> bool {
        let jump = sequence_number.0.wrapping_sub(self.expected.0) as i16;
        let known = std::mem::replace(&mut self.known, true);
        let jumped = !(-LARGEST_JUMP..=LARGEST_JUMP).contains(&jump);
        if !known || jumped && !continues {
            self.bits = 0;
        } else if jumped {
            // a graceful restart: the link is as good as it was
        } else if jump < 0 {
            // the neighbour slowed down: what the timer counted as missed was not
            self.bits = self.bits.checked_shl((-jump) as u32).unwrap_or(0);
        } else {
            self.bits = self.bits.checked_shr(jump as u32).unwrap_or(0);
        }
        self.bits = self.bits >> 1 | 0x8000;
        self.expected = sequence_number.next();
        if interval != Interval::UNSCHEDULED {
            self.interval = interval.0;
        }
        known && jumped
    }

    /// Counts a Hello that did not come.
    pub fn miss(&mut self) {
        self.bits >>= 1;
        self.expected = self.expected.next();
    }

    /// When to count the next Hello as missed: one and a half intervals after the last (appendix A.1).
    pub fn patience(&self) -> Option<Duration> {
        let interval = Interval(self.interval).duration();
        (self.bits != 0 && !interval.is_zero()).then(|| interval * 3 / 2)
    }

    /// The cost of receiving, before anything else counts (appendix A.2.1).
    fn reception_cost(&self, Cost::TwoOutOfThree { nominal }: Cost) -> Metric {
        match (self.bits >> 13).count_ones() {
            0 | 1 => Metric::INFINITY,
            _ => Metric(nominal.clamp(1, u16::MAX - 1)),
        }
    }
}

/// A neighbour.
#[derive(Debug)]
pub struct Neighbour {
    pub interface: InterfaceId,
    pub address: Ipv6Addr,
    pub multicast: HelloHistory,
    pub unicast: HelloHistory,
    /// What receiving from us costs it, as it says.
    pub transmission_cost: Metric,
    /// Its clock when it sent its last Hello, ours when we got that.
    pub last_hello: Option<(u32, Time)>,
    pub round_trip: SmoothedRoundTrip,
    /// Of packets either way, in 65,536ths, if that is measured.
    pub loss: u16,
    /// Of the cost, in 256ths.
    pub multiplier: u16,
    /// Of the link, as its routes are compared with: follows the true cost, but not its smallest moves.
    pub cost: Metric,
    /// It is gone, and its routes are being removed.
    pub removed: bool,
    pub probes: ProbeState,
    pub path_mtu: PathMtu,
    pub requests: TokenBucket,
}

impl Neighbour {
    pub fn new(
        interface: InterfaceId,
        address: Ipv6Addr,
        requests_per_second: u32,
        now: Time,
    ) -> Self {
        Self {
            interface,
            address,
            multicast: HelloHistory::default(),
            unicast: HelloHistory::default(),
            transmission_cost: Metric::INFINITY,
            last_hello: None,
            round_trip: SmoothedRoundTrip::default(),
            loss: 0,
            multiplier: 256,
            cost: Metric::INFINITY,
            removed: false,
            probes: ProbeState::new(now),
            path_mtu: PathMtu::default(),
            requests: TokenBucket::new(requests_per_second, requests_per_second.saturating_mul(10)),
        }
    }

    /// What receiving from it costs, as it is told: infinite if it is not heard, very much if it does not answer.
    pub fn reception_cost(&self, settings: &InterfaceSettings) -> Metric {
        let heard = self.cost_of_hearing(settings);
        if heard.is_infinite() || !self.probes.unresponsive {
            return heard;
        }
        Metric(heard.0.saturating_add(UNRESPONSIVE).min(u16::MAX - 1))
    }

    /// What receiving from it costs by its Hellos alone.
    fn cost_of_hearing(&self, settings: &InterfaceSettings) -> Metric {
        if self.removed {
            return Metric::INFINITY;
        }
        let multicast = self.multicast.reception_cost(settings.cost);
        let heard = multicast.min(self.unicast.reception_cost(settings.cost));
        // whoever answers probes is there: two Hellos lost of three are bad luck, all three are not; where loss is measured it
        // counts already, and all of the last six are not
        let last = if settings.measured { MEASURED } else { 3 };
        let recent = (self.multicast.bits | self.unicast.bits) >> (16 - last) != 0;
        let Cost::TwoOutOfThree { nominal } = settings.cost;
        match heard.is_infinite() && recent && self.is_sure_to_be_there(settings) {
            true => Metric(nominal.clamp(1, u16::MAX - 1)),
            false => heard,
        }
    }

    /// Whether its last Hellos did not come, or it leaves probes unanswered.
    pub const fn is_missed(&self) -> bool {
        let newest = (self.multicast.bits | self.unicast.bits) >> 15;
        newest == 0 || self.probes.unresponsive
    }

    /// Of our kind, was usable before, and leaves no probe unanswered, ours or its channel's.
    const fn is_sure_to_be_there(&self, settings: &InterfaceSettings) -> bool {
        let asked = self.probes.peer || settings.measured;
        asked && !self.probes.unresponsive && !self.cost.is_infinite()
    }

    /// What its channel says.
    pub const fn take_quality(&mut self, quality: &Quality) {
        self.round_trip = quality.round_trip;
        self.loss = quality.loss();
        self.probes.unresponsive = !quality.responsive;
    }

    /// What the link costs now (section 3.4.3, appendix A.2): never 0, or routes could loop, whatever the neighbour
    /// says.
    pub fn present_cost(&self, settings: &InterfaceSettings) -> Metric {
        let reception = self.cost_of_hearing(settings);
        if reception.is_infinite() || self.transmission_cost.is_infinite() {
            return Metric::INFINITY;
        }
        let link = u32::from(self.transmission_cost.0);
        let penalty = settings
            .round_trip
            .map_or(0, |profile| self.round_trip.penalty(&profile));
        let lost = if settings.measured {
            loss_penalty(self.loss)
        } else {
            0
        };
        let penalty = u32::from(penalty) + u32::from(lost);
        let whole = u64::from(link + penalty) * u64::from(self.multiplier.max(1)) / 256;
        // once, also if it finds us unresponsive too
        let bad = self.probes.unresponsive || self.path_mtu.narrow;
        let avoided = bad && whole < u64::from(UNRESPONSIVE);
        let whole = whole + if avoided { u64::from(UNRESPONSIVE) } else { 0 };
        Metric(whole.clamp(1, u64::from(u16::MAX - 1)) as u16)
    }

    /// Whether a changed cost is worth comparing its routes again: becoming usable or unusable always, otherwise a
    /// change by an eighth where the cost follows from what is measured; with `exact` any change.
    pub fn differs_much(&self, cost: Metric, settings: &InterfaceSettings, exact: bool) -> bool {
        if cost == self.cost {
            return false;
        }
        let fluctuates = settings.round_trip.is_some() || settings.measured;
        let change = cost.0.abs_diff(self.cost.0);
        exact
            || !fluctuates
            || cost.is_infinite()
            || self.cost.is_infinite()
            || change >= (self.cost.0 / 8).max(LEAST_CHANGE)
    }
}

/// All neighbours, by number and by address.
#[derive(Debug, Default)]
pub struct Neighbours {
    places: Vec<Option<Neighbour>>,
    by_address: HashMap<(InterfaceId, Ipv6Addr), NeighbourId>,
    /// Those that can be found by address.
    by_interface: HashMap<InterfaceId, Vec<NeighbourId>>,
}

impl Neighbours {
    pub fn get(&self, id: NeighbourId) -> Option<&Neighbour> {
        self.places.get(id.0 as usize)?.as_ref()
    }

    pub fn get_mut(&mut self, id: NeighbourId) -> Option<&mut Neighbour> {
        self.places.get_mut(id.0 as usize)?.as_mut()
    }

    pub fn find(&self, interface: InterfaceId, address: Ipv6Addr) -> Option<NeighbourId> {
        self.by_address.get(&(interface, address)).copied()
    }

    pub fn insert(&mut self, neighbour: Neighbour) -> NeighbourId {
        let free = self.places.iter().position(Option::is_none);
        let place = free.unwrap_or_else(|| {
            self.places.push(None);
            self.places.len() - 1
        });
        let id = NeighbourId(place as u32);
        self.by_address
            .insert((neighbour.interface, neighbour.address), id);
        self.by_interface
            .entry(neighbour.interface)
            .or_default()
            .push(id);
        self.places[place] = Some(neighbour);
        id
    }

    /// It can no longer be found by its address.
    pub fn forget_address(&mut self, id: NeighbourId) {
        if let Some(neighbour) = self.get(id) {
            let address = (neighbour.interface, neighbour.address);
            if self.by_address.get(&address) == Some(&id) {
                self.by_address.remove(&address);
            }
            if let Some(neighbours) = self.by_interface.get_mut(&address.0) {
                neighbours.retain(|neighbour| *neighbour != id);
            }
        }
    }

    /// Frees its number.
    pub fn remove(&mut self, id: NeighbourId) {
        self.forget_address(id);
        if let Some(place) = self.places.get_mut(id.0 as usize) {
            *place = None;
        }
    }

    /// All that are not gone.
    pub fn iter(&self) -> impl Iterator<Item = (NeighbourId, &Neighbour)> {
        self.places
            .iter()
            .enumerate()
            .filter_map(|(place, neighbour)| {
                let neighbour = neighbour.as_ref().filter(|neighbour| !neighbour.removed)?;
                Some((NeighbourId(place as u32), neighbour))
            })
    }

    /// Those of one interface that are not gone.
    pub fn of_interface(&self, interface: InterfaceId) -> Vec<NeighbourId> {
        self.by_interface
            .get(&interface)
            .cloned()
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(sequence_numbers: &[u16]) -> HelloHistory {
        let mut history = HelloHistory::default();
        for number in sequence_numbers {
            history.receive(SequenceNumber(*number), Interval(400), false);
        }
        history
    }

    #[test]
    fn hellos_fill_the_history_from_the_left() {
        assert_eq!(heard(&[7]).bits, 0b1000_0000_0000_0000);
        assert_eq!(heard(&[7, 8]).bits, 0b1100_0000_0000_0000);
        assert_eq!(heard(&[7, 9]).bits, 0b1010_0000_0000_0000, "one was lost");
        assert_eq!(
            heard(&[65535, 0]).bits,
            0b1100_0000_0000_0000,
            "numbers wrap"
        );
        assert_eq!(
            heard(&[1, 2, 3, 300]).bits,
            0b1000_0000_0000_0000,
            "a restart"
        );
    }

    #[test]
    fn a_graceful_restart_does_not_cut_the_link() {
        let mut history = heard(&[1, 2, 3]);
        assert!(history.receive(SequenceNumber(300), Interval(400), true));
        assert_eq!(history.bits, 0b1111_0000_0000_0000);
    }

    #[test]
    fn a_hello_after_the_timer_undoes_what_the_timer_did() {
        let mut history = heard(&[1, 2]);
        history.miss();
        history.miss();
        history.receive(SequenceNumber(3), Interval(400), false);
        assert_eq!(history.bits, 0b1110_0000_0000_0000);
    }

    #[test]
    fn two_of_the_last_three_make_a_link_usable() {
        let cost = Cost::TwoOutOfThree { nominal: 96 };
        let cases = [
            (vec![1], Metric::INFINITY),
            (vec![1, 2], Metric(96)),
            (vec![1, 3], Metric(96)),
            (vec![1, 4], Metric::INFINITY),
        ];
        for (numbers, expected) in cases {
            assert_eq!(
                heard(&numbers).reception_cost(cost),
                expected,
                "{numbers:?}"
            );
        }
    }

    #[test]
    fn a_neighbour_that_claims_cost_zero_costs_one() {
        let settings = InterfaceSettings::new(
            crate::babel::settings::InterfaceKind::Lan,
            Ipv6Addr::LOCALHOST,
        );
        let mut neighbour = Neighbour::new(InterfaceId(1), Ipv6Addr::LOCALHOST, 1, Time(0));
        neighbour.multicast = heard(&[1, 2, 3]);
        neighbour.transmission_cost = Metric(0);
        assert_eq!(neighbour.present_cost(&settings), Metric(1));
    }

    #[test]
    fn the_multiplier_scales_the_whole_cost_and_never_reaches_infinity() {
        let settings = InterfaceSettings::new(
            crate::babel::settings::InterfaceKind::Lan,
            Ipv6Addr::LOCALHOST,
        );
        let mut neighbour = Neighbour::new(InterfaceId(1), Ipv6Addr::LOCALHOST, 1, Time(0));
        neighbour.multicast = heard(&[1, 2, 3]);
        neighbour.transmission_cost = Metric(96);
        for (multiplier, expected) in [(256, 96), (512, 192), (0, 1), (u16::MAX, 24575)] {
            neighbour.multiplier = multiplier;
            assert_eq!(neighbour.present_cost(&settings), Metric(expected));
        }
    }
}
