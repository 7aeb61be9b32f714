//! `trace` tells what becomes of a packet, and why, and is right about it.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
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

/// What becomes of packets at a node, one a line: outcome, reason, the name of what it leaves by, and the packet.
fn assert_traced(node: &Node, leaves_by: impl Fn(&Value) -> &Value, table: &str) -> Result<()> {
    for line in table.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (outcome, rest) = line.split_once(' ').context("no reason")?;
        let (reason, rest) = rest.trim().split_once(' ').context("no name")?;
        let (name, description) = rest.trim().split_once(' ').context("no packet")?;
        let trace = trace(node, description.trim())?;

        assert_eq!(trace["disagreements"], json!([]), "{line}: {trace:#}");
        assert_eq!(trace["outcome"], outcome, "{line}: {trace:#}");
        for (seen, expected) in [
            (&trace["reason"]["name"], reason),
            (leaves_by(&trace), name),
        ] {
            let expected = Some(expected).filter(|expected| *expected != "-");
            assert_eq!(seen.as_str(), expected, "{line}: {trace:#}");
        }
    }
    Ok(())
}

/// What is asked of the relay in the middle, and the tunnel it leaves through. What is sent is once of the longest packet that
/// would fit as a segment to the longest that fits, and one byte more.
const TABLE: &str = "
    sent         -               c  from tunnel a: 2001:db8:42:1::1 > 2001:db8:42:3::1 tcp
    sent         -               c  from tunnel a: 10.42.1.1 > 10.42.3.1 udp 5000 > 53 length 1300
    sent         -               a  from tunnel c: 10.42.3.1 > 10.42.1.1 icmp class 3
    mesh-device  hop_limit       -  from tunnel a: 10.42.1.1 > 10.42.3.1 icmp hop-limit 1
    mesh-device  options         -  from tunnel a: 10.42.1.1 > 10.42.3.1 icmp options
    mesh-device  too_big         -  from tunnel a: 2001:db8:42:1::1 > 2001:db8:42:3::1 icmp length 1421
    mesh-device  local           -  from tunnel a: 2001:db8:42:1::1 > 2001:db8:42:2::1 icmp
    mesh-device  no_route        -  from tunnel a: 2001:db8:42:1::1 > 2001:db8:42:9::1 icmp
    dropped      spoofed_source  -  from tunnel a: 10.42.2.1 > 10.42.3.1 icmp
    dropped      routing_loop    -  from tunnel a: 10.42.3.1 > 10.42.1.1 icmp
    untouched    ordinary        -  on eth0: 192.0.2.1 > 192.0.2.2 icmp
    sent-by-tc   -               c  send: 10.42.2.1 > 10.42.3.1 icmp
    sent-by-tc   -               c  send: 2001:db8:42:2::1 > 2001:db8:42:3::1 tcp length 1360
    sent-by-tc   -               c  send: 2001:db8:42:2::1 > 2001:db8:42:3::1 tcp length 1361
    sent-by-tc   -               c  send: 10.42.2.1 > 10.42.3.1 udp length 1373
    sent-by-tc   -               c  send: 10.42.2.1 > 10.42.3.1 udp length 1420
    sent-by-tc   -               c  send: 2001:db8:42:2::1 > 2001:db8:42:3::1 icmp length 1420
    dropped      send_too_big    -  send: 2001:db8:42:2::1 > 2001:db8:42:3::1 icmp length 1421
    dropped      send_no_route   -  send: 10.42.2.1 > 10.42.9.1 icmp
";

#[test]
fn programs_and_replay_agree_about_every_kind_of_packet() -> Result<()> {
    let chain = Chain::loaded((Fou, V4), (Gre, V6))?;

    assert_traced(&chain.b, |trace| &trace["to_tunnel"]["name"], TABLE)
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
    let table = "
            sent         -               lan0  from tunnel a: 10.42.1.1 > HOST icmp
            sent         -               eth0  on lan0: HOST > 10.42.1.1 icmp
            mesh-device  site            -     from tunnel a: 10.42.1.1 > 10.42.2.77 icmp
            dropped      foreign_source  -     on lan0: 10.99.2.16 > 10.42.1.1 icmp
        ";

    let table = table.replace("HOST", &host.ipv4.to_string());
    assert_traced(&chain.b, |trace| &trace["interface"], &table)
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
    let table = [
        ("on eth7: 10.42.1.1 > 10.42.3.1", "there are: eth0"),
        ("from tunnel x: 10.42.1.1 > 10.42.3.1", "there are: a, c"),
        (
            "from tunnel a: 10.42.1.1 > 10.42.3.1 length 4000",
            "at most 3520",
        ),
        (
            "send: 10.42.1.1 > 10.42.3.1 sctp",
            "packet description: the packet: \"sctp\": expected",
        ),
    ];
    for (packet, expected) in table {
        let error = chain.b.re6st_user(&["trace", packet])?.failure()?;

        assert!(error.contains(expected), "{packet}: {error}");
    }
    let other = [
        "trace",
        "--instance",
        "nothing",
        "send: 10.42.1.1 > 10.42.3.1",
    ];
    let error = chain.b.re6st_user(&other)?.failure()?;
    assert!(error.contains("nothing is not loaded"), "{error}");
    Ok(())
}
