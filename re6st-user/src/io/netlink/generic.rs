//! Generic netlink: messages with a command and attributes, of families that the kernel numbers as it likes.

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

/// A message of generic netlink: command, version 1, attributes.
pub(super) struct Generic {
    pub family: u16,
    pub command: u8,
    pub attributes: Vec<DefaultNla>,
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
    /// An attribute of so many bytes.
    pub fn value<const N: usize>(&self, kind: u16) -> Option<[u8; N]> {
        let attribute = self
            .attributes
            .iter()
            .find(|attribute| attribute.kind() == kind)?;
        let mut bytes = vec![0; attribute.value_len()];
        attribute.emit_value(&mut bytes);
        bytes.as_slice().try_into().ok()
    }
}

impl Netlink<Generic> {
    /// Opens a family by its name; `None` if the kernel has not got it.
    pub(super) fn open_family(name: &str) -> Result<Option<(Self, u16)>, NetlinkError> {
        let mut netlink = Self::open_protocol(NETLINK_GENERIC)?;
        let request = Generic {
            family: CONTROL,
            command: CONTROL_GET_FAMILY,
            attributes: vec![DefaultNla::new(
                CONTROL_FAMILY_NAME,
                [name.as_bytes(), &[0]].concat(),
            )],
        };
        match netlink.get(request) {
            Ok(answer) => {
                let family = answer
                    .value(CONTROL_FAMILY_ID)
                    .map(u16::from_ne_bytes)
                    .ok_or_else(|| NetlinkError::Answer("no family id in it".to_owned()))?;
                Ok(Some((netlink, family)))
            }
            Err(error) if error.is(libc::ENOENT) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
