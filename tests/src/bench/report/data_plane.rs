//! What is said about the measurements of the data plane.

/// What is measured, and how.
pub const INTRODUCTION: &str = "\
What a relay and a tunnel of re6st-ebpf carry, side by side with what one would otherwise run. `cargo xtask bench` measures the data plane again in less than ten minutes and
writes this file, `cargo xtask bench babel` the section on Babel in about five, `cargo xtask bench registry` the one on the registry in three, `cargo xtask bench channel` the one on the secure channel in eight, `cargo xtask bench mesh` the one on the mesh in a quarter of an hour; `cargo xtask bench relay` measures one part (`relay`, `tcp`, `routes`, `latency`, `load`, `memory`, `babel`), `--quick` takes a first look and leaves this file alone, `--floor` leaves out of the relays all but ours and the floor.

## How it is measured

Hosts are network namespaces on one machine with at least two cores, links are veth pairs.

- **Packets per second**: generator, relay, sink. The generator (an XDP program that the kernel's test runner feeds, so that no kernel stack is in the way) has one core. The other is the relay's: it
  receives, forwards, and also empties the far end of its second link, which stands for finishing a network card's transmissions. The rate is raised until packets are lost, and taken where at
  least 98 % arrive at the sink: a flooded relay would also pay for what it loses. What is stated is the number of packets for each second that the relay's threads ran (`schedstat`), so that other work on the machine
  counts less; on a quiet machine they run nearly all of the time, and then it is simply packets per second. The share, and the rates offered and delivered, are in `target/benchmark.json`. The sink counts only frames of the right length with the right mark, and now and then one of them is compared
  byte by byte with what must arrive. Packets come in bursts of 64, so that a relay as fast as the generator does not find its queue with one packet in it, now and then, and both wait for the queue's memory.
- The **floor** is an XDP program that writes a new Ethernet header and redirects, nothing else: the same packets through the same links. **Forwarding** is the kernel's IPv6 forwarding without any tunnel. **VXLAN** is the kernel forwarding
  between two VXLAN devices, **OpenVPN** between two tap devices of OpenVPN processes with `--cipher none --auth none`, which is what re6st runs. Our relay is set up by `re6st-user load`, FOU over IPv4. Packet sizes are those of the inner IPv6 packet.
- **TCP**: one connection between two hosts whose programs have a core each, the veth devices' offloads off (checksums, gathering, segmentation, merging), so that no frame on the link is bigger than its MTU of 1,500 bytes.
  Two other baselines explain the ratio: the link with merging (GRO) on, and the link with an XDP program that does nothing, which also makes a veth device merge, but copies each packet first, which a network card does not.
- **Round trip**: twice the median of the time a packet takes from the generator through an idle relay to the sink.
- Contenders take turns in short rounds. The numbers are medians; a ratio is the median of the rounds' ratios, because a virtual machine is twice as fast in one minute as in the next.
";
