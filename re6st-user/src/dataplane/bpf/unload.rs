//! `unload`: every trace of an instance removed, whatever state it is in.

use std::path::Path;

use super::{
    attach::{self, Hook},
    chain::{self, OtherInstance},
    device, device_names,
    error::{BpfError, During as _},
    existing, forwarding,
    manifest::{InterfaceRecord, Manifest},
    node,
    pins::Pins,
};
use crate::io::{
    bpffs, host,
    netlink::{Rtnetlink, mesh_route},
    sysctl,
};

/// What came of it.
#[derive(Debug)]
pub struct Summary {
    /// Whether there was anything.
    pub found: bool,
    /// What the operator should know.
    pub notes: Vec<String>,
}

/// Unloads. `unless_held`: the lock that a running node holds; nothing is unloaded then.
pub fn unload(pins: &Pins, unless_held: Option<&Path>) -> Result<Summary, BpfError> {
    host::check()?;
    let mut notes = Vec::new();
    if !bpffs::is_mounted(pins.bpffs())? {
        return Ok(Summary {
            found: false,
            notes,
        });
    }
    let _lock = bpffs::lock(pins.bpffs())?;
    if let Some(holder) = unless_held.map(node::holder).transpose()?.flatten() {
        return Err(BpfError::Conflict(format!(
            "a node runs on instance {} ({holder}): stop it first. To unload all the same, `--force`; the node then ends \
             with an error",
            pins.instance()
        )));
    }
    let cookie =
        host::network_namespace().during(|| "identify the network namespace".to_owned())?;
    let was_there = bpffs::exists(&pins.folder())?;
    let Some(manifest) = existing::find(pins, cookie, &mut notes)? else {
        return Ok(Summary {
            found: was_there,
            notes,
        });
    };
    let mut netlink = Rtnetlink::open().during(|| "open rtnetlink".to_owned())?;
    for name in remove(pins, &manifest, &mut netlink)? {
        if let Some(record) = manifest.sysctls.get(&name) {
            notes.push(format!(
                "{} is {} again",
                sysctl::name(&name),
                record.before
            ));
        }
    }
    Ok(Summary { found: true, notes })
}

/// Returns the kernel parameters it put back.
fn remove(
    pins: &Pins,
    manifest: &Manifest,
    netlink: &mut Rtnetlink,
) -> Result<Vec<String>, BpfError> {
    let others = chain::others(pins, manifest.network_namespace)?;
    chain::leave(&others)?;
    for record in &manifest.interfaces {
        interface(pins, record, manifest.settings.device, &others, netlink)?;
    }
    netlink
        .remove_mesh_routes(mesh_route::METRIC + manifest.order)
        .during(|| "remove the routes of Babel".to_owned())?;
    device_names::put_back(manifest, netlink)?;
    // the TC programs on the device go with it
    device::remove(pins.instance(), netlink)?;
    for prefix in &manifest.unreachable {
        netlink
            .remove_unreachable(*prefix, manifest.unreachable_metric)
            .during(|| format!("remove the route `unreachable {prefix}`"))?;
    }
    let restored = forwarding::restore(manifest.sysctls.iter(), &others)?;
    // the manifest goes last: until then, unload can be repeated
    bpffs::remove_folder(&pins.links())?;
    bpffs::remove_folder(&pins.folder())?;
    Ok(restored.into_iter().cloned().collect())
}

/// Detaches from an interface, XDP first, so that nothing is handed over to nobody. `handle`: of filters.
pub fn interface(
    pins: &Pins,
    record: &InterfaceRecord,
    handle: u32,
    others: &[OtherInstance],
    netlink: &mut Rtnetlink,
) -> Result<(), BpfError> {
    chain::release(pins, record.index, others)?;
    attach::remove_tc(
        pins,
        Hook::Handover(record.index),
        record.tc,
        handle,
        netlink,
    )
}
