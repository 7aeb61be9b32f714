//! What is not as a load left it.

use super::{
    device_names,
    error::{BpfError, During as _},
    forwarding,
    manifest::Manifest,
};
use crate::io::netlink::Rtnetlink;

/// What the kernel has lost of what a load told it, for people; nothing if all is there.
pub fn losses(manifest: &Manifest, netlink: &mut Rtnetlink) -> Result<Vec<String>, BpfError> {
    let name = &manifest.instance;
    let what = || format!("look at the mesh device {name}");
    let index = manifest.settings.device;
    let Some(device) = netlink.interface_by_index(index).during(what)? else {
        return Ok(vec![format!("the mesh device {name} is gone")]);
    };
    let Some(told) = &manifest.network else {
        return Ok(Vec::new());
    };
    let mut losses = device_names::changed(manifest, netlink)?;
    if !device.carrier {
        losses.push(format!("the mesh device {name} is down"));
    }
    if device.mtu != told.mtu {
        losses.push(format!(
            "the MTU of {name} is {} instead of {}",
            device.mtu, told.mtu
        ));
    }
    if device.address != Some(manifest.settings.device_address) {
        losses.push(format!("{name} has another Ethernet address"));
    }
    let present = netlink.addresses(index).during(what)?;
    for address in &told.addresses {
        if !present.contains(address) {
            losses.push(format!("{name} has lost its address {address}"));
        }
    }
    let routes = netlink.own_routes(index).during(what)?.len();
    if routes < told.routes {
        let lost = told.routes - routes;
        losses.push(format!("{lost} static routes to {name} are gone"));
    }
    let present = netlink
        .unreachable_routes(manifest.unreachable_metric)
        .during(what)?;
    for prefix in &manifest.unreachable {
        if !present.contains(prefix) {
            losses.push(format!("the route `unreachable {prefix}` is gone"));
        }
    }
    losses.extend(forwarding::losses(manifest));
    Ok(losses)
}
