//! A network namespace of the test's own, with the interfaces of the example world.
//!
//! It belongs to the calling thread and has no name: it is gone, with everything in it, when the thread ends.

use std::{fs, path::Path, process::Command};

use nix::{
    net::if_::if_nametoindex,
    sched::{CloneFlags, CpuSet, sched_setaffinity, unshare},
    unistd::{Pid, Uid},
};

/// Ethernet address of an interface made here, by its position in [`INTERFACES`].
pub const fn ethernet(position: u8) -> [u8; 6] {
    [2, 0, 0, 0, 1, position]
}

/// Ethernet address of the mesh device.
pub const DEVICE_ADDRESS: [u8; 6] = [0x02, 0x5e, 0xab, 0xcd, 0xef, 0x01];

/// What stands on the other side of the interfaces: one neighbour for each.
pub const fn neighbour(position: u8) -> [u8; 6] {
    [2, 0, 0, 0, 2, position]
}

/// The interfaces, by position.
pub const INTERFACES: [&str; 6] = ["eth0", "eth1", "lan0", "up0", "tc0", "other0"];

/// Indices of the interfaces.
#[derive(Clone, Copy, Debug)]
pub struct Indices {
    /// In the order of [`INTERFACES`].
    pub interfaces: [u32; 6],
    /// The mesh device.
    pub device: u32,
}

/// Makes the namespace and enters it.
pub fn enter() -> Indices {
    assert!(
        Uid::effective().is_root(),
        "these tests load BPF programs: run them as root, e.g. `cargo xtask test programs`"
    );
    unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace of our own");
    // counters are per CPU, and so is the test run
    let mut one = CpuSet::new();
    let (_, allowed) = (
        0,
        nix::sched::sched_getaffinity(Pid::from_raw(0)).expect("affinity"),
    );
    let cpu = (0..CpuSet::count())
        .find(|cpu| allowed.is_set(*cpu).unwrap_or(false))
        .expect("a CPU");
    one.set(cpu).expect("a CPU");
    sched_setaffinity(Pid::from_raw(0), &one).expect("affinity");

    // the other sides must not send anything by themselves: it would be counted
    sysctl("net/ipv6/conf/default/disable_ipv6", "1");
    sysctl("net/ipv6/conf/default/accept_dad", "0");
    ip("link set lo up");
    for (position, name) in INTERFACES.iter().enumerate() {
        veth(name, ethernet(position as u8));
    }
    veth("re6st0", DEVICE_ADDRESS);
    ip("link set re6st0 arp off");
    for name in ["lan0", "tc0", "other0", "up0", "re6st0"] {
        sysctl(&format!("net/ipv6/conf/{name}/disable_ipv6"), "0");
    }
    sysctl("net/ipv4/ip_forward", "1");
    sysctl("net/ipv6/conf/all/forwarding", "1");
    routes();
    Indices {
        interfaces: INTERFACES.map(index),
        device: index("re6st0"),
    }
}

fn routes() {
    ip("-4 addr add 10.42.1.1/24 dev lan0");
    ip("-6 addr add 2001:db8:42:1::1/64 dev lan0 nodad");
    let neighbours: [(&str, u8, &[&str]); 4] = [
        (
            "lan0",
            2,
            &["2001:db8:42:1::2", "10.42.1.2", "2001:db8:42:1::a"],
        ),
        ("tc0", 4, &["2001:db8:42:1::8", "10.42.1.8"]),
        ("other0", 5, &["2001:db8:42:1::9", "10.42.1.9"]),
        ("up0", 3, &["2001:db8:beef::1", "198.18.0.1"]),
    ];
    for (device, position, addresses) in neighbours {
        for address in addresses {
            let [a, b, c, d, e, f] = neighbour(position);
            ip(&format!(
                "neigh add {address} lladdr {a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x} dev {device} nud permanent"
            ));
            if device != "lan0" {
                ip(&format!("route add {address} dev {device}"));
            }
        }
    }
    // bpf_fib_lookup heeds an IPv6 route's MTU only where it is locked
    ip("-6 route add 2001:db8:42:1::a dev lan0 mtu lock 1280");
    ip("-6 route add default dev re6st0");
    ip("-4 route add default dev re6st0");
    for address in ["2001:db8:cafe::1", "203.0.113.1"] {
        ip(&format!(
            "neigh add {address} lladdr 02:52:00:00:00:00 dev re6st0 nud permanent"
        ));
    }
}

/// A pair of interfaces; only the first is of interest.
fn veth(name: &str, address: [u8; 6]) {
    let [a, b, c, d, e, f] = address;
    let address = format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}");
    ip(&format!(
        "link add {name} address {address} type veth peer name {name}p"
    ));
    ip(&format!("link set {name}p arp off up"));
    ip(&format!("link set {name} up"));
}

fn index(name: &str) -> u32 {
    if_nametoindex(name).expect("an interface made before")
}

fn sysctl(name: &str, value: &str) {
    let path = Path::new("/proc/sys").join(name);
    // /proc/sys/net is the namespace of the thread that opens it
    fs::write(&path, value).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

/// Runs `ip` in the thread's namespace.
pub fn ip(arguments: &str) {
    let output = Command::new("ip")
        .args(arguments.split(' '))
        .output()
        .expect("ip (package iproute2)");
    assert!(
        output.status.success(),
        "ip {arguments}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
