//! Nodes that find each other: nothing in their files says where the others are.

use anyhow::Result;

use super::{
    members::Member,
    support::{OPEN, RegistryHost},
};

/// So many members on the registry's Internet, which know nothing of each other but the registry.
fn members(names: &[&str], section: &str) -> Result<(RegistryHost, Vec<Member>)> {
    let registry = RegistryHost::new(&OPEN, "")?;
    let members = names.iter().map(|name| {
        let member = Member::new(&registry, name, &["--anonymous"])?;
        member.configure(|text| {
            let text = text.replace("interfaces = [\"lan0\"]", "interfaces = []");
            format!("{text}\n[mesh]\n{section}")
        })?;
        Ok(member)
    });
    let members = members.collect::<Result<_>>()?;
    Ok((registry, members))
}

fn start(members: &mut [Member]) -> Result<()> {
    members.iter_mut().try_for_each(Member::start)
}

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

#[test]
fn nodes_that_know_the_registry_alone_reach_each_other() -> Result<()> {
    let (_registry, mut members) = members(&["a", "b", "c", "d"], "")?;
    start(&mut members)?;
    all_reach_all(&members)
}
