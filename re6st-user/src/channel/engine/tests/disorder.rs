//! Whatever happens, in whatever order.

use std::time::Duration;

use super::world::{
    MILLISECOND, Node, Packet, Payload, SECOND, Way, World, address, credentials, name, with_seeds,
};
use crate::channel::{Input, PostQuantum};

fn disturb(world: &mut World) {
    let number = 1 + world.dice.below(2);
    match world.dice.below(12) {
        0 => world.boot(number),
        1 => {
            world.boot(1);
            world.boot(2);
        }
        2 | 3 => {
            let which = 1 + world.dice.below(20) as u8;
            world.node(number).address = address(number, which);
            if world.dice.below(2) == 0 {
                world.input(number, Input::Moved);
            }
        }
        4 => {
            let minutes = world.dice.below(10) as i64 - 5;
            world.node(number).clock = minutes * 60;
        }
        5 => world.cut = !world.cut,
        6 => world.input(number, Input::Reconnect(name(3 - number))),
        7 => {
            let stall = world.dice.between(Duration::ZERO, SECOND * 5);
            let until = world.now + stall;
            world.node(number).stalled_until = until;
        }
        8 => {
            let port = 1024 + world.dice.below(60_000) as u16;
            let outside = std::net::SocketAddr::from(([198, 51, 100, number as u8], port));
            world.node(1).nat = (world.dice.below(3) > 0).then_some(outside);
        }
        9 => world.input(
            number,
            Input::Credentials(Box::new(credentials(number, &[]))),
        ),
        _ => {
            world.way = Way {
                delay: world.dice.between(MILLISECOND, MILLISECOND * 300),
                jitter: world.dice.between(Duration::ZERO, MILLISECOND * 200),
                loss: world.dice.below(40),
                duplication: world.dice.below(20),
                mtu: 1280 + world.dice.below(300) as usize,
            };
        }
    }
}

#[test]
fn whatever_happens_two_nodes_are_connected_in_the_end() {
    with_seeds(300, |seed| {
        let mut world = World::new(2, seed);
        world.call(1, 2);
        if seed % 3 == 0 {
            world.call(2, 1);
        }
        for _ in 0..world.dice.below(12) {
            let wait = world.dice.between(Duration::ZERO, SECOND * 8);
            world.run(wait);
            disturb(&mut world);
        }
        // node 1 knows this address of node 2
        world.node(2).address = address(2, 1);
        world.cut = false;
        world.way = Way {
            loss: world.dice.below(5),
            jitter: world.dice.between(Duration::ZERO, MILLISECOND * 30),
            ..Way::default()
        };
        world.run(SECOND * 180);
        world.assert_connected(1, 2);
    });
}

/// What is bounded is.
fn assert_bounded(node: &Node) {
    let channels = node.channels.as_ref().unwrap();
    let sizes = channels.sizes();
    assert!(sizes.sessions <= 16 * 8, "{sizes:?}");
    assert!(sizes.unconfirmed <= 256, "{sizes:?}");
    assert_eq!(sizes.keys, sizes.sessions, "{sizes:?}");
    assert!(
        sizes.indexes <= sizes.sessions + sizes.unconfirmed + 3 * 8,
        "{sizes:?}"
    );
}

/// A packet as it was, cut, lengthened, or with a bit changed.
fn changed(world: &mut World, packet: &Packet) -> Vec<u8> {
    let Payload::Channel(mut bytes) = packet.payload.clone() else {
        return Vec::new();
    };
    let at = world.dice.below(bytes.len() as u64) as usize;
    match world.dice.below(4) {
        0 => bytes.truncate(at),
        1 => bytes[at] ^= 1 << world.dice.below(8),
        2 => bytes.push(0),
        _ => {}
    }
    bytes
}

#[test]
fn random_events_in_random_order_do_no_harm_and_nothing_grows() {
    with_seeds(40, |seed| {
        let mut world = World::new(3, seed);
        world.recorded = Some(Vec::new());
        world.call(1, 2);
        world.call(2, 3);
        for _ in 0..150 {
            let wait = world.dice.between(Duration::ZERO, SECOND);
            world.run(wait);
            let number = 1 + world.dice.below(3);
            let other = name(1 + world.dice.below(4));
            match world.dice.below(10) {
                0 => disturb(&mut world),
                1..=5 => {
                    let recorded = world.recorded.take().unwrap_or_default();
                    for _ in 0..8 {
                        let at = world.dice.below(recorded.len() as u64 + 1) as usize;
                        let Some(packet) = recorded.get(at) else {
                            continue;
                        };
                        let bytes = changed(&mut world, packet);
                        let from = packet.from;
                        let to = address(number, 1).ip();
                        let bytes = &bytes;
                        world.input(number, Input::Datagram { from, to, bytes });
                    }
                    world.recorded = Some(recorded);
                }
                6 => world.input(
                    number,
                    Input::Babel {
                        peer: other,
                        unicast: true,
                        packet: &[0; 1200],
                    },
                ),
                7 => world.input(
                    number,
                    Input::NoTunnel {
                        peer: other,
                        why: "a test".to_owned(),
                    },
                ),
                8 => {
                    let mtu = world.dice.below(65_536) as u16;
                    world.input(number, Input::LinkMtu(mtu));
                }
                _ => {
                    let policy = [
                        PostQuantum::Off,
                        PostQuantum::Preferred,
                        PostQuantum::Required,
                    ];
                    let policy = policy[world.dice.below(3) as usize];
                    world.input(number, Input::PostQuantum(policy));
                }
            }
            world.nodes.iter().for_each(assert_bounded);
        }
    });
}
