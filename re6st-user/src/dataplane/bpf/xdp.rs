//! XDP on an interface: in the driver or in the stack, for one instance or for several.

use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};

use super::{
    attach::{self, Hook},
    chain::{self, Chain},
    error::{BpfError, During as _},
    manifest::{InterfaceRecord, Mode},
    pins::Pins,
    rollback::Rollback,
    stacking::Stacking,
};
use crate::io::{bpf_call::Attachment, netlink::Rtnetlink};

/// How the instance that is being loaded attaches XDP.
#[derive(Clone, Copy)]
pub struct Xdp<'a> {
    /// Where it is pinned.
    pub pins: &'a Pins,
    /// Where XDP shall run; `None`: in the driver if it can.
    pub wanted: Option<Mode>,
    /// The program that is attached.
    pub program: BorrowedFd<'a>,
    /// The other instances.
    pub chain: &'a Chain<'a>,
    /// What the interfaces stand on.
    pub stacking: &'a Stacking,
}

impl Xdp<'_> {
    /// Attaches to an interface, or updates what is there, and records what came of it. Returns what the operator should
    /// know.
    pub fn attach(
        &self,
        record: &mut InterfaceRecord,
        netlink: &mut Rtnetlink,
        rollback: &mut Rollback,
    ) -> Result<Option<String>, BpfError> {
        let hook = Hook::Xdp(record.index);
        let replacing = |name: &str| format!("replace the XDP program of {name}");
        let wanted = self.wanted_on(record)?;
        if let Some((holder, link)) = self.chain.holder(record.index)? {
            self.share(wanted, record, holder)?;
            if self.chain.is_first(record.index) {
                attach::replace(&link, self.program, rollback)
                    .during(|| replacing(&record.name))?;
                chain::move_link(&holder.pins, self.pins, record.index, rollback)?;
            }
            return Ok(None);
        }
        let mut note = None;
        if let Some(link) = attach::live_link(self.pins, hook)? {
            if wanted.is_none_or(|mode| mode == record.mode) {
                attach::replace(&link, self.program, rollback)
                    .during(|| replacing(&record.name))?;
                return Ok(None);
            }
            if self.chain.is_shared(record.index) {
                return Err(in_other_mode(record, "another instance"));
            }
            note = Some(format!(
                "{}: changing the XDP mode interrupts its traffic for a moment",
                record.name
            ));
            let (pins, before) = (self.pins.clone(), attachment(record.mode));
            let old = attach::program_of(&link).during(|| replacing(&record.name))?;
            attach::remove_link(self.pins, hook)?;
            rollback.push(move || {
                let mut nothing_more = Rollback::default();
                attach::set_link(&pins, hook, before, old.as_fd(), &mut nothing_more)?;
                nothing_more.commit();
                Ok(())
            });
        }
        if !self.chain.is_first(record.index) {
            return Err(BpfError::Conflict(format!(
                "another instance is on {} but its XDP program is not attached there any more: load that one again first",
                record.name
            )));
        }
        self.attach_new(wanted, record, netlink, rollback)?;
        Ok(note)
    }

    /// Where XDP shall run on an interface; `None`: in the driver if it can.
    fn wanted_on(&self, record: &InterfaceRecord) -> Result<Option<Mode>, BpfError> {
        match (self.wanted, self.stacking.why_generic(record.index)) {
            (Some(Mode::Driver), Some(why)) => Err(BpfError::Conflict(format!(
                "{}: {why}, so it would drop tunnels' packets. Use `--mode auto` or `--mode generic`",
                record.name
            ))),
            (None, Some(_)) => Ok(Some(Mode::Generic)),
            (wanted, _) => Ok(wanted),
        }
    }

    /// The interface has one XDP link, which is another instance's: its mode is ours.
    fn share(
        &self,
        wanted: Option<Mode>,
        record: &mut InterfaceRecord,
        holder: &chain::OtherInstance,
    ) -> Result<(), BpfError> {
        if let Some(other) = holder.record(record.index) {
            record.mode = other.mode;
            record.reason.clone_from(&other.reason);
        }
        match wanted {
            Some(wanted) if wanted != record.mode => Err(in_other_mode(
                record,
                &format!("instance {}", holder.pins.instance()),
            )),
            _ => Ok(()),
        }
    }

    /// Attaches to an interface that has no XDP program of ours.
    fn attach_new(
        &self,
        wanted: Option<Mode>,
        record: &mut InterfaceRecord,
        netlink: &mut Rtnetlink,
        rollback: &mut Rollback,
    ) -> Result<(), BpfError> {
        let name = &record.name;
        let hook = Hook::Xdp(record.index);
        record.reason = self.stacking.why_generic(record.index);
        if wanted != Some(Mode::Generic) {
            match attach::set_link(
                self.pins,
                hook,
                Attachment::DriverXdp,
                self.program,
                rollback,
            ) {
                Ok(_) => {
                    record.mode = Mode::Driver;
                    return Ok(());
                }
                Err(error) if is_busy(&error) => return Err(foreign(name)),
                Err(BpfError::Call { source, .. }) => {
                    let words = netlink.why_no_driver_xdp(record.index, self.program.as_raw_fd());
                    let words = words.map_or_else(|| source.to_string(), |error| error.to_string());
                    record.reason = Some(format!("the driver refused: {words}"));
                }
                Err(error) => return Err(error),
            }
        }
        if wanted == Some(Mode::Driver) {
            return Err(BpfError::Conflict(format!(
                "{name}: {}. Use `--mode auto` or `--mode generic` for XDP in the \
                 kernel's stack, which is slower",
                record.reason.as_deref().unwrap_or_default()
            )));
        }
        match attach::set_link(
            self.pins,
            hook,
            Attachment::GenericXdp,
            self.program,
            rollback,
        ) {
            Err(error) if is_busy(&error) => Err(foreign(name)),
            outcome => {
                record.mode = Mode::Generic;
                outcome.map(|_| ())
            }
        }
    }
}

const fn attachment(mode: Mode) -> Attachment {
    match mode {
        Mode::Driver => Attachment::DriverXdp,
        Mode::Generic => Attachment::GenericXdp,
    }
}

fn is_busy(error: &BpfError) -> bool {
    matches!(error, BpfError::Call { source, .. } if source.raw_os_error() == Some(libc::EBUSY))
}

fn in_other_mode(record: &InterfaceRecord, who: &str) -> BpfError {
    BpfError::Conflict(format!(
        "{} has XDP in {} mode, and {who} uses it too: an interface has one mode. Leave `--mode` out, or unload first",
        record.name, record.mode
    ))
}

fn foreign(name: &str) -> BpfError {
    BpfError::Conflict(format!(
        "{name} already has an XDP program that is not of this software (`ip link show {name}` and `bpftool net` tell \
         which): detach it first, or leave {name} out of `interfaces`"
    ))
}
