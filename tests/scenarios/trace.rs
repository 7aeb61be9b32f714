//! `trace` tells what becomes of a packet, and why, and is right about it.

use anyhow::{Context as _, Result};
use serde_json::Value;
use testbed::{
    host::Testbed,
    internet::IpVersion::*,
    link::LinkOptions,
    node::{Encapsulation::*, Node},
    traffic::ping,
};

use crate::meshes::Chain;

fn trace(node: &Node, description: &str) -> Result<Value> {
    let output = node.re6st_user(&["trace", "--json", description])?;
    let text = output.success().context(description.to_owned())?.stdout;
    Ok(serde_json::from_str(&text)?)
}

/// What is asked of the relay in the middle, and what it answers: outcome, reason, tunnel it leaves through.
const TABLE: [(&str, &str, Option<&str>, Option<&str>); 19] = [
    (
        "from tunnel a: 2001:db8:42:1::1 > 2001:db8:42:3::1 tcp",
        "sent",
        None,
        Some("c"),
    ),
    (
        "from tunnel a: 10.42.1.1 > 10.42.3.1 udp 5000 > 53 length 1300",
        "sent",
        None,
        Some("c"),
    ),
    (
        "from tunnel c: 10.42.3.1 > 10.42.1.1 icmp class 3",
        "sent",
        None,
        Some("a"),
    ),
    (
        "from tunnel a: 10.42.1.1 > 10.42.3.1 icmp hop-limit 1",
        "mesh-device",
        Some("hop_limit"),
        None,
    ),
    (
        "from tunnel a: 10.42.1.1 > 10.42.3.1 icmp options",
        "mesh-device",
        Some("options"),
        None,
    ),
    (
        "from tunnel a: 2001:db8:42:1::1 > 2001:db8:42:3::1 icmp length 1421",
        "mesh-device",
        Some("too_big"),
        None,
    ),
    (
        "from tunnel a: 2001:db8:42:1::1 > 2001:db8:42:2::1 icmp",
        "mesh-device",
        Some("local"),
        None,
    ),
    (
        "from tunnel a: 2001:db8:42:1::1 > 2001:db8:42:9::1 icmp",
        "mesh-device",
        Some("no_route"),
        None,
    ),
    (
        "from tunnel a: 10.42.2.1 > 10.42.3.1 icmp",
        "dropped",
        Some("spoofed_source"),
        None,
    ),
    (
        "from tunnel a: 10.42.3.1 > 10.42.1.1 icmp",
        "dropped",
        Some("routing_loop"),
        None,
    ),
    (
        "on eth0: 192.0.2.1 > 192.0.2.2 icmp",
        "untouched",
        Some("ordinary"),
        None,
    ),
    (
        "send: 10.42.2.1 > 10.42.3.1 icmp",
        "sent-by-tc",
        None,
        Some("c"),
    ),
    // from the longest packet that would fit as a segment to the longest that fits, and one byte more
    (
        "send: 2001:db8:42:2::1 > 2001:db8:42:3::1 tcp length 1360",
        "sent-by-tc",
        None,
        Some("c"),
    ),
    (
        "send: 2001:db8:42:2::1 > 2001:db8:42:3::1 tcp length 1361",
        "sent-by-tc",
        None,
        Some("c"),
    ),
    (
        "send: 10.42.2.1 > 10.42.3.1 udp length 1373",
        "sent-by-tc",
        None,
        Some("c"),
    ),
    (
        "send: 10.42.2.1 > 10.42.3.1 udp length 1420",
        "sent-by-tc",
        None,
        Some("c"),
    ),
    (
        "send: 2001:db8:42:2::1 > 2001:db8:42:3::1 icmp length 1420",
        "sent-by-tc",
        None,
        Some("c"),
    ),
    (
        "send: 2001:db8:42:2::1 > 2001:db8:42:3::1 icmp length 1421",
        "dropped",
        Some("send_too_big"),
        None,
    ),
    (
        "send: 10.42.2.1 > 10.42.9.1 icmp",
        "dropped",
        Some("send_no_route"),
        None,
    ),
];

#[test]
fn programs_and_replay_agree_about_every_kind_of_packet() -> Result<()> {
    let chain = Chain::loaded((Fou, V4), (Gre, V6))?;

    for (description, outcome, reason, tunnel) in TABLE {
        let trace = trace(&chain.b, description)?;

        assert_eq!(
            trace["disagreements"],
            Value::Array(Vec::new()),
            "{description}: {trace:#}"
        );
        assert_eq!(trace["outcome"], outcome, "{description}: {trace:#}");
        assert_eq!(
            trace["reason"]["name"].as_str(),
            reason,
            "{description}: {trace:#}"
        );
        assert_eq!(
            trace["to_tunnel"]["name"].as_str(),
            tunnel,
            "{description}: {trace:#}"
        );
    }
    Ok(())
}

#[test]
fn it_asks_the_kernel_where_a_host_behind_the_node_is() -> Result<()> {
    let testbed = Testbed::new()?;
    let mut chain = Chain::new((Fou, V4), (Gre, V6))?;
    let host = chain
        .b
        .lan_host(&testbed, "lan", "lan0", LinkOptions::default())?;
    chain.load()?;
    // so that the node knows its Ethernet address
    assert!(ping(&chain.a.host, host.address(V4), 2, &[])?.received > 0);
    let table = [
        (
            "from tunnel a: 10.42.1.1 > 10.42.2.16 icmp",
            "sent",
            None,
            "lan0",
        ),
        ("on lan0: 10.42.2.16 > 10.42.1.1 icmp", "sent", None, "eth0"),
        (
            "from tunnel a: 10.42.1.1 > 10.42.2.77 icmp",
            "mesh-device",
            Some("site"),
            "",
        ),
        (
            "on lan0: 10.99.2.16 > 10.42.1.1 icmp",
            "dropped",
            Some("foreign_source"),
            "",
        ),
    ];
    for (description, outcome, reason, interface) in table {
        let description = description.replace("10.42.2.16", &host.ipv4.to_string());

        let trace = trace(&chain.b, &description)?;

        assert_eq!(
            trace["disagreements"],
            Value::Array(Vec::new()),
            "{description}: {trace:#}"
        );
        assert_eq!(trace["outcome"], outcome, "{description}: {trace:#}");
        assert_eq!(
            trace["reason"]["name"].as_str(),
            reason,
            "{description}: {trace:#}"
        );
        assert_eq!(
            trace["interface"].as_str().unwrap_or_default(),
            interface,
            "{description}: {trace:#}"
        );
    }
    Ok(())
}

#[test]
fn a_traced_packet_is_counted_as_any_other() -> Result<()> {
    let chain = Chain::loaded((Fou, V4), (Fou, V4))?;
    let before = chain.b.reason("spoofed_source")?;

    trace(&chain.b, "from tunnel a: 10.42.2.1 > 10.42.3.1 icmp")?;

    assert_eq!(chain.b.reason("spoofed_source")?, before + 1);
    Ok(())
}

#[test]
fn what_cannot_be_traced_is_explained() -> Result<()> {
    let chain = Chain::loaded((Fou, V4), (Fou, V4))?;
    let table: [(&[&str], &str); 5] = [
        (&["on eth7: 10.42.1.1 > 10.42.3.1"], "there are: eth0"),
        (&["from tunnel x: 10.42.1.1 > 10.42.3.1"], "there are: a, c"),
        (
            &["from tunnel a: 10.42.1.1 > 10.42.3.1 length 4000"],
            "at most 3520",
        ),
        (
            &["--instance", "nothing", "send: 10.42.1.1 > 10.42.3.1"],
            "nothing is not loaded",
        ),
        (
            &["send: 10.42.1.1 > 10.42.3.1 sctp"],
            "packet description: the packet: \"sctp\": expected",
        ),
    ];
    for (arguments, expected) in table {
        let error = chain
            .b
            .re6st_user(&[&["trace"], arguments].concat())?
            .failure()?;

        assert!(error.contains(expected), "{arguments:?}: {error}");
    }
    Ok(())
}
