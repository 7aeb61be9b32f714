//! Keeps a process's secrets in its memory: none is in a core dump, in what other processes may look at, or in swap.

use std::{fmt::Display, io};

use nix::{
    libc,
    sys::{
        prctl,
        resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit},
    },
};

use super::host;

/// Does what can be done, and says what cannot, for people.
pub fn keep_in_memory() -> Vec<String> {
    let no_core = setrlimit(Resource::RLIMIT_CORE, 0, 0);
    let no_core = no_core.map_err(|error| format!("core dumps are not forbidden: {error}"));
    // who may not trace it cannot read its memory either
    let not_dumpable = prctl::set_dumpable(false);
    let not_dumpable =
        not_dumpable.map_err(|error| format!("others may look into its memory: {error}"));
    [no_core, not_dumpable, lock()]
        .into_iter()
        .filter_map(Result::err)
        .collect()
}

/// Locks what is in memory, and whatever comes, as soon as it is touched. Only where there is no limit of it: under one, each
/// later allocation might fail.
fn lock() -> Result<(), String> {
    const SWAPPED: &str = "its memory, keys included, may be swapped out";
    let failed = |error: &dyn Display| format!("{SWAPPED}: {error}");
    let unlimited = setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY);
    let limits = getrlimit(Resource::RLIMIT_MEMLOCK).map_err(|error| failed(&error))?;
    let is_free = || host::may_lock_any_memory().map_err(|error| failed(&error));
    if unlimited.is_err() && limits.0 != RLIM_INFINITY && !is_free()? {
        return Err(format!(
            "{SWAPPED}: {} bytes may be locked, and without a limit all would be (LimitMEMLOCK=infinity of systemd)",
            limits.0
        ));
    }
    // SAFETY: it takes no pointer, and changes nothing but where the kernel keeps pages
    let outcome =
        unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE | libc::MCL_ONFAULT) };
    match outcome {
        0 => Ok(()),
        _ => Err(failed(&io::Error::last_os_error())),
    }
}
