//! Asks on, between all nodes, whether packets arrive, and how long they take.

use std::{
    collections::VecDeque,
    io,
    net::{Ipv6Addr, SocketAddr, UdpSocket},
    os::fd::AsFd as _,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::Node;

/// Between two probes of a pair.
pub const INTERVAL: Duration = Duration::from_millis(100);
/// Round trips of which the shortest counts: a busy machine is late, and never early.
const REMEMBERED: usize = 30;
const PORT: u16 = 5010;
/// What a probe is, and what its answer.
const PROBE: u8 = 0;
const ANSWER: u8 = 1;

/// A prober that is running. Ends when dropped.
pub struct Prober {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

struct Shared {
    stop: AtomicBool,
    count: usize,
    pairs: Mutex<Vec<Pair>>,
}

/// What is known of two nodes.
#[derive(Clone, Debug, Default)]
struct Pair {
    /// When the last probe was sent that was answered.
    answered: Option<Instant>,
    round_trips: VecDeque<Duration>,
    /// When it began that probes were not answered, and how long that went on.
    outages: Vec<(Instant, Duration)>,
}

impl Pair {
    fn answer(&mut self, sent: Instant, now: Instant) {
        self.round_trips
            .push_back(now.saturating_duration_since(sent));
        if self.round_trips.len() > REMEMBERED {
            self.round_trips.pop_front();
        }
        // one that overtook another says nothing new
        if let Some(gap) = self.gap(sent) {
            self.outages.push(gap);
        }
        self.answered = self.answered.max(Some(sent));
    }

    /// When probes stopped being answered, if this is the next one that is, and for how long.
    fn gap(&self, next: Instant) -> Option<(Instant, Duration)> {
        let began = self.answered? + INTERVAL;
        let lasted = next.checked_duration_since(began)?;
        (lasted > INTERVAL / 2).then_some((began, lasted))
    }
}

impl Prober {
    /// Begins to probe between all nodes, which run.
    pub fn start(nodes: &[Node]) -> Result<Self> {
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            count: nodes.len(),
            pairs: Mutex::new(vec![Pair::default(); nodes.len() * nodes.len()]),
        });
        let sockets = nodes.iter().map(|node| {
            let bind = || {
                let socket = UdpSocket::bind((node.address, PORT))?;
                socket.set_nonblocking(true)?;
                Ok::<_, io::Error>(socket)
            };
            let socket = node.host.enter(bind)?;
            socket.with_context(|| format!("a socket at {}", node.address))
        });
        let probing = Probing {
            sockets: sockets.collect::<Result<_>>()?,
            addresses: nodes.iter().map(|node| node.address).collect(),
            begin: Instant::now(),
            shared: Arc::clone(&shared),
        };
        Ok(Self {
            shared,
            thread: Some(thread::spawn(move || probing.run())),
        })
    }

    /// Whether the two answer each other at the moment, as far as that can be known of a way of this length.
    pub fn is_up(&self, one: usize, other: usize, round_trip: Duration) -> bool {
        let answered = self.shared.pair(one, other).answered;
        answered.is_some_and(|at| at.elapsed() < 2 * round_trip + 4 * INTERVAL)
    }

    /// Whether a probe that was sent since then was answered.
    pub fn answered_since(&self, one: usize, other: usize, since: Instant) -> bool {
        let answered = self.shared.pair(one, other).answered;
        answered.is_some_and(|at| at > since)
    }

    /// The shortest round trip of the last ones.
    pub fn round_trip(&self, one: usize, other: usize) -> Option<Duration> {
        self.shared
            .pair(one, other)
            .round_trips
            .iter()
            .min()
            .copied()
    }

    /// The longest time without an answer, among those that went on after this.
    pub fn outage_since(&self, one: usize, other: usize, since: Instant) -> Duration {
        let pair = self.shared.pair(one, other);
        let after = pair
            .outages
            .iter()
            .filter(|(began, lasted)| *began + *lasted > since);
        after.map(|(_, lasted)| *lasted).max().unwrap_or_default()
    }

    /// Forgets the round trips seen, because ways have changed.
    pub fn forget_round_trips(&self) {
        for pair in self.shared.pairs().iter_mut() {
            pair.round_trips.clear();
        }
    }
}

impl Drop for Prober {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(Ok(()))) | None => {}
            other => eprintln!("warning: the prober ended early: {other:?}"),
        }
    }
}

impl Shared {
    fn pairs(&self) -> MutexGuard<'_, Vec<Pair>> {
        self.pairs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pair(&self, one: usize, other: usize) -> Pair {
        let place = one.min(other) * self.count + one.max(other);
        self.pairs()[place].clone()
    }
}

struct Probing {
    sockets: Vec<UdpSocket>,
    addresses: Vec<Ipv6Addr>,
    begin: Instant,
    shared: Arc<Shared>,
}

impl Probing {
    fn run(self) -> io::Result<()> {
        let mut due = self.begin;
        while !self.shared.stop.load(Ordering::Relaxed) {
            let now = Instant::now();
            if due <= now {
                self.send();
                // a machine that was too busy does not make up for what it has missed
                due = (due + INTERVAL).max(now);
            }
            let left = due.saturating_duration_since(now).as_millis().max(1);
            let polled = self.sockets.iter();
            let mut polled: Vec<PollFd<'_>> = polled
                .map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN))
                .collect();
            poll(&mut polled, PollTimeout::from(left as u8))?;
            let readable: Vec<bool> = polled.iter().map(|it| it.any() == Some(true)).collect();
            for (socket, _) in self.sockets.iter().zip(readable).filter(|(_, is)| *is) {
                self.take(socket);
            }
        }
        Ok(())
    }

    fn send(&self) {
        let sent = self.begin.elapsed().as_micros() as u64;
        for (one, socket) in self.sockets.iter().enumerate() {
            for (other, address) in self.addresses.iter().enumerate().skip(one + 1) {
                let mut probe = [PROBE, one as u8, other as u8, 0, 0, 0, 0, 0, 0, 0, 0];
                probe[3..].copy_from_slice(&sent.to_be_bytes());
                // without a route, or an address, there is an outage, which is what is to be seen
                socket.send_to(&probe, (*address, PORT)).ok();
            }
        }
    }

    fn take(&self, socket: &UdpSocket) {
        let mut packet = [0; 11];
        // until nothing is left; errors are of earlier probes (ICMP)
        while let Ok((length, from)) = socket.recv_from(&mut packet) {
            match packet {
                [PROBE, ..] if length == packet.len() => self.answer(socket, packet, from),
                [ANSWER, one, other, sent @ ..] if length == packet.len() => {
                    let sent = self.begin + Duration::from_micros(u64::from_be_bytes(sent));
                    let place = usize::from(one) * self.shared.count + usize::from(other);
                    if let Some(pair) = self.shared.pairs().get_mut(place) {
                        pair.answer(sent, Instant::now());
                    }
                }
                _ => {}
            }
        }
    }

    fn answer(&self, socket: &UdpSocket, mut packet: [u8; 11], to: SocketAddr) {
        packet[0] = ANSWER;
        socket.send_to(&packet, to).ok();
    }
}
