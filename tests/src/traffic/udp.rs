//! A stream of numbered datagrams: which arrived, in which order, how often, and whether unharmed.

use std::{
    io::{self, ErrorKind},
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow};
use nix::sys::socket::{setsockopt, sockopt};

use super::Content;
use crate::host::Host;

/// Receive buffer, in bytes: a second of a fast stream, so that a busy machine's receiver loses nothing.
const BUFFER: usize = 32 << 20;
/// How long datagrams still on their way are waited for.
const LATE: Duration = Duration::from_millis(500);
/// Bytes of the number in front of the content.
const NUMBER: usize = 8;

/// What became of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Datagrams {
    /// Datagrams sent.
    pub sent: u64,
    /// Different ones received.
    pub received: u64,
    /// Received again.
    pub duplicated: u64,
    /// Received after one that was sent later.
    pub reordered: u64,
    /// Received with other content than was sent.
    pub corrupted: u64,
}

impl Datagrams {
    /// Datagrams that did not arrive.
    pub fn lost(&self) -> u64 {
        self.sent - self.received
    }

    /// Whether each arrived exactly once, unharmed.
    pub fn is_perfect(&self) -> bool {
        self.sent > 0 && self.lost() == 0 && self.duplicated == 0 && self.corrupted == 0
    }
}

/// A stream that is running.
#[derive(Debug)]
pub struct UdpStream {
    stop: Arc<AtomicBool>,
    sender: JoinHandle<Result<u64>>,
    receiver: JoinHandle<Result<Received>>,
}

#[derive(Debug, Default)]
struct Received {
    seen: Vec<bool>,
    last: Option<u64>,
    duplicated: u64,
    reordered: u64,
    corrupted: u64,
}

impl UdpStream {
    /// Starts to send datagrams with `length` bytes of payload (at least 8), `rate` a second, from `client` to `server`
    /// at `address`, until it is finished.
    pub fn start(
        client: &Host,
        server: &Host,
        address: IpAddr,
        length: usize,
        rate: u32,
    ) -> Result<Self> {
        let receiving = server
            .enter(|| UdpSocket::bind(SocketAddr::new(address, 0)))?
            .with_context(|| format!("binding {address} on host {}", server.name()))?;
        setsockopt(&receiving, sockopt::RcvBufForce, &BUFFER)?;
        receiving.set_read_timeout(Some(LATE))?;
        let target = receiving.local_addr()?;
        let sending = client
            .enter(|| {
                let any: IpAddr = if address.is_ipv4() {
                    [0; 4].into()
                } else {
                    [0; 16].into()
                };
                let socket = UdpSocket::bind(SocketAddr::new(any, 0))?;
                socket.connect(target)?;
                Ok::<_, std::io::Error>(socket)
            })?
            .with_context(|| format!("sending from host {} to {target}", client.name()))?;
        let stop = Arc::new(AtomicBool::new(false));
        let sender = {
            let stop = Arc::clone(&stop);
            thread::spawn(move || send(&sending, length.max(NUMBER), rate, &stop))
        };
        let receiver = {
            let stop = Arc::clone(&stop);
            thread::spawn(move || receive(&receiving, &stop))
        };
        Ok(Self {
            stop,
            sender,
            receiver,
        })
    }

    /// Sends for a while, and finishes.
    pub fn run(
        client: &Host,
        server: &Host,
        address: IpAddr,
        length: usize,
        rate: u32,
        time: Duration,
    ) -> Result<Datagrams> {
        let stream = Self::start(client, server, address, length, rate)?;
        thread::sleep(time);
        stream.finish()
    }

    /// Stops sending, waits for what is on its way, counts.
    pub fn finish(self) -> Result<Datagrams> {
        self.stop.store(true, Ordering::Relaxed);
        let sent = self
            .sender
            .join()
            .map_err(|_| anyhow!("the sender panicked"))??;
        let received = self
            .receiver
            .join()
            .map_err(|_| anyhow!("the receiver panicked"))??;
        Ok(Datagrams {
            sent,
            received: received.seen.iter().filter(|seen| **seen).count() as u64,
            duplicated: received.duplicated,
            reordered: received.reordered,
            corrupted: received.corrupted,
        })
    }
}

const CONTENT: Content = Content { seed: 0x7e57_0003 };

fn datagram(number: u64, buffer: &mut [u8]) {
    let (head, body) = buffer.split_at_mut(NUMBER);
    head.copy_from_slice(&number.to_be_bytes());
    CONTENT.fill(number << 16, body);
}

fn send(socket: &UdpSocket, length: usize, rate: u32, stop: &AtomicBool) -> Result<u64> {
    let mut buffer = vec![0; length];
    let start = Instant::now();
    let mut sent = 0;
    while !stop.load(Ordering::Relaxed) {
        let due = (start.elapsed().as_secs_f64() * f64::from(rate)) as u64 + 1;
        while sent < due {
            datagram(sent, &mut buffer);
            send_one(socket, &buffer).with_context(|| format!("sending datagram {sent}"))?;
            sent += 1;
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok(sent)
}

/// Sends a datagram. What the socket reports may be an ICMP error about an earlier one: that one counts as lost, this
/// one was not sent yet.
fn send_one(socket: &UdpSocket, datagram: &[u8]) -> io::Result<()> {
    const PENDING_ERRORS: usize = 3;
    for _ in 0..PENDING_ERRORS {
        match socket.send(datagram) {
            Err(error) if is_about_earlier(&error) => {}
            result => return result.map(drop),
        }
    }
    socket.send(datagram).map(drop)
}

fn is_about_earlier(error: &io::Error) -> bool {
    let too_big = error.raw_os_error() == Some(nix::libc::EMSGSIZE);
    too_big
        || matches!(
            error.kind(),
            ErrorKind::ConnectionRefused
                | ErrorKind::HostUnreachable
                | ErrorKind::NetworkUnreachable
        )
}

fn receive(socket: &UdpSocket, stop: &AtomicBool) -> Result<Received> {
    let mut received = Received::default();
    let mut buffer = vec![0; 65536];
    let mut expected = vec![0; 65536];
    loop {
        let length = match socket.recv(&mut buffer) {
            Ok(length) => length,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                if stop.load(Ordering::Relaxed) {
                    return Ok(received);
                }
                continue;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error).context("receiving datagrams"),
        };
        let Some(number) = buffer[..length]
            .first_chunk()
            .copied()
            .map(u64::from_be_bytes)
        else {
            received.corrupted += 1;
            continue;
        };
        datagram(number, &mut expected[..length]);
        if number >= 1 << 40 || buffer[..length] != expected[..length] {
            received.corrupted += 1;
        } else {
            received.note(number);
        }
    }
}

impl Received {
    fn note(&mut self, number: u64) {
        let index = number as usize;
        if self.seen.len() <= index {
            self.seen.resize(index + 1, false);
        }
        if std::mem::replace(&mut self.seen[index], true) {
            self.duplicated += 1;
        } else if self.last.is_some_and(|last| last > number) {
            self.reordered += 1;
        }
        self.last = self.last.max(Some(number));
    }
}
