//! Which routes are taken, announced or installed: RFC 8966 appendix C.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::quantities::RouterId;
use crate::route::RouteKey;

/// Rules in order; the first that matches decides, and what none matches is allowed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter(pub Vec<Rule>);

/// Matches if everything that is given fits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Rule {
    /// The destination lies in this prefix.
    pub to: Option<IpNet>,
    /// The source prefix lies in this prefix.
    pub from: Option<IpNet>,
    /// The destination's length is at least this.
    pub least_length: Option<u8>,
    /// The destination's length is at most this.
    pub most_length: Option<u8>,
    /// The origin.
    pub router_id: Option<RouterId>,
    /// What then.
    pub action: Action,
}

/// What becomes of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// It passes, with this much added to its metric.
    Allow {
        /// 0 leaves the metric as it is.
        add_metric: u16,
    },
    /// It counts as retracted.
    Deny,
}

impl Filter {
    /// Whether it lets everything through as it is.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What to add to the metric of a route, or `None` if it is denied.
    pub fn apply(&self, route: &RouteKey, router_id: Option<RouterId>) -> Option<u16> {
        let rule = self.0.iter().find(|rule| rule.matches(route, router_id));
        match rule.map(|rule| rule.action) {
            None => Some(0),
            Some(Action::Allow { add_metric }) => Some(add_metric),
            Some(Action::Deny) => None,
        }
    }
}

impl Rule {
    fn matches(&self, route: &RouteKey, router_id: Option<RouterId>) -> bool {
        let length = route.to().prefix_len();
        self.to.is_none_or(|to| to.contains(&route.to()))
            && self
                .from
                .is_none_or(|within| route.from().is_some_and(|from| within.contains(&from)))
            && self.least_length.is_none_or(|least| length >= least)
            && self.most_length.is_none_or(|most| length <= most)
            && self.router_id.is_none_or(|id| router_id == Some(id))
    }
}
