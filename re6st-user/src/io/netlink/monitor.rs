//! What changes on the host, as the kernel tells it without being asked: links, addresses, neighbours, routes.

use std::{
    io,
    net::IpAddr,
    os::fd::{AsFd, AsRawFd as _, BorrowedFd},
};

use netlink_packet_core::NetlinkDeserializable as _;
use netlink_packet_route::{
    RouteNetlinkMessage,
    link::LinkFlags,
    neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage},
    route::{RouteAttribute, RouteMessage, RouteProtocol},
};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

use super::{address, link, route, split};
use crate::route::RouteKey;

/// Groups of rtnetlink: links, neighbours, queueing disciplines and filters, IPv4 addresses and routes, IPv6 addresses and
/// routes, IPv4 and IPv6 settings of interfaces (`rp_filter`, `forwarding`).
const GROUPS: [u32; 9] = [1, 3, 4, 5, 7, 9, 11, 24, 25];
/// Message type of settings, which the library does not know.
const RTM_NEWNETCONF: u16 = 80;
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
        /// Whether it was set up or down: then routes through it may have gone without a word.
        switched: bool,
    },
    /// The addresses of an interface.
    Addresses {
        /// Interface index.
        index: u32,
        /// The one that has gone, if one has: it may be there again by now.
        gone: Option<IpAddr>,
    },
    /// A neighbour's Ethernet address, or whether it is known.
    Neighbour {
        /// Interface index.
        interface: u32,
        /// The neighbour.
        address: IpAddr,
    },
    /// Filters of interfaces.
    Filters,
    /// Settings of an interface (`rp_filter`, `forwarding`).
    Settings,
    /// A route was added, changed or removed, not by us.
    Route {
        /// The destination, and the source if it has one.
        route: RouteKey,
        /// Its metric.
        metric: u32,
    },
    /// Routes to the mesh device that a load made.
    StaticRoutes,
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
    /// Hears of what changes from now on, but for the routes that the socket with this port writes
    /// ([`super::Netlink::port`]).
    pub fn open(port: u32) -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        leave_out_routes_of(port, &socket)?;
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
                    Ok(messages) => {
                        changes.extend(messages.into_iter().filter_map(|(header, payload)| {
                            if header.message_type == RTM_NEWNETCONF {
                                return Some(Change::Settings);
                            }
                            let message = RouteNetlinkMessage::deserialize(&header, payload);
                            message.map_or(Some(Change::Everything), change)
                        }))
                    }
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
                switched: message.header.change_mask.contains(LinkFlags::Up),
            })
        }
        RouteNetlinkMessage::NewAddress(message) => Some(Change::Addresses {
            index: message.header.index,
            gone: None,
        }),
        RouteNetlinkMessage::DelAddress(message) => Some(Change::Addresses {
            index: message.header.index,
            gone: address::parse(&message).map(|address| address.ip),
        }),
        RouteNetlinkMessage::NewNeighbour(message) | RouteNetlinkMessage::DelNeighbour(message) => {
            neighbour(&message)
        }
        RouteNetlinkMessage::NewRoute(message) | RouteNetlinkMessage::DelRoute(message) => {
            Some(match message.header.protocol {
                RouteProtocol::Other(route::PROTOCOL) => Change::StaticRoutes,
                _ => route(&message).unwrap_or(Change::Everything),
            })
        }
        RouteNetlinkMessage::NewQueueDiscipline(_)
        | RouteNetlinkMessage::DelQueueDiscipline(_)
        | RouteNetlinkMessage::NewTrafficFilter(_)
        | RouteNetlinkMessage::DelTrafficFilter(_) => Some(Change::Filters),
        _ => None,
    }
}

fn route(message: &RouteMessage) -> Option<Change> {
    let (destination, _) = route::parse(message)?;
    let metric = |attribute: &RouteAttribute| match attribute {
        RouteAttribute::Priority(metric) => Some(*metric),
        _ => None,
    };
    Some(Change::Route {
        route: RouteKey::new(destination.to, destination.from).ok()?,
        metric: message.attributes.iter().find_map(metric).unwrap_or(0),
    })
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
fn leave_out_routes_of(port: u32, socket: &Socket) -> io::Result<()> {
    const LOAD_WORD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const LOAD_OCTET: u16 = (libc::BPF_LD | libc::BPF_B | libc::BPF_ABS) as u16;
    const IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    // nlmsg_type and nlmsg_pid, in the host's byte order, which the filter takes for the network's
    const TYPE: u32 = if cfg!(target_endian = "little") { 4 } else { 5 };
    const PORT: u32 = 12;
    let step = |code, k, jt, jf| libc::sock_filter { code, jt, jf, k };
    let mut program = [
        step(LOAD_OCTET, TYPE, 0, 0),
        step(IF_EQUAL, libc::RTM_NEWROUTE.into(), 1, 0),
        step(IF_EQUAL, libc::RTM_DELROUTE.into(), 0, 2),
        step(LOAD_WORD, PORT, 0, 0),
        step(IF_EQUAL, port.to_be(), 1, 0),
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
