//! Clients that take their time.

use std::{
    io::Write as _,
    net::{Ipv4Addr, SocketAddrV4, TcpStream},
    os::fd::AsRawFd as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, ensure};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, setsockopt, socket, sockopt,
};

use crate::host::Host;

/// They have so many addresses: each loopback address is a host of its own.
const SOURCES: usize = 250;
/// Between two bytes of one that sends some.
const PAUSE: Duration = Duration::from_millis(200);

/// Many connections, half of which say nothing, and half the beginning of a TLS handshake, byte by byte.
pub struct Crowd {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<usize>,
}

impl Crowd {
    /// Connects them.
    pub fn gather(host: &Host, port: u16, count: usize) -> Result<Self> {
        let streams = host.enter(|| {
            (0..count)
                .map(|number| connect_from(source(number), port))
                .collect::<Result<Vec<_>>>()
        })??;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || dawdle(streams, &stopped));
        Ok(Self { stop, thread })
    }

    /// Ends them, after as long as they were needed.
    pub fn disperse(self, needed: Duration) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        let sent = self.thread.join();
        let sent = sent.map_err(|_| anyhow!("a panic among the slow"))?;
        ensure!(
            sent > 0 || needed < PAUSE,
            "none of the slow connections said anything"
        );
        Ok(())
    }
}

fn source(number: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 1, (number % SOURCES) as u8 + 1)
}

fn connect_from(source: Ipv4Addr, port: u16) -> Result<TcpStream> {
    let fd = socket(
        AddressFamily::Inet,
        SockType::Stream,
        SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    setsockopt(&fd, sockopt::ReuseAddr, &true)?;
    let address = |address, port| SockaddrIn::from(SocketAddrV4::new(address, port));
    bind(fd.as_raw_fd(), &address(source, 0))?;
    connect(fd.as_raw_fd(), &address(Ipv4Addr::LOCALHOST, port))
        .with_context(|| format!("connecting from {source}"))?;
    Ok(TcpStream::from(fd))
}

/// How many bytes were sent.
fn dawdle(mut streams: Vec<TcpStream>, stop: &AtomicBool) -> usize {
    // a TLS record of a handshake, 512 bytes long, that never comes to its end
    let beginning = [0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc];
    let mut sent = 0;
    let mut turn = 0;
    while !stop.load(Ordering::Relaxed) {
        let byte = beginning.get(turn).copied().unwrap_or(0);
        for stream in streams.iter_mut().skip(1).step_by(2) {
            // the registry may have had enough of it
            sent += stream.write(&[byte]).unwrap_or(0);
        }
        turn += 1;
        let begin = Instant::now();
        while begin.elapsed() < PAUSE && !stop.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(10));
        }
    }
    sent
}
