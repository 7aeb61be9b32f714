//! Whether our TC programs are still where `load` put them, and before everybody else's: a program with a final verdict
//! takes away what comes after it.

use std::{collections::BTreeSet, os::fd::AsFd as _};

use super::{
    attach::{self, Hook},
    chain::OtherInstance,
    device,
    error::{BpfError, During as _},
    manifest::{InterfaceRecord, Manifest, TcAttachment},
    pins::Pins,
    rollback::Rollback,
};
use crate::io::{
    bpf_call,
    netlink::{Rtnetlink, filter::PRIORITY},
};

/// A program of ours that does not see all packets it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misplaced {
    /// Where it belongs.
    pub hook: Hook,
    /// The name of that interface.
    pub interface: String,
    how: TcAttachment,
    trouble: Trouble,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    /// It is not there.
    Missing,
    /// The program with this number comes first.
    BehindProgram(u32),
    /// A filter with this priority comes first.
    BehindFilter(u32),
}

impl Misplaced {
    /// Whether it is not there at all.
    pub const fn is_missing(&self) -> bool {
        matches!(self.trouble, Trouble::Missing)
    }

    /// What the operator can do about it.
    pub const fn advice(&self) -> &'static str {
        match self.trouble {
            Trouble::Missing => "load again",
            Trouble::BehindProgram(_) => "load again, which puts ours first",
            Trouble::BehindFilter(_) => "give it a higher pref",
        }
    }

    /// Whether [`restore`] helps.
    pub const fn can_be_restored(&self) -> bool {
        !matches!(self.trouble, Trouble::BehindFilter(_))
    }
}

impl std::fmt::Display for Misplaced {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let program = self.hook.tc_program().unwrap_or_default();
        let interface = &self.interface;
        let at_stake = match self.hook {
            Hook::Guard(_) => {
                "sources of what the kernel forwards into the mesh are not checked".to_owned()
            }
            Hook::Send(_) => "what this host sends into the mesh is lost".to_owned(),
            Hook::Xdp(_) | Hook::Handover(_) => {
                format!(
                    "what XDP hands over on {interface}, such as packets for this host, is lost"
                )
            }
        };
        match self.trouble {
            Trouble::Missing => write!(
                formatter,
                "{program} is not attached to {interface} any more, and {at_stake}"
            ),
            Trouble::BehindProgram(id) => write!(
                formatter,
                "on {interface} a TC program of somebody else (`bpftool prog show id {id}`) comes before {program}, and with \
                 what it keeps to itself {at_stake}"
            ),
            Trouble::BehindFilter(priority) => write!(
                formatter,
                "on {interface} a filter of somebody else (pref {priority}) comes before {program} (pref {PRIORITY}), and with \
                 what it keeps to itself {at_stake}"
            ),
        }
    }
}

/// All programs of an instance that do not see what they should.
///
/// # Errors
/// What keeps the kernel from telling.
pub fn misplaced(
    pins: &Pins,
    manifest: &Manifest,
    others: &[OtherInstance],
    netlink: &mut Rtnetlink,
) -> Result<Vec<Misplaced>, BpfError> {
    let mut found = Vec::new();
    for (hook, interface, how) in places(pins, manifest, netlink)? {
        let trouble = match how {
            TcAttachment::Tcx => at_tcx(pins, hook, others)?,
            TcAttachment::Clsact { .. } => at_clsact(hook, manifest.settings.device, netlink)?,
        };
        found.extend(trouble.map(|trouble| Misplaced {
            hook,
            interface,
            how,
            trouble,
        }));
    }
    Ok(found)
}

/// Where programs belong, but for interfaces that are gone.
fn places(
    pins: &Pins,
    manifest: &Manifest,
    netlink: &mut Rtnetlink,
) -> Result<Vec<(Hook, String, TcAttachment)>, BpfError> {
    let mut places = Vec::new();
    let mut records: Vec<&InterfaceRecord> = Vec::new();
    for record in &manifest.interfaces {
        let there = netlink
            .interface_by_index(record.index)
            .during(|| format!("look up interface {}", record.name))?;
        if there.is_some() {
            records.push(record);
        }
    }
    // one load attaches all in the same way
    if let Some(first) = manifest.interfaces.first()
        && let Some(device) = device::find(pins.instance(), netlink)?
    {
        let instance = pins.instance();
        places.push((Hook::Send(device.other_end), instance.other_end(), first.tc));
        places.push((
            Hook::Guard(device.index),
            instance.device().to_owned(),
            first.tc,
        ));
    }
    let handovers = records
        .into_iter()
        .map(|record| (Hook::Handover(record.index), record.name.clone(), record.tc));
    places.extend(handovers);
    Ok(places)
}

fn at_tcx(pins: &Pins, hook: Hook, others: &[OtherInstance]) -> Result<Option<Trouble>, BpfError> {
    let what = || format!("list the TC programs of interface {}", hook.interface());
    let Some(link) = attach::live_link(pins, hook)? else {
        return Ok(Some(Trouble::Missing));
    };
    let own = bpf_call::information(&link, "prog_id").during(what)?;
    let programs = bpf_call::programs_at(hook.interface(), hook.tcx()).during(what)?;
    let Some(place) = programs.iter().position(|id| Some(u64::from(*id)) == own) else {
        return Ok(Some(Trouble::Missing));
    };
    let known = programs_of(hook, others)?;
    let stranger = programs[..place]
        .iter()
        .find(|id| !known.contains(&u64::from(**id)));
    Ok(stranger.map(|id| Trouble::BehindProgram(*id)))
}

/// The other instances' programs of a kind: they let pass what is not theirs.
fn programs_of(hook: Hook, others: &[OtherInstance]) -> Result<BTreeSet<u64>, BpfError> {
    let mut ids = BTreeSet::new();
    for other in others {
        let path = other.pins.object(hook.tc_program().unwrap_or_default());
        let what = || format!("open {}", path.display());
        // one that is half loaded has none yet
        if let Ok(program) = bpf_call::open_pin(&path) {
            ids.extend(bpf_call::information(&program, "prog_id").during(what)?);
        }
    }
    Ok(ids)
}

fn at_clsact(
    hook: Hook,
    handle: u32,
    netlink: &mut Rtnetlink,
) -> Result<Option<Trouble>, BpfError> {
    let what = || format!("list the filters of interface {}", hook.interface());
    let place = hook.place(handle);
    if !netlink.has_filter(place).during(what)? {
        return Ok(Some(Trouble::Missing));
    }
    let before = netlink.priority_before(place).during(what)?;
    Ok(before.map(Trouble::BehindFilter))
}

/// Attaches a program again where it belongs, or puts it first where that is possible.
///
/// # Errors
/// What keeps the kernel from attaching it.
pub fn restore(
    misplaced: &Misplaced,
    pins: &Pins,
    handle: u32,
    netlink: &mut Rtnetlink,
) -> Result<(), BpfError> {
    let hook = misplaced.hook;
    let path = pins.object(hook.tc_program().unwrap_or_default());
    let program = bpf_call::open_pin(&path).during(|| format!("open {}", path.display()))?;
    let mut rollback = Rollback::default();
    let tcx = matches!(misplaced.how, TcAttachment::Tcx);
    let how = attach::prepare_tc(hook.interface(), tcx, netlink, &mut rollback)?;
    attach::set_tc(
        pins,
        hook,
        how,
        handle,
        program.as_fd(),
        netlink,
        &mut rollback,
    )?;
    rollback.commit();
    Ok(())
}
