//! What a router's answer is worth. It comes from whoever is the router of this network: a hotel's, or an attacker's. Pure.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use thiserror::Error;

use super::{Mapping, Wanted};
use crate::mesh::address::is_public;

/// How long a mapping is asked for, in seconds: if this host goes without a word, the port is free again soon.
pub const LIFETIME: u32 = 3_600;
/// A router may have started again, and forgotten: it is asked so often at least.
const RENEWAL: Duration = Duration::from_secs(600);
/// And at most, whatever lifetime it gives.
const RENEWAL_MIN: Duration = Duration::from_secs(30);
/// Until a router that gave none is asked again; doubled each time.
const RETRY: Duration = Duration::from_secs(60);
const RETRY_MAX: Duration = Duration::from_secs(3_600);

/// Why others are not told the address that a router says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum Disbelief {
    /// It is in a NAT itself.
    #[error(
        "the router at {router} passes UDP port {port} on to this node, but its own outer address is {address}, which is no public one: it \
         is behind another NAT, which would have to pass the port on as well"
    )]
    BehindAnother {
        /// Who says so.
        router: Ipv4Addr,
        /// What.
        address: IpAddr,
        /// The port.
        port: u16,
    },
    /// Peers see us elsewhere.
    #[error(
        "the router at {router} says that its outer address is {address}, but peers see this node at {seen}: there is another NAT behind it, \
         or it does not say the truth"
    )]
    SeenElsewhere {
        /// Who says so.
        router: Ipv4Addr,
        /// What.
        address: IpAddr,
        /// Where one of them sees us.
        seen: Ipv4Addr,
    },
    /// It is one of ours, or of the mesh.
    #[error(
        "the router at {router} says that its outer address is {address}, which is this node's own, or one of the mesh"
    )]
    Ours {
        /// Who says so.
        router: Ipv4Addr,
        /// What.
        address: IpAddr,
    },
}

/// Where others reach this node by a mapping. `seen`: where peers see this node. `is_ours`: whether an address is this node's, or
/// one of the mesh.
///
/// # Errors
/// Nobody should be told that.
pub fn outside(
    mapping: &Mapping,
    mut seen: impl Iterator<Item = Ipv4Addr>,
    is_ours: impl Fn(IpAddr) -> bool,
) -> Result<SocketAddr, Disbelief> {
    let (router, port) = (mapping.wanted.router, mapping.port);
    let address = mapping.address.to_canonical();
    let IpAddr::V4(outer) = address else {
        return Err(Disbelief::BehindAnother {
            router,
            address,
            port,
        });
    };
    if is_ours(address) {
        return Err(Disbelief::Ours { router, address });
    }
    if !is_public(outer) {
        return Err(Disbelief::BehindAnother {
            router,
            address,
            port,
        });
    }
    // one that is in the same LAN sees another one
    let first = seen.find(|seen| is_public(*seen));
    match first {
        Some(first) if first != outer && !seen.any(|seen| seen == outer) => {
            Err(Disbelief::SeenElsewhere {
                router,
                address,
                seen: first,
            })
        }
        _ => Ok(SocketAddr::new(address, port)),
    }
}

/// What people are told if a router gives no mapping.
pub fn refusal(wanted: &Wanted, why: &str) -> String {
    format!(
        "this node is behind a NAT, and the router at {} passes no port on to it ({why}): others can open tunnels to it only if they and \
         that NAT let them; pass UDP port {} on by hand and say so by `ip` in [mesh], or end the asking by `port-mapping = false`",
        wanted.router,
        wanted.to.port()
    )
}

/// Until a mapping is renewed that a router gave for so many seconds; 0 is for ever.
pub fn renewal(lifetime: u32) -> Duration {
    let half = match lifetime {
        0 => RENEWAL,
        seconds => Duration::from_secs(u64::from(seconds) / 2),
    };
    half.clamp(RENEWAL_MIN, RENEWAL)
}

/// Until a router is asked again that gave none so many times.
pub fn retry(failures: u32) -> Duration {
    (RETRY * 2_u32.pow(failures.saturating_sub(1).min(16))).min(RETRY_MAX)
}

#[cfg(test)]
#[expect(clippy::expect_used, reason = "a test may end there")]
mod tests {
    use std::net::SocketAddrV4;

    use super::*;
    use crate::port_mapping::Protocol;

    const ROUTER: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 1);
    const OUTER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 7);

    fn mapping(address: impl Into<IpAddr>) -> Mapping {
        Mapping {
            wanted: Wanted {
                router: ROUTER,
                to: SocketAddrV4::new(Ipv4Addr::new(192, 168, 1, 2), 4754),
                nonce: [0; 3],
            },
            protocol: Protocol::Pcp,
            address: address.into(),
            port: 50_000,
        }
    }

    fn judged(address: impl Into<IpAddr>, seen: &[Ipv4Addr]) -> Result<SocketAddr, Disbelief> {
        let own = Ipv4Addr::new(198, 51, 100, 9);
        outside(&mapping(address), seen.iter().copied(), |it| it == own)
    }

    #[test]
    fn a_public_address_that_nobody_contradicts_is_believed() {
        let public = SocketAddr::from((OUTER, 50_000));
        let lan = Ipv4Addr::new(192, 168, 1, 1);
        let elsewhere = Ipv4Addr::new(198, 51, 100, 1);
        for seen in [&[][..], &[OUTER], &[lan], &[lan, elsewhere, OUTER]] {
            assert_eq!(judged(OUTER, seen), Ok(public), "{seen:?}");
        }
        assert_eq!(judged(OUTER.to_ipv6_mapped(), &[]), Ok(public));
    }

    #[test]
    fn an_address_that_is_not_public_is_behind_another_nat() {
        for text in [
            "10.0.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "169.254.1.1",
            "192.168.1.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "2001:db8::1",
        ] {
            let address: IpAddr = text.parse().expect("an address");
            let outcome = judged(address, &[]);
            assert!(
                matches!(outcome, Err(Disbelief::BehindAnother { .. })),
                "{text}: {outcome:?}"
            );
        }
        assert!(is_public(Ipv4Addr::new(100, 128, 0, 1)));
        assert!(is_public(Ipv4Addr::new(100, 63, 255, 255)));
    }

    #[test]
    fn our_own_address_and_one_where_nobody_sees_us_are_not_believed() {
        let own = Ipv4Addr::new(198, 51, 100, 9);
        assert!(matches!(judged(own, &[]), Err(Disbelief::Ours { .. })));
        let seen = Ipv4Addr::new(198, 51, 100, 1);
        let outcome = judged(OUTER, &[seen]);
        assert!(
            matches!(outcome, Err(Disbelief::SeenElsewhere { .. })),
            "{outcome:?}"
        );
    }

    #[test]
    fn no_lifetime_makes_it_ask_without_a_pause_or_never() {
        assert_eq!(renewal(0), RENEWAL);
        assert_eq!(renewal(1), RENEWAL_MIN);
        assert_eq!(renewal(120), Duration::from_secs(60));
        assert_eq!(renewal(u32::MAX), RENEWAL);
        assert_eq!(retry(1), RETRY);
        assert_eq!(retry(2), RETRY * 2);
        assert_eq!(retry(u32::MAX), RETRY_MAX);
    }
}
