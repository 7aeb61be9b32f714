//! Sockets of Babel: UDP on a plain interface, and what carries tunnels (UDP, or IP protocol 47).

use std::{
    io::{self, IoSliceMut},
    net::{IpAddr, Ipv6Addr, SocketAddrV6, UdpSocket},
    os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
};

use nix::{
    cmsg_space,
    sys::socket::{
        ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn, SockaddrIn6, recvmsg, sendmsg,
        setsockopt, sockopt,
    },
};

/// Octets of the longest packet taken.
const LONGEST: usize = 65_536;
/// Room for bursts of announcements, in octets.
const RECEIVE_BUFFER: i32 = 8 << 20;
/// `UDP_NO_CHECK6_TX`: send without checksum over IPv6 (RFC 6935).
const UDP_NO_CHECK6_TX: i32 = 101;
/// `UDP_NO_CHECK6_RX`: take packets without checksum over IPv6.
const UDP_NO_CHECK6_RX: i32 = 102;
/// Traffic class CS6, network control.
const NETWORK_CONTROL: i32 = 0xc0;

/// A received packet.
#[derive(Debug)]
pub struct Datagram<'a> {
    /// Who sent it; IPv4 addresses as such.
    pub source: IpAddr,
    /// Its port; 0 without UDP.
    pub port: u16,
    /// To whom.
    pub destination: IpAddr,
    /// The index of the interface it came in by.
    pub interface: u32,
    /// Without IP and UDP headers.
    pub bytes: &'a [u8],
}

/// A socket that tells where packets went to, and chooses where they come from.
#[derive(Debug)]
pub struct Socket {
    socket: OwnedFd,
    /// Raw IPv4: packets begin with the IP header.
    ipv4_header: bool,
    buffer: Vec<u8>,
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Socket {
    /// What stays on the link of a plain interface: UDP from and to a port, also to a multicast group.
    pub fn link(name: &str, interface: u32, group: Ipv6Addr, port: u16) -> io::Result<Self> {
        let socket = open(libc::AF_INET6, libc::SOCK_DGRAM, 0)?;
        let device = std::ffi::OsString::from(name);
        setsockopt(&socket, sockopt::BindToDevice, &device)?;
        for (option, value) in [
            (libc::IPV6_V6ONLY, 1),
            (libc::IPV6_RECVPKTINFO, 1),
            (libc::IPV6_MULTICAST_HOPS, 1),
            (libc::IPV6_UNICAST_HOPS, 1),
            (libc::IPV6_TCLASS, NETWORK_CONTROL),
            (libc::IPV6_MULTICAST_IF, interface.cast_signed()),
        ] {
            set(&socket, libc::IPPROTO_IPV6, option, value)?;
        }
        bind(&socket, port)?;
        let socket = UdpSocket::from(socket);
        socket.set_multicast_loop_v6(false)?;
        socket.join_multicast_v6(&group, interface)?;
        Ok(Self::new(socket.into(), false))
    }

    /// Joins the group anew: an interface that was without IPv6 (its MTU was below 1280) has forgotten that we are in it.
    pub fn join_again(&self, interface: u32, group: Ipv6Addr) -> io::Result<()> {
        let socket = UdpSocket::from(self.socket.try_clone()?);
        // it may not know the group any more
        let _ = socket.leave_multicast_v6(&group, interface);
        socket.join_multicast_v6(&group, interface)
    }

    /// What carries `fou` tunnels, of both IP versions.
    pub fn fou(port: u16) -> io::Result<Self> {
        let socket = open(libc::AF_INET6, libc::SOCK_DGRAM, 0)?;
        set(&socket, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 0)?;
        set(&socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1)?;
        set(&socket, libc::IPPROTO_UDP, UDP_NO_CHECK6_TX, 1)?;
        set(&socket, libc::IPPROTO_UDP, UDP_NO_CHECK6_RX, 1)?;
        bind(&socket, port)?;
        Ok(Self::new(socket, false))
    }

    /// What carries `gre` tunnels of one IP version.
    pub fn gre(ipv4: bool) -> io::Result<Self> {
        let family = if ipv4 { libc::AF_INET } else { libc::AF_INET6 };
        let socket = open(family, libc::SOCK_RAW, libc::IPPROTO_GRE)?;
        let (level, option) = if ipv4 {
            (libc::IPPROTO_IP, libc::IP_PKTINFO)
        } else {
            (libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO)
        };
        set(&socket, level, option, 1)?;
        Ok(Self::new(socket, ipv4))
    }

    fn new(socket: OwnedFd, ipv4_header: bool) -> Self {
        // more than the limit needs a privilege; less will do
        let _ = set(
            &socket,
            libc::SOL_SOCKET,
            libc::SO_RCVBUFFORCE,
            RECEIVE_BUFFER,
        );
        Self {
            socket,
            ipv4_header,
            buffer: vec![0; LONGEST],
        }
    }

    /// The next packet, if there is one.
    pub fn receive(&mut self) -> io::Result<Option<Datagram<'_>>> {
        if self.ipv4_header {
            return self.receive_raw_ipv4();
        }
        let mut control = cmsg_space!(libc::in6_pktinfo);
        let mut parts = [IoSliceMut::new(&mut self.buffer)];
        let received = recvmsg::<SockaddrIn6>(
            self.socket.as_raw_fd(),
            &mut parts,
            Some(&mut control),
            MsgFlags::MSG_DONTWAIT,
        );
        let received = match received {
            Ok(received) => received,
            Err(nix::Error::EAGAIN) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let info = received.cmsgs()?.find_map(|message| match message {
            ControlMessageOwned::Ipv6PacketInfo(info) => Some(info),
            _ => None,
        });
        let destination = info.map(|info| Ipv6Addr::from(info.ipi6_addr.s6_addr));
        let length = received.bytes;
        let address = received.address;
        let plain = |address: Ipv6Addr| IpAddr::V6(address).to_canonical();
        Ok(Some(Datagram {
            source: plain(address.map_or(Ipv6Addr::UNSPECIFIED, |address| address.ip())),
            port: address.map_or(0, |address| address.port()),
            destination: plain(destination.unwrap_or(Ipv6Addr::UNSPECIFIED)),
            interface: info.map_or(0, |info| info.ipi6_ifindex),
            bytes: &self.buffer[..length],
        }))
    }

    fn receive_raw_ipv4(&mut self) -> io::Result<Option<Datagram<'_>>> {
        let mut control = cmsg_space!(libc::in_pktinfo);
        let mut parts = [IoSliceMut::new(&mut self.buffer)];
        let received = recvmsg::<SockaddrIn>(
            self.socket.as_raw_fd(),
            &mut parts,
            Some(&mut control),
            MsgFlags::MSG_DONTWAIT,
        );
        let received = match received {
            Ok(received) => received,
            Err(nix::Error::EAGAIN) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let interface = received.cmsgs()?.find_map(|message| match message {
            ControlMessageOwned::Ipv4PacketInfo(info) => Some(info.ipi_ifindex.cast_unsigned()),
            _ => None,
        });
        let length = received.bytes;
        let packet = &self.buffer[..length];
        let address = |at: usize| {
            let octets = packet.get(at..).and_then(|rest| rest.first_chunk::<4>());
            IpAddr::from(octets.copied().unwrap_or_default())
        };
        let header = packet
            .first()
            .map_or(0, |first| usize::from(first & 15) * 4);
        Ok(Some(Datagram {
            source: address(12),
            port: 0,
            destination: address(16),
            interface: interface.unwrap_or_default(),
            bytes: packet.get(header..).unwrap_or_default(),
        }))
    }

    /// Sends a packet from one of our addresses. `interface`: of link-local addresses.
    pub fn send(
        &self,
        bytes: &[u8],
        source: IpAddr,
        destination: IpAddr,
        port: u16,
        interface: u32,
    ) -> io::Result<()> {
        let parts = [io::IoSlice::new(bytes)];
        let fd = self.socket.as_raw_fd();
        let flags = MsgFlags::MSG_DONTWAIT;
        match (self.ipv4_header, source, destination) {
            (true, IpAddr::V4(source), IpAddr::V4(destination)) => {
                let info = libc::in_pktinfo {
                    ipi_ifindex: 0,
                    ipi_spec_dst: libc::in_addr {
                        s_addr: u32::from_ne_bytes(source.octets()),
                    },
                    ipi_addr: libc::in_addr { s_addr: 0 },
                };
                let to = SockaddrIn::from(std::net::SocketAddrV4::new(destination, 0));
                sendmsg(
                    fd,
                    &parts,
                    &[ControlMessage::Ipv4PacketInfo(&info)],
                    flags,
                    Some(&to),
                )?;
            }
            _ => {
                let info = libc::in6_pktinfo {
                    ipi6_addr: libc::in6_addr {
                        s6_addr: mapped(source).octets(),
                    },
                    ipi6_ifindex: interface,
                };
                let to = SocketAddrV6::new(mapped(destination), port, 0, interface);
                sendmsg(
                    fd,
                    &parts,
                    &[ControlMessage::Ipv6PacketInfo(&info)],
                    flags,
                    Some(&SockaddrIn6::from(to)),
                )?;
            }
        }
        Ok(())
    }
}

const fn mapped(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

fn bind(socket: &OwnedFd, port: u16) -> io::Result<()> {
    let address = SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, port, 0, 0);
    nix::sys::socket::bind(socket.as_raw_fd(), &SockaddrIn6::from(address))?;
    Ok(())
}

fn open(family: i32, kind: i32, protocol: i32) -> io::Result<OwnedFd> {
    let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: the call takes no pointers.
    let socket = unsafe { libc::socket(family, kind | flags, protocol) };
    if socket < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(socket) })
}

fn set(socket: &OwnedFd, level: i32, option: i32, value: i32) -> io::Result<()> {
    // SAFETY: the value is a live integer whose size is given.
    let outcome = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw const value).cast(),
            size_of::<i32>() as libc::socklen_t,
        )
    };
    match outcome {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
