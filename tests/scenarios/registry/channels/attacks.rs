//! Packets of a live channel that come again, come back, or come broken, from somebody on the path and from a stranger off it.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use anyhow::{Context as _, Result};
use serde_json::Value;
use testbed::traffic::{Datagram, Forger, Recorder};

use super::{
    super::{members::Member, support::wait_for},
    accepted_keys, add_peer, outer_address, peer, strangers, stream,
};

/// The first octet of packets of channels.
const INITIATION: u8 = 1;
const RESPONSE: u8 = 2;
const TRANSPORT: u8 = 4;
/// So many transport packets are used: the others would show nothing more.
const TRANSPORT_PACKETS: usize = 60;

/// What was recorded of two members that have met, each packet of a handshake and some of the others.
fn recorded(kept: Vec<Datagram>) -> Vec<Datagram> {
    let kind = |datagram: &Datagram| datagram.payload.first().copied();
    let (transport, mut others): (Vec<_>, Vec<_>) = kept
        .into_iter()
        .partition(|datagram| kind(datagram) == Some(TRANSPORT));
    // data of the tunnel is no packet of the channel
    others.retain(|datagram| matches!(kind(datagram), Some(INITIATION | RESPONSE)));
    others.extend(transport.into_iter().rev().take(TRANSPORT_PACKETS));
    others
}

/// Back to who has sent it.
fn reflected(packet: &Datagram) -> Datagram {
    Datagram {
        from: packet.to,
        to: packet.from,
        payload: packet.payload.clone(),
    }
}

/// Cut off in the head, behind it, in the middle, and by its last octet.
fn truncated(packet: &Datagram) -> Vec<Datagram> {
    let length = packet.payload.len();
    [3, 16, length / 2, length - 1]
        .map(|kept| with(packet, packet.payload[..kept.min(length)].to_vec()))
        .into()
}

/// One bit of the index, of the counter, so that it is a new one, of the body, and of the tag is another.
fn flipped(packet: &Datagram) -> Vec<Datagram> {
    let length = packet.payload.len();
    [7, 12, length / 2, length - 1]
        .map(|octet| {
            let mut payload = packet.payload.clone();
            payload[octet] ^= 0x10;
            with(packet, payload)
        })
        .into()
}

/// The head of one before the rest of another.
fn mixed(packet: &Datagram, other: &Datagram) -> Datagram {
    let head = packet.payload.iter().take(16);
    with(
        packet,
        head.chain(other.payload.iter().skip(16)).copied().collect(),
    )
}

fn with(packet: &Datagram, payload: Vec<u8>) -> Datagram {
    Datagram {
        payload,
        ..packet.clone()
    }
}

/// All that is sent in an attack.
fn attack(packets: &[Datagram]) -> Vec<Datagram> {
    let others = packets.iter().cycle().skip(1);
    let of_one = |(packet, other): (&Datagram, &Datagram)| {
        let mut all = vec![packet.clone(), reflected(packet), mixed(packet, other)];
        all.extend(truncated(packet));
        all.extend(flipped(packet));
        all
    };
    packets.iter().zip(others).flat_map(of_one).collect()
}

/// What must not change.
fn standing(member: &Member) -> Result<(Value, Value, Vec<u64>)> {
    let peer = peer(member)?;
    let channels = member.controller()?["channels"].clone();
    let counts = [
        "sessions_completed",
        "moves",
        "unknown_messages",
        "malformed_messages",
    ];
    let counts = counts.map(|name| channels[name].clone());
    let what =
        ["peer", "state", "address", "opened-by", "post-quantum"].map(|key| peer[key].clone());
    Ok((
        what.into_iter().collect(),
        counts.into_iter().collect(),
        accepted_keys(member)?,
    ))
}

fn count(member: &Member, name: &str) -> Result<u64> {
    let channels = member.controller()?["channels"].clone();
    channels[name]
        .as_u64()
        .with_context(|| format!("no counter {name}: {channels}"))
}

/// How many of either member's packets have had this fate.
fn counted(members: [&Member; 2], name: &str) -> Result<u64> {
    members.into_iter().map(|member| count(member, name)).sum()
}

fn of_kind(packets: &[Datagram], kind: u8) -> u64 {
    let these = packets.iter().filter(|packet| packet.payload[0] == kind);
    these.count() as u64
}

#[test]
fn real_packets_that_come_again_change_nothing_and_are_counted() -> Result<()> {
    // arrange: two members meet, and the router between them keeps all that they say
    let (registry, mut members) = strangers()?;
    let stranger = registry.newcomer("stranger")?;
    let [a, b] = &members;
    add_peer(a, b)?;
    let recorder = Recorder::start(registry.router(), 4754)?;
    members.iter_mut().try_for_each(Member::start)?;
    let [a, b] = &members;
    a.reach(b)?;
    // a handshake that was repeated has its own keys for a while
    for member in [a, b] {
        wait_for("one key", || Ok(accepted_keys(member)?.len() == 1))?;
    }
    std::thread::sleep(Duration::from_secs(3));
    let packets = recorded(recorder.stop()?);
    for kind in [INITIATION, RESPONSE, TRANSPORT] {
        assert!(of_kind(&packets, kind) > 0, "{packets:?}");
    }
    let own: IpAddr = outer_address(&stranger)?.parse()?;
    let before = (standing(a)?, standing(b)?);
    let refusals = [
        "replayed_packet",
        "bad_packet",
        "unknown_session",
        "malformed_packets",
        "unknown_response",
        "replayed_handshake",
    ];
    let counts = || {
        refusals
            .iter()
            .map(|name| counted([a, b], name))
            .collect::<Result<Vec<_>>>()
    };
    let counts_before = counts()?;
    let stream = stream(a, b, 500)?;

    // act: from the path in their names, then from elsewhere
    let forger = Forger::new(registry.router())?;
    for packet in attack(&packets) {
        forger.send(&packet)?;
        std::thread::sleep(Duration::from_millis(1));
    }
    let forger = Forger::new(&stranger)?;
    for packet in attack(&packets) {
        let from = SocketAddr::new(own, 4754);
        forger.send(&Datagram { from, ..packet })?;
        std::thread::sleep(Duration::from_millis(1));
    }

    // assert
    std::thread::sleep(Duration::from_secs(1));
    let datagrams = stream.finish()?;
    assert!(datagrams.is_perfect(), "{datagrams:?}");
    assert_eq!(
        (standing(a)?, standing(b)?),
        before,
        "{}\n{}",
        a.said(),
        b.said()
    );
    let more = counts()?;
    let more = refusals.iter().zip(
        more.iter()
            .zip(counts_before)
            .map(|(now, before)| now - before),
    );
    for (name, more) in more {
        println!("{name}: {more}");
        assert!(more > 0, "{name}");
    }
    Ok(())
}
