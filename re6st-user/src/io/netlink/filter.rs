//! TC programs the way it was before tcx (Linux 6.6): filters of the qdisc `clsact`.

use std::os::fd::{AsRawFd as _, BorrowedFd};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::{
    RouteNetlinkMessage,
    tc::{TcAttribute, TcBpfFlags, TcFilterBpfOption, TcHandle, TcMessage, TcOption},
};

use super::{NetlinkError, Rtnetlink};

/// The priority of all our filters: whoever has the same is one of us.
pub const PRIORITY: u32 = 4754;
/// `ETH_P_ALL` in network order.
const ALL_PROTOCOLS: u32 = 0x0003_u16.to_be() as u32;

/// Which packets a filter sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Arriving ones.
    Ingress,
    /// Leaving ones.
    Egress,
}

/// The place of a filter of ours. `handle` tells our instances apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Interface index.
    pub interface: u32,
    /// Which packets.
    pub direction: Direction,
    /// Number among the filters of one priority.
    pub handle: u32,
}

impl Rtnetlink {
    /// Adds the qdisc `clsact`. Says whether it was not there before.
    pub fn add_clsact(&mut self, interface: u32) -> Result<bool, NetlinkError> {
        let message = RouteNetlinkMessage::NewQueueDiscipline(clsact(interface));
        match self.change(message, NLM_F_CREATE | NLM_F_EXCL) {
            Ok(()) => Ok(true),
            Err(error) if error.is(libc::EEXIST) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Removes the qdisc `clsact` with all its filters. No error if it is not there.
    pub fn remove_clsact(&mut self, interface: u32) -> Result<(), NetlinkError> {
        let message = RouteNetlinkMessage::DelQueueDiscipline(clsact(interface));
        forgive(self.change(message, 0))
    }

    /// How many filters of the qdisc `clsact` are ours, and how many are others'.
    pub fn count_filters(&mut self, interface: u32) -> Result<(usize, usize), NetlinkError> {
        let (mut ours, mut others) = (0, 0);
        for direction in [Direction::Ingress, Direction::Egress] {
            self.each_filter(interface, direction, |priority, _| {
                if priority == PRIORITY {
                    ours += 1;
                } else {
                    others += 1;
                }
            })?;
        }
        Ok((ours, others))
    }

    /// Attaches a program, or replaces the one in the same place at once.
    pub fn set_filter(
        &mut self,
        place: Place,
        program: BorrowedFd<'_>,
        name: &str,
    ) -> Result<(), NetlinkError> {
        let mut message = filter(place);
        message.attributes = vec![
            TcAttribute::Kind("bpf".to_owned()),
            TcAttribute::Options(vec![
                TcOption::Bpf(TcFilterBpfOption::ProgFd(program.as_raw_fd() as u32)),
                TcOption::Bpf(TcFilterBpfOption::ProgName(name.to_owned())),
                TcOption::Bpf(TcFilterBpfOption::Flags(TcBpfFlags::DirectAction)),
            ]),
        ];
        self.change(RouteNetlinkMessage::NewTrafficFilter(message), NLM_F_CREATE)
    }

    /// Whether there is a filter of ours in a place.
    pub fn has_filter(&mut self, place: Place) -> Result<bool, NetlinkError> {
        let wanted = filter(place).header.handle;
        let mut found = false;
        self.each_filter(place.interface, place.direction, |priority, handle| {
            found |= handle == wanted && priority == PRIORITY;
        })?;
        Ok(found)
    }

    /// The priority of a filter of somebody else's that packets meet before ours, if there is one.
    pub fn priority_before(&mut self, place: Place) -> Result<Option<u32>, NetlinkError> {
        let mut first = None;
        self.each_filter(place.interface, place.direction, |priority, _| {
            if priority < PRIORITY {
                first.get_or_insert(priority);
            }
        })?;
        Ok(first)
    }

    /// Priorities and handles of the filters of the qdisc `clsact`, in the order packets meet them.
    fn each_filter(
        &mut self,
        interface: u32,
        direction: Direction,
        mut visit: impl FnMut(u32, TcHandle),
    ) -> Result<(), NetlinkError> {
        let mut request = TcMessage::default();
        request.header.index = interface as i32;
        request.header.parent = parent(direction);
        let outcome = self.dump(RouteNetlinkMessage::GetTrafficFilter(request), |answer| {
            if let RouteNetlinkMessage::NewTrafficFilter(message) = answer
                && message.header.handle != TcHandle::UNSPEC
            {
                visit(message.header.info >> 16, message.header.handle);
            }
            Ok(())
        });
        forgive(outcome)
    }

    /// Removes a filter. No error if it is not there.
    pub fn remove_filter(&mut self, place: Place) -> Result<(), NetlinkError> {
        let mut message = filter(place);
        message.attributes = vec![TcAttribute::Kind("bpf".to_owned())];
        forgive(self.change(RouteNetlinkMessage::DelTrafficFilter(message), 0))
    }
}

/// No such interface, qdisc or filter.
fn forgive(outcome: Result<(), NetlinkError>) -> Result<(), NetlinkError> {
    match outcome {
        Err(error)
            if [libc::ENOENT, libc::ENODEV, libc::EINVAL]
                .iter()
                .any(|errno| error.is(*errno)) =>
        {
            Ok(())
        }
        outcome => outcome,
    }
}

fn clsact(interface: u32) -> TcMessage {
    let mut message = TcMessage::default();
    message.header.index = interface as i32;
    message.header.handle = TcHandle {
        major: u16::MAX,
        minor: 0,
    };
    message.header.parent = TcHandle::CLSACT;
    message.attributes = vec![TcAttribute::Kind("clsact".to_owned())];
    message
}

const fn parent(direction: Direction) -> TcHandle {
    let minor = match direction {
        Direction::Ingress => TcHandle::MIN_INGRESS,
        Direction::Egress => TcHandle::MIN_EGRESS,
    };
    TcHandle {
        major: u16::MAX,
        minor,
    }
}

fn filter(place: Place) -> TcMessage {
    let mut message = TcMessage::default();
    message.header.index = place.interface as i32;
    message.header.handle = TcHandle {
        major: (place.handle >> 16) as u16,
        minor: place.handle as u16,
    };
    message.header.parent = parent(place.direction);
    message.header.info = PRIORITY << 16 | ALL_PROTOCOLS;
    message
}
