//! What an interface's driver can do with XDP: generic netlink family `netdev` (Linux 6.3).

use netlink_packet_core::{
    DecodeError, DefaultNla, Emitable, NetlinkDeserializable, NetlinkHeader, NetlinkSerializable,
    Nla, NlaBuffer, NlasIterator, Parseable as _,
};
use netlink_sys::protocols::NETLINK_GENERIC;

use super::{Netlink, NetlinkError};

/// `GENL_ID_CTRL`: the family that knows the numbers of the others.
const CONTROL: u16 = 16;
const CONTROL_GET_FAMILY: u8 = 3;
const CONTROL_FAMILY_ID: u16 = 1;
const CONTROL_FAMILY_NAME: u16 = 2;
const DEVICE_GET: u8 = 1;
const DEVICE_INDEX: u16 = 1;
const DEVICE_XDP_FEATURES: u16 = 3;
/// `NETDEV_XDP_ACT_NDO_XMIT`.
const TRANSMIT: u64 = 4;

/// A message of generic netlink: command, version 1, attributes.
struct Generic {
    family: u16,
    command: u8,
    attributes: Vec<DefaultNla>,
}

impl NetlinkSerializable for Generic {
    fn message_type(&self) -> u16 {
        self.family
    }

    fn buffer_len(&self) -> usize {
        4 + self.attributes.as_slice().buffer_len()
    }

    fn serialize(&self, buffer: &mut [u8]) {
        buffer[..4].copy_from_slice(&[self.command, 1, 0, 0]);
        self.attributes.as_slice().emit(&mut buffer[4..]);
    }
}

impl NetlinkDeserializable for Generic {
    type Error = DecodeError;

    fn deserialize(header: &NetlinkHeader, payload: &[u8]) -> Result<Self, DecodeError> {
        let attributes = payload
            .get(4..)
            .ok_or_else(|| DecodeError::from("generic netlink header cut short"))?;
        Ok(Self {
            family: header.message_type,
            command: payload[0],
            attributes: NlasIterator::new(attributes)
                .map(|attribute| {
                    let attribute: NlaBuffer<&[u8]> = attribute?;
                    DefaultNla::parse(&attribute)
                })
                .collect::<Result<_, _>>()?,
        })
    }
}

impl Generic {
    fn value<const N: usize>(&self, kind: u16) -> Option<[u8; N]> {
        let attribute = self
            .attributes
            .iter()
            .find(|attribute| attribute.kind() == kind)?;
        let mut bytes = vec![0; attribute.value_len()];
        attribute.emit_value(&mut bytes);
        bytes.as_slice().try_into().ok()
    }
}

/// Asks drivers what they can do with XDP.
pub struct XdpFeatures {
    netlink: Netlink<Generic>,
    family: u16,
}

impl XdpFeatures {
    /// `None` on kernels that cannot tell (before 6.3).
    pub fn open() -> Result<Option<Self>, NetlinkError> {
        let mut netlink = Netlink::open_protocol(NETLINK_GENERIC)?;
        let request = Generic {
            family: CONTROL,
            command: CONTROL_GET_FAMILY,
            attributes: vec![DefaultNla::new(CONTROL_FAMILY_NAME, b"netdev\0".to_vec())],
        };
        match netlink.get(request) {
            Ok(answer) => {
                let family = answer
                    .value(CONTROL_FAMILY_ID)
                    .map(u16::from_ne_bytes)
                    .ok_or_else(|| NetlinkError::Answer("no family id in it".to_owned()))?;
                Ok(Some(Self { netlink, family }))
            }
            Err(error) if error.is(libc::ENOENT) => Ok(None),
            Err(error) => Err(error),
        }
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
