//! Programs on interfaces: attached, replaced, removed.
//!
//! A [`Hook`] is a place for one of our programs. Where the kernel has links for it, the link is pinned under the hook's
//! name; a TC hook before Linux 6.6 is a filter of the qdisc `clsact`.

use std::{
    io,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
};

use super::{
    GUARD, HANDOVER, SEND,
    error::{BpfError, During as _},
    manifest::TcAttachment,
    pins::Pins,
    rollback::Rollback,
};
use crate::io::{
    bpf_call::{self, Attachment},
    bpffs,
    netlink::{
        Rtnetlink,
        filter::{Direction, Place},
    },
};

/// A place for one of our programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// Arriving frames of an interface.
    Xdp(u32),
    /// What XDP hands over on an interface.
    Handover(u32),
    /// The mesh device's other end.
    Send(u32),
    /// What enters the mesh device.
    Guard(u32),
}

impl Hook {
    /// The interface it is on.
    pub const fn interface(self) -> u32 {
        match self {
            Self::Xdp(index) | Self::Handover(index) | Self::Send(index) | Self::Guard(index) => {
                index
            }
        }
    }

    /// The name its link is pinned under.
    pub fn link_name(self) -> String {
        match self {
            Self::Xdp(index) => format!("xdp-{index}"),
            Self::Handover(index) => format!("handover-{index}"),
            Self::Send(_) => "send".to_owned(),
            Self::Guard(_) => "guard".to_owned(),
        }
    }

    /// The TC program that belongs there; `None` for XDP.
    pub const fn tc_program(self) -> Option<&'static str> {
        match self {
            Self::Xdp(_) => None,
            Self::Handover(_) => Some(HANDOVER),
            Self::Send(_) => Some(SEND),
            Self::Guard(_) => Some(GUARD),
        }
    }

    const fn direction(self) -> Direction {
        match self {
            Self::Guard(_) => Direction::Egress,
            _ => Direction::Ingress,
        }
    }

    /// Its kind of attachment with tcx.
    pub const fn tcx(self) -> Attachment {
        match self.direction() {
            Direction::Ingress => Attachment::TcIngress,
            Direction::Egress => Attachment::TcEgress,
        }
    }

    /// Its place as a filter of the qdisc `clsact`.
    pub const fn place(self, handle: u32) -> Place {
        Place {
            interface: self.interface(),
            direction: self.direction(),
            handle,
        }
    }
}

/// The link of a hook if it is pinned and still attached.
pub fn live_link(pins: &Pins, hook: Hook) -> Result<Option<OwnedFd>, BpfError> {
    let path = pins.link(&hook.link_name());
    let what = || format!("open the link {}", path.display());
    let link = match bpf_call::open_pin(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        link => link.during(what)?,
    };
    // a link whose interface went away says 0
    let interface = bpf_call::information(&link, "ifindex").during(what)?;
    Ok((interface == Some(u64::from(hook.interface()))).then_some(link))
}

/// Whether any link in the instance's folder is still attached to something.
pub fn any_alive(pins: &Pins) -> Result<bool, BpfError> {
    for name in bpffs::names(&pins.links())? {
        let path = pins.link(&name);
        let what = || format!("open the link {}", path.display());
        let link = bpf_call::open_pin(&path).during(what)?;
        let interface = bpf_call::information(&link, "ifindex").during(what)?;
        if interface.is_some_and(|index| index != 0) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Attaches a program by a link, or makes the link that is there carry it, at once. Says whether the link is new.
pub fn set_link(
    pins: &Pins,
    hook: Hook,
    attachment: Attachment,
    program: BorrowedFd<'_>,
    rollback: &mut Rollback,
) -> Result<bool, BpfError> {
    let what = || format!("attach to interface {}", hook.interface());
    if let Some(link) = live_link(pins, hook)? {
        replace(&link, program, rollback).during(what)?;
        return Ok(false);
    }
    let path = pins.link(&hook.link_name());
    bpffs::remove(&path)?;
    let link = bpf_call::create_link(program, hook.interface(), attachment).during(what)?;
    let undo = pins.clone();
    rollback.push(move || remove_link(&undo, hook));
    bpf_call::pin(&link, &path).during(|| format!("pin {}", path.display()))?;
    Ok(true)
}

/// Whether a program of somebody else's (or of another instance) meets packets before a tcx link's.
fn is_behind(link: &OwnedFd, hook: Hook) -> io::Result<bool> {
    let own = bpf_call::information(link, "prog_id")?;
    let programs = bpf_call::programs_at(hook.interface(), hook.tcx())?;
    Ok(programs.first().map(|id| u64::from(*id)) != own)
}

/// Lets a tcx program meet packets before all others, in the place of the one `old` carries.
fn put_first(
    pins: &Pins,
    hook: Hook,
    program: BorrowedFd<'_>,
    old: &OwnedFd,
) -> Result<(), BpfError> {
    let what = || format!("attach to interface {} before others", hook.interface());
    let create = || bpf_call::create_link(program, hook.interface(), hook.tcx());
    let new = match create() {
        // it is the very program that is there, which the kernel takes once
        Err(error) if error.raw_os_error() == Some(libc::EEXIST) => {
            bpf_call::detach_link(old.as_fd()).during(what)?;
            create().during(what)?
        }
        new => {
            let new = new.during(what)?;
            bpf_call::detach_link(old.as_fd()).during(what)?;
            new
        }
    };
    let scratch = pins.link(&format!("{}-first", hook.link_name()));
    bpffs::remove(&scratch)?;
    bpf_call::pin(&new, &scratch).during(|| format!("pin {}", scratch.display()))?;
    bpffs::rename(&scratch, &pins.link(&hook.link_name()))?;
    Ok(())
}

/// Attaches a tcx program, or makes the link that is there carry it, and in any case before everybody else's.
fn set_tcx(
    pins: &Pins,
    hook: Hook,
    program: BorrowedFd<'_>,
    rollback: &mut Rollback,
) -> Result<(), BpfError> {
    let what = || format!("attach to interface {}", hook.interface());
    let old = live_link(pins, hook)?;
    let Some(old) = old.filter(|old| is_behind(old, hook).unwrap_or(false)) else {
        return set_link(pins, hook, hook.tcx(), program, rollback).map(drop);
    };
    let before = program_of(&old).during(what)?;
    put_first(pins, hook, program, &old)?;
    let undo = pins.clone();
    rollback.push(move || match live_link(&undo, hook)? {
        Some(link) => put_first(&undo, hook, before.as_fd(), &link),
        None => Ok(()),
    });
    Ok(())
}

/// The program a link carries.
pub fn program_of(link: &OwnedFd) -> io::Result<OwnedFd> {
    let id = bpf_call::information(link, "prog_id")?
        .and_then(|id| u32::try_from(id).ok())
        .ok_or_else(|| io::Error::other("the kernel does not say which program a link has"))?;
    bpf_call::program_by_id(id)
}

/// Makes a link carry another program.
pub fn replace(link: &OwnedFd, program: BorrowedFd<'_>, rollback: &mut Rollback) -> io::Result<()> {
    let old = program_of(link)?;
    bpf_call::update_link(link.as_fd(), program)?;
    let link = link.try_clone()?;
    rollback.push(move || {
        bpf_call::update_link(link.as_fd(), old.as_fd())
            .during(|| "put the former program back".to_owned())
    });
    Ok(())
}

/// Detaches a link and removes its pin. No error if it is not there.
pub fn remove_link(pins: &Pins, hook: Hook) -> Result<(), BpfError> {
    let path = pins.link(&hook.link_name());
    if let Ok(link) = bpf_call::open_pin(&path) {
        match bpf_call::detach_link(link.as_fd()) {
            // its interface is gone, and so is the attachment
            Err(error) if error.raw_os_error() == Some(libc::ENOLINK) => {}
            outcome => outcome.during(|| format!("detach {}", path.display()))?,
        }
    }
    bpffs::remove(&path)?;
    Ok(())
}

/// Attaches a TC program, or replaces the one that is there at once. `handle`: of filters.
pub fn set_tc(
    pins: &Pins,
    hook: Hook,
    how: TcAttachment,
    handle: u32,
    program: BorrowedFd<'_>,
    netlink: &mut Rtnetlink,
    rollback: &mut Rollback,
) -> Result<(), BpfError> {
    // whichever way it was attached before, the packet must meet it once
    match how {
        TcAttachment::Tcx => {
            set_tcx(pins, hook, program, rollback)?;
            let what = || format!("detach from interface {}", hook.interface());
            netlink.remove_filter(hook.place(handle)).during(what)
        }
        TcAttachment::Clsact { .. } => {
            set_filter(pins, hook, handle, program, netlink, rollback)?;
            remove_link(pins, hook)
        }
    }
}

fn set_filter(
    pins: &Pins,
    hook: Hook,
    handle: u32,
    program: BorrowedFd<'_>,
    netlink: &mut Rtnetlink,
    rollback: &mut Rollback,
) -> Result<(), BpfError> {
    let name = hook.tc_program().unwrap_or_default();
    let what = || format!("attach {name} to interface {}", hook.interface());
    let place = hook.place(handle);
    let was_there = netlink.has_filter(place).during(what)?;
    netlink.set_filter(place, program, name).during(what)?;
    let old = pins.object(name);
    rollback.push(move || {
        let mut netlink = Rtnetlink::open().during(what_undo)?;
        if was_there {
            let old = bpf_call::open_pin(&old).during(what_undo)?;
            netlink
                .set_filter(place, old.as_fd(), name)
                .during(what_undo)
        } else {
            netlink.remove_filter(place).during(what_undo)
        }
    });
    Ok(())
}

fn what_undo() -> String {
    "put the former TC program back".to_owned()
}

/// Removes a TC program, however it was attached. No error if it is not there.
pub fn remove_tc(
    pins: &Pins,
    hook: Hook,
    how: TcAttachment,
    handle: u32,
    netlink: &mut Rtnetlink,
) -> Result<(), BpfError> {
    remove_link(pins, hook)?;
    if let TcAttachment::Clsact { added } = how {
        let what = || format!("detach from interface {}", hook.interface());
        netlink.remove_filter(hook.place(handle)).during(what)?;
        if added && netlink.count_filters(hook.interface()).during(what)? == (0, 0) {
            netlink.remove_clsact(hook.interface()).during(what)?;
        }
    }
    Ok(())
}

/// Prepares an interface for TC programs. `tcx`: whether the kernel has it and nobody asked otherwise.
pub fn prepare_tc(
    interface: u32,
    tcx: bool,
    netlink: &mut Rtnetlink,
    rollback: &mut Rollback,
) -> Result<TcAttachment, BpfError> {
    if tcx {
        return Ok(TcAttachment::Tcx);
    }
    let what = move || format!("add the qdisc clsact to interface {interface}");
    let new = netlink.add_clsact(interface).during(what)?;
    if new {
        rollback.push(move || {
            Rtnetlink::open()
                .and_then(|mut netlink| netlink.remove_clsact(interface))
                .during(what)
        });
    }
    let (ours, others) = netlink.count_filters(interface).during(what)?;
    Ok(TcAttachment::Clsact {
        added: new || (ours > 0 && others == 0),
    })
}
