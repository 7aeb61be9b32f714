//! Interface offloads that matter to XDP: ethtool(8)'s flags.

use std::{fs, io, mem::zeroed, os::fd::AsRawFd as _};

const GET_FLAGS: u32 = 0x25;
const RECEIVE_VLAN: u32 = 1 << 8;

#[repr(C)]
struct EthtoolValue {
    command: u32,
    data: u32,
}

/// Whether an interface takes VLAN tags out of arriving frames, so that XDP does not see them.
pub fn strips_vlan_tags(interface: &str) -> io::Result<bool> {
    Ok(flags(interface)? & RECEIVE_VLAN != 0)
}

/// Whether VLAN devices stand on an interface, in this network namespace.
pub fn has_vlans(interface: &str) -> bool {
    // there is no such file before the first VLAN device
    let list = fs::read_to_string("/proc/thread-self/net/vlan/config").unwrap_or_default();
    lists_vlan(&list, interface)
}

/// Lines such as `eth0.5 | 5 | eth0`: a VLAN device, its identifier, what it stands on.
fn lists_vlan(list: &str, interface: &str) -> bool {
    list.lines()
        .filter_map(|line| line.split('|').nth(2))
        .any(|parent| parent.trim() == interface)
}

fn flags(interface: &str) -> io::Result<u32> {
    let socket = std::net::UdpSocket::bind((std::net::Ipv4Addr::UNSPECIFIED, 0))?;
    let mut value = EthtoolValue {
        command: GET_FLAGS,
        data: 0,
    };
    // SAFETY: integers and a union of such.
    let mut request: libc::ifreq = unsafe { zeroed() };
    if interface.len() >= request.ifr_name.len() {
        return Err(io::Error::from_raw_os_error(libc::ENODEV));
    }
    for (to, from) in request.ifr_name.iter_mut().zip(interface.bytes()) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_data = (&raw mut value).cast();
    // SAFETY: both structures are live, and this command reads and writes one EthtoolValue.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL as _, &mut request) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(value.data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vlans_are_found_by_what_they_stand_on() {
        let list = "VLAN Dev name    | VLAN ID\nName-Type: VLAN_NAME_TYPE_RAW_PLUS_VID_NO_PAD\n\
                    guests         | 5  | eth0\neth10.7        | 7  | eth10\n";
        for (interface, expected) in [
            ("eth0", true),
            ("eth10", true),
            ("eth1", false),
            ("guests", false),
        ] {
            assert_eq!(lists_vlan(list, interface), expected, "{interface}");
        }
        assert!(!lists_vlan("", "eth0"));
    }
}
