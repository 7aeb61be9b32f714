//! Who may be the origin of what in a network whose nodes hold certificates: a node announces its own prefix, the IPv4 subnet that
//! goes with it, and default routes if it is a gateway.
//!
//! The router-id of such a node says which node it is: octet 0 is the length of the node's prefix, octets 1 to 6 are its bits
//! from the left, and octet 7 tells its lives apart, one for each time that it lost its sequence number. So everybody sees of any
//! route, also a relayed one, whether its origin may announce it; and the neighbour of an origin, who has seen its certificate,
//! sees whether that is what it says.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::quantities::RouterId;
use crate::{
    certificate::{network::Network, node_prefix::NodePrefix},
    route::RouteKey,
};

/// Bits of a node's prefix that a router-id has room for.
pub const MOST_BITS: u8 = 48;

/// The router-id of a node; `None` if its prefix has no bits, or more than [`MOST_BITS`].
pub fn router_id_of(node: &NodePrefix, life: u8) -> Option<RouterId> {
    let length = node.length();
    let spare = MOST_BITS.checked_sub(length).filter(|_| length > 0)?;
    let bits = u64::try_from(node.number()).ok()? << spare;
    RouterId::new((u64::from(length) << 56 | bits << 8 | u64::from(life)).to_be_bytes())
}

/// The node that a router-id names; `None` if it has not that form.
pub fn node_of(router_id: RouterId) -> Option<NodePrefix> {
    let [length, bits @ .., _life] = router_id.octets();
    let spare = MOST_BITS.checked_sub(length).filter(|_| length > 0)?;
    let bits = bits
        .iter()
        .fold(0, |bits: u128, octet| bits << 8 | u128::from(*octet));
    let number = bits >> spare;
    let node = NodePrefix::new(number, length).ok()?;
    (number << spare == bits).then_some(node)
}

/// All but the last octet of a router-id: which node it is, if it is one's.
pub fn name_of(router_id: RouterId) -> [u8; 7] {
    let [name @ .., _life] = router_id.octets();
    name
}

/// Which node a router-id names, whichever of its lives; `None` if it names none.
pub fn node_name_of(router_id: RouterId) -> Option<[u8; 7]> {
    node_of(router_id).map(|_| name_of(router_id))
}

/// That origins are looked at, and where nodes' prefixes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origins {
    /// The prefix of the network, of which each node has a part.
    pub network: Network,
    /// Bits of the shortest prefix that a node has: no shorter one names a node. 0 if that is not known.
    #[serde(default)]
    pub shortest: u8,
}

/// What the neighbour at the other end of a tunnel may announce as its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entitlement {
    /// The first seven octets of its router-id, see [`name_of`].
    pub name: [u8; 7],
    /// Its prefixes and subnets.
    pub prefixes: Vec<IpNet>,
    /// Default routes as well.
    pub gateway: bool,
}

/// Why a route is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    /// A part of the network, or a default route, of an origin that is no node of the network.
    Nameless,
    /// The same, of an origin whose name would be that of a larger part of the network than any node has.
    TooShort,
    /// A part of the network that is not the origin's.
    Foreign,
    /// The neighbour says it is its own, and it is not.
    NotEntitled,
    /// The neighbour says that it leads out of the network, and it is no gateway.
    NoGateway,
}

impl Refusal {
    /// For people, behind "announces PREFIX".
    pub fn words(self, router_id: RouterId) -> String {
        let node = node_of(router_id).map(|node| node.common_name());
        let node = node.unwrap_or_default();
        match self {
            Self::Nameless => format!("with router-id {router_id}, which is no node's"),
            Self::TooShort => {
                format!(
                    "as a route of node {node}, and no node of the network has so short a prefix"
                )
            }
            Self::Foreign => format!("as a route of node {node}, whose prefix it does not lie in"),
            Self::NotEntitled => {
                format!("as its own, which the certificate of node {node} does not give it")
            }
            Self::NoGateway => {
                format!("as its own, but the certificate of node {node} makes it no gateway")
            }
        }
    }
}

impl Origins {
    /// Whether a route is the one to the prefix that its origin's name gives it.
    pub fn is_node_prefix(&self, route: &RouteKey, router_id: RouterId) -> bool {
        let own = node_of(router_id).and_then(|node| node.subnet(&self.network));
        route.from().is_none() && own.map(IpNet::V6) == Some(route.to())
    }

    /// Why a route is not taken of whoever this entitlement is for, or of anybody if there is none; `None` if it is.
    pub fn refusal(
        &self,
        entitlement: Option<&Entitlement>,
        route: &RouteKey,
        router_id: RouterId,
    ) -> Option<Refusal> {
        let network = IpNet::V6(self.network.prefix());
        let to = route.to();
        let certified = entitlement.filter(|it| it.name == name_of(router_id));
        let inside = network.contains(&to);
        // whatever has the network in it is as good as a default route for those who have no nearer one
        let outward = !inside && (to.prefix_len() == 0 || to.contains(&network));
        if inside || outward {
            let Some(node) = node_of(router_id) else {
                return Some(Refusal::Nameless);
            };
            // a certificate may be newer than what is known of the network
            if certified.is_none() && node.length() < self.shortest {
                return Some(Refusal::TooShort);
            }
            let own = node.subnet(&self.network).map(IpNet::V6);
            if inside && !own.is_some_and(|own| own.contains(&to)) {
                return Some(Refusal::Foreign);
            }
        }
        let certified = certified?;
        if outward {
            return (!certified.gateway).then_some(Refusal::NoGateway);
        }
        let mut prefixes = certified.prefixes.iter();
        (!prefixes.any(|own| own.contains(&to))).then_some(Refusal::NotEntitled)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::expect_used, reason = "a test may end there")]

    use proptest::prelude::*;

    use super::*;

    fn node(name: &str) -> NodePrefix {
        NodePrefix::from_common_name(name).expect("a name")
    }

    fn route(to: &str, from: Option<&str>) -> RouteKey {
        let prefix = |text: &str| text.parse().expect("a prefix");
        RouteKey::new(prefix(to), from.map(prefix)).expect("one family")
    }

    #[test]
    fn a_router_id_has_length_bits_and_life() {
        let octets = |name, life| router_id_of(&node(name), life).map(RouterId::octets);
        let cases = [
            (octets("1/16", 7), Some([16, 0, 1, 0, 0, 0, 0, 7])),
            (octets("5/3", 0), Some([3, 0xa0, 0, 0, 0, 0, 0, 0])),
            (octets("0/1", 255), Some([1, 0, 0, 0, 0, 0, 0, 255])),
            (
                octets("281474976710655/48", 1),
                Some([48, 255, 255, 255, 255, 255, 255, 1]),
            ),
            (octets("1/49", 0), None),
            (
                router_id_of(&NodePrefix::ROOT, 0).map(RouterId::octets),
                None,
            ),
        ];
        for (found, expected) in cases {
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn other_router_ids_name_nobody() {
        for octets in [
            [0, 0, 1, 0, 0, 0, 0, 7],
            [49, 0, 1, 0, 0, 0, 0, 7],
            [255, 0, 1, 0, 0, 0, 0, 7],
            // bits behind the length
            [16, 0, 1, 0x80, 0, 0, 0, 7],
            [3, 0xb0, 0, 0, 0, 0, 0, 0],
        ] {
            let router_id = RouterId::new(octets).expect("not reserved");
            assert_eq!(node_of(router_id), None, "{router_id}");
        }
    }

    proptest! {
        #[test]
        fn a_router_id_names_the_node_it_was_made_of(length in 1_u8..=48, bits: u64, life: u8) {
            let node = NodePrefix::new(u128::from(bits >> (64 - length)), length).expect("fits");
            let router_id = router_id_of(&node, life).expect("there is room");
            prop_assert_eq!(node_of(router_id), Some(node));
            prop_assert_eq!(name_of(router_id), name_of(router_id_of(&node, !life).expect("room")));
        }

        #[test]
        fn one_name_is_one_node(octets: [u8; 8]) {
            if let Some(router_id) = RouterId::new(octets) && let Some(node) = node_of(router_id) {
                prop_assert_eq!(router_id_of(&node, octets[7]), Some(router_id));
            }
        }
    }

    #[test]
    fn an_origin_may_announce_what_is_its_own() {
        use Refusal::{Foreign, Nameless, NoGateway, NotEntitled};
        let origins = Origins {
            network: "2001:db8:42::/48".parse().expect("a network"),
            shortest: 0,
        };
        let neighbour = |gateway| Entitlement {
            name: name_of(router_id_of(&node("1/16"), 0).expect("short")),
            prefixes: ["2001:db8:42:1::/64", "10.42.1.0/24"]
                .map(|prefix| prefix.parse().expect("a prefix"))
                .to_vec(),
            gateway,
        };
        let stranger = RouterId::new([2, 0, 0x5e, 0xff, 0xfe, 0, 0x53, 1]);
        let named = |name| router_id_of(&node(name), 9);
        let (inside, own) = ("2001:db8:42:7::/64", "2001:db8:42:1::/64");
        // the route, its origin; why it is refused of anybody, and of node 1/16, which is no gateway
        let cases = [
            (route(own, None), named("1/16"), None, None),
            (
                route("2001:db8:42:1:8::/80", None),
                named("1/16"),
                None,
                None,
            ),
            (route(own, Some("2001:db8::/32")), named("1/16"), None, None),
            (route("10.42.1.0/24", None), named("1/16"), None, None),
            (
                route("10.42.2.0/24", None),
                named("1/16"),
                None,
                Some(NotEntitled),
            ),
            (
                route("192.0.2.0/24", None),
                named("1/16"),
                None,
                Some(NotEntitled),
            ),
            (route("::/0", None), named("1/16"), None, Some(NoGateway)),
            (
                route("::/0", Some("2001:db8:42::/48")),
                named("1/16"),
                None,
                Some(NoGateway),
            ),
            (
                route("2001:db8::/32", None),
                named("1/16"),
                None,
                Some(NoGateway),
            ),
            (
                route("0.0.0.0/0", None),
                named("1/16"),
                None,
                Some(NoGateway),
            ),
            (
                route(inside, None),
                named("1/16"),
                Some(Foreign),
                Some(Foreign),
            ),
            // the network itself, and more than the node's
            (
                route("2001:db8:42::/48", None),
                named("1/16"),
                Some(Foreign),
                Some(Foreign),
            ),
            (
                route("2001:db8:42::/62", None),
                named("1/16"),
                Some(Foreign),
                Some(Foreign),
            ),
            // relayed
            (route(inside, None), named("7/16"), None, None),
            (
                route(own, None),
                named("7/16"),
                Some(Foreign),
                Some(Foreign),
            ),
            (route("10.42.7.0/24", None), named("7/16"), None, None),
            (route("::/0", None), named("7/16"), None, None),
            (
                route(inside, None),
                stranger,
                Some(Nameless),
                Some(Nameless),
            ),
            (
                route("::/0", None),
                stranger,
                Some(Nameless),
                Some(Nameless),
            ),
            (
                route("0.0.0.0/0", None),
                stranger,
                Some(Nameless),
                Some(Nameless),
            ),
            (route("2001:db8:99::/48", None), stranger, None, None),
        ];
        for (route, origin, anybody, one) in cases {
            let origin = origin.expect("a router-id");
            let found = origins.refusal(None, &route, origin);
            assert_eq!(found, anybody, "{route:?} of {origin}");
            let found = origins.refusal(Some(&neighbour(false)), &route, origin);
            assert_eq!(found, one, "{route:?} of {origin}, from 1/16");
            let found = origins.refusal(Some(&neighbour(true)), &route, origin);
            let gateway = one.filter(|refusal| *refusal != NoGateway);
            assert_eq!(found, gateway, "{route:?} of {origin}, from a gateway");
        }
    }

    #[test]
    fn a_name_shorter_than_any_nodes_is_nobodys_unless_a_certificate_shows_it() {
        let half = || Entitlement {
            name: name_of(router_id_of(&node("0/1"), 0).expect("short")),
            prefixes: vec!["2001:db8:42::/49".parse().expect("a prefix")],
            gateway: true,
        };
        // bits of the shortest prefix, the origin, whether its certificate was seen, the route, whether it is taken
        let cases = [
            (0, "0/1", false, "2001:db8:42::/49", true),
            (12, "0/1", false, "2001:db8:42::/49", false),
            (12, "0/1", false, "2001:db8:42:7::/64", false),
            (12, "0/1", false, "::/0", false),
            (12, "0/1", true, "2001:db8:42::/49", true),
            (12, "0/1", true, "::/0", true),
            (12, "1/11", false, "2001:db8:42:20::/59", false),
            (12, "1/12", false, "2001:db8:42:10::/60", true),
            (12, "1/18", false, "2001:db8:42:0:4000::/66", true),
            // not of the network: whose it is, names do not say
            (12, "0/1", false, "10.42.7.0/24", true),
        ];
        for (shortest, origin, certified, to, taken) in cases {
            let origins = Origins {
                network: "2001:db8:42::/48".parse().expect("a network"),
                shortest,
            };
            let entitlement = certified.then(half);
            let origin_id = router_id_of(&node(origin), 9).expect("short");
            let found = origins.refusal(entitlement.as_ref(), &route(to, None), origin_id);
            let expected = (!taken).then_some(Refusal::TooShort);
            assert_eq!(found, expected, "{to} of {origin}, shortest {shortest}");
        }
    }
}
