//! The BPF file system, where pinned maps, programs and links outlive the process that made them.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
    mount::{MsFlags, mount},
    sys::statfs::{BPF_FS_MAGIC, statfs},
};
use thiserror::Error;

use super::host::{self, HostError};

/// Where it is mounted unless said otherwise.
pub const DEFAULT: &str = "/sys/fs/bpf";

/// A BPF file system that cannot be used.
#[derive(Debug, Error)]
pub enum BpffsError {
    /// A file system call failed.
    #[error("{path}: {source}{}", remedy(.source))]
    Io {
        /// The path it was done to.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Not there, and mounting it here would not help.
    #[error(
        "no BPF file system is mounted at {path}, and this process is in a mount namespace of its own (`ip netns exec` \
         makes one), so what is pinned there would vanish with the command. Enter the network namespace only: \
         `nsenter --net=/run/netns/NAME ...`, or mount one yourself (`mount -t bpf bpf {path}`) where it stays"
    )]
    MountNamespace {
        /// The directory.
        path: PathBuf,
    },
    /// Mounting failed.
    #[error("no BPF file system is mounted at {path}, and mounting it failed: {source}")]
    Mount {
        /// The directory.
        path: PathBuf,
        /// What the kernel said.
        source: nix::Error,
    },
    /// What process are we?
    #[error(transparent)]
    Host(#[from] HostError),
}

/// What people can do about it.
fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            " (what is loaded is for root alone: run this as root, with sudo for example)"
        }
        _ => "",
    }
}

/// Makes sure that there is a BPF file system. Says whether it had to be mounted.
pub fn ensure(path: &Path) -> Result<bool, BpffsError> {
    if is_mounted(path)? {
        return Ok(false);
    }
    if !host::in_first_mount_namespace()? {
        let path = path.to_owned();
        return Err(BpffsError::MountNamespace { path });
    }
    mount(
        Some("bpf"),
        path,
        Some("bpf"),
        MsFlags::empty(),
        None::<&str>,
    )
    .map_err(|source| {
        let path = path.to_owned();
        BpffsError::Mount { path, source }
    })?;
    Ok(true)
}

/// Whether a folder is of a BPF file system.
pub fn is_mounted(path: &Path) -> Result<bool, BpffsError> {
    let kind = statfs(path).map_err(|error| failed(path, error.into()))?;
    Ok(kind.filesystem_type() == BPF_FS_MAGIC)
}

/// Keeps other loads and unloads waiting until it is dropped. The kernel releases it when the process dies.
pub struct Lock {
    _folder: Flock<File>,
}

/// Waits for the lock of a BPF file system.
pub fn lock(path: &Path) -> Result<Lock, BpffsError> {
    let folder = File::open(path).map_err(|error| failed(path, error))?;
    Flock::lock(folder, FlockArg::LockExclusive)
        .map(|folder| Lock { _folder: folder })
        .map_err(|(_, error)| failed(path, error.into()))
}

/// Whether somebody holds the lock of a BPF file system: a load or an unload is under way.
pub fn is_locked(path: &Path) -> Result<bool, BpffsError> {
    let folder = File::open(path).map_err(|error| failed(path, error))?;
    match Flock::lock(folder, FlockArg::LockExclusiveNonblock) {
        Ok(_) => Ok(false),
        Err((_, Errno::EAGAIN)) => Ok(true),
        Err((_, error)) => Err(failed(path, error.into())),
    }
}

/// Whether something is there. An error if that is not for us to know.
pub fn exists(path: &Path) -> Result<bool, BpffsError> {
    path.try_exists().map_err(|error| failed(path, error))
}

/// The names in a folder, sorted; none if the folder is not there.
pub fn names(path: &Path) -> Result<Vec<String>, BpffsError> {
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|error| failed(path, error))?,
    };
    let mut names = entries
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<io::Result<Vec<_>>>()
        .map_err(|error| failed(path, error))?;
    names.sort();
    Ok(names)
}

/// Makes a folder, and those above it; no error if it is there.
pub fn make_folder(path: &Path) -> Result<(), BpffsError> {
    fs::create_dir_all(path).map_err(|error| failed(path, error))
}

/// Removes a folder with everything in it; no error if it is not there.
pub fn remove_folder(path: &Path) -> Result<(), BpffsError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome.map_err(|error| failed(path, error)),
    }
}

/// Removes a pin; no error if it is not there.
pub fn remove(path: &Path) -> Result<(), BpffsError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome.map_err(|error| failed(path, error)),
    }
}

/// Moves a pin over another, at once.
pub fn rename(from: &Path, to: &Path) -> Result<(), BpffsError> {
    fs::rename(from, to).map_err(|error| failed(to, error))
}

fn failed(path: &Path, source: io::Error) -> BpffsError {
    BpffsError::Io {
        path: path.to_owned(),
        source,
    }
}
