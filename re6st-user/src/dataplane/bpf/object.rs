//! A fresh set of programs and maps, loaded into the kernel but attached to nothing.

use std::{
    os::fd::{AsFd as _, BorrowedFd},
    path::Path,
};

use aya::{Ebpf, EbpfLoader, GlobalData, maps::MapInfo, programs::Program};
use re6st_common::maps::{FibEntry, Settings};

use super::{
    CONTROL_PROGRAM, MAPS, control_program,
    error::{BpfError, During as _},
    pins::Pins,
    programs,
};
use crate::io::bpf_call;

/// How big the maps are, in entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Slots of FIB: a power of two.
    pub fib: u32,
    /// FIB_TRIE, at most.
    pub trie: u32,
    /// NEXT_HOPS and TUNNEL_COUNTERS.
    pub next_hops: u32,
    /// TUNNELS: a power of two.
    pub tunnels: u32,
}

/// Which maps of the running instance go on: counters, and how handshakes are judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// TUNNEL_COUNTERS.
    pub tunnel_counters: bool,
    /// REASONS.
    pub reasons: bool,
    /// HANDSHAKES.
    pub handshakes: bool,
}

/// Programs and maps in the kernel. Gone when dropped, but for what is pinned.
pub struct Object {
    ebpf: Ebpf,
    frags: bool,
}

impl Object {
    /// Loads them. `keep`: maps of the running instance to use instead of new ones.
    pub fn load(
        settings: &Settings,
        sizes: Sizes,
        frags: bool,
        pins: &Pins,
        keep: Kept,
    ) -> Result<Self, BpfError> {
        let mut loader = EbpfLoader::new();
        loader
            .override_global("SETTINGS", GlobalData::from(settings), true)
            .map_max_entries("FIB", sizes.fib.div_ceil(FibEntry::SLOTS))
            .map_max_entries("FIB_TRIE", sizes.trie)
            .map_max_entries("NEXT_HOPS", sizes.next_hops)
            .map_max_entries("TUNNEL_COUNTERS", sizes.next_hops)
            .map_max_entries("TUNNELS", sizes.tunnels);
        for (kept, name) in [
            (keep.tunnel_counters, "TUNNEL_COUNTERS"),
            (keep.reasons, "REASONS"),
            (keep.handshakes, "HANDSHAKES"),
        ] {
            if kept {
                loader.map_pin_path(name, pins.object(name));
            }
        }
        let ebpf = loader
            .load(crate::OBJECT)
            .during(|| "create the BPF maps".to_owned())
            .map_err(explain_permission)?;
        let mut object = Self { ebpf, frags };
        object.load_programs().map_err(explain_permission)?;
        Ok(object)
    }

    /// The programs of an instance.
    pub const fn programs(&self) -> [&'static str; 5] {
        programs(self.frags)
    }

    fn load_programs(&mut self) -> Result<(), BpfError> {
        for name in self.programs() {
            let what = || format!("load the BPF program {name}");
            match self.program_mut(name)? {
                Program::Xdp(program) => program.load().during(what)?,
                Program::SchedClassifier(program) => program.load().during(what)?,
                _ => return Err(missing(name)),
            }
        }
        Ok(())
    }

    fn program_mut(&mut self, name: &'static str) -> Result<&mut Program, BpfError> {
        self.ebpf.program_mut(name).ok_or_else(|| missing(name))
    }

    /// A program's descriptor.
    pub fn program(&self, name: &'static str) -> Result<BorrowedFd<'_>, BpfError> {
        self.ebpf
            .program(name)
            .ok_or_else(|| missing(name))?
            .fd()
            .during(|| format!("use the BPF program {name}"))
            .map(|descriptor| descriptor.as_fd())
    }

    /// Pins everything in the folder of what is new.
    pub fn pin(&mut self, pins: &Pins) -> Result<(), BpfError> {
        for name in MAPS {
            let path = pins.new_object(name);
            let map = self.ebpf.map(name).ok_or_else(|| missing(name))?;
            map.pin(&path)
                .map_err(std::io::Error::other)
                .during(|| format!("pin {}", path.display()))?;
        }
        for name in self.programs() {
            let path = pins.new_object(name);
            bpf_call::pin(self.program(name)?, &path)
                .during(|| format!("pin {}", path.display()))?;
        }
        // not before it is pinned: without a pin or a descriptor the kernel empties it
        let path = pins.new_object(CONTROL_PROGRAM);
        let what = || format!("write {}", path.display());
        let program = self.program(control_program(self.frags))?;
        let map = bpf_call::open_pin(&path).during(what)?;
        bpf_call::set_program_in(&map, 0, Some(program)).during(what)?;
        Ok(())
    }
}

fn missing(name: &str) -> BpfError {
    BpfError::Conflict(format!(
        "the BPF object in this program has no {name}: it was built wrongly"
    ))
}

fn explain_permission(error: BpfError) -> BpfError {
    if error.is_not_permitted() {
        return BpfError::Conflict(format!(
            "{error}\nBPF is not permitted here, though this process has the capabilities: a container's seccomp filter, a \
             security module or kernel lockdown forbids it. Allow bpf(2) and CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN"
        ));
    }
    error
}

/// Entries and bytes of a value of a pinned map; `None` if it is not there.
pub fn map_shape(path: &Path) -> Option<(u32, u32)> {
    let info = MapInfo::from_pin(path).ok()?;
    Some((info.max_entries(), info.value_size()))
}
