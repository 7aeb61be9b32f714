//! What is not the mesh's passes as if nothing were loaded, and what is for the controller reaches it as it came.

use std::{net::UdpSocket, time::Duration};

use anyhow::Result;
use testbed::{
    host::Testbed,
    internet::IpVersion::*,
    link::LinkOptions,
    node::Encapsulation::*,
    traffic::{UdpStream, ping, transfer},
};

use crate::meshes::Chain;

#[test]
fn ordinary_traffic_of_the_host() -> Result<()> {
    let testbed = Testbed::new()?;
    let chain = Chain::loaded((Fou, V4), (Gre, V6))?;
    let stranger = testbed.host("stranger")?;
    chain
        .internet
        .attach(&stranger, "eth0", LinkOptions::default())?;
    for version in [V6, V4] {
        let address = chain.b.uplink.address(version);

        assert!(ping(&stranger, address, 5, &[])?.is_perfect());
        transfer(&stranger, &chain.b.host, address, 4 << 20)?;
        let time = Duration::from_millis(300);
        let stream = UdpStream::run(&stranger, &chain.b.host, address, 1000, 2000, time)?;

        assert!(stream.is_perfect(), "{version:?}: {stream:?}");
    }
    Ok(())
}

#[test]
fn control_packets_reach_the_socket_as_they_were_sent() -> Result<()> {
    let chain = Chain::loaded((Fou, V4), (Fou, V6))?;
    let Chain { a, b, .. } = &chain;
    let key = a.configuration.tunnels[0].key.remote;
    // Babel's multicast in a clear tunnel: IPv6, UDP, link-local
    let mut babel = vec![0x20, 0, 0x86, 0xdd];
    babel.extend(key.to_be_bytes());
    babel.extend([0x60, 0, 0, 0, 0, 12, 17, 1]);
    babel.extend("fe80::1".parse::<std::net::Ipv6Addr>()?.octets());
    babel.extend("ff02::1:6".parse::<std::net::Ipv6Addr>()?.octets());
    babel.extend([0x1a, 0x28, 0x1a, 0x28, 0, 12, 0, 0, 42, 2, 0, 0]);
    for version in [V4, V6] {
        let to = b.uplink.address(version);
        let controller = b.host.enter(|| UdpSocket::bind((to, 4754)))??;
        controller.set_read_timeout(Some(Duration::from_secs(2)))?;
        let peer = a
            .host
            .enter(|| UdpSocket::bind((a.uplink.address(version), 4754)))??;
        let handshake = [&[1; 148][..], &[4; 32], &[5]];
        let link_local = (version == V4).then_some(babel.as_slice());
        for sent in handshake.into_iter().chain(link_local) {
            peer.send_to(sent, (to, 4754))?;

            let mut received = [0; 2048];
            let (length, from) = controller.recv_from(&mut received)?;

            assert_eq!(&received[..length], sent, "{version:?}");
            assert_eq!(from, peer.local_addr()?, "{version:?}");
        }
    }
    assert!(b.reason("control")? >= 7);
    Ok(())
}
