//! Processes whose clock is set otherwise than the host's, by libfaketime.

use std::{
    cell::Cell,
    fs,
    path::PathBuf,
    process::Command,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result};
use testbed::node::re6st_user;

thread_local! {
    /// How many seconds the clocks of this scenario's commands are ahead.
    static AHEAD: Cell<i64> = const { Cell::new(0) };
}

/// `re6st-user`, with this scenario's clock: whatever it is given to do, it does then.
pub fn command() -> Result<Command> {
    let mut command = Command::new(re6st_user()?);
    let ahead = AHEAD.get();
    if ahead != 0 {
        command
            .env("LD_PRELOAD", library()?)
            .env("FAKETIME", format!("{ahead:+}"))
            // what waiting is measured by, and the times of files, stay the host's
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("DONT_FAKE_MONOTONIC", "1")
            .env("NO_FAKE_STAT", "1")
            .env("FAKETIME_DISABLE_SHM", "1");
    }
    Ok(command)
}

/// Commands that begin from now on begin at this moment, in seconds since 1970; time passes for them as for everybody.
pub fn set(moment: u64) -> Result<()> {
    AHEAD.set(moment.cast_signed() - real()?.cast_signed());
    Ok(())
}

/// What they take for the present moment.
pub fn now() -> Result<u64> {
    Ok((real()?.cast_signed() + AHEAD.get()).cast_unsigned())
}

fn real() -> Result<u64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())
}

/// In the folder of this machine's architecture.
fn library() -> Result<PathBuf> {
    fs::read_dir("/usr/lib")?
        .filter_map(|entry| Some(entry.ok()?.path().join("faketime/libfaketimeMT.so.1")))
        .find(|path| path.is_file())
        .context("there is no libfaketimeMT.so.1: install Debian's libfaketime")
}
