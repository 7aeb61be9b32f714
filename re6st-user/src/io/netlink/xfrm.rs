//! IPsec policies of this network namespace (netlink family `xfrm`): how many there are.

use std::io;

use netlink_packet_core::{
    DecodeError, NetlinkDeserializable, NetlinkHeader, NetlinkSerializable, NlasIterator,
};
use netlink_sys::protocols::NETLINK_XFRM;

use super::{Netlink, NetlinkError};

/// `XFRM_MSG_GETSPDINFO`.
const GET_INFORMATION: u16 = 37;
/// `XFRMA_SPD_INFO`: numbers of policies for arriving, leaving and forwarded packets, then those of sockets.
const COUNTS: u16 = 1;
/// In front of attributes: flags, of which there are none.
const FLAGS: usize = 4;

/// A message: four bytes of flags, attributes.
struct Message {
    kind: u16,
    payload: Vec<u8>,
}

impl NetlinkSerializable for Message {
    fn message_type(&self) -> u16 {
        self.kind
    }

    fn buffer_len(&self) -> usize {
        self.payload.len()
    }

    fn serialize(&self, buffer: &mut [u8]) {
        buffer[..self.payload.len()].copy_from_slice(&self.payload);
    }
}

impl NetlinkDeserializable for Message {
    type Error = DecodeError;

    fn deserialize(header: &NetlinkHeader, payload: &[u8]) -> Result<Self, DecodeError> {
        Ok(Self {
            kind: header.message_type,
            payload: payload.to_vec(),
        })
    }
}

/// The number of IPsec policies for leaving, arriving and forwarded packets; none where the kernel has no IPsec.
pub fn policies() -> Result<u32, NetlinkError> {
    let mut netlink = match Netlink::<Message>::open_protocol(NETLINK_XFRM) {
        Err(NetlinkError::Socket(error)) if is_unknown(&error) => return Ok(0),
        netlink => netlink?,
    };
    let answer = netlink.get(Message {
        kind: GET_INFORMATION,
        payload: vec![0; FLAGS],
    })?;
    let attributes = answer.payload.get(FLAGS..).unwrap_or_default();
    let counts = NlasIterator::new(attributes)
        .filter_map(Result::ok)
        .find(|attribute| attribute.kind() == COUNTS)
        .ok_or_else(|| NetlinkError::Answer("no number of policies in it".to_owned()))?;
    let (numbers, _) = counts.value().as_chunks::<4>();
    Ok(numbers
        .iter()
        .take(3)
        .map(|number| u32::from_ne_bytes(*number))
        .sum())
}

fn is_unknown(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EPROTONOSUPPORT)
}
