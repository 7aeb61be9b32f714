//! One test for each daemon and each feature it has: what both sides announce is learned and used by the other.

use std::time::Duration;

use anyhow::{Context as _, Result};
use testbed::{
    configuration::MacAlgorithm,
    daemon::{Babeld, Bird, Daemon, Features},
    emulator::Wire,
    host::Testbed,
    internet::{IpVersion, IpVersion::*},
};

use super::pair::{LAN, Lan, Pair, Running, THEIRS, address, mac};

/// What both sides do, and what the LAN is like.
#[derive(Clone, Copy, Debug)]
enum Feature {
    /// IPv6 and IPv4, each by its own family.
    Plain,
    /// Packets are signed (RFC 8967).
    Signed(MacAlgorithm),
    /// The way is long, and round-trip times are measured (RFC 9616).
    RoundTrip,
    /// The LAN has no IPv4 address (RFC 9229).
    Ipv4ViaIpv6,
}

/// There and back it takes 60 ms.
const LONG_WAY: Wire = Wire {
    delay: Duration::from_millis(30),
    lost_of_1000: 0,
};

use Feature::{Ipv4ViaIpv6, Plain, RoundTrip, Signed};
use MacAlgorithm::{Blake2s128, HmacSha256};

fn interoperates(daemon: &'static dyn Daemon, feature: Feature) -> Result<()> {
    let testbed = Testbed::new()?;
    let key = match feature {
        Signed(algorithm) => Some(mac(algorithm, 0x5c)),
        _ => None,
    };
    let features = Features {
        ipv4: true,
        mac: key.as_ref(),
        round_trip: matches!(feature, RoundTrip),
        default_from: None,
    };
    let lan = Lan {
        ipv4: !matches!(feature, Ipv4ViaIpv6),
        wire: matches!(feature, RoundTrip).then_some(LONG_WAY),
    };
    let mut pair = Pair::new(&testbed, daemon, lan)?;
    let running = pair.start_alike(features)?;

    running.reach_each_other(V6)?;
    running.reach_each_other(V4)?;

    by_the_lan(&running, V6, "via fe80")?;
    match feature {
        Ipv4ViaIpv6 => by_the_lan(&running, V4, "via inet6 fe80")?,
        _ => by_the_lan(&running, V4, "via 192.168.7.2")?,
    }
    if matches!(feature, RoundTrip) {
        both_measure_round_trips(&running)?;
    }
    let status = running.pair.ours.status()?;
    let refused = &status["controller"]["refused"];
    for reason in ["wrong MAC", "no MAC"] {
        assert_eq!(refused[reason].as_u64(), None, "{refused}");
    }
    Ok(())
}

/// The kernel has the other's address from Babel, by the LAN.
fn by_the_lan(running: &Running<'_>, version: IpVersion, via: &str) -> Result<()> {
    let family = match version {
        V4 => "-4",
        V6 => "-6",
    };
    let to = address(THEIRS, version).to_string();
    let host = &running.pair.ours.host;
    let route = host.ip(&[family, "route", "show", &to, "proto", "babel"])?;
    assert!(route.contains(via) && route.contains(LAN), "{route}");
    Ok(())
}

fn both_measure_round_trips(running: &Running<'_>) -> Result<()> {
    let neighbours = running.pair.ours.list(&["neighbours"])?;
    let neighbour = neighbours.first().context("no neighbour")?;
    let ours = neighbour["round_trip_microseconds"]
        .as_f64()
        .with_context(|| format!("our node measures nothing: {neighbour:#}"))?
        / 1000.0;
    let cost = neighbour["cost"].as_u64().context("no cost")?;
    let dump = running.pair.daemon.tables(&running.pair.theirs)?;
    // in milliseconds, in the line of the neighbour
    let theirs: f64 = dump
        .lines()
        .find(|line| line.starts_with("add neighbour"))
        .and_then(|line| line.split(" rtt ").nth(1)?.split(' ').next()?.parse().ok())
        .with_context(|| format!("the other measures nothing:\n{dump}"))?;
    println!("round trip: {ours} ms here at cost {cost}, {theirs} ms there");
    // a busy machine may add to it, but the way is never shorter
    for milliseconds in [ours, theirs] {
        assert!((60.0..150.0).contains(&milliseconds), "{milliseconds} ms");
    }
    // 96, and 5000 / 490 for each millisecond beyond 10
    assert!(cost > 96 + 450, "cost {cost}");
    Ok(())
}

/// One test a line.
macro_rules! pairs {
    ($($name:ident: $daemon:expr, $feature:expr;)*) => {
        $(
            #[test]
            fn $name() -> Result<()> {
                interoperates(&$daemon, $feature)
            }
        )*
    };
}

// what BIRD 2.0.12 does not have: round-trip times, IPv4 via IPv6
pairs! {
    babeld_ipv6_and_ipv4: Babeld, Plain;
    babeld_hmac_sha256: Babeld, Signed(HmacSha256);
    babeld_blake2s_128: Babeld, Signed(Blake2s128);
    babeld_round_trip_time: Babeld, RoundTrip;
    babeld_ipv4_via_ipv6: Babeld, Ipv4ViaIpv6;
    bird_ipv6_and_ipv4: Bird, Plain;
    bird_hmac_sha256: Bird, Signed(HmacSha256);
    bird_blake2s_128: Bird, Signed(Blake2s128);
}
