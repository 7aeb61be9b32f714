//! Tunnels that are to be closed are drained first: both ends take other ways, and what is under way arrives.

use std::collections::BTreeSet;

use super::{controller::Controller, host::due::Look};
use crate::babel::{
    input::{Input, InterfaceId},
    settings::{Cost, InterfaceSettings},
};

/// What neighbours hear that a link costs while it is drained: more than detours, for which 96 is plain. With the multiple below,
/// where both ends drain it, it is still less than infinity, for if there is no other way.
const COST: u16 = 32 * 96;
/// By how much more it costs us, in 256ths.
const MULTIPLIER: u16 = 16 * 256;
/// The plain cost, in 256ths.
const PLAIN: u16 = 256;

/// The tunnels that are drained, by their names.
pub(super) type Draining = BTreeSet<String>;

impl Controller {
    /// Neighbours at the other end of a tunnel are told to take other ways, and we do.
    pub(super) fn drain(&mut self, tunnel: &str) {
        if self.draining.insert(tunnel.to_owned()) {
            self.multiply_cost(tunnel, MULTIPLIER);
        }
    }

    /// A tunnel is as it was before it was drained.
    pub(super) fn undrain(&mut self, tunnel: &str) {
        if self.draining.remove(tunnel) {
            self.multiply_cost(tunnel, PLAIN);
        }
    }

    fn multiply_cost(&mut self, tunnel: &str, multiplier: u16) {
        let mut links = self.transport.tunnels.iter();
        let link = links.find(|(_, link)| link.resolved.tunnel.name == tunnel);
        let interface: Option<InterfaceId> = link.map(|(interface, _)| *interface);
        if let Some(interface) = interface {
            self.handle(Input::CostMultiplier {
                interface,
                neighbour: None,
                multiplier,
            });
        }
        self.host.due.note(&[Look::Interfaces]);
    }

    /// What a tunnel's link costs, if it is drained: neighbours hear it.
    pub(super) fn note_draining(&self, tunnel: &str, settings: &mut InterfaceSettings) {
        if self.draining.contains(tunnel) {
            settings.cost = Cost::TwoOutOfThree { nominal: COST };
        }
    }
}
