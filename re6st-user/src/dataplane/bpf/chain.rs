//! Several instances on one host: which of them are there, in which order, and what they share.

use super::{error::BpfError, manifest::Manifest, pins::Pins};

/// Another instance of the same network namespace.
#[derive(Clone, Debug)]
pub struct Neighbour {
    /// Where it is pinned.
    pub pins: Pins,
    /// What it did.
    pub manifest: Manifest,
}

/// The other instances of this network namespace, in their order.
pub fn others(pins: &Pins, network_namespace: u64) -> Result<Vec<Neighbour>, BpfError> {
    let mut others = Vec::new();
    for other in Pins::all(pins.bpffs())? {
        if other.instance() == pins.instance() {
            continue;
        }
        let manifest = match Manifest::of(&other)? {
            Some(manifest) => Some(manifest),
            None => Manifest::of_unfinished(&other)?,
        };
        if let Some(manifest) = manifest
            && manifest.network_namespace == network_namespace
        {
            others.push(Neighbour {
                pins: other,
                manifest,
            });
        }
    }
    others.sort_by_key(|other| other.manifest.order);
    Ok(others)
}
