//! Somebody on the path, who keeps datagrams and sends others in anybody's name.

use std::{
    collections::HashSet,
    net::{IpAddr, SocketAddr, SocketAddrV4},
    os::fd::{AsRawFd as _, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use anyhow::{Context as _, Result, anyhow};
use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use nix::{
    errno::Errno,
    sys::{
        socket::{
            AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, recv, sendto,
            setsockopt, socket, sockopt,
        },
        time::{TimeVal, TimeValLike as _},
    },
};

use crate::{host::Host, packet::Internet};

/// A UDP datagram over IPv4, as it was on the wire.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Datagram {
    /// Who has sent it.
    pub from: SocketAddr,
    /// To whom.
    pub to: SocketAddr,
    /// What is in it.
    pub payload: Vec<u8>,
}

/// Keeps the datagrams that pass a router. Ends when dropped.
#[derive(Debug)]
pub struct Recorder {
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<Vec<Datagram>>>>,
}

impl Recorder {
    /// Keeps all to this port from now on.
    pub fn start(router: &Host, port: u16) -> Result<Self> {
        let listener = router.enter(|| {
            socket(
                AddressFamily::Packet,
                SockType::Raw,
                SockFlag::SOCK_CLOEXEC,
                SockProtocol::EthAll,
            )
        })??;
        let patience = TimeVal::milliseconds(50);
        setsockopt(&listener, sockopt::ReceiveTimeout, &patience)?;
        let ended = Arc::new(AtomicBool::new(false));
        let end = Arc::clone(&ended);
        let thread = thread::spawn(move || record(&listener, port, &end));
        Ok(Self {
            ended,
            thread: Some(thread),
        })
    }

    /// Ends it; what has passed, each datagram once, in order.
    pub fn stop(mut self) -> Result<Vec<Datagram>> {
        self.ended.store(true, Ordering::Relaxed);
        let thread = self.thread.take().context("it has ended")?;
        thread.join().map_err(|_| anyhow!("a thread panicked"))?
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

fn record(listener: &OwnedFd, port: u16, ended: &AtomicBool) -> Result<Vec<Datagram>> {
    // a router sees each twice
    let mut seen = HashSet::new();
    let mut kept = Vec::new();
    let mut buffer = vec![0; 1 << 16];
    while !ended.load(Ordering::Relaxed) {
        match recv(listener.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
            Ok(length) => {
                let datagram = buffer.get(..length).and_then(datagram);
                let of_port = datagram.filter(|it| it.to.port() == port);
                kept.extend(of_port.filter(|it| seen.insert(it.clone())));
            }
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(error) => return Err(error).context("listening on the path"),
        }
    }
    Ok(kept)
}

fn datagram(frame: &[u8]) -> Option<Datagram> {
    let sliced = SlicedPacket::from_ethernet(frame).ok()?;
    let (NetSlice::Ipv4(ip), TransportSlice::Udp(udp)) = (sliced.net?, sliced.transport?) else {
        return None;
    };
    let header = ip.header();
    Some(Datagram {
        from: SocketAddr::new(IpAddr::V4(header.source_addr()), udp.source_port()),
        to: SocketAddr::new(
            IpAddr::V4(header.destination_addr()),
            udp.destination_port(),
        ),
        payload: udp.payload().to_vec(),
    })
}

/// Sends datagrams in anybody's name.
#[derive(Debug)]
pub struct Forger(OwnedFd);

impl Forger {
    /// From where this host is.
    pub fn new(host: &Host) -> Result<Self> {
        let socket = host.enter(|| {
            socket(
                AddressFamily::Inet,
                SockType::Raw,
                SockFlag::SOCK_CLOEXEC,
                SockProtocol::Raw,
            )
        })??;
        Ok(Self(socket))
    }

    /// Sends it as if it came from there.
    pub fn send(&self, datagram: &Datagram) -> Result<()> {
        let Datagram { from, to, payload } = datagram;
        let SocketAddr::V4(target) = to else {
            return Err(anyhow!("{to} is no IPv4 address"));
        };
        let packet = Internet::between(from.ip(), to.ip()).udp(from.port(), to.port(), payload);
        let target = SockaddrIn::from(SocketAddrV4::new(*target.ip(), 0));
        let bytes = packet.bytes();
        sendto(self.0.as_raw_fd(), &bytes, &target, MsgFlags::empty())
            .with_context(|| format!("forging {} octets from {from} to {to}", bytes.len()))?;
        Ok(())
    }
}
