//! One authority takes over from another, with moved clocks: from the first announcement to a year after.

use std::{thread, time::Duration};

use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;
use serde_json::Value;
use testbed::link::{LinkOptions, link};

use super::{
    clock,
    members::Member,
    support::{OPEN, RegistryHost, node_file, wait_for},
};

const DAY: u64 = 86_400;
/// The old authority is valid for so many days; certificates are for 365, and can be renewed for 100 more.
const LIFE: u64 = 400;

/// The registry is ended, and goes on at another time.
fn travel(registry: &mut RegistryHost, moment: u64) -> Result<()> {
    registry.stop(Signal::SIGTERM)?;
    clock::set(moment)?;
    registry.serve()?;
    // the operator knows that it is so late
    registry.operate(&["clock", "confirm"])?;
    Ok(())
}

fn authorities(standing: &Value) -> usize {
    standing["authorities"].as_array().map_or(0, Vec::len)
}

fn ends(standing: &Value) -> u64 {
    standing["certificate"]["not-after"]
        .as_u64()
        .unwrap_or_default()
}

/// A node with a link that leads nowhere, for Babel to speak on.
fn member(registry: &RegistryHost, name: &str) -> Result<Member> {
    let member = Member::new(registry, name, &["--anonymous"])?;
    let lan = format!("lan-{name}");
    let (node, other) = ((&member.host, "lan0"), (&registry.host, lan.as_str()));
    link(node, other, LinkOptions::default())?;
    Ok(member)
}

/// Whether a newcomer with this fingerprint gets in, and what it is told.
fn enrol(registry: &mut RegistryHost, name: &str, fingerprint: &str) -> Result<(bool, String)> {
    let newcomer = registry.newcomer(name)?;
    fingerprint.clone_into(&mut registry.fingerprint);
    let output = registry.conf(&newcomer, &["--anonymous"])?;
    Ok((
        output.status.success(),
        output.stdout.clone() + &output.stderr,
    ))
}

#[test]
fn an_authority_is_succeeded_and_nobody_is_left_behind() -> Result<()> {
    let begin = clock::now()?;
    let days = LIFE.to_string();
    let options = [&OPEN[..], &["--days", &days]].concat();
    let mut registry = RegistryHost::new(&options, "")?;
    let old = registry.fingerprint.clone();
    // at work all the time; off when the old one ends; off from before the announcement until then; off for good
    let mut online = member(&registry, "online")?;
    let mut late = member(&registry, "late")?;
    let mut away = member(&registry, "away")?;
    let gone = member(&registry, "gone")?;

    // the announcement
    travel(&mut registry, begin + 100 * DAY)?;
    let refused = registry.refuses(&["ca", "succeed", "--days", "1"])?;
    assert!(refused.contains("or more"), "{refused}");
    let said = registry.operate(&["ca", "succeed"])?;
    let new = said.split(':').take(2).collect::<Vec<_>>().join(":");
    travel(&mut registry, begin + 100 * DAY + 60)?;
    for member in [&mut online, &mut late] {
        member.start()?;
        member.wait("both authorities", |standing| {
            authorities(standing) == 2 && standing["reachable"] == true
        })?;
    }
    late.kill()?;
    online.kill()?;
    for fingerprint in [&old, &new] {
        let name = format!("during-{}", &fingerprint[7..13]);
        let (good, said) = enrol(&mut registry, &name, fingerprint)?;
        assert!(good, "{said}");
    }

    // a certificate that is due is the new one's: it outlives the old one
    travel(&mut registry, begin + 345 * DAY)?;
    online.start()?;
    let end = begin + LIFE * DAY;
    online.wait("a certificate of the new one", |standing| {
        ends(standing) > end + 300 * DAY
    })?;
    online.kill()?;

    // registry and node run while the old one ends
    let end = online_authority_ends(&registry)?;
    travel(&mut registry, end - 15)?;
    online.start()?;
    online.wait("the registry", |standing| standing["reachable"] == true)?;
    while clock::now()? <= end + 1 {
        thread::sleep(Duration::from_millis(100));
    }
    registry.set(&["hello-interval=7"])?;
    online.wait("news from after the end", |standing| {
        standing["parameters"]["hello-interval"] == 7.0 && standing["reachable"] == true
    })?;
    let (good, said) = enrol(&mut registry, "after", &new)?;
    assert!(good, "{said}");
    let (good, said) = enrol(&mut registry, "mistaken", &old)?;
    assert!(
        !good && said.contains("another authority has taken over"),
        "{said}"
    );
    online.kill()?;

    // certificate and authority have expired while it was off
    travel(&mut registry, end + 10 * DAY)?;
    late.start()?;
    late.wait("a certificate of the new one", |standing| {
        ends(standing) > end + 300 * DAY && standing["reachable"] == true
    })?;
    late.kill()?;

    // the old key goes; who never heard of the new one finds it all the same
    registry.operate(&["ca", "succeed"])?;
    assert!(!registry.file("ca.key.next").exists());
    travel(&mut registry, end + 11 * DAY)?;
    away.start()?;
    away.wait("the new authority and its certificate", |standing| {
        authorities(standing) == 2
            && ends(standing) > end + 300 * DAY
            && standing["reachable"] == true
            && standing["problem"].is_null()
    })?;
    let address = node_file(&away.host, "re6st0.toml")?;
    assert!(address.contains("2001:db8:42:2::1/64"), "{address}");
    away.kill()?;

    // a year after
    travel(&mut registry, end + 365 * DAY)?;
    for member in [&mut online, &mut late, &mut away] {
        member.start()?;
        member.wait("the registry", |standing| {
            standing["reachable"] == true
                && ends(standing) > end + 600 * DAY
                && standing["warnings"] == serde_json::json!([])
        })?;
        member.kill()?;
    }
    // too late for the place in the network, not for the key
    let key = node_file(&gone.host, "cert.key")?;
    registry.fingerprint = new;
    registry.conf(&gone.host, &["--anonymous"])?.success()?;
    assert_eq!(node_file(&gone.host, "cert.key")?, key);
    let known = node_file(&gone.host, "ca.crt")?;
    assert_eq!(known.matches("BEGIN CERTIFICATE").count(), 2, "{known}");
    Ok(())
}

/// When the first authority in the registry's file ends.
fn online_authority_ends(registry: &RegistryHost) -> Result<u64> {
    let path = registry.file("ca.crt");
    let path = path.to_str().context("a file's name")?;
    let options = [
        "x509", "-noout", "-enddate", "-dateopt", "iso_8601", "-in", path,
    ];
    let said = registry.host.run("openssl", &options)?;
    let date = said.trim().trim_start_matches("notAfter=").to_owned();
    let seconds = registry.host.run("date", &["-u", "-d", &date, "+%s"])?;
    Ok(seconds.trim().parse()?)
}

#[test]
fn a_clock_that_is_wrong_once_does_not_keep_a_node_from_starting() -> Result<()> {
    let begin = clock::now()?;
    let mut registry = RegistryHost::new(&OPEN, "")?;
    let mut node = member(&registry, "node")?;
    registry.operate(&["ca", "succeed", "--days", "5000"])?;
    registry.stop(Signal::SIGTERM)?;
    registry.serve()?;
    node.start()?;
    node.wait("both authorities", |standing| authorities(standing) == 2)?;
    node.kill()?;

    // eleven years ahead the old authority has expired, and with it the node's certificate
    clock::set(begin + 11 * 365 * DAY)?;
    node.start()?;
    wait_for("what the node makes of it", || {
        let standing = node.membership()?;
        Ok(standing["problem"]["message"].is_string())
    })?;
    node.kill()?;

    clock::set(clock::now()? - 11 * 365 * DAY)?;
    node.start()?;
    node.wait("the registry", |standing| {
        standing["reachable"] == true
            && authorities(standing) == 2
            && standing["warnings"] == serde_json::json!([])
    })
}
