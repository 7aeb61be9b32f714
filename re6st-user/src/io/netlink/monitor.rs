//! What changes on the host, as the kernel tells it without being asked: links, addresses, neighbours, routes.

use std::{
    io,
    net::IpAddr,
    os::fd::{AsFd, AsRawFd as _, BorrowedFd},
};

use netlink_packet_core::NetlinkDeserializable as _;
use netlink_packet_route::{
    RouteNetlinkMessage,
    neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage},
};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

use super::{link, mesh_route, split};

/// Groups of rtnetlink: links, neighbours, queueing disciplines and filters, IPv4 addresses and routes, IPv6 addresses and
/// routes.
const GROUPS: [u32; 7] = [1, 3, 4, 5, 7, 9, 11];
/// Datagrams taken at a time.
const BATCH: usize = 256;

/// Something is not as it was, or may not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A link: there, gone, up, down, or another MTU or Ethernet address.
    Link {
        /// Interface index.
        index: u32,
        /// Its name, and its alternative names.
        names: Vec<String>,
    },
    /// The addresses of an interface.
    Addresses {
        /// Interface index.
        index: u32,
    },
    /// A neighbour's Ethernet address, or whether it is known.
    Neighbour {
        /// Interface index.
        interface: u32,
        /// The neighbour.
        address: IpAddr,
    },
    /// Routes that are not ours.
    Routes,
    /// Filters of interfaces.
    Filters,
    /// The kernel had more to tell than we could take: anything.
    Everything,
}

/// A socket that hears of changes.
#[derive(Debug)]
pub struct Monitor {
    socket: Socket,
}

impl AsFd for Monitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Monitor {
    /// Hears of what changes from now on, but for Babel's own routes.
    pub fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        leave_out_routes_of(mesh_route::PROTOCOL, &socket)?;
        socket.bind(&SocketAddr::new(0, 0))?;
        socket.set_non_blocking(true)?;
        for group in GROUPS {
            socket.add_membership(group)?;
        }
        Ok(Self { socket })
    }

    /// What has changed, a bounded part of it; nothing if nothing has.
    pub fn changes(&mut self) -> Vec<Change> {
        let mut changes = Vec::new();
        for _ in 0..BATCH {
            match self.socket.recv_from_full() {
                Ok((bytes, _)) => match split(&bytes) {
                    Ok(messages) => changes.extend(
                        messages
                            .into_iter()
                            .map(|(header, payload)| {
                                RouteNetlinkMessage::deserialize(&header, payload)
                            })
                            .filter_map(|message| message.map_or(Some(Change::Everything), change)),
                    ),
                    Err(_) => changes.push(Change::Everything),
                },
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // ENOBUFS: some are lost
                Err(_) => changes.push(Change::Everything),
            }
        }
        changes.dedup();
        changes
    }
}

fn change(message: RouteNetlinkMessage) -> Option<Change> {
    match message {
        RouteNetlinkMessage::NewLink(message) | RouteNetlinkMessage::DelLink(message) => {
            let interface = link::parse(&message);
            let mut names = interface.alternative_names;
            names.push(interface.name);
            Some(Change::Link {
                index: interface.index,
                names,
            })
        }
        RouteNetlinkMessage::NewAddress(message) | RouteNetlinkMessage::DelAddress(message) => {
            Some(Change::Addresses {
                index: message.header.index,
            })
        }
        RouteNetlinkMessage::NewNeighbour(message) | RouteNetlinkMessage::DelNeighbour(message) => {
            neighbour(&message)
        }
        RouteNetlinkMessage::NewRoute(_) | RouteNetlinkMessage::DelRoute(_) => Some(Change::Routes),
        RouteNetlinkMessage::NewQueueDiscipline(_)
        | RouteNetlinkMessage::DelQueueDiscipline(_)
        | RouteNetlinkMessage::NewTrafficFilter(_)
        | RouteNetlinkMessage::DelTrafficFilter(_) => Some(Change::Filters),
        _ => None,
    }
}

fn neighbour(message: &NeighbourMessage) -> Option<Change> {
    let address = message
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(address)) => {
                Some(IpAddr::from(*address))
            }
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(address)) => {
                Some(IpAddr::from(*address))
            }
            _ => None,
        })?;
    Some(Change::Neighbour {
        interface: message.header.ifindex,
        address,
    })
}

/// A filter in the kernel: what we write ourselves must not come back, tens of thousands at a time.
fn leave_out_routes_of(protocol: u8, socket: &Socket) -> io::Result<()> {
    const LOAD_OCTET: u16 = (libc::BPF_LD | libc::BPF_B | libc::BPF_ABS) as u16;
    const IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    // nlmsg_type, in the host's byte order; rtm_protocol behind the header of 16 octets
    const TYPE: u32 = if cfg!(target_endian = "little") { 4 } else { 5 };
    const ROUTE_PROTOCOL: u32 = 16 + 5;
    let step = |code, k, jt, jf| libc::sock_filter { code, jt, jf, k };
    let mut program = [
        step(LOAD_OCTET, TYPE, 0, 0),
        step(IF_EQUAL, libc::RTM_NEWROUTE.into(), 1, 0),
        step(IF_EQUAL, libc::RTM_DELROUTE.into(), 0, 2),
        step(LOAD_OCTET, ROUTE_PROTOCOL, 0, 0),
        step(IF_EQUAL, protocol.into(), 1, 0),
        step(RETURN, u32::MAX, 0, 0),
        step(RETURN, 0, 0, 0),
    ];
    let filter = libc::sock_fprog {
        len: program.len() as u16,
        filter: program.as_mut_ptr(),
    };
    // SAFETY: the filter and the program it points to outlive the call, which copies both; their lengths are given.
    let outcome = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const filter).cast(),
            size_of::<libc::sock_fprog>() as libc::socklen_t,
        )
    };
    match outcome {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
