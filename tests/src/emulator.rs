//! Links with delay and loss in userspace: an Ethernet switch between TAP devices, with a wire of its own from each host to each other.
//!
//! For kernels without netem. Slower than a veth pair, and exact to about a millisecond.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    fs::{File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::{fd::AsFd as _, unix::fs::OpenOptionsExt as _},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::{host::Host, link::End};

/// Frames on their way to a host at a time; more are lost, as in a router's queue.
const QUEUE: usize = 4096;
/// Frames taken from a host in one turn.
const BATCH: usize = 64;
/// Bytes of the longest frame.
const FRAME: usize = 65_550;
/// How long a host whose interface is down is left alone.
const DOWN: Duration = Duration::from_millis(5);

/// What a wire does to frames, both ways alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wire {
    /// Time a frame takes to the other end.
    pub delay: Duration,
    /// How many of 1000 frames get lost, chosen by a generator that always begins alike.
    pub lost_of_1000: u16,
}

impl Wire {
    /// What has been cut: nothing arrives, and nobody is told.
    pub const CUT: Self = Self {
        delay: Duration::ZERO,
        lost_of_1000: 1000,
    };
}

/// The switch. Gone when dropped.
#[derive(Debug)]
pub struct Emulator {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

#[derive(Debug)]
struct Shared {
    stop: AtomicBool,
    lost: AtomicU64,
    /// From each to each.
    wires: Mutex<Vec<Vec<Wire>>>,
}

impl Emulator {
    /// Joins two hosts by new interfaces of these names. Both are up, without addresses.
    pub fn link(a: End<'_>, b: End<'_>, wire: Wire) -> Result<Self> {
        Self::switch(&[a, b], |_, _| wire)
    }

    /// Joins hosts by new interfaces of these names. All are up, without addresses. `wire` says how far it is from one to another, by
    /// their places among `ends`.
    pub fn switch(ends: &[End<'_>], wire: impl Fn(usize, usize) -> Wire) -> Result<Self> {
        let all = 0..ends.len();
        let wires = all
            .clone()
            .map(|one| all.clone().map(|other| wire(one, other)).collect());
        let wires: Vec<Vec<Wire>> = wires.collect();
        ensure!(
            wires.iter().flatten().all(|wire| wire.lost_of_1000 <= 1000),
            "more than all frames cannot get lost"
        );
        let taps = ends.iter().map(|end| open_tap(*end));
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            lost: AtomicU64::new(0),
            wires: Mutex::new(wires),
        });
        let switch = Switch::new(taps.collect::<Result<_>>()?, Arc::clone(&shared));
        Ok(Self {
            shared,
            thread: Some(thread::spawn(|| switch.run())),
        })
    }

    /// Changes the wire between two of the hosts, both ways. What it was.
    pub fn rewire(&self, one: usize, other: usize, wire: Wire) -> Wire {
        let mut wires = self.shared.wires();
        wires[other][one] = wire;
        std::mem::replace(&mut wires[one][other], wire)
    }

    /// How many frames the wires have lost.
    pub fn lost(&self) -> u64 {
        self.shared.lost.load(Ordering::Relaxed)
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(Ok(()))) | None => {}
            other => eprintln!("warning: an emulated link ended early: {other:?}"),
        }
    }
}

impl Shared {
    fn wires(&self) -> std::sync::MutexGuard<'_, Vec<Vec<Wire>>> {
        self.wires.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lose(&self) {
        self.lost.fetch_add(1, Ordering::Relaxed);
    }
}

/// A host's end.
struct Port {
    tap: File,
    /// Frames on their way to it.
    coming: usize,
    /// It is not listened to until then.
    down_until: Instant,
}

/// A frame on its way. The next one that arrives is the least.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Frame {
    due: Instant,
    /// No two are alike, and those that are due together arrive as they were sent.
    number: u64,
    to: usize,
    bytes: Arc<[u8]>,
}

struct Switch {
    ports: Vec<Port>,
    /// Where an Ethernet address was seen.
    seen: HashMap<[u8; 6], usize>,
    on_the_wire: BinaryHeap<Reverse<Frame>>,
    random: u64,
    number: u64,
    shared: Arc<Shared>,
}

impl Switch {
    fn new(taps: Vec<File>, shared: Arc<Shared>) -> Self {
        let ports = taps.into_iter().map(|tap| Port {
            tap,
            coming: 0,
            down_until: Instant::now(),
        });
        Self {
            ports: ports.collect(),
            seen: HashMap::new(),
            on_the_wire: BinaryHeap::new(),
            random: 1,
            number: 0,
            shared,
        }
    }

    fn run(mut self) -> io::Result<()> {
        let mut buffer = vec![0; FRAME];
        while !self.shared.stop.load(Ordering::Relaxed) {
            self.deliver()?;
            for port in self.wait()? {
                self.take(port, &mut buffer)?;
            }
        }
        Ok(())
    }

    /// Gives hosts what is due.
    fn deliver(&mut self) -> io::Result<()> {
        let now = Instant::now();
        while let Some(Reverse(next)) = self.on_the_wire.peek()
            && next.due <= now
        {
            if let Some(Reverse(frame)) = self.on_the_wire.pop() {
                let port = &mut self.ports[frame.to];
                port.coming -= 1;
                deliver(&mut port.tap, &frame.bytes)?;
            }
        }
        Ok(())
    }

    /// Waits until a host sends or a frame is due; those that send.
    fn wait(&self) -> io::Result<Vec<usize>> {
        let now = Instant::now();
        // a millisecond at least: never a busy loop
        let due = self.on_the_wire.peek().map(|Reverse(frame)| frame.due);
        let up = |port: &Port| port.down_until <= now;
        let longest = match self.ports.iter().all(up) {
            true => Duration::from_millis(50),
            false => DOWN,
        };
        let left = due.map_or(longest, |due| due.saturating_duration_since(now));
        let timeout = PollTimeout::from(left.min(longest).as_millis().max(1) as u8);
        let listened: Vec<usize> = (0..self.ports.len())
            .filter(|port| up(&self.ports[*port]))
            .collect();
        let mut polled: Vec<PollFd<'_>> = listened
            .iter()
            .map(|port| PollFd::new(self.ports[*port].tap.as_fd(), PollFlags::POLLIN))
            .collect();
        poll(&mut polled, timeout)?;
        let sends = |polled: &PollFd<'_>| polled.any() == Some(true);
        let all = listened.iter().zip(&polled);
        Ok(all
            .filter(|(_, polled)| sends(polled))
            .map(|(port, _)| *port)
            .collect())
    }

    /// Takes what a host sends.
    fn take(&mut self, from: usize, buffer: &mut [u8]) -> io::Result<()> {
        for _ in 0..BATCH {
            let port = &mut self.ports[from];
            let length = match port.tap.read(buffer) {
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                // the interface is down: nothing comes
                Err(error) if error.raw_os_error() == Some(nix::libc::EIO) => {
                    port.down_until = Instant::now() + DOWN;
                    return Ok(());
                }
                Err(error) => return Err(error),
            };
            self.send(from, &buffer[..length]);
        }
        Ok(())
    }

    /// Puts a frame on the wires to where it is to go.
    fn send(&mut self, from: usize, bytes: &[u8]) {
        let Some((to, rest)) = bytes.split_first_chunk::<6>() else {
            return;
        };
        if let Some(own) = rest.first_chunk::<6>() {
            self.seen.insert(*own, from);
        }
        let bytes: Arc<[u8]> = bytes.into();
        // who has not been heard, and groups (no group sends), may be anywhere
        let all = match self.seen.get(to) {
            Some(port) => *port..*port + 1,
            None => 0..self.ports.len(),
        };
        for to in all.filter(|to| *to != from) {
            let wire = self.shared.wires()[from][to];
            if self.is_unlucky(wire) || self.ports[to].coming >= QUEUE {
                self.shared.lose();
                continue;
            }
            self.number += 1;
            self.ports[to].coming += 1;
            self.on_the_wire.push(Reverse(Frame {
                due: Instant::now() + wire.delay,
                number: self.number,
                to,
                bytes: Arc::clone(&bytes),
            }));
        }
    }

    fn is_unlucky(&mut self, wire: Wire) -> bool {
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % 1000 < u64::from(wire.lost_of_1000)
    }
}

fn deliver(to: &mut File, frame: &[u8]) -> io::Result<()> {
    match to.write(frame) {
        // a host whose interface is down hears nothing
        Err(error) if error.raw_os_error() == Some(nix::libc::EIO) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
        result => result.map(drop),
    }
}

/// Makes a TAP device in a host; it lives as long as the file is open.
fn open_tap(end: End<'_>) -> Result<File> {
    let (host, name) = end;
    let file = host
        .enter(|| {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .custom_flags(nix::libc::O_NONBLOCK)
                .open("/dev/net/tun")?;
            make_tap(&file, name)?;
            Ok::<_, io::Error>(file)
        })?
        .with_context(|| format!("making TAP device {name} on host {}", host.name()))?;
    set_up(host, name)?;
    Ok(file)
}

fn set_up(host: &Host, name: &str) -> Result<()> {
    host.ip(&["link", "set", name, "up"]).map(drop)
}

mod request {
    //! The one system call that std and nix do not wrap.

    use std::os::fd::AsRawFd as _;

    use super::{File, io};

    nix::ioctl_write_int!(tunsetiff, b'T', 202);

    /// Makes the file of `/dev/net/tun` a TAP device in the calling thread's network namespace.
    pub fn make_tap(file: &File, name: &str) -> io::Result<()> {
        const IFF_TAP: u16 = 2;
        const IFF_NO_PI: u16 = 0x1000;
        // struct ifreq: the name, then a union that begins with the flags
        let mut request = [0_u8; 40];
        if name.is_empty() || name.len() > 15 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "1 to 15 characters",
            ));
        }
        request[..name.len()].copy_from_slice(name.as_bytes());
        request[16..18].copy_from_slice(&(IFF_TAP | IFF_NO_PI).to_ne_bytes());
        // SAFETY: the argument is the address of a live struct ifreq of 40 bytes, which the call reads and writes.
        unsafe { tunsetiff(file.as_raw_fd(), request.as_mut_ptr() as nix::libc::c_ulong) }?;
        Ok(())
    }
}
use request::make_tap;
