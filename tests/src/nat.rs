//! Routers that translate addresses, as homes and offices have them, before one host.

use std::{fs, net::Ipv4Addr, process::Command};

use anyhow::{Context as _, Result};

use crate::{
    host::{Host, Testbed},
    internet::{Internet, Uplink},
    link::{LinkOptions, add_addresses, link},
    process::Process,
};

/// The router's address in its LAN: all of them have the same, as those of one make do.
pub const ROUTER: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 1);
/// The host's address there.
pub const HOST: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 2);
/// The chains that miniupnpd puts its rules in, and what every such router does: hosts get out, and what they have not asked for
/// does not get in.
const RULES: &str = "
    table inet nat {
        chain forward {
            type filter hook forward priority filter; policy drop;
            jump mapped
            ct state established,related accept
            ct status dnat accept
            iifname lan0 accept
        }
        chain input {
            type filter hook input priority filter;
            iifname wan0 ct state new drop
        }
        chain before {
            type nat hook prerouting priority dstnat;
            jump mapped_before
        }
        chain after {
            type nat hook postrouting priority srcnat;
            jump mapped_after
            oifname wan0 masquerade SYMMETRIC
        }
        chain mapped { }
        chain mapped_before {
            FULL_CONE
        }
        chain mapped_after { }
    }";

/// How a router translates (RFC 3489 names them).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Nat {
    /// The host's port is the same for all, and all may send there.
    FullCone,
    /// The host's port is the same for all, and those may send there to whom it has sent.
    PortRestrictedCone,
    /// The host's port is another one for each to whom it sends.
    Symmetric,
}

/// What a router does when a host asks for a port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Miniupnpd {
    /// It knows UPnP.
    pub upnp: bool,
    /// It knows PCP and NAT-PMP.
    pub nat_pmp: bool,
    /// What it says is its outer address, if that is not so.
    pub says: Option<Ipv4Addr>,
}

/// A router.
#[derive(Debug)]
pub struct NatRouter {
    /// The router itself.
    pub router: Host,
    /// Its address on the Internet.
    pub address: Ipv4Addr,
}

impl NatRouter {
    /// A router on an Internet, which has none of this number, from 1 to 63.
    pub fn new(testbed: &Testbed, internet: &Internet, number: u8, nat: Nat) -> Result<Self> {
        let router = testbed.host(&format!("nat{number}"))?;
        // miniupnpd, like PCP, wants an address that is not reserved for documents
        let address = Ipv4Addr::new(11, 0, 0, number * 4 + 2);
        let uplink = Uplink {
            interface: "wan0".to_owned(),
            router_interface: router.name().to_owned(),
            ipv4: address,
            ipv6: std::net::Ipv6Addr::new(0x2001, 0xdb8, 0xfffe, number.into(), 0, 0, 0, 2),
        };
        internet.plug_in(&router, &uplink, LinkOptions::default())?;
        router.set_sysctl("net.ipv4.ip_forward", "1")?;
        let symmetric = match nat {
            Nat::Symmetric => "fully-random",
            Nat::FullCone | Nat::PortRestrictedCone => "",
        };
        let full_cone = match nat {
            Nat::FullCone => format!("iifname wan0 udp dport 4754 dnat ip to {HOST}"),
            Nat::PortRestrictedCone | Nat::Symmetric => String::new(),
        };
        let rules = RULES
            .replace("SYMMETRIC", symmetric)
            .replace("FULL_CONE", &full_cone);
        router.run("nft", &[&rules])?;
        Ok(Self { router, address })
    }

    /// Puts a host behind it.
    pub fn attach(&self, host: &Host) -> Result<()> {
        link(
            (host, "eth0"),
            (&self.router, "lan0"),
            LinkOptions::default(),
        )?;
        add_addresses(host, "eth0", &[&format!("{HOST}/24")])?;
        add_addresses(&self.router, "lan0", &[&format!("{ROUTER}/24")])?;
        host.ip(&["route", "add", "default", "via", &ROUTER.to_string()])?;
        Ok(())
    }

    /// Lets its host call nobody: only who is let in from outside talks with it.
    pub fn keep_in(&self, port: u16) -> Result<()> {
        let rule =
            format!("insert rule inet nat forward iifname lan0 udp sport {port} ct state new drop");
        self.router.run("nft", &[&rule]).map(drop)
    }

    /// Starts miniupnpd, which does what its host asks for. That is there already.
    pub fn serve(&self, how: Miniupnpd) -> Result<Process> {
        let yes = |is| if is { "yes" } else { "no" };
        let says = how.says.map(|says| format!("ext_ip={says}"));
        let configuration = format!(
            "ext_ifname=wan0\nlistening_ip=lan0\nport=0\nenable_upnp={}\nenable_natpmp={}\nsecure_mode=yes\nsystem_uptime=yes\n\
             uuid=2f3c0a3a-38cf-4c5b-9a0e-0123456789ab\nupnp_table_name=nat\nupnp_nat_table_name=nat\nupnp_forward_chain=mapped\n\
             upnp_nat_chain=mapped_before\nupnp_nat_postrouting_chain=mapped_after\nallow 1024-65535 192.168.1.0/24 1024-65535\n\
             deny 0-65535 0.0.0.0/0 0-65535\n{}\n",
            yes(how.upnp),
            yes(how.nat_pmp),
            says.unwrap_or_default()
        );
        let file = |name: &str| self.router.directory().join(name);
        fs::write(file("miniupnpd.conf"), configuration)?;
        let mut command = Command::new("miniupnpd");
        command.args(["-d", "-f"]).arg(file("miniupnpd.conf"));
        let command = command.arg("-P").arg(file("miniupnpd.pid"));
        let process = self.router.spawn(command);
        process.context("`cargo xtask setup` installs miniupnpd")
    }

    /// The rules by which it passes ports on, as miniupnpd made them.
    pub fn mapped(&self) -> Result<String> {
        let chain = ["list", "chain", "inet", "nat", "mapped_before"];
        self.router.run("nft", &chain)
    }
}
