//! What a controller opens before anything is attached, and how it waits for it.

use std::{
    io,
    os::fd::{AsFd as _, BorrowedFd},
    path::Path,
    time::Duration,
};

use anyhow::{Context as _, Result};
use nix::{
    errno::Errno,
    sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
};
use tokio::sync::watch;

use super::{control, orders::Orders, transport::Transport};
use crate::{
    config::Config,
    io::netlink::{Rtnetlink, monitor::Monitor},
    membership::shell::{Membership, Requests, Standing},
};

/// Token of the netlink monitor; interface indexes and places of carriers stay below.
pub(super) const MONITOR: u64 = u64::MAX;
/// Token of orders.
pub(super) const ORDERS: u64 = u64::MAX - 1;
/// Token of what nodes ask each other over the mesh.
pub(super) const QUESTIONS: u64 = u64::MAX - 2;
/// Token of what a router says of a port that it is to pass on.
pub(super) const PORT_MAPPING: u64 = u64::MAX - 3;
/// Tokens of carriers begin here; those of plain interfaces are their indexes.
pub(super) const CARRIERS: u64 = 1 << 32;
/// What a controller opens before anything is attached.
pub struct Outside {
    /// The sockets of tunnels.
    pub transport: Transport,
    /// For questions about the host.
    pub netlink: Rtnetlink,
    pub(super) monitor: Monitor,
    pub(super) orders: Orders,
    pub(super) readiness: Readiness,
    pub(super) membership: Option<(watch::Receiver<Standing>, Requests)>,
    pub(super) control: control::Place,
}

impl Outside {
    /// Opens it. `control`: where the control socket is to be. `routes`: the netlink port that routes are written by.
    ///
    /// # Errors
    /// What keeps the node from running.
    pub fn open(
        config: &Config,
        control: &Path,
        membership: Option<Membership>,
        routes: u32,
    ) -> Result<Self> {
        let transport = Transport::new(config.port, &config.tunnels, membership.is_some())
            .context("open the sockets of the tunnels")?;
        let netlink = Rtnetlink::open().context("open rtnetlink")?;
        let monitor = Monitor::open(routes).context("open the socket for changes of the host")?;
        let readiness = Readiness(Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?);
        readiness.add(monitor.as_fd(), MONITOR)?;
        for (place, carrier) in transport.carriers.iter().enumerate() {
            readiness.add(carrier.as_fd(), CARRIERS + place as u64)?;
        }
        let (listener, place) =
            control::listen(control).with_context(|| format!("listen on {}", control.display()))?;
        let membership = membership.map(Membership::start).transpose()?;
        let standing = membership.as_ref().map(|(standing, _)| standing.clone());
        let orders =
            Orders::begin(listener, standing).context("wait for signals and connections")?;
        readiness.add(orders.as_fd(), ORDERS)?;
        Ok(Self {
            transport,
            netlink,
            monitor,
            orders,
            readiness,
            membership,
            control: place,
        })
    }
}

/// All sockets, to wait for at once.
pub(super) struct Readiness(Epoll);

impl Readiness {
    pub(super) fn add(&self, socket: BorrowedFd<'_>, token: u64) -> io::Result<()> {
        Ok(self
            .0
            .add(socket, EpollEvent::new(EpollFlags::EPOLLIN, token))?)
    }

    /// Waits for sockets, but not longer than told, rounded up to milliseconds.
    pub(super) fn wait<'a>(
        &self,
        most: Option<Duration>,
        events: &'a mut [EpollEvent],
    ) -> io::Result<&'a [EpollEvent]> {
        let most = most.map_or(EpollTimeout::NONE, |most| {
            let milliseconds = most.as_micros().div_ceil(1000);
            EpollTimeout::try_from(milliseconds).unwrap_or(EpollTimeout::MAX)
        });
        match self.0.wait(events, most) {
            Ok(count) => Ok(&events[..count]),
            Err(Errno::EINTR) => Ok(&[]),
            Err(error) => Err(error.into()),
        }
    }
}
