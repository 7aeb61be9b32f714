//! The kernel parameters that let a host forward packets, changed and put back.

use std::collections::BTreeMap;

use super::{
    chain::Neighbour,
    error::{BpfError, During as _},
    manifest::{Manifest, SysctlRecord},
    rollback::Rollback,
};
use crate::{
    config::Config,
    io::{bpffs, sysctl},
};

/// Kernel parameters to change, by path under `net/`.
pub type Changes = BTreeMap<String, SysctlRecord>;

/// Whether the kernel has to forward: for a relay its slow path, and between the mesh and hosts behind this node.
/// `tunnel_interfaces`: how many of the configuration's interfaces carry tunnels.
pub fn is_needed(config: &Config, tunnel_interfaces: usize) -> bool {
    config.forward || config.attached_interfaces().count() > tunnel_interfaces
}

/// What has to change so that the kernel forwards, with what was so before. `former` and `others` know older values.
pub fn changes(
    config: &Config,
    former: Option<&Manifest>,
    others: &[Neighbour],
) -> Result<Changes, BpfError> {
    let carries = |ipv6: bool| {
        config
            .addresses
            .iter()
            .chain(&config.networks)
            .any(|prefix| prefix.addr().is_ipv6() == ipv6)
    };
    let mut wanted = Vec::new();
    if carries(true) {
        // a forwarding host stops listening to router advertisements, and would lose its own default route
        for interface in listeners_to_routers()? {
            wanted.push((format!("ipv6/conf/{interface}/accept_ra"), "2"));
        }
        wanted.push(("ipv6/conf/all/forwarding".to_owned(), "1"));
    }
    if carries(false) {
        wanted.push(("ipv4/ip_forward".to_owned(), "1"));
    }
    let mut changes = Changes::new();
    for (name, value) in wanted {
        let current = sysctl::read(&name).during(|| format!("read /proc/sys/net/{name}"))?;
        let known = others
            .iter()
            .map(|other| &other.manifest)
            .chain(former)
            .find_map(|manifest| manifest.sysctls.get(&name));
        let before = match known {
            Some(record) => record.before.clone(),
            None if current == value => continue,
            None => current,
        };
        let set = value.to_owned();
        changes.insert(name, SysctlRecord { before, set });
    }
    // an earlier load of ours made these listen on as forwarding hosts; they still have to
    let known = former
        .into_iter()
        .chain(others.iter().map(|other| &other.manifest));
    for (name, record) in known.flat_map(|manifest| &manifest.sysctls) {
        if name.ends_with("/accept_ra") && carries(true) {
            changes
                .entry(name.clone())
                .or_insert_with(|| record.clone());
        }
    }
    Ok(changes)
}

fn listeners_to_routers() -> Result<Vec<String>, BpfError> {
    let folder = std::path::Path::new("/proc/sys/net/ipv6/conf");
    let names = bpffs::names(folder)?;
    Ok(names
        .into_iter()
        .filter(|name| name != "all" && name != "default" && name != "lo")
        .filter(|name| {
            sysctl::read(&format!("ipv6/conf/{name}/accept_ra")).is_ok_and(|value| value == "1")
        })
        .collect())
}

/// Makes the changes.
pub fn apply(changes: &Changes, rollback: &mut Rollback) -> Result<(), BpfError> {
    // `accept_ra` sorts after `all`, but has to be first
    let (first, second): (Vec<_>, Vec<_>) = changes
        .iter()
        .partition(|(name, _)| name.ends_with("/accept_ra"));
    for (name, record) in first.into_iter().chain(second) {
        let what = || format!("set /proc/sys/net/{name} to {}", record.set);
        let current = match sysctl::read(name) {
            // the interface it belonged to is gone
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            current => current.during(what)?,
        };
        if current == record.set {
            continue;
        }
        sysctl::write(name, &record.set).during(what)?;
        let name = name.clone();
        rollback.push(move || {
            sysctl::write(&name, &current).during(|| format!("put /proc/sys/net/{name} back"))
        });
    }
    Ok(())
}

/// Puts parameters back that no other instance needs, unless somebody else has changed them since. Returns those it put
/// back.
pub fn restore<'a>(
    records: impl Iterator<Item = (&'a String, &'a SysctlRecord)>,
    others: &[Neighbour],
) -> Result<Vec<&'a String>, BpfError> {
    // forwarding goes off before hosts stop to listen as forwarding hosts do
    let mut records: Vec<_> = records.collect();
    records.sort_by_key(|(name, _)| name.ends_with("/accept_ra"));
    let mut restored = Vec::new();
    for (name, record) in records {
        let needed = others
            .iter()
            .any(|other| other.manifest.sysctls.contains_key(name));
        if needed || sysctl::read(name).ok().as_ref() != Some(&record.set) {
            continue;
        }
        sysctl::write(name, &record.before)
            .during(|| format!("put /proc/sys/net/{name} back to {}", record.before))?;
        restored.push(name);
    }
    Ok(restored)
}
