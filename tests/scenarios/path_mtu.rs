//! A tunnel with a smaller MTU in the middle of the path: senders are told, and adapt.

use std::time::Duration;

use anyhow::Result;
use testbed::{
    host::Testbed,
    internet::{Internet, IpVersion, IpVersion::*},
    node::{Encapsulation::*, Node, tunnel, tunnel_with_mtu},
    traffic::{UdpStream, ping, transfer},
};

/// What the second tunnel of three carries, in bytes.
const NARROW: u16 = 1300;

/// Four nodes in a row; the tunnel in the middle is narrow. Only the second node can know that.
fn narrow_in_the_middle() -> Result<(Internet, [Node; 4])> {
    let testbed = Testbed::new()?;
    let internet = Internet::new(&testbed)?;
    let node = |name, number| Node::new(&testbed, &internet, name, number);
    let (mut a, mut b, mut c, mut d) = (node("a", 1)?, node("b", 2)?, node("c", 3)?, node("d", 4)?);
    tunnel(&mut a, &mut b, (Fou, V4))?;
    tunnel_with_mtu(&mut b, &mut c, (Gre, V6), Some(NARROW))?;
    tunnel(&mut c, &mut d, (Fou, V6))?;
    for (node, ways) in [
        (&mut a, [(2, "b"), (3, "b"), (4, "b")]),
        (&mut b, [(1, "a"), (3, "c"), (4, "c")]),
        (&mut c, [(1, "b"), (2, "b"), (4, "d")]),
        (&mut d, [(1, "c"), (2, "c"), (3, "c")]),
    ] {
        ways.iter()
            .for_each(|(number, via)| node.route_number(*number, via));
        node.load()?;
    }
    Ok((internet, [a, b, c, d]))
}

fn bytes_of_icmp_payload(version: IpVersion, packet: u16) -> String {
    let headers = match version {
        V4 => 20 + 8,
        V6 => 40 + 8,
    };
    (packet - headers).to_string()
}

#[test]
fn a_packet_too_big_is_answered_with_the_mtu_that_fits() -> Result<()> {
    let (_internet, [a, _b, _c, d]) = narrow_in_the_middle()?;
    for version in [V6, V4] {
        let address = d.address(version);
        let fits = bytes_of_icmp_payload(version, NARROW);
        let too_big = bytes_of_icmp_payload(version, NARROW + 1);

        let first = ping(&a.host, address, 2, &["-M", "do", "-s", &too_big])?;
        let second = ping(&a.host, address, 2, &["-M", "do", "-s", &fits])?;

        assert_eq!(first.received, 0, "{version:?}: {}", first.text);
        assert!(
            first.text.contains(&format!("mtu={NARROW}"))
                || first.text.contains(&format!("mtu = {NARROW}"))
                || first.text.contains(&format!("mtu: {NARROW}")),
            "{version:?}: {}",
            first.text
        );
        assert!(second.is_perfect(), "{version:?}: {}", second.text);
    }
    Ok(())
}

#[test]
fn tcp_finds_the_path_mtu() -> Result<()> {
    let (_internet, [a, b, _c, d]) = narrow_in_the_middle()?;
    for version in [V6, V4] {
        transfer(&a.host, &d.host, d.address(version), 4 << 20)?;
    }
    // the narrow tunnel was met, not avoided
    assert!(b.reason("too_big")? > 0);
    Ok(())
}

#[test]
fn udp_finds_the_path_mtu() -> Result<()> {
    let (_internet, [a, _b, _c, d]) = narrow_in_the_middle()?;
    for version in [V6, V4] {
        let run = || {
            UdpStream::run(
                &a.host,
                &d.host,
                d.address(version),
                1350,
                500,
                Duration::from_millis(300),
            )
        };
        // the first datagrams are what finds it
        run()?;

        let stream = run()?;

        assert!(stream.is_perfect(), "{version:?}: {stream:?}");
    }
    Ok(())
}
