//! Nodes behind NATs are reached.

use std::net::Ipv4Addr;

use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;
use serde_json::Value;
use testbed::nat::{Miniupnpd, Nat, NatRouter, ROUTER};

use super::{
    members::Member,
    support::{OPEN, RegistryHost, wait_for},
};

fn member(registry: &RegistryHost, name: &str, nat: Option<&NatRouter>) -> Result<Member> {
    let host = match nat {
        Some(nat) => registry.behind(name, nat)?,
        None => registry.newcomer(name)?,
    };
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
