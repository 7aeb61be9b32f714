//! What this process may do, and where it is.

use std::{
    fs, io,
    os::{fd::AsRawFd as _, unix::fs::MetadataExt as _},
    thread,
    time::Duration,
};

use thiserror::Error;

/// The oldest kernel that will do.
pub const OLDEST_KERNEL: (u32, u32) = (5, 15);

/// A host that cannot carry the data plane.
#[derive(Debug, Error)]
pub enum HostError {
    /// `/proc` could not be read.
    #[error("{path}: {source}")]
    Proc {
        /// The file that was read.
        path: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// A privilege is missing.
    #[error(
        "not permitted: this process has not got {missing}. Run it as root (sudo), or give it the capabilities CAP_BPF, \
         CAP_PERFMON and CAP_NET_ADMIN"
    )]
    Capability {
        /// The names of the capabilities.
        missing: String,
    },
    /// A privilege is there, but only inside a container.
    #[error(
        "not permitted: this process is root of a user namespace only (a rootless container?), where {missing} does not \
         count for BPF. Run it on the host, or in a container that has {missing} of the host's user namespace"
    )]
    UserNamespace {
        /// The names of the capabilities.
        missing: &'static str,
    },
    /// Too old.
    #[error("kernel {release} is too old: 5.15 or newer is needed")]
    Kernel {
        /// `uname -r`.
        release: String,
    },
}

/// Major and minor version of the running kernel.
pub fn kernel_version() -> Result<(u32, u32), HostError> {
    const PATH: &str = "/proc/sys/kernel/osrelease";
    let release = read(PATH)?;
    let mut numbers = release.split(|digit: char| !digit.is_ascii_digit());
    let mut number = || numbers.next().and_then(|text| text.parse().ok());
    number().zip(number()).ok_or_else(|| HostError::Kernel {
        release: release.trim().to_owned(),
    })
}

/// Checks the kernel's version and this process's capabilities.
pub fn check() -> Result<(), HostError> {
    if kernel_version()? < OLDEST_KERNEL {
        let release = read("/proc/sys/kernel/osrelease")?.trim().to_owned();
        return Err(HostError::Kernel { release });
    }
    check_capabilities(&read("/proc/self/status")?, &read("/proc/self/uid_map")?)
}

fn check_capabilities(status: &str, user_map: &str) -> Result<(), HostError> {
    const NET_ADMIN: u64 = 1 << 12;
    const SYS_ADMIN: u64 = 1 << 21;
    const PERFMON: u64 = 1 << 38;
    const BPF: u64 = 1 << 39;
    let effective = effective_capabilities(status);
    // CAP_SYS_ADMIN stood for both before Linux 5.8, and still does
    let missing: Vec<&str> = [
        (BPF | SYS_ADMIN, "CAP_BPF"),
        (PERFMON | SYS_ADMIN, "CAP_PERFMON"),
        (NET_ADMIN, "CAP_NET_ADMIN"),
    ]
    .into_iter()
    .filter(|(any, _)| effective & any == 0)
    .map(|(_, name)| name)
    .collect();
    if !missing.is_empty() {
        let missing = missing.join(", ");
        return Err(HostError::Capability { missing });
    }
    if !is_initial_user_namespace(user_map) {
        let missing = "CAP_BPF and CAP_PERFMON";
        return Err(HostError::UserNamespace { missing });
    }
    Ok(())
}

fn effective_capabilities(status: &str) -> u64 {
    status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|text| u64::from_str_radix(text.trim(), 16).ok())
        .unwrap_or_default()
}

fn is_initial_user_namespace(user_map: &str) -> bool {
    user_map.split_whitespace().eq(["0", "0", "4294967295"])
}

/// Whether this process may lock as much memory as it likes, whatever the limit is (CAP_IPC_LOCK).
///
/// # Errors
/// `/proc` cannot be read.
pub fn may_lock_any_memory() -> Result<bool, HostError> {
    const IPC_LOCK: u64 = 1 << 14;
    let effective = effective_capabilities(&read("/proc/self/status")?);
    let user_map = read("/proc/self/uid_map")?;
    Ok(effective & IPC_LOCK != 0 && is_initial_user_namespace(&user_map))
}

fn read(path: &'static str) -> Result<String, HostError> {
    fs::read_to_string(path).map_err(|source| HostError::Proc { path, source })
}

/// A number that tells network namespaces apart and is never reused while the host is up: the cookie of the one this
/// process is in.
pub fn network_namespace() -> io::Result<u64> {
    const SO_NETNS_COOKIE: libc::c_int = 71;
    let socket = std::net::UdpSocket::bind((std::net::Ipv4Addr::UNSPECIFIED, 0))?;
    let mut cookie = 0_u64;
    let mut length = size_of::<u64>() as libc::socklen_t;
    // SAFETY: the descriptor is open, and the kernel writes at most `length` bytes to the number.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut length,
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(cookie)
}

/// Waits until no BPF program runs any more that runs now: what they have read of maps nobody has after that.
pub fn wait_for_readers() {
    const GLOBAL: libc::c_int = 1;
    /// Longer than a packet takes: for kernels that cannot wait (without membarrier(2), or with `nohz_full`).
    const LONG_ENOUGH: Duration = Duration::from_millis(20);
    // SAFETY: a call without pointers.
    let outcome = unsafe { libc::syscall(libc::SYS_membarrier, GLOBAL, 0, 0) };
    if outcome != 0 {
        thread::sleep(LONG_ENOUGH);
    }
}

/// Whether this process sees the mounts that the first process of the host sees; not if that cannot be told.
pub fn in_first_mount_namespace() -> Result<bool, HostError> {
    let own = inode("/proc/self/ns/mnt")?;
    Ok(inode("/proc/1/ns/mnt").is_ok_and(|first| first == own))
}

fn inode(path: &'static str) -> Result<u64, HostError> {
    fs::metadata(path)
        .map(|metadata| metadata.ino())
        .map_err(|source| HostError::Proc { path, source })
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::panic,
        reason = "a test may fail by panicking"
    )]
    use super::*;

    const FIRST: &str = "         0          0 4294967295\n";

    #[test]
    fn names_exactly_the_missing_capabilities() {
        for (effective, expected) in [
            (
                "0000000000000000",
                Some("CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN"),
            ),
            ("0000000000001000", Some("CAP_BPF, CAP_PERFMON")),
            ("000000c000000000", Some("CAP_NET_ADMIN")),
            ("0000000000200000", Some("CAP_NET_ADMIN")),
            ("0000000000201000", None),
            ("000000c000001000", None),
        ] {
            let status = format!("Name:\tx\nCapEff:\t{effective}\n");
            let missing = match check_capabilities(&status, FIRST) {
                Ok(()) => None,
                Err(HostError::Capability { missing }) => Some(missing),
                Err(other) => panic!("{other}"),
            };
            assert_eq!(missing.as_deref(), expected, "{effective}");
        }
    }

    #[test]
    fn root_of_a_container_is_not_enough() {
        let status = "CapEff:\t000001ffffffffff\n";
        let error = check_capabilities(status, "0 1000 1\n").unwrap_err();
        assert!(matches!(error, HostError::UserNamespace { .. }), "{error}");
    }
}
