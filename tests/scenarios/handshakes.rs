//! A flood of handshakes never reaches a socket, and who has a cookie does.

use std::{
    net::{IpAddr, UdpSocket},
    time::Duration,
};

use anyhow::{Context as _, Result};
use re6st_common::handshake::{self, COOKIE_REPLY_SIZE, HEAD_SIZE, SipKey};
use re6st_user::dataplane::bpf::{
    handshakes::{self, HandshakeKeys},
    maps::Maps,
};
use testbed::{internet::IpVersion::*, node::Encapsulation::*, node::Node};

use crate::meshes::Chain;

const KEYS: HandshakeKeys = HandshakeKeys {
    mac_key: SipKey::new([7; 16]),
    rate: 0,
    burst: 0,
};
const PORT: u16 = 4754;
/// How long what must come may take.
const PATIENCE: Duration = Duration::from_secs(2);

fn judge(node: &Node, keys: Option<&HandshakeKeys>) -> Result<()> {
    let maps = Maps::new(node.host.bpffs().join("re6st0"));
    Ok(handshakes::set(&maps, keys)?)
}

/// By somebody who knows the node's public key.
fn initiation() -> Result<Vec<u8>> {
    let mut initiation = vec![0x5a; 500];
    initiation[..8].copy_from_slice(&[1, 1, 0, 0, 0, 0, 0, 9]);
    initiation[8..16].fill(0);
    let head = initiation.first_chunk::<HEAD_SIZE>().context("a head")?;
    let mac = handshake::mac(KEYS.mac_key, head);
    initiation[16..24].copy_from_slice(&mac);
    Ok(initiation)
}

fn socket(node: &Node, address: IpAddr, port: u16) -> Result<UdpSocket> {
    let socket = node.host.enter(|| UdpSocket::bind((address, port)))??;
    socket.set_read_timeout(Some(PATIENCE))?;
    Ok(socket)
}

fn received(socket: &UdpSocket) -> Result<Vec<u8>> {
    let mut octets = [0; 2048];
    let length = socket.recv(&mut octets)?;
    Ok(octets[..length].to_vec())
}

/// What `trace` says of a datagram from one address to the tunnels' port of another.
fn traced(node: &Node, from: IpAddr, to: IpAddr, payload: &[u8]) -> Result<serde_json::Value> {
    let link = &node.host.ip_json(&["link", "show", "dev", "eth0"])?[0]["address"];
    let own = link.as_str().context("no address")?.replace(':', "");
    let length = 8 + payload.len() as u16;
    let mut frame = format!("{own}020000000001");
    let mut push = |octets: &[u8]| {
        octets
            .iter()
            .for_each(|octet| frame += &format!("{octet:02x}"))
    };
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            push(&[8, 0, 0x45, 0]);
            push(&(20 + length).to_be_bytes());
            // the checksum of the header is the kernel's business, which does not see it
            push(&[0, 0, 0, 0, 64, 17, 0, 0]);
            push(&from.octets());
            push(&to.octets());
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            push(&[0x86, 0xdd, 0x60, 0, 0, 0]);
            push(&length.to_be_bytes());
            push(&[17, 64]);
            push(&from.octets());
            push(&to.octets());
        }
        _ => anyhow::bail!("two families"),
    }
    push(&40_000_u16.to_be_bytes());
    push(&PORT.to_be_bytes());
    push(&length.to_be_bytes());
    push(&[0, 0]);
    push(payload);
    let output = node.re6st_user(&["trace", "--json", &format!("on eth0: hex {frame}")])?;
    Ok(serde_json::from_str(&output.success()?.stdout)?)
}

/// Whether nothing has arrived at a socket so far, of all that was sent before a datagram that has arrived.
fn nothing_else(socket: &UdpSocket) -> Result<bool> {
    socket.set_nonblocking(true)?;
    let nothing = socket.recv(&mut [0; 2048]).is_err();
    socket.set_nonblocking(false)?;
    Ok(nothing)
}

#[test]
fn who_has_no_cookie_is_given_one_and_reaches_the_socket_with_it_also_after_a_load() -> Result<()> {
    let chain = Chain::loaded((Fou, V4), (Fou, V6))?;
    let Chain { a, b, .. } = &chain;
    for version in [V4, V6] {
        // arrange
        let address = b.uplink.address(version);
        let controller = socket(b, address, PORT)?;
        let peer = socket(a, a.uplink.address(version), 40_000)?;
        peer.connect((address, PORT))?;
        judge(b, Some(&KEYS))?;
        let mut initiation = initiation()?;
        let mut stranger = initiation.clone();
        stranger[16] ^= 1;
        for (payload, reason, outcome) in [
            (&stranger, "handshake_mac", "dropped"),
            (&initiation, "handshake_cookie", "sent"),
            (&vec![4; 100], "control", "untouched"),
        ] {
            let trace = traced(b, a.uplink.address(version), address, payload)?;
            assert_eq!(trace["reason"]["name"], reason, "{trace}");
            assert_eq!(trace["outcome"], outcome, "{trace}");
            assert_eq!(trace["disagreements"], serde_json::json!([]), "{trace}");
            let program = trace["program"].as_str().unwrap_or_default();
            assert!(program.starts_with("re6st_control"), "{trace}");
        }
        let before = b.reason("handshake_mac")?;

        // act: a stranger, and somebody who knows the node
        for _ in 0..10 {
            peer.send(&stranger)?;
        }
        peer.send(&initiation)?;
        let reply = received(&peer).context("no cookie reply")?;

        // assert: the kernel has found its checksum right, and nobody was asked in userspace
        assert_eq!(reply.len(), COOKIE_REPLY_SIZE, "{version:?}");
        assert_eq!(reply[..8], [3, 1, 0, 0, 0, 0, 0, 9]);
        assert_eq!(reply[16..], initiation[16..24]);
        assert!(nothing_else(&peer)?, "{version:?}: strangers get no answer");
        assert_eq!(b.reason("handshake_mac")? - before, 10);
        assert!(nothing_else(&controller)?, "{version:?}");

        // the cookie is good, whatever is loaded meanwhile
        b.load()?;
        judge(b, Some(&KEYS))?;
        initiation[8..16].copy_from_slice(&reply[8..16]);
        peer.send(&initiation)?;
        assert_eq!(received(&controller)?, initiation, "{version:?}");

        // without channels all come, as they are
        judge(b, None)?;
        peer.send(&stranger)?;
        assert_eq!(received(&controller)?, stranger, "{version:?}");
    }
    assert!(b.reason("handshake_cookie")? >= 2);
    Ok(())
}

/// A router that is a node itself has no say in handshakes between others.
#[test]
fn handshakes_between_others_pass_a_router_untouched() -> Result<()> {
    let chain = Chain::loaded((Fou, V4), (Fou, V6))?;
    let Chain { a, b, .. } = &chain;
    // arrange: an address behind b, which the router sends to b
    let (inside, outside) = ("198.51.100.7", "198.51.100.1");
    b.host.ip(&[
        "link", "add", "inner", "type", "veth", "peer", "name", "end",
    ])?;
    b.host.ip(&["link", "set", "end", "up"])?;
    b.host
        .ip(&["addr", "add", &format!("{outside}/24"), "dev", "inner"])?;
    b.host.ip(&["link", "set", "inner", "up"])?;
    b.host.ip(&[
        "neigh",
        "add",
        inside,
        "lladdr",
        "02:00:00:00:00:07",
        "dev",
        "inner",
    ])?;
    b.host.set_sysctl("net.ipv4.ip_forward", "1")?;
    let by = b.uplink.address(V4).to_string();
    let route = ["route", "add", "198.51.100.0/24", "via", &by];
    chain.internet.router().ip(&route)?;
    judge(b, Some(&KEYS))?;
    let peer = socket(a, a.uplink.address(V4), 40_000)?;
    let mut stranger = initiation()?;
    stranger[16] ^= 1;
    let sent = || {
        b.host
            .interface_counters("inner")
            .map(|counters| counters.sent_packets)
    };
    let before = sent()?;

    for _ in 0..5 {
        peer.send_to(&stranger, (inside, PORT))?;
    }
    // to the router's own address on that link: it is the router's
    peer.send_to(&stranger, (outside, PORT))?;

    crate::babel_nodes::wait_until("the strangers are counted", || {
        Ok(b.reason("handshake_mac")? == 1)
    })?;
    let passed = sent()? - before;
    assert!(passed >= 5, "{passed} of 5");
    Ok(())
}
