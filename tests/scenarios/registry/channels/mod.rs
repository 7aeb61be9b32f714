//! Channels between members: who they are is seen, keys are agreed on, and only then do packets flow.

use std::{
    net::{Ipv4Addr, UdpSocket},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;
use re6st_user::certificate::static_key::StaticKey;
use serde_json::Value;
use testbed::{host::Host, traffic::UdpStream};

use super::{
    members::Member,
    support::{OPEN, RegistryHost, node_file, run, wait_for},
};
use crate::babel_nodes::wait_within;

/// The registry and two members on its Internet, which know nothing of each other.
fn strangers() -> Result<(RegistryHost, [Member; 2])> {
    let registry = RegistryHost::new(&OPEN, "")?;
    let members = [
        Member::new(&registry, "a", &["--anonymous"])?,
        Member::new(&registry, "b", &["--anonymous"])?,
    ];
    for member in &members {
        member.configure(|text| text.replace("interfaces = [\"lan0\"]", "interfaces = []"))?;
    }
    Ok((registry, members))
}

/// Three lines of the file: another node, and where it is.
fn add_peer(member: &Member, other: &Member) -> Result<()> {
    let lines = format!(
        "\n[[peer]]\nnode    = \"{}\"\naddress = \"{}:4754\"\n",
        name(other)?,
        outer(other)?
    );
    member.configure(|text| text + &lines)
}

/// The name in a member's certificate.
fn name(member: &Member) -> Result<String> {
    let text = node_file(&member.host, "re6st0.toml")?;
    let name = text.split_whitespace().nth(2).context("no name")?;
    Ok(name.to_owned())
}

/// A member's IPv4 address on the Internet.
fn outer(member: &Member) -> Result<String> {
    let output = member
        .host
        .run("ip", &["-4", "-o", "address", "show", "dev", "eth0"])?;
    let mut words = output.split_whitespace();
    let address = words.find(|word| word.contains('/'));
    let address = address.and_then(|address| address.split('/').next());
    Ok(address.context("no address")?.to_owned())
}

/// What `status peers` says of the only peer.
fn peer(member: &Member) -> Result<Value> {
    let lines = member.peers()?;
    serde_json::from_str(&lines).with_context(|| lines.clone())
}

fn wait_until_connected(member: &Member) -> Result<()> {
    wait_for("a channel", || {
        Ok(peer(member).is_ok_and(|peer| peer["state"] == "connected"))
    })
    .with_context(|| member.said())
}

#[test]
fn three_lines_of_one_file_connect_two_fresh_nodes() -> Result<()> {
    let (_registry, mut members) = strangers()?;
    let [a, b] = &members;
    add_peer(a, b)?;
    members.iter_mut().try_for_each(Member::start)?;
    let [a, b] = &members;

    a.reach(b)?;
    b.reach(a)?;

    for (member, other, opened_by) in [(a, b, "us"), (b, a, "peer")] {
        let peer = peer(member)?;
        assert_eq!(peer["peer"], name(other)?, "{peer}");
        assert_eq!(peer["state"], "connected", "{peer}");
        assert_eq!(peer["opened-by"], opened_by, "{peer}");
        assert_eq!(peer["post-quantum"], true, "{peer}");
        assert_eq!(peer["payload-encrypted"], false, "{peer}");
        assert!(peer["tunnel"]["sent-packets"].as_u64() > Some(0), "{peer}");
        let said = member.said();
        assert!(said.contains("connected, post-quantum keys"), "{said}");
        let text = member.status(&["peers"])?;
        assert!(text.contains("post-quantum"), "{text}");
    }
    Ok(())
}

/// Two that are connected; the first one has called.
fn connected() -> Result<(RegistryHost, [Member; 2])> {
    let (registry, mut members) = strangers()?;
    let [a, b] = &members;
    add_peer(a, b)?;
    members.iter_mut().try_for_each(Member::start)?;
    let [a, b] = &members;
    a.reach(b)?;
    Ok((registry, members))
}

fn stream(from: &Member, to: &Member, rate: u32) -> Result<UdpStream> {
    UdpStream::start(&from.host, &to.host, to.address()?.parse()?, 200, rate)
}

/// GRE keys that the data plane of a member accepts.
fn accepted_keys(member: &Member) -> Result<Vec<u64>> {
    let map = member.host.bpffs().join("re6st0/TUNNELS");
    let map = map.to_str().context("a file's name")?;
    let dump = member
        .host
        .run("bpftool", &["--json", "map", "dump", "pinned", map])?;
    let entries: Vec<Value> = serde_json::from_str(&dump)?;
    let values = entries.iter().map(|entry| &entry["formatted"]["value"]);
    let used = values.filter(|value| value["next_hop"] != 0);
    Ok(used.filter_map(|value| value["key"].as_u64()).collect())
}

/// RE6ST_REKEYS and RE6ST_RATE make it longer and heavier.
#[test]
fn keys_change_under_traffic_and_no_packet_is_lost() -> Result<()> {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u32>().ok();
    let (_registry, [a, b]) = connected()?;
    let name = name(&b)?;
    let stream = stream(&a, &b, number("RE6ST_RATE").unwrap_or(5_000))?;
    let before = accepted_keys(&b)?;

    for _ in 0..number("RE6ST_REKEYS").unwrap_or(10) {
        a.about_peer(&[&name, "--reconnect"])?;
        wait_for("a new handshake", || {
            Ok(peer(&a)?["last-handshake"]["secs"] == 0)
        })?;
        std::thread::sleep(Duration::from_secs(1));
    }

    let datagrams = stream.finish()?;
    println!("{datagrams:?}");
    assert!(datagrams.is_perfect(), "{datagrams:?}");
    // a sender that the kernel moves to another CPU overtakes itself now and then, also without new keys
    assert!(
        datagrams.reordered * 10_000 <= datagrams.sent,
        "{datagrams:?}"
    );
    // whoever has read the keys of before has nothing any more
    wait_for("the end of the former keys", || {
        Ok(accepted_keys(&b)?.len() == 1)
    })?;
    assert_ne!(accepted_keys(&b)?, before);
    Ok(())
}

#[test]
fn what_the_network_has_signed_reaches_who_cannot_reach_the_registry() -> Result<()> {
    let (registry, [a, b]) = connected()?;
    let number = |member: &Member| {
        Ok::<_, anyhow::Error>(member.membership()?["parameters"]["number"].as_u64())
    };
    let (from, to) = (outer(&b)?, registry.uplink.ipv4);
    let cut = format!(
        "add table inet test;
        add chain inet test forward {{ type filter hook forward priority 0; }};
        add rule inet test forward ip saddr {from} ip daddr {to} drop;"
    );
    registry.router().run("nft", &[&cut])?;
    let before = number(&b)?;

    registry.set(&["hello-interval=2"])?;
    let serial = a.membership()?["certificate"]["serial"].to_string();

    wait_within(Duration::from_secs(20), "the parameters", || {
        Ok(number(&b)? > before && b.membership()?["parameters"]["hello-interval"] == 2.0)
    })
    .with_context(|| format!("{}\n---\n{}", a.said(), b.said()))?;

    // and that one of the two is no member any more, which it tells of itself
    registry.operate(&["cert", "revoke", &serial])?;
    wait_within(Duration::from_secs(20), "the revocation", || {
        Ok(b.membership()?["revocations"]["count"] == 1)
    })
    .with_context(|| format!("{}\n---\n{}", a.said(), b.said()))?;
    assert!(accepted_keys(&b)?.is_empty(), "{}", b.said());
    Ok(())
}

#[test]
fn a_killed_controllers_tunnel_forwards_on_and_is_taken_up_again() -> Result<()> {
    let (_registry, [mut a, b]) = connected()?;
    let stream = stream(&b, &a, 500)?;

    a.kill()?;
    std::thread::sleep(Duration::from_secs(2));
    a.start()?;
    wait_until_connected(&a)?;
    // longer than the keys of before are accepted
    std::thread::sleep(Duration::from_secs(12));

    let datagrams = stream.finish()?;
    assert!(datagrams.is_perfect(), "{datagrams:?}\n{}", a.said());
    a.reach(&b)?;
    Ok(())
}

#[test]
fn a_peer_that_moves_is_followed() -> Result<()> {
    let (registry, [a, b]) = connected()?;
    let before = peer(&b)?["address"].clone();
    let router = registry.router();
    router.ip(&["address", "add", "198.51.100.1/24", "dev", "a2"])?;
    a.host
        .ip(&["address", "add", "198.51.100.2/24", "dev", "eth0"])?;

    let old = format!("{}/30", outer(&a)?);
    a.host.ip(&["address", "delete", &old, "dev", "eth0"])?;
    a.host
        .ip(&["route", "replace", "default", "via", "198.51.100.1"])?;

    wait_for("the new address", || {
        let address = peer(&b)?["address"].clone();
        Ok(address != before && address.to_string().contains("198.51.100.2"))
    })
    .with_context(|| format!("{}\n{}", a.said(), b.said()))?;
    a.reach(&b)?;
    b.reach(&a)?;
    Ok(())
}

#[test]
fn a_revoked_node_is_cut_off_at_once_in_both_roles() -> Result<()> {
    for revoked_is_caller in [true, false] {
        let (registry, [a, b]) = connected()?;
        let (revoked, other) = match revoked_is_caller {
            true => (&a, &b),
            false => (&b, &a),
        };
        let serial = revoked.membership()?["certificate"]["serial"].to_string();

        registry.operate(&["cert", "revoke", &serial])?;

        let begin = Instant::now();
        wait_within(Duration::from_secs(10), "the end of the tunnel", || {
            Ok(!other.status(&["tunnels", "--json"])?.contains("sent"))
        })
        .with_context(|| other.said())?;
        assert!(begin.elapsed() < Duration::from_secs(10));
        let said = other.said();
        assert!(said.contains("its certificate is revoked"), "{said}");
        let said = revoked.said();
        assert!(said.contains("REVOKED"), "{said}");
    }
    Ok(())
}

#[test]
fn routes_that_still_lead_there_do_not_keep_a_revoked_node_in() -> Result<()> {
    let (registry, mut members) = strangers()?;
    let [a, b] = &members;
    add_peer(a, b)?;
    // of its own subnet, so that nobody minds
    let own = b.address()?;
    let own = own.trim_end_matches('1');
    let many = (1..=8_000).map(|number| format!("{{ to = \"{own}1:{number:x}:0/112\" }}"));
    let many = many.collect::<Vec<_>>().join(", ");
    let announce = format!("[babel]\nannounce = [{many}]");
    b.configure(|text| text.replacen("[babel]", &announce, 1))?;
    members.iter_mut().try_for_each(Member::start)?;
    let [a, b] = &members;
    wait_for("the routes", || {
        Ok(a.controller()?["prefixes"].as_u64() > Some(8_000))
    })?;
    let serial = b.membership()?["certificate"]["serial"].to_string();

    registry.operate(&["cert", "revoke", &serial])?;

    wait_within(Duration::from_secs(10), "the end", || {
        Ok(accepted_keys(a)?.is_empty())
    })
    .with_context(|| a.said())?;
    let said = a.said();
    assert!(!said.contains("not closed yet"), "{said}");
    Ok(())
}

#[test]
fn who_is_not_the_one_that_was_called_is_refused_by_name() -> Result<()> {
    let (registry, mut members) = strangers()?;
    let third = Member::new(&registry, "c", &["--anonymous"])?;
    let [a, b] = &members;
    let lines = format!(
        "\n[[peer]]\nnode    = \"{}\"\naddress = \"{}:4754\"\n",
        name(&third)?,
        outer(b)?
    );
    a.configure(|text| text + &lines)?;

    members.iter_mut().try_for_each(Member::start)?;

    let [a, b] = &members;
    wait_for("no answer", || Ok(a.said().contains("no answer")))
        .with_context(|| format!("{}\n{}", a.said(), b.said()))?;
    assert_ne!(peer(a)?["state"], "connected");
    let status: Value = serde_json::from_str(&b.status(&["--json"])?)?;
    let mut reasons = status["reasons"].as_array().into_iter().flatten();
    let refused = reasons
        .any(|reason| reason["name"] == "handshake_mac" && reason["packets"].as_u64() > Some(0));
    assert!(refused, "{status}");
    Ok(())
}

/// Masquerades a host behind the router, and lets nothing in that has not been asked for.
fn put_behind_nat(router: &Host, interface: &str) -> Result<()> {
    let script = format!(
        "add table inet test;
        add chain inet test out {{ type nat hook postrouting priority srcnat; }};
        add rule inet test out iifname {interface} masquerade random;
        add chain inet test forward {{ type filter hook forward priority 0; }};
        add rule inet test forward oifname {interface} ct state new drop;"
    );
    router.run("nft", &[&script]).map(drop)
}

#[test]
fn a_node_behind_a_nat_that_gives_each_peer_another_port_calls_and_is_reached() -> Result<()> {
    let (registry, mut members) = strangers()?;
    put_behind_nat(registry.router(), "a2")?;
    let [a, b] = &members;
    add_peer(a, b)?;
    members.iter_mut().try_for_each(Member::start)?;
    let [a, b] = &members;

    a.reach(b)?;
    b.reach(a)?;

    let seen = peer(b)?;
    assert_eq!(seen["nat"], true, "{seen}");
    let address = seen["address"].as_str().context("no address")?;
    assert!(!address.ends_with(":4754"), "{seen}");
    let datagrams = UdpStream::run(
        &b.host,
        &a.host,
        a.address()?.parse()?,
        1_000,
        500,
        Duration::from_secs(2),
    )?;
    assert!(datagrams.is_perfect(), "{datagrams:?}");
    Ok(())
}

/// Lets in what answers a flow from inside, and nothing else.
#[test]
fn a_firewall_that_lets_answers_in_alone_lets_the_tunnel_in() -> Result<()> {
    let (registry, mut members) = strangers()?;
    let rules = "add table inet test;
        add chain inet test forward { type filter hook forward priority 0; };
        add rule inet test forward oifname a2 ct state established,related accept;
        add rule inet test forward oifname a2 drop;";
    registry.router().run("nft", &[rules])?;
    let [a, b] = &members;
    add_peer(a, b)?;
    members.iter_mut().try_for_each(Member::start)?;
    let [a, b] = &members;

    a.reach(b)?;
    b.reach(a)?;
    Ok(())
}

#[test]
fn both_ends_that_start_again_without_the_registry_know_each_other() -> Result<()> {
    let (mut registry, mut members) = connected()?;
    registry.stop(Signal::SIGTERM)?;

    members.iter_mut().try_for_each(Member::kill)?;
    for member in &members {
        // as after another boot: nothing is forwarded meanwhile
        let bpffs = member.host.bpffs();
        let bpffs = bpffs.to_str().context("a folder's name")?;
        run(
            &member.host,
            &["--bpffs", bpffs, "unload", "--instance", "re6st0"],
        )?
        .success()?;
    }
    members.iter_mut().try_for_each(Member::start)?;

    let [a, b] = &members;
    a.reach(b)?;
    b.reach(a)?;
    Ok(())
}

#[test]
fn a_path_that_carries_less_and_says_nothing_is_found_out() -> Result<()> {
    let (registry, mut members) = strangers()?;
    let router = registry.router();
    let silent = "add table inet test;
        add chain inet test out { type filter hook output priority 0; };
        add rule inet test out icmp type destination-unreachable drop;
        add rule inet test out icmpv6 type packet-too-big drop;";
    router.run("nft", &[silent])?;
    router.ip(&["link", "set", "b3", "mtu", "1400"])?;
    let [a, b] = &members;
    add_peer(a, b)?;
    members.iter_mut().try_for_each(Member::start)?;
    let [a, b] = &members;
    a.reach(b)?;

    wait_for("the path's MTU", || Ok(peer(a)?["path-mtu"] == 1400))
        .with_context(|| format!("{:?}\n{}", peer(a), a.said()))?;

    assert_eq!(peer(a)?["tunnel-mtu"], 1364);
    // senders are told, and nothing is lost
    let size = ["-n", "-c", "3", "-W", "2", "-s", "1350", &b.address()?];
    wait_for("large packets", || {
        Ok(a.host.output("ping", &size)?.status.success())
    })?;
    Ok(())
}

#[test]
fn what_a_peer_may_not_announce_is_ignored_and_said() -> Result<()> {
    const OTHERS: &str = "2001:db8:42:7777::/64";
    let (_registry, mut members) = strangers()?;
    let [a, b] = &members;
    add_peer(a, b)?;
    let announce = format!("announce = [{{ to = \"{OTHERS}\" }}, {{ to = \"::/0\" }}]");
    b.configure(|text| text.replacen("[babel]", &format!("[babel]\n{announce}"), 1))?;
    members.iter_mut().try_for_each(Member::start)?;
    let [a, b] = &members;
    a.reach(b)?;

    wait_for("the refusal", || {
        let text = a.status(&[])?;
        Ok(text.contains(OTHERS) && text.contains("WARNING"))
    })
    .with_context(|| a.status(&[]).unwrap_or_default())?;

    for prefix in [OTHERS, "::/0"] {
        let routes = a.status(&["routes", prefix])?;
        let mut rows = routes.lines().map(str::trim_start);
        let used = rows.any(|row| row.starts_with(prefix) && row.contains("in use"));
        assert!(!used, "{prefix}: {routes}");
    }
    let said = a.status(&[])?;
    let names_it = said
        .lines()
        .any(|line| line.contains("WARNING") && line.contains(&name(b).unwrap_or_default()));
    assert!(names_it, "{said}");
    Ok(())
}

/// Initiations that nobody will answer for, as fast as they can be sent, by somebody who knows a member's public key.
fn flood(attacker: &Host, member: &Member, duration: Duration) -> Result<u64> {
    let key = StaticKey::from_pem(&node_file(&member.host, "x25519.key")?)?;
    let mac_key = re6st_user::channel::handshake::mac_key(&key.public_key());
    let socket = attacker.enter(|| UdpSocket::bind("0.0.0.0:0"))??;
    socket.connect((outer(member)?.parse::<Ipv4Addr>()?, 4754))?;
    let mut initiation = vec![0x5a; 700];
    initiation[..16].copy_from_slice(&[1, 1, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0]);
    let begin = Instant::now();
    let mut sent = 0_u64;
    while begin.elapsed() < duration {
        initiation[24..32].copy_from_slice(&sent.to_be_bytes());
        let head = initiation.first_chunk().context("a head")?;
        let mac = re6st_common::handshake::mac(mac_key, head);
        initiation[16..24].copy_from_slice(&mac);
        // what comes back is of no interest, nor that nobody takes it
        let _ = socket.send(&initiation);
        sent += 1;
    }
    Ok(sent)
}

#[test]
fn a_flood_of_handshakes_keeps_nobody_out_and_loses_nothing() -> Result<()> {
    const FLOOD: Duration = Duration::from_secs(6);
    let (registry, [a, b]) = connected()?;
    let mut late = Member::new(&registry, "late", &["--anonymous"])?;
    late.configure(|text| text.replace("interfaces = [\"lan0\"]", "interfaces = []"))?;
    add_peer(&late, &b)?;
    let attacker = registry.newcomer("attacker")?;
    let stream = stream(&a, &b, 500)?;

    let (sent, took) = std::thread::scope(|scope| {
        let flooding = scope.spawn(|| flood(&attacker, &b, FLOOD));
        std::thread::sleep(Duration::from_secs(1));
        late.start()?;
        let took = wait_within(Duration::from_secs(10), "a handshake", || {
            Ok(late.said().contains("connected"))
        })
        .with_context(|| format!("{}\n---\n{}", late.said(), b.said()))?;
        let sent = flooding.join();
        let sent = sent.map_err(|_| anyhow::anyhow!("the flood has ended with a panic"))??;
        Ok::<_, anyhow::Error>((sent, took))
    })?;

    let datagrams = stream.finish()?;
    let computed = b.controller()?["channels"]["initiations_answered"].as_u64();
    let seen = b.controller()?["channels"]["datagrams_received"].as_u64();
    println!(
        "{sent} initiations sent, {seen:?} datagrams seen, {computed:?} answered, connected after {took:?}, {datagrams:?}"
    );
    assert!(datagrams.is_perfect(), "{datagrams:?}");
    assert!(seen < Some(sent / 4), "the others were answered by XDP");
    Ok(())
}
