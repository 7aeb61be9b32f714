//! The kernel parameters that let a host forward packets, changed and put back.

use std::{collections::BTreeMap, io::ErrorKind, net::IpAddr};

use super::{
    chain::OtherInstance,
    error::{BpfError, During as _},
    manifest::{Manifest, SysctlRecord},
    pins::InstanceName,
    rollback::Rollback,
};
use crate::{
    config::Config,
    io::{bpffs, sysctl},
};

/// Kernel parameters to change, by path under `net/`.
pub type Changes = BTreeMap<String, SysctlRecord>;

/// IPv6 forwarding, on all interfaces.
const IPV6: &str = "ipv6/conf/all/forwarding";
/// IPv4 forwarding, on all interfaces.
const IPV4: &str = "ipv4/ip_forward";
/// What the parameters end with that say whether an interface listens to router advertisements.
const ACCEPT_RA: &str = "/accept_ra";

/// Whether it changes all interfaces at once.
fn is_for_all(name: &str) -> bool {
    [IPV6, IPV4].contains(&name)
}

/// What changes an interface's forwarding with that of all others.
fn for_all(name: &str) -> Option<&'static str> {
    let of_one = name.ends_with("/forwarding") && !is_for_all(name);
    let version = if name.starts_with("ipv6/") {
        IPV6
    } else {
        IPV4
    };
    of_one.then_some(version)
}

/// Whether the kernel has to forward: for a relay its slow path, and between the mesh and hosts behind this node.
/// `tunnel_interfaces`: how many of the configuration's interfaces carry tunnels.
pub fn is_needed(config: &Config, tunnel_interfaces: usize) -> bool {
    config.forward || config.attached_interfaces().count() > tunnel_interfaces
}

/// What the kernel must have so that it forwards, with what was so before. `former` and `others` know older values;
/// `interfaces`: those XDP is attached to, and the mesh device.
pub fn changes(
    config: &Config,
    interfaces: &[&str],
    former: Option<&Manifest>,
    others: &[OtherInstance],
) -> Result<Changes, BpfError> {
    let mut changes = Changes::new();
    for (name, value) in wanted(config, interfaces)? {
        let current = match sysctl::read(&name) {
            // the mesh device is not there yet: it will be as new interfaces are
            Err(error) if !is_for_all(&name) && error.kind() == ErrorKind::NotFound => {
                value.to_owned()
            }
            current => current.during(|| format!("read /proc/sys/net/{name}"))?,
        };
        let known = others
            .iter()
            .map(|other| &other.manifest)
            .chain(former)
            .find_map(|manifest| manifest.sysctls.get(&name));
        let before = known.map_or(current, |record| record.before.clone());
        let set = value.to_owned();
        changes.insert(name, SysctlRecord { before, set });
    }
    // an earlier load of ours made these listen on as forwarding hosts; they still have to, unless somebody else has
    // them listen no more
    let known = former
        .into_iter()
        .chain(others.iter().map(|other| &other.manifest));
    for (name, record) in known.flat_map(|manifest| &manifest.sysctls) {
        let listens = || !sysctl::read(name).is_ok_and(|value| value == "0");
        if name.ends_with(ACCEPT_RA) && carries(config, true) && listens() {
            changes
                .entry(name.clone())
                .or_insert_with(|| record.clone());
        }
    }
    Ok(changes)
}

/// Whether the mesh has IPv6 packets, or IPv4 ones.
fn carries(config: &Config, ipv6: bool) -> bool {
    let mut prefixes = config.addresses.iter().chain(&config.networks);
    prefixes.any(|prefix| prefix.addr().is_ipv6() == ipv6)
}

/// Kernel parameters of a host that forwards.
fn wanted(config: &Config, interfaces: &[&str]) -> Result<Vec<(String, &'static str)>, BpfError> {
    let mut wanted = Vec::new();
    for (version, everywhere) in [("ipv6", IPV6), ("ipv4", IPV4)] {
        if !carries(config, version == "ipv6") {
            continue;
        }
        wanted.push((everywhere.to_owned(), "1"));
        // what a network manager switches off on one interface stays so when it is on for all
        let each = interfaces
            .iter()
            .map(|interface| (format!("{version}/conf/{interface}/forwarding"), "1"));
        wanted.extend(each);
    }
    if carries(config, true) {
        // a forwarding host stops listening to router advertisements, and would lose its own default route
        for interface in listeners_to_routers()? {
            wanted.push((format!("ipv6/conf/{interface}{ACCEPT_RA}"), "2"));
        }
    }
    Ok(wanted)
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
    let mut undo = Changes::new();
    for (name, record) in changes {
        let before = match sysctl::read(name) {
            // the interface it belonged to is gone
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            current => current.during(|| format!("read /proc/sys/net/{name}"))?,
        };
        let set = record.set.clone();
        undo.insert(name.clone(), SysctlRecord { before, set });
    }
    let mut there: Vec<String> = undo.keys().cloned().collect();
    rollback.push(move || restore(undo.iter(), &[]).map(drop));
    // what is for all interfaces changes each of them; who listens to routers has to before
    there.sort_by_key(|name| (!name.ends_with(ACCEPT_RA), !is_for_all(name)));
    for name in there {
        let Some(record) = changes.get(&name) else {
            continue;
        };
        if sysctl::read(&name).ok().as_ref() != Some(&record.set) {
            sysctl::write(&name, &record.set)
                .during(|| format!("set /proc/sys/net/{name} to {}", record.set))?;
        }
    }
    Ok(())
}

/// Puts parameters back that no other instance needs, unless somebody else has changed them since. Returns those it put
/// back.
pub fn restore<'a>(
    records: impl Iterator<Item = (&'a String, &'a SysctlRecord)>,
    others: &[OtherInstance],
) -> Result<Vec<&'a String>, BpfError> {
    let ours = |(name, record): &(&String, &SysctlRecord)| {
        let needed = others
            .iter()
            .any(|other| other.manifest.sysctls.contains_key(*name));
        !needed && sysctl::read(name).ok().as_ref() == Some(&record.set)
    };
    let mut records: Vec<_> = records.filter(ours).collect();
    // forwarding goes off before hosts stop to listen as forwarding hosts do, and on all interfaces before it is again on
    // one of them as it was
    records.sort_by_key(|(name, _)| (name.ends_with(ACCEPT_RA), !is_for_all(name)));
    let mut restored = Vec::new();
    for (name, record) in records {
        if sysctl::read(name).ok().as_ref() == Some(&record.before) {
            continue;
        }
        sysctl::write(name, &record.before)
            .during(|| format!("put /proc/sys/net/{name} back to {}", record.before))?;
        restored.push(name);
    }
    Ok(restored)
}

/// What is not so any more.
pub fn losses(manifest: &Manifest) -> Vec<String> {
    let changes = &manifest.sysctls;
    let lost = |name: &str, record: &SysctlRecord| {
        let value = sysctl::read(name).ok()?;
        // who has them listen no more may do so; who has them listen as other hosts do cuts this one off
        let matters = !name.ends_with(ACCEPT_RA) || value == "1";
        (matters && value != record.set).then_some(value)
    };
    let losses = changes.iter().filter_map(|(name, record)| {
        let value = lost(name, record)?;
        let with_all = for_all(name)
            .and_then(|all| lost(all, changes.get(all)?))
            .is_some();
        (!with_all).then(|| {
            format!(
                "{} is {value} instead of {}",
                sysctl::name(name),
                record.set
            )
        })
    });
    let mut losses: Vec<String> = losses.collect();
    let device = &manifest.instance;
    let mut addresses = manifest.network.iter().flat_map(|told| &told.addresses);
    if addresses.any(IpAddr::is_ipv4) && filters_strictly(device) {
        losses.push(format!("`rp_filter` is strict on {device}"));
    }
    losses
}

/// What was changed, for people.
pub fn notes(changes: &Changes) -> impl Iterator<Item = (&String, String)> {
    let changed = |record: &SysctlRecord| record.before != record.set;
    let with_all = move |name: &str| {
        let all = for_all(name).and_then(|all| changes.get(all));
        all.is_some_and(changed)
    };
    changes
        .iter()
        .filter(move |(name, record)| changed(record) && !with_all(name))
        .map(|(name, record)| {
            let text = format!(
                "{} is {} (was {}); unload puts it back",
                sysctl::name(name),
                record.set,
                record.before
            );
            (name, text)
        })
}

/// Lets IPv4 packets come by the mesh device whose answers go another way, by a plain link perhaps: strict reverse path
/// filtering (RFC 3704) would drop them. The larger of the device's value and that of `all` counts, and 2 is the loose one.
pub fn loosen_reverse_path_filter(instance: &InstanceName) -> Result<(), BpfError> {
    let all = sysctl::read("ipv4/conf/all/rp_filter");
    let value = if all.is_ok_and(|all| all == "0") {
        "0"
    } else {
        "2"
    };
    let name = format!("ipv4/conf/{instance}/rp_filter");
    sysctl::write(&name, value).during(|| format!("set /proc/sys/net/{name}"))
}

/// Whether IPv4 packets must come by an interface from where answers to them go: the larger value counts, and 1 is the
/// strict one.
pub fn filters_strictly(interface: &str) -> bool {
    let of = |name: &str| sysctl::read(&format!("ipv4/conf/{name}/rp_filter")).ok();
    of("all").max(of(interface)).as_deref() == Some("1")
}
