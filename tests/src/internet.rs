//! A small Internet: one router that joins the underlays of all hosts, IPv4 and IPv6.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::atomic::{AtomicU8, Ordering},
};

use anyhow::Result;

use crate::{
    host::{Host, Testbed},
    link::{LinkOptions, add_addresses, link},
};

/// The router, with a link to each host.
#[derive(Debug)]
pub struct Internet {
    router: Host,
    attached: AtomicU8,
}

/// How a host reaches the Internet.
#[derive(Clone, Debug)]
pub struct Uplink {
    /// The interface of the physical link.
    pub interface: String,
    /// The router's interface on the other side.
    pub router_interface: String,
    /// The host's own IPv4 address.
    pub ipv4: Ipv4Addr,
    /// The host's own IPv6 address.
    pub ipv6: Ipv6Addr,
}

/// IP version of an underlay.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IpVersion {
    /// IPv4
    V4,
    /// IPv6
    V6,
}

impl Uplink {
    /// The host's address of one IP version.
    pub fn address(&self, version: IpVersion) -> IpAddr {
        match version {
            IpVersion::V4 => self.ipv4.into(),
            IpVersion::V6 => self.ipv6.into(),
        }
    }

    /// The router's address of one IP version.
    pub fn router(&self, version: IpVersion) -> IpAddr {
        match version {
            IpVersion::V4 => Ipv4Addr::from(u32::from(self.ipv4) - 1).into(),
            IpVersion::V6 => Ipv6Addr::from(u128::from(self.ipv6) - 1).into(),
        }
    }
}

impl Internet {
    /// An Internet without hosts.
    pub fn new(testbed: &Testbed) -> Result<Self> {
        let router = testbed.host("internet")?;
        router.set_sysctl("net.ipv4.ip_forward", "1")?;
        router.set_sysctl("net.ipv6.conf.all.forwarding", "1")?;
        // as a real router's configuration would
        router.set_sysctl("net.ipv6.conf.all.keep_addr_on_down", "1")?;
        Ok(Self {
            router,
            attached: AtomicU8::new(0),
        })
    }

    /// The router.
    pub fn router(&self) -> &Host {
        &self.router
    }

    /// Loses everything between two addresses from now on, without a word.
    pub fn lose(&self, a: IpAddr, b: IpAddr) -> Result<()> {
        let family = if a.is_ipv4() { "-4" } else { "-6" };
        for (from, to) in [(a, b), (b, a)] {
            let (from, to) = (from.to_string(), to.to_string());
            self.router
                .ip(&[family, "rule", "add", "from", &from, "to", &to, "blackhole"])?;
        }
        Ok(())
    }

    /// Links a host's interface to the router and gives it addresses and default routes.
    pub fn attach(&self, host: &Host, interface: &str, options: LinkOptions) -> Result<Uplink> {
        let number = self.attached.fetch_add(1, Ordering::Relaxed) + 1;
        let uplink = Uplink {
            interface: interface.into(),
            router_interface: format!("{}{number}", host.name()),
            ipv4: Ipv4Addr::new(203, 0, 113, number * 4 + 2),
            ipv6: Ipv6Addr::new(0x2001, 0xdb8, 0xffff, number.into(), 0, 0, 0, 2),
        };
        self.plug_in(host, &uplink, options)?;
        Ok(uplink)
    }

    /// Makes an uplink, which is not there or not any more.
    pub fn plug_in(&self, host: &Host, uplink: &Uplink, options: LinkOptions) -> Result<()> {
        let Uplink {
            interface,
            router_interface,
            ipv4,
            ipv6,
        } = uplink;
        link((host, interface), (&self.router, router_interface), options)?;
        let router4 = uplink.router(IpVersion::V4);
        let router6 = uplink.router(IpVersion::V6);
        add_addresses(
            host,
            interface,
            &[&format!("{ipv4}/30"), &format!("{ipv6}/64")],
        )?;
        add_addresses(
            &self.router,
            router_interface,
            &[&format!("{router4}/30"), &format!("{router6}/64")],
        )?;
        // a second uplink is for its own neighbours only
        if host.ip(&["route", "show", "default"])?.is_empty() {
            host.ip(&["route", "add", "default", "via", &router4.to_string()])?;
            host.ip(&["-6", "route", "add", "default", "via", &router6.to_string()])?;
        }
        Ok(())
    }
}
