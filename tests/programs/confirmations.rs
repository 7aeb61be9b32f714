//! Neighbours that XDP sends to: the kernel hears of a packet now and then, or it would never look whether they are still there.

use std::time::{Duration, Instant};

use re6st_common::maps::settings;
use testbed::packet::Internet;

use crate::{
    fixtures::own,
    namespace::{self, DEVICE_ADDRESS},
    programs::{Kind, Programs},
    world::{self, FIRST, Peer, ROUTER},
};

/// In which at most one packet to each neighbour goes by way of the kernel: 2^32 ns.
const STEP: Duration = Duration::from_nanos(1 << 32);
/// Packets to each neighbour at a time.
const PACKETS: u32 = 20;

#[test]
fn one_packet_of_many_to_each_neighbour_goes_by_way_of_the_kernel() {
    // arrange
    let indices = namespace::enter();
    let mut world = world::example(&indices);
    world.settings.flags |= settings::CONFIRM;
    let from = Peer::new(FIRST);
    let neighbours = [
        own(false, "2"),
        own(true, "2"),
        world::host_by(ROUTER, false),
    ];
    for kind in [Kind::OneBuffer, Kind::Frags] {
        let mut programs = Programs::load(kind, &world, true);
        let start = Instant::now();
        let mut by_kernel = [0; 3];
        // two that share an entry at one time do not at the next
        while by_kernel.contains(&0) && start.elapsed() < 4 * STEP {
            for (neighbour, count) in neighbours.iter().zip(&mut by_kernel) {
                let packet = Internet::between(from.host(neighbour.is_ipv4()), *neighbour);
                let outer = Internet::between(from.remote(), from.local());
                let inner = packet.hop_limit(64).udp(1, 2, b"to a neighbour").bytes();
                let outer = outer.fou(0xc000, world::PORT, from.key(), &inner);
                let frame = from.frame_from().bytes(&outer.bytes());
                for _ in 0..PACKETS {
                    // act
                    let arrival = indices.interfaces[from.position];
                    let observed = programs.receive(&frame, arrival, 0);
                    // assert
                    assert_eq!(observed.reasons, [], "it is forwarded either way");
                    *count += u32::from(observed.bytes[..6] == DEVICE_ADDRESS);
                }
            }
        }
        let steps = start.elapsed().div_duration_f64(STEP) as u32 + 2;
        let as_expected = |count: &u32| (1..=steps).contains(count);
        assert!(
            by_kernel.iter().all(as_expected),
            "{by_kernel:?} in {steps}"
        );
    }
}
