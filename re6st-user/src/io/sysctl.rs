//! Kernel parameters of the network namespace the process is in.

use std::{fs, io, path::PathBuf};

/// Reads one, by its path under `net/`: `ipv4/ip_forward`.
pub fn read(name: &str) -> io::Result<String> {
    Ok(fs::read_to_string(path(name))?.trim().to_owned())
}

/// Writes one.
pub fn write(name: &str, value: &str) -> io::Result<()> {
    fs::write(path(name), value)
}

/// What people and `sysctl` call it: `net.ipv4.ip_forward`. Names of interfaces may have dots.
pub fn name(path: &str) -> String {
    let swapped = path.chars().map(|character| match character {
        '/' => '.',
        '.' => '/',
        other => other,
    });
    "net.".chars().chain(swapped).collect()
}

fn path(name: &str) -> PathBuf {
    PathBuf::from("/proc/sys/net").join(name)
}
