//! What an interface's driver can do with XDP: generic netlink family `netdev` (Linux 6.3).

use netlink_packet_core::DefaultNla;

use super::{Netlink, NetlinkError, generic::Generic};

const DEVICE_GET: u8 = 1;
const DEVICE_INDEX: u16 = 1;
const DEVICE_XDP_FEATURES: u16 = 3;
/// `NETDEV_XDP_ACT_NDO_XMIT`.
const TRANSMIT: u64 = 4;

/// Asks drivers what they can do with XDP.
pub struct XdpFeatures {
    netlink: Netlink<Generic>,
    family: u16,
}

impl XdpFeatures {
    /// `None` on kernels that cannot tell (before 6.3).
    pub fn open() -> Result<Option<Self>, NetlinkError> {
        let opened = Netlink::open_family("netdev")?;
        Ok(opened.map(|(netlink, family)| Self { netlink, family }))
    }

    /// Whether an interface transmits frames that XDP programs of other interfaces redirect to it. It may change with its
    /// configuration: a veth does if its other end has an XDP program or GRO.
    pub fn transmits(&mut self, interface: u32) -> Result<bool, NetlinkError> {
        let request = Generic {
            family: self.family,
            command: DEVICE_GET,
            attributes: vec![DefaultNla::new(
                DEVICE_INDEX,
                interface.to_ne_bytes().to_vec(),
            )],
        };
        let answer = self.netlink.get(request)?;
        let features = answer
            .value(DEVICE_XDP_FEATURES)
            .map(u64::from_ne_bytes)
            .ok_or_else(|| NetlinkError::Answer("no XDP features in it".to_owned()))?;
        Ok(features & TRANSMIT != 0)
    }
}
