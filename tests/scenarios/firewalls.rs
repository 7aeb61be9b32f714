//! nftables on the mesh device sees what arrives through tunnels, and has its way.

use anyhow::{Context as _, Result};
use testbed::{
    host::{Host, Testbed},
    internet::{Internet, IpVersion::*},
    link::LinkOptions,
    node::{Encapsulation::*, INSTANCE, LanHost, Node},
    traffic::{ping, transfer},
};

use crate::meshes::row;

/// How many echo requests each ping sends.
const PINGS: u32 = 5;

/// Two nodes, and a host behind the second. Its LAN is not given to `re6st-user`: the kernel forwards there, through its
/// firewall.
struct Site {
    _internet: Internet,
    a: Node,
    b: Node,
    lan: LanHost,
}

impl Site {
    fn new() -> Result<Self> {
        let (internet, [a, mut b]) = row(["a", "b"], &[(Fou, V4)])?;
        let testbed = Testbed::new()?;
        let lan = b.lan_host(&testbed, "lan", "lan0", LinkOptions::default())?;
        b.configuration.interfaces.retain(|name| name != "lan0");
        a.load()?;
        b.load()?;
        Ok(Self {
            _internet: internet,
            a,
            b,
            lan,
        })
    }
}

/// Makes a host count echo requests that pass one of its hooks by an interface (`iifname`, `oifname`), and then do
/// something with them. Replaces what it did before.
fn rule(host: &Host, hook: &str, interface: &str, verdict: &str) -> Result<()> {
    let mut script = format!(
        "add table inet test; delete table inet test; add table inet test; add counter inet test met;
        add chain inet test pings {{ type filter hook {hook} priority 0; }};"
    );
    for request in ["icmp type echo-request", "icmpv6 type echo-request"] {
        script += &format!(
            "add rule inet test pings {interface} {INSTANCE} {request} counter name met {verdict};"
        );
    }
    host.run("nft", &[&script]).map(drop)
}

/// How many echo requests have met the rule.
fn met(host: &Host) -> Result<u64> {
    let text = host.run("nft", &["--json", "list", "counter", "inet", "test", "met"])?;
    let shown: serde_json::Value = serde_json::from_str(&text)?;
    shown["nftables"]
        .as_array()
        .and_then(|objects| objects.iter().find_map(|object| object.get("counter")))
        .and_then(|counter| counter["packets"].as_u64())
        .with_context(|| format!("no counter in {text}"))
}

#[test]
fn input_from_tunnels_is_seen_and_can_be_dropped() -> Result<()> {
    let site = Site::new()?;
    let Site { a, b, .. } = &site;
    for version in [V6, V4] {
        let address = b.address(version);
        for (verdict, answered) in [("accept", PINGS), ("drop", 0)] {
            rule(&b.host, "input", "iifname", verdict)?;

            let answers = ping(&a.host, address, PINGS, &[])?;

            assert_eq!(answers.received, answered, "{verdict}: {}", answers.text);
            assert_eq!(met(&b.host)?, u64::from(PINGS), "{version:?} {verdict}");
        }
        // the rule was about pings
        transfer(&a.host, &b.host, address, 1 << 20)?;
    }
    Ok(())
}

#[test]
fn what_is_forwarded_between_tunnels_and_a_lan_is_seen_and_can_be_dropped() -> Result<()> {
    let site = Site::new()?;
    let Site { a, b, lan, .. } = &site;
    for version in [V6, V4] {
        let outside = (&a.host, lan.address(version), "iifname");
        let inside = (&lan.host, a.address(version), "oifname");
        for (from, to, interface) in [outside, inside] {
            for (verdict, answered) in [("accept", PINGS), ("drop", 0)] {
                rule(&b.host, "forward", interface, verdict)?;

                let answers = ping(from, to, PINGS, &[])?;

                assert_eq!(answers.received, answered, "{verdict}: {}", answers.text);
                assert_eq!(
                    met(&b.host)?,
                    u64::from(PINGS),
                    "{version:?} {interface} {verdict}"
                );
            }
        }
        transfer(&a.host, &lan.host, lan.address(version), 1 << 20)?;
    }
    Ok(())
}
