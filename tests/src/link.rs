//! Links between hosts: veth pairs that behave like network cards.

use anyhow::Result;

use crate::host::Host;

/// What a link is like. By default what a pair of ordinary network cards is like.
#[derive(Clone, Copy, Debug)]
pub struct LinkOptions {
    /// Largest packet, in bytes.
    pub mtu: u32,
    /// Merge received packets (GRO). A veth device also needs this, or an XDP program, on one end to take frames that
    /// XDP redirects into the other.
    pub receive_offload: bool,
    /// Segments and checksums are left to the "card": then packets of up to 64 KB, with unfinished checksums, cross the
    /// link, as between containers and never between real hosts.
    pub send_offload: bool,
}

impl Default for LinkOptions {
    fn default() -> Self {
        Self {
            mtu: 1500,
            receive_offload: true,
            send_offload: false,
        }
    }
}

/// One end of a link: a host, and its interface's name there.
pub type End<'a> = (&'a Host, &'a str);

/// Joins two hosts. Both interfaces are up, without addresses.
pub fn link(a: End<'_>, b: End<'_>, options: LinkOptions) -> Result<()> {
    let (host, name) = a;
    let (peer, peer_name) = b;
    let (mtu, namespace) = (options.mtu, peer.namespace());
    host.ip_batch(&format!(
        "link add name {name} mtu {mtu} type veth peer name {peer_name} mtu {mtu} netns {namespace}"
    ))?;
    let on_off = |on| if on { "on" } else { "off" };
    let send = on_off(options.send_offload);
    let receive = on_off(options.receive_offload);
    for (host, name) in [a, b] {
        let offloads = ["tx", send, "tso", send, "gro", receive];
        host.run("ethtool", &[&["-K", name], &offloads[..]].concat())?;
    }
    // a veth device learns whether it can take frames from XDP when it is brought up: by then both ends must be as
    // they will be
    for (host, name) in [a, b] {
        host.ip(&["link", "set", name, "up"])?;
    }
    Ok(())
}

/// Gives an interface addresses, each with its prefix length.
pub fn add_addresses(host: &Host, interface: &str, addresses: &[&str]) -> Result<()> {
    for address in addresses {
        host.ip(&["address", "add", address, "dev", interface])?;
    }
    Ok(())
}
