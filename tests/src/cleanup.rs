//! What the testbed makes outside of its own process, and how all of it goes away again: when it is no longer needed,
//! on a panic, on Ctrl-C, and, if the process was killed outright, when the next one starts.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, MutexGuard, Once, PoisonError},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};
use nix::{
    errno::Errno,
    mount::{MntFlags, umount2},
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};
use signal_hook::{consts::TERM_SIGNALS, iterator::Signals};

/// Beginning of the names of namespaces and folders of a testbed; a process identifier follows.
const PREFIX: &str = "re6st-";
/// Where folders of testbeds are.
pub const DIRECTORY: &str = "/run/re6st-testbed";
/// Where `ip netns` keeps its handles.
pub const NAMESPACES: &str = "/run/netns";

/// Something that outlives this process unless it is removed.
#[derive(Debug)]
pub enum Resource {
    /// A process group, by its leader.
    ProcessGroup(Pid),
    /// A mounted file system.
    Mount(PathBuf),
    /// A folder with everything in it.
    Directory(PathBuf),
    /// A network namespace.
    Namespace(String),
}

/// The next number, and what is to be removed, in the order it was made.
static REGISTERED: Mutex<(u64, BTreeMap<u64, Resource>)> = Mutex::new((0, BTreeMap::new()));

fn registered() -> MutexGuard<'static, (u64, BTreeMap<u64, Resource>)> {
    // a panic in between leaves the map as good as ever
    REGISTERED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes a resource when dropped.
#[derive(Debug)]
#[must_use = "the resource is removed when this is dropped"]
pub struct Guard(u64);

impl Guard {
    /// From now on the resource is removed, come what may.
    pub fn new(resource: Resource) -> Self {
        let mut registered = registered();
        registered.0 += 1;
        let number = registered.0;
        registered.1.insert(number, resource);
        Self(number)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let resource = registered().1.remove(&self.0);
        if let Some(resource) = resource {
            resource.remove();
        }
    }
}

impl Resource {
    fn remove(&self) {
        if let Err(error) = self.try_remove() {
            eprintln!("warning: could not remove {self:?}: {error:#}");
        }
    }

    fn try_remove(&self) -> Result<()> {
        match self {
            Self::ProcessGroup(leader) => match killpg(*leader, Signal::SIGKILL) {
                Ok(()) | Err(Errno::ESRCH) => Ok(()),
                Err(error) => Err(error.into()),
            },
            Self::Mount(path) => Ok(umount2(path, MntFlags::MNT_DETACH)?),
            Self::Directory(path) => match fs::remove_dir_all(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
                _ => Ok(()),
            },
            Self::Namespace(name) => delete_namespace(name),
        }
    }
}

fn delete_namespace(name: &str) -> Result<()> {
    // whatever still runs in it would keep it alive without a name
    for process in processes_in(name)? {
        match kill(process, Signal::SIGKILL) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(error) => return Err(error).context("killing a process in the namespace"),
        }
    }
    let output = Command::new("ip")
        .args(["netns", "delete", name])
        .output()?;
    anyhow::ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// The processes in a namespace, without ourselves: our own threads may be in it.
fn processes_in(name: &str) -> Result<Vec<Pid>> {
    let output = Command::new("ip").args(["netns", "pids", name]).output()?;
    let own = std::process::id().cast_signed();
    Ok(String::from_utf8_lossy(&output.stdout)
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .filter(|process| *process != own)
        .map(Pid::from_raw)
        .collect())
}

/// The common beginning of the names of everything this process makes.
pub fn own_prefix() -> String {
    format!("{PREFIX}{}-", std::process::id())
}

/// Once a process: removes what dead processes of ours left, and from then on cleans up on Ctrl-C and SIGTERM.
pub fn prepare() -> Result<()> {
    static ONCE: Once = Once::new();
    let mut result = Ok(());
    ONCE.call_once(|| result = sweep().and_then(|()| clean_up_on_signals()));
    result
}

fn clean_up_on_signals() -> Result<()> {
    let mut signals = Signals::new(TERM_SIGNALS).context("installing the signal handler")?;
    thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            if let Some(signal) = signals.forever().next() {
                eprintln!("\ninterrupted: cleaning up");
                remove_everything();
                std::process::exit(128 + signal);
            }
        })?;
    Ok(())
}

/// Removes all that is registered, newest first.
fn remove_everything() {
    loop {
        // not locked meanwhile: other threads may be dropping guards
        let newest = registered().1.pop_last();
        match newest {
            Some((_, resource)) => resource.remove(),
            None => return,
        }
    }
}

/// Removes what processes of ours made that are no longer alive.
fn sweep() -> Result<()> {
    for name in names_in(Path::new(NAMESPACES))? {
        if is_left_over(&name) {
            // another testbed may be sweeping as well
            Resource::Namespace(name).try_remove().ok();
        }
    }
    for name in names_in(Path::new(DIRECTORY))? {
        if is_left_over(&name) {
            remove_directory(&Path::new(DIRECTORY).join(name))?;
        }
    }
    Ok(())
}

/// Removes a testbed's folder with the file systems mounted in it.
pub fn remove_directory(directory: &Path) -> Result<()> {
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let inside = mounts
        .lines()
        .filter_map(|line| line.split(' ').nth(1))
        .map(Path::new)
        .filter(|path| path.starts_with(directory));
    for path in inside {
        umount2(path, MntFlags::MNT_DETACH).ok();
    }
    Resource::Directory(directory.into()).try_remove()
}

fn names_in(directory: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(|| format!("reading {}", directory.display()))?,
    };
    Ok(entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect())
}

/// Whether a name is one of ours, of a process that is no more.
fn is_left_over(name: &str) -> bool {
    let owner = name
        .strip_prefix(PREFIX)
        .and_then(|rest| rest.split('-').next())
        .and_then(|process| process.parse().ok());
    owner.is_some_and(|process| kill(Pid::from_raw(process), None) == Err(Errno::ESRCH))
}

/// Waits until something is true, looking every few milliseconds; false if it never was.
pub fn wait_until(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = std::time::Instant::now() + limit;
    loop {
        if condition() {
            return true;
        }
        if std::time::Instant::now() >= deadline {
            return false;
        }
        thread::sleep(Duration::from_millis(5));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_leftovers_of_dead_processes_are_swept() {
        let own = std::process::id();

        assert!(!is_left_over(&format!("re6st-{own}-1-a")), "we are alive");
        assert!(!is_left_over("re6st-demo-a"), "not named after a process");
        assert!(!is_left_over("another"), "not ours");
        // no process identifier is that big (PID_MAX_LIMIT)
        assert!(is_left_over("re6st-4194305-1-a"));
    }
}
