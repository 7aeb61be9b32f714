//! How long packets get lost when a link of a ring fails.

use std::{
    net::{SocketAddrV6, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow, ensure};

use super::topology::{Cut, Ring};
use crate::{
    daemon::{Daemon, Intervals},
    host::{Host, Testbed},
    node::mesh_ipv6,
};

/// Between two packets.
const PACE: Duration = Duration::from_millis(5);
const PORT: u16 = 5005;
/// The ring, and who sends to whom: opposite routers, so that two ways are equally long.
const SIZE: u8 = 4;
const SENDER: u8 = 1;
const RECEIVER: u8 = 3;
/// For routers to know each other.
const CONVERGENCE: Duration = Duration::from_secs(60);

/// The outage, or `None` if packets did not come back within `limit`.
pub fn measure(
    testbed: &Testbed,
    daemon: &dyn Daemon,
    cut: Cut,
    intervals: Intervals,
    limit: Duration,
) -> Result<Option<Duration>> {
    let name = format!("{cut:?}-{}", daemon.name()).to_lowercase();
    let ring = Ring::start(testbed, &name, SIZE, daemon, intervals)?;
    ring.converge(CONVERGENCE)?;
    // until the other way round is known too, to everybody
    thread::sleep(4 * intervals.hello);

    let stream = Stream::start(
        &ring.routers[usize::from(SENDER - 1)].host,
        &ring.routers[usize::from(RECEIVER - 1)].host,
    )?;
    let used = ring.used_link(RECEIVER)?;
    let before = ring.carried(used)?;
    thread::sleep(Duration::from_secs(1));
    let carried = ring.carried(used)? - before;
    ensure!(
        carried > 150,
        "the link to be cut carries {carried} packets a second"
    );
    let begin = Instant::now();
    ring.cut(used, cut)?;
    let cut_at = Instant::now();
    let back = stream.wait_for_packet_after(cut_at + 10 * PACE, begin + limit);
    // it may break again
    thread::sleep(Duration::from_secs(2));
    let arrivals = stream.finish()?;
    Ok(back.then(|| longest_gap(&arrivals, begin)))
}

/// The longest time without a packet, if it ended after `begin`.
fn longest_gap(arrivals: &[Instant], begin: Instant) -> Duration {
    arrivals
        .windows(2)
        .filter(|pair| pair[1] > begin)
        .map(|pair| pair[1] - pair[0])
        .max()
        .unwrap_or_default()
}

/// Packets from host to host.
struct Stream {
    stop: Arc<AtomicBool>,
    sender: JoinHandle<()>,
    receiver: JoinHandle<Vec<Instant>>,
    last: Arc<std::sync::Mutex<Option<Instant>>>,
}

impl Stream {
    fn start(from: &Host, to: &Host) -> Result<Self> {
        let open = |host: &Host, number| {
            host.enter(|| UdpSocket::bind(SocketAddrV6::new(mesh_ipv6(number), PORT, 0, 0)))
        };
        let (sending, receiving) = (open(from, SENDER)??, open(to, RECEIVER)??);
        receiving.set_read_timeout(Some(Duration::from_millis(100)))?;
        let stop = Arc::new(AtomicBool::new(false));
        let last = Arc::new(std::sync::Mutex::new(None));
        let ended = Arc::clone(&stop);
        let sender = thread::spawn(move || {
            let mut due = Instant::now();
            while !ended.load(Ordering::Relaxed) {
                let to = SocketAddrV6::new(mesh_ipv6(RECEIVER), PORT, 0, 0);
                // without a route there is an outage, which is what is measured
                sending.send_to(b"still there?", to).ok();
                due += PACE;
                thread::sleep(due.saturating_duration_since(Instant::now()));
            }
        });
        let (ended, seen) = (Arc::clone(&stop), Arc::clone(&last));
        let receiver = thread::spawn(move || {
            let mut arrivals = Vec::new();
            while !ended.load(Ordering::Relaxed) {
                if receiving.recv(&mut [0; 64]).is_ok() {
                    let now = Instant::now();
                    arrivals.push(now);
                    if let Ok(mut seen) = seen.lock() {
                        *seen = Some(now);
                    }
                }
            }
            arrivals
        });
        Ok(Self {
            stop,
            sender,
            receiver,
            last,
        })
    }

    fn wait_for_packet_after(&self, moment: Instant, limit: Instant) -> bool {
        while Instant::now() < limit {
            if self.last.lock().is_ok_and(|last| *last > Some(moment)) {
                return true;
            }
            thread::sleep(Duration::from_millis(20));
        }
        false
    }

    fn finish(self) -> Result<Vec<Instant>> {
        self.stop.store(true, Ordering::Relaxed);
        self.sender
            .join()
            .map_err(|_| anyhow!("the sender failed"))?;
        self.receiver
            .join()
            .map_err(|_| anyhow!("the receiver failed"))
    }
}
