//! Nodes that find each other: nothing in their files says where the others are.

mod deaths;
mod finding;
mod hostile;
mod leaving;
mod moving;
mod rotation;
mod settings;

use std::time::Duration;

use anyhow::{Context as _, Result};

use super::{
    members::Member,
    support::{OPEN, RegistryHost, run},
};
use crate::babel_nodes::wait_within;

/// How long a mesh may take to become what it is to be: halves look for each other every minute or two, and machines are busy.
const PATIENCE: Duration = Duration::from_secs(300);

/// So many members on the registry's Internet, which know nothing of each other but the registry. `section`: lines of their `[mesh]`.
fn members(names: &[&str], section: &str) -> Result<(RegistryHost, Vec<Member>)> {
    let registry = RegistryHost::new(&OPEN, "")?;
    let members = names.iter().map(|name| {
        // who has none has to wait when many come
        let token = registry.token()?;
        let member = Member::of_mesh(&registry, name, &["--token", &token])?;
        member.configure(|text| {
            let text = text.replace("interfaces = [\"lan0\"]", "interfaces = []");
            format!("{text}{section}")
        })?;
        Ok(member)
    });
    let members = members.collect::<Result<_>>()?;
    Ok((registry, members))
}

/// The same, started, when all reach all.
fn joined(names: &[&str], section: &str) -> Result<(RegistryHost, Vec<Member>)> {
    let (registry, mut members) = members(names, section)?;
    start(&mut members)?;
    wait_for_ways(&members, names.len() - 1)?;
    all_reach_all(&members)?;
    Ok((registry, members))
}

fn start(members: &mut [Member]) -> Result<()> {
    members.iter_mut().try_for_each(Member::start)
}

/// Killed, and nothing of it is left but its files, as if the host had started anew.
fn reboot(member: &mut Member) -> Result<()> {
    member.kill()?;
    let bpffs = member.host.bpffs();
    let bpffs = bpffs.to_str().context("a folder's name")?;
    let unload = ["--bpffs", bpffs, "unload", "--instance", "re6st0"];
    run(&member.host, &unload)?.success()?;
    Ok(())
}

/// Each sends packets to each, until some come back.
fn all_reach_all(members: &[Member]) -> Result<()> {
    for from in members {
        for to in members {
            if from.host.name() != to.host.name() {
                from.reach(to)?;
            }
        }
    }
    Ok(())
}

/// Waits until each of them has ways to so many others.
fn wait_for_ways(members: &[Member], count: usize) -> Result<()> {
    for member in members {
        let what = format!("{count} ways of {}", member.host.name());
        wait_within(PATIENCE, &what, || {
            Ok(member.controller()?["mesh"]["reachable"] == count)
        })
        .with_context(|| member.said())?;
    }
    Ok(())
}

/// The name in a member's certificate.
fn name(member: &Member) -> Result<String> {
    let name = member.membership()?["certificate"]["common-name"].clone();
    Ok(name.as_str().context("no name")?.to_owned())
}
