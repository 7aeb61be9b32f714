//! Offloads of an interface by their names: generic netlink family `ethtool`.

use netlink_packet_core::{DefaultNla, Emitable as _};

use super::{Netlink, NetlinkError, generic::Generic};

const SET_FEATURES: u8 = 12;
const HEADER: u16 = 1;
const HEADER_INDEX: u16 = 1;
const WANTED: u16 = 3;
const BITS: u16 = 3;
const BIT: u16 = 1;
const BIT_NAME: u16 = 2;
const NESTED: u16 = 1 << 15;

/// Segmentation of what is more than TCP or UDP in IP: other tunnels' packets, SCTP, lists of packets.
///
/// An interface without it gets such packets one by one. Those that put headers in front have to, since the kernel remembers
/// the headers of one encapsulation only, and cuts a list as it was put together.
const BEYOND_TCP_AND_UDP: [&str; 8] = [
    "tx-gre-segmentation",
    "tx-gre-csum-segmentation",
    "tx-ipxip4-segmentation",
    "tx-ipxip6-segmentation",
    "tx-udp_tnl-segmentation",
    "tx-udp_tnl-csum-segmentation",
    "tx-sctp-segmentation",
    "tx-gso-list",
];

/// Lets an interface get segments whole of TCP and UDP alone.
///
/// # Errors
/// What the kernel says; also if it has no such family (`CONFIG_ETHTOOL_NETLINK`).
pub fn segment_tcp_and_udp_alone(interface: u32) -> Result<(), NetlinkError> {
    let (mut netlink, family) = Netlink::open_family("ethtool")?.ok_or_else(|| {
        NetlinkError::Answer("no family `ethtool` (CONFIG_ETHTOOL_NETLINK)".to_owned())
    })?;
    let bits = BEYOND_TCP_AND_UDP.map(|name| {
        // a bit without a value is off
        let name = DefaultNla::new(BIT_NAME, [name.as_bytes(), &[0]].concat());
        nested(BIT, &[name])
    });
    let request = Generic {
        family,
        command: SET_FEATURES,
        attributes: vec![
            nested(
                HEADER,
                &[DefaultNla::new(
                    HEADER_INDEX,
                    interface.to_ne_bytes().to_vec(),
                )],
            ),
            nested(WANTED, &[nested(BITS, &bits)]),
        ],
    };
    netlink.change(request, 0)
}

fn nested(kind: u16, attributes: &[DefaultNla]) -> DefaultNla {
    let mut bytes = vec![0; attributes.buffer_len()];
    attributes.emit(&mut bytes);
    DefaultNla::new(kind | NESTED, bytes)
}
