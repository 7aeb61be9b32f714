//! How a prefix is announced to whom.

use ipnet::IpNet;

use crate::babel::{
    ids::{Audience, DestinationId},
    input::InterfaceId,
    message::{NextHop, Update},
    quantities::{Interval, Metric, RouterId, SequenceNumber},
    rib::{Announcement, Installed, Rib},
    settings::InterfaceSettings,
};

/// Whom we tell, and what decides how.
#[derive(Debug)]
pub struct Telling<'a> {
    pub interface: InterfaceId,
    pub settings: &'a InterfaceSettings,
    pub router_id: RouterId,
    pub audience: Audience,
}

impl Telling<'_> {
    /// The update for a prefix; `None` if nothing is said of it. `dump`: just because everything is announced.
    pub fn update(&self, rib: &Rib, id: DestinationId, dump: bool) -> Option<Update> {
        let destination = rib.table().get(id)?;
        let group = matches!(self.audience, Audience::Group(_));
        let announced = destination.announced.or_else(|| {
            // asked for, and there is nothing: a retraction (section 3.8.1.1); after a restart we do not know yet
            let nothing = !dump && !group && destination.installed != Installed::Restored;
            nothing.then_some(Announcement {
                router_id: self.router_id,
                sequence_number: SequenceNumber(0),
                metric: Metric::INFINITY,
            })
        })?;
        let settings = self.settings;
        let learned_here = || rib.learned_on(destination) == Some(self.interface);
        let finite = !announced.metric.is_infinite();
        // an explicit request is answered all the same (section 3.8.1.1 against 3.7.4)
        if finite && settings.split_horizon && (group || dump) && learned_here() {
            return None;
        }
        let is_ours = destination.own.is_some() || !settings.own_only;
        let announced_as = settings
            .announce
            .apply(&destination.key, Some(announced.router_id));
        let metric = match announced_as.filter(|_| is_ours) {
            Some(added) => announced.metric.plus(Metric(added)),
            None => Metric::INFINITY,
        };
        if dump && metric.is_infinite() {
            return None;
        }
        let next_hop = match (destination.key.to(), settings.ipv4) {
            (IpNet::V4(_), Some(address)) => NextHop::Ipv4(address),
            // without an IPv4 address: RFC 9229
            _ => NextHop::Ipv6(settings.link_local),
        };
        let finite = !metric.is_infinite();
        Some(Update {
            route: destination.key,
            router_id: finite.then_some(announced.router_id),
            sequence_number: announced.sequence_number,
            metric,
            interval: Interval::from_duration(settings.update_interval),
            next_hop: finite.then_some(next_hop),
        })
    }
}
