//! What an earlier load left: a running instance, or the pieces of a load that died.

use super::{MANIFEST, attach, error::BpfError, manifest::Manifest, pins::Pins};
use crate::io::bpffs;

/// Finds an instance, and makes one of the pieces of a load that died: afterwards its manifest lists all there may be,
/// and the folder `new` is gone. `None` if there is nothing.
pub fn find(
    pins: &Pins,
    network_namespace: u64,
    notes: &mut Vec<String>,
) -> Result<Option<Manifest>, BpfError> {
    let finished = Manifest::of(pins)?;
    let unfinished = Manifest::of_unfinished(pins)?;
    let interrupted = unfinished.is_some();
    let Some(manifest) = merge(finished, unfinished) else {
        remove_empty_folder(pins)?;
        return Ok(None);
    };
    if manifest.network_namespace != network_namespace {
        if attach::any_alive(pins)? {
            return Err(BpfError::Conflict(format!(
                "the instance {} is loaded in another network namespace: enter that one, or choose another name with \
                 `--instance`",
                pins.instance()
            )));
        }
        notes.push("removed what was left of a network namespace that is gone".to_owned());
        bpffs::remove_folder(&pins.folder())?;
        return Ok(None);
    }
    if interrupted {
        notes.push("an earlier load was interrupted; took over what it left".to_owned());
        manifest.write(&pins.object(MANIFEST), &pins.object("scratch"))?;
        bpffs::remove_folder(&pins.new_folder())?;
    }
    Ok(Some(manifest))
}

/// All there may be of an instance: what the last finished load listed, and what the one that died did.
fn merge(finished: Option<Manifest>, unfinished: Option<Manifest>) -> Option<Manifest> {
    let (old, mut new) = match (finished, unfinished) {
        (Some(old), Some(new)) => (old, new),
        (old, new) => return old.or(new),
    };
    // what is attached may be of either; the former's record of an interface is the one that was carried out
    for record in old.interfaces {
        new.interfaces.retain(|other| other.index != record.index);
        new.interfaces.push(record);
    }
    for (name, number) in old.tunnels {
        new.tunnels.insert(name, number);
    }
    // the older value is the one from before us
    new.sysctls.extend(old.sysctls);
    for prefix in old.unreachable {
        if !new.unreachable.contains(&prefix) {
            new.unreachable.push(prefix);
        }
    }
    if new.settings.device == 0 {
        new.settings = old.settings;
    }
    new.reasons = old.reasons;
    new.complete = false;
    Some(new)
}

/// A load that died before it wrote its manifest had done nothing but make folders.
fn remove_empty_folder(pins: &Pins) -> Result<(), BpfError> {
    let strange: Vec<String> = bpffs::names(&pins.folder())?
        .into_iter()
        .filter(|name| name != "new" && name != "links")
        .chain(bpffs::names(&pins.links())?)
        .chain(
            bpffs::names(&pins.new_folder())?
                .into_iter()
                .filter(|name| name != "scratch"),
        )
        .collect();
    if let Some(name) = strange.first() {
        return Err(BpfError::Conflict(format!(
            "{} exists but has no manifest of this software (there is `{name}` in it): choose another name with \
             `--instance`, or remove that folder",
            pins.folder().display()
        )));
    }
    bpffs::remove_folder(&pins.folder())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]
    use super::super::manifest::SysctlRecord;
    use super::*;

    fn manifest(interfaces: &[u32], forwarding_before: &str, device: u32) -> Manifest {
        let mut manifest = Manifest::example(interfaces);
        manifest.settings.device = device;
        let sysctl = SysctlRecord {
            before: forwarding_before.to_owned(),
            set: "1".to_owned(),
        };
        manifest.sysctls = [("ipv4/ip_forward".to_owned(), sysctl)].into();
        manifest
    }

    #[test]
    fn an_interrupted_load_leaves_the_union_of_before_and_after() {
        let before = manifest(&[2, 3], "0", 7);
        let after = manifest(&[3, 4], "1", 0);

        let merged = merge(Some(before), Some(after)).unwrap();

        let mut interfaces: Vec<u32> = merged
            .interfaces
            .iter()
            .map(|record| record.index)
            .collect();
        interfaces.sort_unstable();
        assert_eq!(interfaces, [2, 3, 4]);
        assert_eq!(
            merged.sysctls["ipv4/ip_forward"].before, "0",
            "the value from before us"
        );
        assert_eq!(merged.settings.device, 7);
        assert!(!merged.complete);
    }
}
