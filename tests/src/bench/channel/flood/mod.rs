//! Floods of bad handshakes: how many of them a node refuses, and what becomes of others meanwhile.

mod bystanders;
mod refusals;

use anyhow::{Context as _, Result};
use re6st_common::{
    handshake::{self, COOKIE_REPLY, FORMAT_VERSION, INITIATION},
    reason::Reason,
};
use re6st_user::{
    certificate::node::NodeCertificate, channel::handshake::mac_key, dataplane::bpf::maps::Maps,
};

pub use self::{bystanders::bystanders, refusals::refusals};
use crate::{
    bench::{
        chain::{Chain, FIRST, index},
        frames::{self, ETHERNET, Frame, IPV4, UDP},
        kernel::Sink,
        layout::{Expected, Stream},
        relay_node::PORT,
    },
    host::Host,
};

/// Octets of an initiation with a certificate, about.
const LENGTH: usize = 700;
/// What fills frames beyond their head.
const FILL: u8 = 0x5a;
/// Its session index.
const INDEX: [u8; 4] = [0, 0, 0, 9];
/// Packets a second: more than any generator makes.
const FULL: f64 = 20e6;

/// What is wrong with an initiation.
#[derive(Clone, Copy, Debug)]
enum Flaw {
    /// Its sender does not know the node's public key.
    Mac,
    /// Its sender knows the key, and has shown no cookie.
    Cookie,
}

impl Flaw {
    const ALL: [Self; 2] = [Self::Mac, Self::Cookie];

    const fn name(self) -> &'static str {
        match self {
            Self::Mac => "wrong-mac",
            Self::Cookie => "no-cookie",
        }
    }

    /// What XDP counts.
    const fn reason(self) -> Reason {
        match self {
            Self::Mac => Reason::HandshakeMac,
            Self::Cookie => Reason::HandshakeCookie,
        }
    }

    /// An initiation that the generator sends to a node.
    fn frame(self, node: &NodeCertificate) -> Result<Frame> {
        let key = node.static_key().context("a node without static key")?;
        let mut initiation = vec![FILL; LENGTH];
        let [i0, i1, i2, i3] = INDEX;
        initiation[..8].copy_from_slice(&[INITIATION, FORMAT_VERSION, 0, 0, i0, i1, i2, i3]);
        initiation[8..16].fill(0);
        let head = initiation.first_chunk().context("no head")?;
        let mut mac = handshake::mac(mac_key(&key), head);
        if matches!(self, Self::Mac) {
            mac[0] ^= 1;
        }
        initiation[16..24].copy_from_slice(&mac);
        let front = frames::ipv4_udp(&FIRST, PORT, LENGTH);
        Ok(Frame::new(front, &initiation))
    }

    /// The same from many ports.
    fn stream(self, frame: &Frame, chain: &Chain) -> Result<Stream> {
        const PORTS: (u32, u32) = (0x8000, 1024);
        let interface = index(&chain.generator, &chain.generator_interface)?;
        Ok(Stream {
            slot_offset: (ETHERNET + IPV4) as u32,
            flow_offset: 0,
            balance_offset: 0,
            // an answer is made of the frame, and shorter
            trim: u32::from(matches!(self, Self::Cookie)),
            ..frame.stream(interface, PORTS.0, PORTS.1)
        })
    }
}

/// Takes the cookies that the generator's host is answered with.
fn take_cookies(chain: &Chain) -> Result<Sink> {
    let interface = &chain.generator_interface;
    let mut sink = chain.generator.enter(|| Sink::attach(interface))??;
    let front = ETHERNET + IPV4 + UDP;
    let [i0, i1, i2, i3] = INDEX;
    sink.expect(Expected {
        length: (front + handshake::COOKIE_REPLY_SIZE) as u32,
        mark_offset: front as u32,
        mark: [COOKIE_REPLY, FORMAT_VERSION, 0, 0, i0, i1, i2, i3],
        time_offset: 0,
        reserved: 0,
    })?;
    Ok(sink)
}

fn maps_of(host: &Host) -> Maps {
    Maps::new(host.bpffs().join("re6st0"))
}
