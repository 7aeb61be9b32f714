//! The entries of interfaces, brought up to date while packets flow.

use re6st_common::maps::interface as flag;

use super::{
    error::BpfError,
    maps::{Maps, access},
    offloads,
};
use crate::io::netlink::link::Interface;

/// Writes the Ethernet address of an interface, if it is one of ours and has another now, and whether it has VLANs.
///
/// # Errors
/// What keeps the map from being written.
pub fn interface(interface: &Interface, maps: &Maps) -> Result<(), BpfError> {
    let mut entries = maps.interfaces()?;
    let (Ok(mut entry), Some(address)) = (entries.get(&interface.index, 0), interface.address)
    else {
        return Ok(());
    };
    let mut flags = entry.flags & !flag::HIDDEN_TAGS;
    if offloads::hides_vlan_tags(interface) {
        flags |= flag::HIDDEN_TAGS;
    }
    if (entry.address, entry.flags) != (address, flags) {
        (entry.address, entry.flags) = (address, flags);
        access(
            entries.insert(interface.index, entry, 0),
            "INTERFACES",
            interface.index,
        )?;
    }
    Ok(())
}
