//! What a route is to everybody: the protocol that finds it, the data plane, and whoever writes it to the kernel or to a file.

use std::fmt;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// What makes a route another one: its destination and source prefix (RFC 9079 section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "RawRouteKey")]
pub struct RouteKey {
    to: IpNet,
    from: Option<IpNet>,
}

/// As it is read; [`RouteKey::new`] makes it right.
#[derive(Deserialize)]
struct RawRouteKey {
    to: IpNet,
    from: Option<IpNet>,
}

impl TryFrom<RawRouteKey> for RouteKey {
    type Error = FamiliesDiffer;

    fn try_from(raw: RawRouteKey) -> Result<Self, FamiliesDiffer> {
        Self::new(raw.to, raw.from)
    }
}

impl RouteKey {
    /// Of packets to `to`, from `from` or from anywhere. Host bits do not matter; a source prefix of length 0 is none.
    ///
    /// # Errors
    /// [`FamiliesDiffer`] if one is IPv4 and the other IPv6.
    pub fn new(to: IpNet, from: Option<IpNet>) -> Result<Self, FamiliesDiffer> {
        if let Some(from) = from
            && from.addr().is_ipv4() != to.addr().is_ipv4()
        {
            return Err(FamiliesDiffer { to, from });
        }
        Ok(Self {
            to: to.trunc(),
            from: from
                .map(|from| from.trunc())
                .filter(|from| from.prefix_len() > 0),
        })
    }

    /// The destination prefix.
    pub const fn to(&self) -> IpNet {
        self.to
    }

    /// The source prefix, if only some sources take the route.
    pub const fn from(&self) -> Option<IpNet> {
        self.from
    }
}

/// Why there is no such route: destination and source differ in family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a route to {to} from {from}: one is IPv4 and the other IPv6, no packet is both")]
pub struct FamiliesDiffer {
    /// The destination prefix.
    pub to: IpNet,
    /// The source prefix.
    pub from: IpNet,
}

/// What a route costs from here to its origin, or a link to the neighbour on it: 16 bits, of which the highest value is
/// infinity (RFC 8966 sections 3.5.2 and 4.1.2).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Metric(pub u16);

impl Metric {
    /// Of an origin's own route.
    pub const ZERO: Self = Self(0);
    /// Unreachable; in an update, a retraction.
    pub const INFINITY: Self = Self(u16::MAX);

    /// Whether it is unreachable.
    pub const fn is_infinite(self) -> bool {
        self.0 == u16::MAX
    }

    /// With the cost of one more link; what does not fit is infinite.
    #[must_use]
    pub const fn plus(self, cost: Self) -> Self {
        Self(self.0.saturating_add(cost.0))
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.is_infinite() {
            true => formatter.write_str("infinite"),
            false => write!(formatter, "{}", self.0),
        }
    }
}
