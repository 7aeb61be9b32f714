//! Tunnels give way to others, and nothing that is under way is lost.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use testbed::traffic::UdpStream;

use super::{PATIENCE, joined};
use crate::{babel_nodes::wait_within, registry::members::Member};

/// Tunnels that have to be replaced at least.
const REPLACED: usize = 4;
/// Datagrams a second of each stream.
const RATE: u32 = 100;

/// Tunnels that gave way to others, of which there were more than wanted, and which were replaced.
fn replaced(members: &[Member]) -> usize {
    let said = members.iter().map(Member::said);
    said.map(|said| said.matches("closed: another one took its place").count())
        .sum()
}

/// RE6ST_ROTATION makes it longer: seconds.
#[test]
fn tunnels_are_replaced_under_traffic_and_no_packet_is_lost() -> Result<()> {
    let seconds = std::env::var("RE6ST_ROTATION").ok();
    let seconds = seconds.and_then(|text| text.parse().ok()).unwrap_or(30);
    // few tunnels, so that most ways lead over others
    let section = "client-count = 2\nmax-clients = 4\ntunnel-refresh = 1\n";
    let (_registry, members) = joined(&["a", "b", "c", "d", "e", "f", "g", "h"], section)?;
    let begin = Instant::now();
    let others = members.iter().cycle().skip(3);
    let streams = members.iter().zip(others).map(|(from, to)| {
        let address = to.address()?.parse()?;
        UdpStream::start(&from.host, &to.host, address, 200, RATE)
    });
    let streams = streams.collect::<Result<Vec<_>>>()?;

    wait_within(PATIENCE, "tunnels that are replaced", || {
        Ok(replaced(&members) >= REPLACED)
    })
    .with_context(|| {
        members
            .iter()
            .map(Member::said)
            .collect::<Vec<_>>()
            .join("---\n")
    })?;
    std::thread::sleep(Duration::from_secs(seconds).saturating_sub(begin.elapsed()));

    for (stream, from) in streams.into_iter().zip(&members) {
        let datagrams = stream.finish()?;
        assert!(
            datagrams.is_perfect(),
            "from {}: {datagrams:?}, {} tunnels were replaced\n{}",
            from.host.name(),
            replaced(&members),
            from.said()
        );
    }
    Ok(())
}
