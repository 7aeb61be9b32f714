//! A link with delay and loss: a wire in userspace between two TAP devices.
//!
//! For kernels without netem. Slower than a veth pair, and exact to about a millisecond.

use std::{
    collections::VecDeque,
    fs::{File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::{fd::AsFd as _, unix::fs::OpenOptionsExt as _},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::{host::Host, link::End};

/// Frames on the wire at a time, each way; more are lost, as in a router's queue.
const QUEUE: usize = 4096;
/// Bytes of the longest frame.
const FRAME: usize = 65_550;

/// What the wire does to frames, both ways alike.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wire {
    /// Time a frame takes to the other end.
    pub delay: Duration,
    /// How many of 1000 frames get lost, chosen by a generator that always begins alike.
    pub lost_of_1000: u16,
}

/// The link. Gone when dropped.
#[derive(Debug)]
pub struct Emulator {
    stop: Arc<AtomicBool>,
    lost: Arc<AtomicU64>,
    threads: Vec<JoinHandle<io::Result<()>>>,
}

impl Emulator {
    /// Joins two hosts by new interfaces of these names. Both are up, without addresses.
    pub fn link(a: End<'_>, b: End<'_>, wire: Wire) -> Result<Self> {
        ensure!(
            wire.lost_of_1000 <= 1000,
            "more than all frames cannot get lost"
        );
        let (from_a, from_b) = (open_tap(a)?, open_tap(b)?);
        let (to_a, to_b) = (from_a.try_clone()?, from_b.try_clone()?);
        let stop = Arc::new(AtomicBool::new(false));
        let lost = Arc::new(AtomicU64::new(0));
        let threads = [(from_a, to_b, 1), (from_b, to_a, 2)]
            .into_iter()
            .map(|(from, to, seed)| {
                let (stop, lost) = (Arc::clone(&stop), Arc::clone(&lost));
                thread::spawn(move || carry(from, to, wire, seed, &stop, &lost))
            })
            .collect();
        Ok(Self {
            stop,
            lost,
            threads,
        })
    }

    /// How many frames the wire has lost on purpose.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            match thread.join() {
                Ok(Ok(())) => {}
                other => eprintln!("warning: a wire ended early: {other:?}"),
            }
        }
    }
}

/// Carries frames one way.
fn carry(
    mut from: File,
    mut to: File,
    wire: Wire,
    seed: u64,
    stop: &AtomicBool,
    lost: &AtomicU64,
) -> io::Result<()> {
    let mut on_the_wire: VecDeque<(Instant, Vec<u8>)> = VecDeque::new();
    let mut random = seed;
    let mut buffer = vec![0; FRAME];
    while !stop.load(Ordering::Relaxed) {
        let now = Instant::now();
        while on_the_wire.front().is_some_and(|(due, _)| *due <= now) {
            if let Some((_, frame)) = on_the_wire.pop_front() {
                deliver(&mut to, &frame)?;
            }
        }
        // a millisecond at least: never a busy loop
        let next = on_the_wire
            .front()
            .map_or(Duration::from_millis(50), |(due, _)| *due - now);
        let timeout = PollTimeout::from(next.as_millis().clamp(1, 50) as u8);
        let mut readable = [PollFd::new(from.as_fd(), PollFlags::POLLIN)];
        if poll(&mut readable, timeout)? == 0 {
            continue;
        }
        loop {
            let length = match from.read(&mut buffer) {
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // the interface is down: nothing comes
                Err(error) if error.raw_os_error() == Some(nix::libc::EIO) => {
                    thread::sleep(Duration::from_millis(5));
                    break;
                }
                Err(error) => return Err(error),
            };
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let unlucky = (random >> 33) % 1000 < u64::from(wire.lost_of_1000);
            if unlucky || on_the_wire.len() >= QUEUE {
                lost.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            on_the_wire.push_back((Instant::now() + wire.delay, buffer[..length].to_vec()));
        }
    }
    Ok(())
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
