//! Nodes behind NATs are reached: by a port that the router passes on, or by a call from both sides at once.

use std::net::Ipv4Addr;

use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;
use serde_json::Value;
use testbed::{
    host::Host,
    nat::{Miniupnpd, Nat, NatRouter, ROUTER},
};

use super::{
    members::Member,
    support::{OPEN, RegistryHost, node_file, wait_for},
};

fn member(registry: &RegistryHost, name: &str, nat: Option<&NatRouter>) -> Result<Member> {
    enrolled(
        registry,
        match nat {
            Some(nat) => registry.behind(name, nat)?,
            None => registry.newcomer(name)?,
        },
    )
}

fn enrolled(registry: &RegistryHost, host: Host) -> Result<Member> {
    let member = Member::enrolled(registry, host, &["--anonymous"])?;
    member.configure(|text| text.replace("interfaces = [\"lan0\"]", "interfaces = []"))?;
    Ok(member)
}

fn mesh(member: &Member) -> Result<Value> {
    Ok(member.controller()?["mesh"].clone())
}

fn wait_for_mesh(member: &Member, what: &str, is_so: impl Fn(&Value) -> bool) -> Result<()> {
    wait_for(what, || Ok(is_so(&mesh(member)?))).with_context(|| {
        let status = member.status(&[]).unwrap_or_default();
        format!("{status}\n---\n{}", member.said())
    })
}

/// The registry, a public node, and one whose NAT lets it call nobody: all it has comes by the port that its router passes on.
fn by_its_router(how: Miniupnpd) -> Result<(RegistryHost, NatRouter, [Member; 2])> {
    let registry = RegistryHost::new(&OPEN, "")?;
    let nat = registry.nat(1, Nat::PortRestrictedCone)?;
    nat.keep_in(4754)?;
    let mut members = [
        member(&registry, "a", Some(&nat))?,
        member(&registry, "b", None)?,
    ];
    let daemon = nat.serve(how)?;
    members.iter_mut().try_for_each(Member::start)?;
    let [a, b] = &members;
    let address = format!("{}:4754", nat.address);
    wait_for_mesh(a, "the port that is passed on", |mesh| {
        mesh["mapped-port"]["address"] == address
    })
    .with_context(|| daemon.stderr())?;
    b.reach(a)?;
    a.reach(b)?;
    assert_eq!(mesh(a)?["addresses"][0], address);
    daemon.stop(Signal::SIGKILL)?;
    Ok((registry, nat, members))
}

fn protocol(member: &Member) -> Result<Value> {
    Ok(mesh(member)?["mapped-port"]["protocol"].clone())
}

#[test]
fn a_router_that_knows_pcp_lets_others_in() -> Result<()> {
    let how = Miniupnpd {
        upnp: true,
        nat_pmp: true,
        says: None,
    };
    let (_registry, nat, [a, _b]) = by_its_router(how)?;
    assert_eq!(protocol(&a)?, "PCP");
    let text = a.status(&[])?;
    let words = format!(
        "the router at {ROUTER} passes what comes to {}:4754 on",
        nat.address
    );
    assert!(text.contains(&words), "{text}");
    Ok(())
}

#[test]
fn a_router_that_knows_upnp_alone_lets_others_in_as_long_as_the_node_is_there() -> Result<()> {
    let how = Miniupnpd {
        upnp: true,
        nat_pmp: false,
        says: None,
    };
    let registry = RegistryHost::new(&OPEN, "")?;
    let nat = registry.nat(1, Nat::PortRestrictedCone)?;
    let mut a = member(&registry, "a", Some(&nat))?;
    let _daemon = nat.serve(how)?;
    a.start()?;
    wait_for_mesh(&a, "the port that is passed on", |mesh| {
        mesh["mapped-port"]["protocol"] == "UPnP"
    })?;
    assert!(nat.mapped()?.contains("dnat"), "{}", nat.mapped()?);

    a.end(Signal::SIGINT)?;

    assert!(!nat.mapped()?.contains("dnat"), "{}", nat.mapped()?);
    Ok(())
}

/// What is said is where peers do not see this node: it is not told to others, and people hear of it.
#[test]
fn a_router_that_is_behind_another_nat_is_named() -> Result<()> {
    let how = Miniupnpd {
        upnp: true,
        nat_pmp: true,
        says: Some(Ipv4Addr::new(11, 99, 0, 1)),
    };
    let registry = RegistryHost::new(&OPEN, "")?;
    let nat = registry.nat(1, Nat::PortRestrictedCone)?;
    let mut members = [
        member(&registry, "a", Some(&nat))?,
        member(&registry, "b", None)?,
    ];
    let _daemon = nat.serve(how)?;
    members.iter_mut().try_for_each(Member::start)?;
    let [a, b] = &members;
    a.reach(b)?;
    wait_for("the reason", || {
        let text = a.status(&[])?;
        Ok(text.contains("there is another NAT behind it"))
    })
    .with_context(|| a.said())?;
    let told = mesh(a)?["addresses"].to_string();
    assert!(!told.contains("11.99"), "{told}");
    Ok(())
}

/// The name in a member's certificate.
fn name(member: &Member) -> Result<String> {
    let text = node_file(&member.host, "re6st0.toml")?;
    let name = text.split_whitespace().nth(2).context("no name")?;
    Ok(name.to_owned())
}

/// Whether a tunnel joins two members, and whose it is.
fn tunnel_to(member: &Member, other: &str) -> Result<Option<String>> {
    let mesh = mesh(member)?;
    let tunnels = mesh["tunnels"].as_array().context("no tunnels")?;
    let tunnel = tunnels
        .iter()
        .find(|tunnel| tunnel["node"] == other && tunnel["is-up"] == true);
    let owner = tunnel.and_then(|tunnel| tunnel["owner"].as_str());
    Ok(owner.map(str::to_owned))
}

/// Five members on three kinds of NAT and on none.
#[test]
fn nodes_behind_nats_reach_all_and_two_of_them_call_each_other() -> Result<()> {
    let registry = RegistryHost::new(&OPEN, "")?;
    let kinds = [Nat::FullCone, Nat::PortRestrictedCone, Nat::Symmetric];
    let nats = kinds.into_iter().zip(1..);
    let nats = nats.map(|(kind, number)| registry.nat(number, kind));
    let nats = nats.collect::<Result<Vec<_>>>()?;
    // where a node is it believes two peers if they are in different blocks of addresses
    let far_away = registry.newcomer_far_away("q")?;
    let mut members = vec![
        member(&registry, "p", None)?,
        enrolled(&registry, far_away)?,
    ];
    for (host, nat) in ["full", "cone", "symmetric"].into_iter().zip(&nats) {
        members.push(member(&registry, host, Some(nat))?);
    }
    let [full, cone, symmetric] = [2, 3, 4].map(|at| name(&members[at]));
    let (full, cone, symmetric) = (full?, cone?, symmetric?);
    // one that has to call back, and one that anybody may call
    for (at, other) in [(2, &cone), (4, &full)] {
        members[at].configure(|text| format!("{text}\n[[peer]]\nnode = \"{other}\"\n"))?;
    }
    members.iter_mut().try_for_each(Member::start)?;
    for from in &members {
        for to in &members {
            if from.host.name() != to.host.name() {
                from.reach(to)?;
            }
        }
    }
    for (at, other) in [(2, &cone), (4, &full)] {
        let caller = &members[at];
        wait_for("a tunnel from NAT to NAT", || {
            Ok(tunnel_to(caller, other)?.is_some())
        })
        .with_context(|| {
            let status = caller.status(&[]).unwrap_or_default();
            format!("{status}\n{}\n---\n{}", caller.said(), members[3].said())
        })?;
    }
    let seen = format!("{}:4754", nats[1].address);
    let told = mesh(&members[3])?["addresses"].to_string();
    assert!(told.contains(&seen), "{told}");
    let told = mesh(&members[4])?["addresses"].to_string();
    assert!(!told.contains(&nats[2].address.to_string()), "{told}");
    // nobody can call it
    for other in &members[..4] {
        let owner = tunnel_to(other, &symmetric)?;
        assert_ne!(owner.as_deref(), Some("us"), "{}", other.said());
    }
    Ok(())
}
