//! Sockets of Babel: UDP on a plain interface, and what carries tunnels (UDP, or IP protocol 47).

use std::{
    io::{self, IoSliceMut},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV6},
    os::fd::{AsFd, AsRawFd as _, BorrowedFd},
};

use nix::{
    cmsg_space,
    sys::socket::{
        ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn, SockaddrIn6, SockaddrStorage,
        recvmsg, sendmsg, setsockopt, sockopt,
    },
};
use socket2::{Domain, Type};

/// Octets of the longest packet taken.
const LONGEST: usize = 65_536;
/// Room for bursts of announcements, in octets.
const RECEIVE_BUFFER: usize = 8 << 20;
/// Traffic class CS6, network control.
const NETWORK_CONTROL: i32 = 0xc0;

/// Take packets without checksum over IPv6.
#[derive(Clone)]
struct NoChecksumTaken;
nix::setsockopt_impl!(
    NoChecksumTaken,
    libc::IPPROTO_UDP,
    libc::UDP_NO_CHECK6_RX,
    bool,
    sockopt::SetBool
);

/// Whether packets may be fragmented, over IPv4.
#[derive(Clone)]
struct ProbePath4;
nix::setsockopt_impl!(
    ProbePath4,
    libc::IPPROTO_IP,
    libc::IP_MTU_DISCOVER,
    libc::c_int,
    sockopt::SetStruct<libc::c_int>
);
/// The same over IPv6.
#[derive(Clone)]
struct ProbePath6;
nix::setsockopt_impl!(
    ProbePath6,
    libc::IPPROTO_IPV6,
    libc::IPV6_MTU_DISCOVER,
    libc::c_int,
    sockopt::SetStruct<libc::c_int>
);

/// A received packet.
#[derive(Debug)]
pub struct Datagram<'a> {
    /// Who sent it; IPv4 addresses as such.
    pub source: IpAddr,
    /// Its port; 0 without UDP.
    pub port: u16,
    /// The address it was sent to; IPv4 addresses as such.
    pub destination: IpAddr,
    /// The index of the interface it came in by.
    pub interface: u32,
    /// Without IP and UDP headers.
    pub bytes: &'a [u8],
}

/// A socket that tells where packets went to, and chooses where they come from.
#[derive(Debug)]
pub struct Socket {
    socket: socket2::Socket,
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
        let socket = open(Domain::IPV6, Type::DGRAM, None)?;
        setsockopt(&socket, sockopt::BindToDevice, &name.into())?;
        setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
        setsockopt(&socket, sockopt::Ipv6TClass, &NETWORK_CONTROL)?;
        socket.set_only_v6(true)?;
        socket.set_multicast_hops_v6(1)?;
        socket.set_unicast_hops_v6(1)?;
        socket.set_multicast_if_v6(interface)?;
        socket.set_multicast_loop_v6(false)?;
        bind(&socket, port)?;
        socket.join_multicast_v6(&group, interface)?;
        Ok(Self::new(socket, false))
    }

    /// Joins the group anew: an interface that was without IPv6 (its MTU was below 1280) has forgotten that we are in it.
    pub fn join_again(&self, interface: u32, group: Ipv6Addr) -> io::Result<()> {
        // it may not know the group any more
        let _ = self.socket.leave_multicast_v6(&group, interface);
        self.socket.join_multicast_v6(&group, interface)
    }

    /// What carries `fou` tunnels and channels, of both IP versions. Nothing is fragmented: channels find out what paths carry.
    pub fn fou(port: u16) -> io::Result<Self> {
        let socket = open(Domain::IPV6, Type::DGRAM, None)?;
        socket.set_only_v6(false)?;
        setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
        setsockopt(&socket, NoChecksumTaken, &true)?;
        setsockopt(&socket, ProbePath4, &libc::IP_PMTUDISC_PROBE)?;
        setsockopt(&socket, ProbePath6, &libc::IPV6_PMTUDISC_PROBE)?;
        bind(&socket, port)?;
        Ok(Self::new(socket, false))
    }

    /// What nodes ask each other over the mesh, at an address of ours there, which may not be there yet. What is too long for a
    /// packet goes in several.
    pub fn mesh(address: Ipv6Addr, port: u16) -> io::Result<Self> {
        let socket = open(Domain::IPV6, Type::DGRAM, None)?;
        socket.set_only_v6(true)?;
        socket.set_freebind_v6(true)?;
        setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
        socket.bind(&SocketAddrV6::new(address, port, 0, 0).into())?;
        Ok(Self::new(socket, false))
    }

    /// What carries `gre` tunnels of one IP version.
    pub fn gre(ipv4: bool) -> io::Result<Self> {
        let domain = if ipv4 { Domain::IPV4 } else { Domain::IPV6 };
        let socket = open(domain, Type::RAW, Some(libc::IPPROTO_GRE.into()))?;
        if ipv4 {
            setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
        } else {
            setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
        }
        Ok(Self::new(socket, ipv4))
    }

    fn new(socket: socket2::Socket, ipv4_header: bool) -> Self {
        // more than the limit needs a privilege; less will do
        let _ = setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER);
        Self {
            socket,
            ipv4_header,
            buffer: vec![0; LONGEST],
        }
    }

    /// The next packet, if there is one.
    pub fn receive(&mut self) -> io::Result<Option<Datagram<'_>>> {
        let mut control = cmsg_space!(libc::in6_pktinfo);
        let mut parts = [IoSliceMut::new(&mut self.buffer)];
        let received = recvmsg::<SockaddrStorage>(
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
        let (mut destination, mut interface) = (IpAddr::from(Ipv6Addr::UNSPECIFIED), 0);
        for message in received.cmsgs()? {
            match message {
                ControlMessageOwned::Ipv6PacketInfo(info) => {
                    let address = Ipv6Addr::from(info.ipi6_addr.s6_addr);
                    (destination, interface) = (plain(address), info.ipi6_ifindex);
                }
                ControlMessageOwned::Ipv4PacketInfo(info) => {
                    destination = Ipv4Addr::from_bits(u32::from_be(info.ipi_addr.s_addr)).into();
                    interface = info.ipi_ifindex.cast_unsigned();
                }
                _ => {}
            }
        }
        let (address, length) = (received.address, received.bytes);
        let (source, port) = match address.as_ref() {
            Some(address) => match (address.as_sockaddr_in(), address.as_sockaddr_in6()) {
                (Some(address), _) => (address.ip().into(), address.port()),
                (_, Some(address)) => (plain(address.ip()), address.port()),
                _ => (Ipv6Addr::UNSPECIFIED.into(), 0),
            },
            None => (Ipv6Addr::UNSPECIFIED.into(), 0),
        };
        let packet = &self.buffer[..length];
        let header = match packet.first() {
            Some(first) if self.ipv4_header => usize::from(first & 15) * 4,
            _ => 0,
        };
        Ok(Some(Datagram {
            source,
            port,
            destination,
            interface,
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

const fn plain(address: Ipv6Addr) -> IpAddr {
    IpAddr::V6(address).to_canonical()
}

fn open(
    domain: Domain,
    kind: Type,
    protocol: Option<socket2::Protocol>,
) -> io::Result<socket2::Socket> {
    socket2::Socket::new(domain, kind.nonblocking(), protocol)
}

fn bind(socket: &socket2::Socket, port: u16) -> io::Result<()> {
    socket.bind(&SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, port, 0, 0).into())
}
