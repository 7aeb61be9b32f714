//! The names of the mesh device and its other end, which anybody may change.

use super::{
    device::is_veth,
    error::{BpfError, During as _},
    manifest::Manifest,
    pins::InstanceName,
};
use crate::io::netlink::{Rtnetlink, link::Interface};

/// Which ends have other names than they were made with, for people.
pub fn changed(manifest: &Manifest, netlink: &mut Rtnetlink) -> Result<Vec<String>, BpfError> {
    let ends = ends(manifest, netlink)?.into_iter();
    let changed = ends.filter(|(end, name)| end.name != *name);
    Ok(changed
        .map(|(end, name)| format!("the mesh device {name} is called {} now", end.name))
        .collect())
}

/// Gives both ends the names they were made with.
pub fn put_back(manifest: &Manifest, netlink: &mut Rtnetlink) -> Result<(), BpfError> {
    for (end, name) in ends(manifest, netlink)? {
        if end.name != name {
            netlink
                .rename(end.index, &name)
                .during(|| format!("call {} {name} again", end.name))?;
        }
    }
    Ok(())
}

/// Both ends, each with the name it was made with; those that are there.
fn ends(
    manifest: &Manifest,
    netlink: &mut Rtnetlink,
) -> Result<Vec<(Interface, String)>, BpfError> {
    let what = || format!("look up the mesh device {}", manifest.instance);
    let (Ok(instance), index) = (
        InstanceName::parse(&manifest.instance),
        manifest.settings.device,
    ) else {
        return Ok(Vec::new());
    };
    // a load that did not get far has made none
    if index == 0 {
        return Ok(Vec::new());
    }
    let device = netlink.interface_by_index(index).during(what)?;
    let Some(device) = device.filter(is_veth) else {
        return Ok(Vec::new());
    };
    let other_end = match device.parent {
        Some(index) => netlink.interface_by_index(index).during(what)?,
        None => None,
    };
    let mut ends = vec![(device, instance.device().to_owned())];
    ends.extend(other_end.map(|end| (end, instance.other_end())));
    Ok(ends)
}
