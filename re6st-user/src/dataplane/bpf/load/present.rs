//! What of the configuration the host has now: interfaces, and tunnels whose peers can be reached.

use std::{collections::BTreeMap, time::Duration};

use super::{
    super::{
        device,
        error::{BpfError, During as _},
        resolve::{self, Interfaces, ResolvedTunnel},
        stacking::Stacking,
    },
    Occasion, Request,
};
use crate::io::netlink::{Rtnetlink, link::Interface};

/// How long to wait for all neighbours' Ethernet addresses together, where nothing runs yet that would wait meanwhile.
const PATIENCE: Duration = Duration::from_secs(1);

/// Tunnels and interfaces that are not used, and why.
pub type Missing = BTreeMap<String, String>;

/// The configuration's interfaces as the host has them.
pub fn interfaces(
    request: &Request<'_>,
    stacking: &Stacking,
    netlink: &mut Rtnetlink,
    missing: &mut Missing,
) -> Result<Interfaces, BpfError> {
    let mut interfaces = Interfaces::new();
    for name in request.config.attached_interfaces() {
        let Some(interface) = find(request, name, netlink)? else {
            let why = absent(name);
            if request.occasion == Occasion::Command {
                return Err(BpfError::Conflict(why));
            }
            missing.insert(interface_key(name), why);
            continue;
        };
        if let Some(why) = unfit(&interface, name, stacking) {
            if request.occasion != Occasion::Repair {
                return Err(BpfError::Conflict(why));
            }
            missing.insert(interface_key(name), why);
            continue;
        }
        if interface.name == request.pins.instance().device() {
            return Err(BpfError::Conflict(format!(
                "`interfaces` names {name}, the mesh device itself; it is for the interfaces packets come in by"
            )));
        }
        interfaces.insert(interface.index, interface);
    }
    Ok(interfaces)
}

/// An interface by its name in the configuration, also if it has been called otherwise since.
fn find(
    request: &Request<'_>,
    name: &str,
    netlink: &mut Rtnetlink,
) -> Result<Option<Interface>, BpfError> {
    let what = || format!("look up interface {name}");
    let found = netlink.interface(name).during(what)?;
    let renamed = request.renamed.and_then(|renamed| renamed.get(name));
    match (found, renamed) {
        (None, Some(index)) => {
            let mut found = netlink.interface_by_index(*index).during(what)?;
            if let Some(interface) = &mut found {
                interface.alternative_names.push(name.to_owned());
            }
            Ok(found)
        }
        (found, _) => Ok(found),
    }
}

/// Why programs cannot work on an interface.
fn unfit(interface: &Interface, name: &str, stacking: &Stacking) -> Option<String> {
    if interface.address.is_none() {
        return Some(format!(
            "`interfaces` names {name}, which is no Ethernet interface: the programs read Ethernet frames, and tun, \
             wireguard, ppp, IPoIB and tunnels of IP have none. Name an interface that has, and let the routes to the \
             peers lead through it"
        ));
    }
    let why = stacking.unfit(interface.index)?;
    Some(format!("`interfaces` names {name}: {why}"))
}

/// What names of interfaces follow among what is [missing](Missing).
pub const INTERFACE: &str = "interface ";
/// What names of tunnels follow there.
pub const TUNNEL: &str = "tunnel ";

/// An interface among what is [missing](Missing).
pub fn interface_key(name: &str) -> String {
    format!("{INTERFACE}{name}")
}

/// A tunnel among what is [missing](Missing).
pub fn tunnel_key(name: &str) -> String {
    format!("{TUNNEL}{name}")
}

/// Why an interface is missing.
pub fn absent(name: &str) -> String {
    format!(
        "`interfaces` names {name}, but an interface {name} does not exist in this network namespace (`ip link` lists those \
         that do)"
    )
}

/// The tunnels whose peers can be reached. One that cannot must not stop the others.
pub fn tunnels(
    request: &Request<'_>,
    stacking: &Stacking,
    interfaces: &Interfaces,
    netlink: &mut Rtnetlink,
    missing: &mut Missing,
) -> Result<Vec<ResolvedTunnel>, BpfError> {
    let device = device::find(request.pins.instance(), netlink)?;
    let patience = match request.occasion {
        Occasion::Command | Occasion::Start => PATIENCE,
        Occasion::Repair => Duration::ZERO,
    };
    let found = resolve::tunnels(
        request.config,
        interfaces,
        device.map(|device| device.index),
        patience,
        netlink,
    )?;
    let mut usable = Vec::new();
    let mut unusable = found.missing;
    for tunnel in found.tunnels {
        let name = tunnel.tunnel.name.clone();
        match stacking.hidden(&name, tunnel.interface, interfaces) {
            Some(why) => unusable.push((name, BpfError::Conflict(why))),
            None => usable.push(tunnel),
        }
    }
    for (name, error) in unusable {
        if request.occasion == Occasion::Command && matches!(error, BpfError::Conflict(_)) {
            return Err(error);
        }
        missing.insert(tunnel_key(&name), error.to_string());
    }
    Ok(usable)
}
