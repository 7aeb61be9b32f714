//! A running node takes up another configuration: tunnels, routes, interfaces and what Babel does come and go.

use std::{
    env, fs,
    net::Ipv4Addr,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use nix::sys::signal::{Signal, kill};
use testbed::{
    configuration::Announcement,
    host::Testbed,
    internet::{Internet, IpVersion::*},
    link::{LinkOptions, link},
    node::{Encapsulation::*, Keys, Node, Route, Tunnel, tunnel},
    traffic::{UdpStream, ping},
};

use crate::{
    babel_nodes::{logs, start, wait_for, wait_until},
    meshes::{Chain, ring},
};

/// Between the replacement of one tunnel and the next.
const PERIOD: Duration = Duration::from_secs(2);

fn setting(name: &str, default: u64) -> Result<u64> {
    env::var(name).map_or(Ok(default), |text| {
        text.parse().with_context(|| format!("{name}: {text:?}"))
    })
}

/// Another tunnel in place of the one between two nodes, with other names and keys, the first that comes to mind.
fn replace(nodes: &mut [Node; 4], first: usize, second: usize, round: u32) -> Result<()> {
    for (own, other) in [(first, second), (second, first)] {
        let remote = nodes[other].uplink.address(V4);
        let tunnels = &mut nodes[own].configuration.tunnels;
        let place = tunnels.iter().position(|tunnel| tunnel.remote == remote);
        let mut tunnel = tunnels.remove(place.context("no tunnel to replace")?);
        tunnel.name = format!("t{round}");
        tunnel.key.local = 0x7000_0000 | round << 4 | own as u32;
        tunnel.key.remote = 0x7000_0000 | round << 4 | other as u32;
        tunnels.push(tunnel);
    }
    for node in [first, second] {
        nodes[node].reload()?.success()?;
    }
    Ok(())
}

/// `RE6ST_RELOADS` and `RE6ST_RATE` make it longer and faster: 150 and 20,000 are five minutes of what is promised.
#[test]
fn tunnels_of_a_ring_are_replaced_one_after_another_and_no_packet_is_lost() -> Result<()> {
    let rounds = u32::try_from(setting("RE6ST_RELOADS", 8)?)?;
    let rate = u32::try_from(setting("RE6ST_RATE", 2_000)?)?;
    let (_internet, mut nodes) = ring()?;
    let controllers = start(&nodes.each_ref())?;
    for (from, to) in [(0, 2), (2, 0)] {
        wait_for(&nodes[from], &nodes[to], V6, &controllers)?;
    }
    thread::sleep(PERIOD);
    let [a, _, c, _] = &nodes;
    let there = UdpStream::start(&a.host, &c.host, c.address(V6), 200, rate)?;
    let back = UdpStream::start(&c.host, &a.host, a.address(V6), 200, rate)?;

    for round in 0..rounds {
        let begin = Instant::now();
        let first = round as usize % 4;
        replace(&mut nodes, first, (first + 1) % 4, round)?;
        thread::sleep(PERIOD.saturating_sub(begin.elapsed()));
    }

    for (way, stream) in [("there", there), ("back", back)] {
        let stream = stream.finish()?;
        println!("{way}: {stream:?}");
        let logs = logs(&controllers);
        assert!(stream.is_perfect(), "{way}: {stream:?}\n{logs}");
    }
    Ok(())
}

#[test]
fn a_tunnel_that_comes_and_goes_moves_no_other_and_others_routes_stay() -> Result<()> {
    let (_internet, mut nodes) = ring()?;
    let spare = nodes[3].configuration.tunnels.clone();
    // a ring of four without the link between the last two
    nodes[2].configuration.tunnels.pop();
    nodes[3].remove_tunnel("c");
    let controllers = start(&nodes.each_ref())?;
    wait_for(&nodes[3], &nodes[2], V6, &controllers)?;
    let number = |node: &Node| -> Result<serde_json::Value> {
        let tunnels = node.list(&["tunnels"])?.into_iter();
        let mut tunnels = tunnels.filter(|tunnel| tunnel["name"] == "a");
        Ok(tunnels.next().context("no tunnel a")?["number"].clone())
    };
    let before = number(&nodes[3])?;
    let sent = nodes[3].tunnel("a")?.sent_packets;

    let unchanged = nodes[3].reload()?.success()?.stdout;
    assert!(unchanged.contains("nothing has changed"), "{unchanged}");
    nodes[3].configuration.tunnels = spare;
    let said = nodes[3].reload()?.success()?.stdout;

    assert!(said.contains("tunnel c: added"), "{said}");
    assert_eq!(number(&nodes[3])?, before);
    assert!(
        nodes[3].tunnel("a")?.sent_packets >= sent,
        "its counters go on"
    );
    assert!(nodes[3].list(&["tunnels"])?.len() == 2);
    nodes[3].remove_tunnel("c");
    let said = nodes[3].reload()?.success()?.stdout;
    assert!(said.contains("tunnel c: removed"), "{said}");
    wait_until("it is closed", || {
        Ok(nodes[3].list(&["tunnels"])?.len() == 1)
    })?;
    assert!(ping(&nodes[3].host, nodes[2].address(V6), 5, &[])?.is_perfect());
    Ok(())
}

/// Of a node with hundreds of tunnels: `RE6ST_TUNNELS`.
#[test]
fn a_tunnel_is_opened_and_closed_without_loading() -> Result<()> {
    let testbed = Testbed::new()?;
    let internet = Internet::new(&testbed)?;
    let mut node = Node::new(&testbed, &internet, "a", 1)?;
    node.speak_babel(&[]);
    let far = |number: u32| Tunnel {
        name: format!("t{number}"),
        remote: Ipv4Addr::from(0xc633_6400 | number).into(),
        local: None,
        encap: Fou,
        port: None,
        mtu: None,
        key: Keys {
            local: number,
            remote: number,
        },
    };
    let many = u32::try_from(setting("RE6ST_TUNNELS", 300)?)?;
    node.configuration.tunnels.extend((1..many).map(far));
    let _controller = node.start_node()?;
    let open = |node: &Node| node.list(&["tunnels"]).map_or(0, |open| open.len());
    wait_until("it runs", || Ok(open(&node) == many as usize - 1))?;
    let programs = node.status()?["programs"].clone();

    for _ in 0..3 {
        node.configuration.tunnels.push(far(many));
        let begin = Instant::now();
        node.reload()?.success()?;
        println!("opened within {:?}", begin.elapsed());
        assert_eq!(open(&node), many as usize);
        node.configuration.tunnels.pop();
        node.reload()?.success()?;
        wait_until("it is closed", || Ok(open(&node) == many as usize - 1))?;
    }

    assert_eq!(node.status()?["programs"], programs);
    Ok(())
}

#[test]
fn who_lets_a_tunnel_go_tells_the_other_end_before() -> Result<()> {
    let (_internet, mut nodes) = ring()?;
    let controllers = start(&nodes.each_ref())?;
    for (from, to) in [(0, 3), (0, 2)] {
        wait_for(&nodes[from], &nodes[to], V6, &controllers)?;
    }
    thread::sleep(2 * PERIOD);
    let (a, d) = (&nodes[0], &nodes[3]);
    let stream = UdpStream::start(&a.host, &d.host, d.address(V6), 200, 2_000)?;

    nodes[3].remove_tunnel("a");
    nodes[3].reload()?.success()?;
    thread::sleep(2 * PERIOD);

    let stream = stream.finish()?;
    assert!(stream.is_perfect(), "{stream:?}");
    Ok(())
}

#[test]
fn a_wrong_file_changes_nothing_and_is_explained() -> Result<()> {
    let chain = Chain::speaking((Fou, V4), (Gre, V6))?;
    let controllers = chain.start()?;
    let path = chain.b.write_configuration()?;
    let right = fs::read_to_string(&path)?;
    let refused = |text: &str, why: &str| -> Result<()> {
        fs::write(&path, text)?;
        let output = chain.b.re6st_user(&["reload"])?;
        assert!(!output.status.success(), "{why}");
        assert!(output.stderr.contains(why), "{}", output.stderr);
        assert!(
            ping(&chain.a.host, chain.c.address(V6), 3, &[])?.is_perfect(),
            "{why}"
        );
        Ok(())
    };

    refused("addresses = [", "re6st.toml")?;
    refused(
        &right.replace("forward = true", "fordward = true"),
        "fordward",
    )?;
    refused(
        &right.replace("2001:db8:42:2::1/64", "2001:db8:42:e::1/64"),
        "addresses changed",
    )?;
    refused(&right.replace("name = \"c\"", "name = \"a\""), "\"a\"")?;
    fs::remove_file(&path)?;
    let output = chain.b.re6st_user(&["reload"])?;
    assert!(output.stderr.contains("re6st.toml"), "{}", output.stderr);

    fs::write(&path, &right)?;
    kill(controllers[1].id(), Signal::SIGHUP)?;
    wait_until("SIGHUP is heard", || {
        Ok(controllers[1]
            .stderr()
            .contains("reload: nothing has changed"))
    })?;
    let warned = controllers[1].stderr().matches("WARNING: reload").count();
    assert_eq!(warned, 5, "{}", controllers[1].stderr());
    let none = chain.b.re6st_user(&["reload", "--instance", "other0"])?;
    assert!(none.stderr.contains("no node runs"), "{}", none.stderr);
    Ok(())
}

#[test]
fn routes_interfaces_and_announcements_come_and_go() -> Result<()> {
    let mut chain = Chain::speaking((Fou, V4), (Fou, V4))?;
    link(
        (&chain.b.host, "lan0"),
        (&chain.c.host, "lan0"),
        LinkOptions::default(),
    )?;
    let _controllers = chain.start()?;
    let Chain { a, b, c, .. } = &mut chain;

    // an announcement and a plain interface
    let announcement = "2001:db8:99::/48";
    let learned = |node: &Node| -> Result<bool> {
        let show = ["-6", "route", "show", announcement, "proto", "babel"];
        Ok(node.host.ip(&show)?.contains("re6st0"))
    };
    let uses_lan = |node: &Node| -> Result<bool> {
        let neighbours = node.list(&["neighbours"])?;
        let mut interfaces = neighbours.iter().map(|found| &found["interface_name"]);
        Ok(interfaces.any(|interface| interface == "lan0"))
    };
    for node in [&mut *b, &mut *c] {
        node.speak_babel(&["lan0"]);
        node.babel().announce = vec![Announcement::new(announcement)];
        node.reload()?.success()?;
    }
    wait_until("it is announced", || learned(a))?;
    wait_until("the interface is used", || uses_lan(b))?;
    for node in [&mut *b, &mut *c] {
        node.speak_babel(&[]);
        node.babel().announce.clear();
        node.reload()?.success()?;
    }
    wait_until("it is withdrawn", || Ok(!learned(a)?))?;
    wait_until("the interface is left", || Ok(!uses_lan(b)?))?;

    // what cannot be used is said to whoever asks for it
    b.speak_babel(&["lan7"]);
    let said = b.reload()?.success()?.stdout;
    assert!(
        said.contains("WARNING: ") && said.contains("lan7"),
        "{said}"
    );
    b.speak_babel(&[]);
    b.reload()?.success()?;
    assert_eq!(b.warning("lan7")?, None);

    // a static route wins over Babel's, and leaves it to Babel again
    let to = "2001:db8:42:3::/64";
    b.configuration.routes.push(Route::new(to, "a"));
    b.reload()?.success()?;
    let via = |node: &Node| -> Result<String> {
        let routes = node.list(&["routes", to])?;
        let route = routes.iter().find(|route| route["to"] == to);
        Ok(route.context("no route")?["via"].to_string())
    };
    wait_until("the static route is used", || Ok(via(b)?.contains('a')))?;
    b.configuration.routes.clear();
    b.reload()?.success()?;
    wait_until("Babel's is used again", || Ok(via(b)?.contains('c')))?;

    // the first tunnel by another protocol
    a.configuration.tunnels.clear();
    b.remove_tunnel("a");
    tunnel(a, b, (Gre, V4))?;
    for node in [&*a, &*b] {
        let said = node.reload()?.success()?.stdout;
        assert!(said.contains("replaced"), "{said}");
    }
    wait_until("the other protocol carries", || {
        let carried = a.status()?["tunnels"][0]["encapsulation"] == "gre";
        let reply = ping(&a.host, c.address(V6), 1, &[]);
        Ok(carried && reply.is_ok_and(|reply| reply.received == 1))
    })?;
    Ok(())
}
