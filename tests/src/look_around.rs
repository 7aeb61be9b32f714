//! How one looks at a demo that was left running.

use std::{net::Ipv6Addr, path::Path};

use crate::node::INSTANCE;

/// What there is to look at.
#[derive(Debug)]
pub struct Seen<'a> {
    /// Whether root is somebody else.
    pub sudo: bool,
    /// The `re6st-user` command.
    pub program: &'a Path,
    /// A node's network namespace.
    pub namespace: &'a str,
    /// Its BPF file system.
    pub bpffs: &'a Path,
    /// Its control sockets.
    pub sockets: &'a Path,
    /// The address of another node.
    pub other: Ipv6Addr,
}

impl Seen<'_> {
    /// Lines to type.
    pub fn how_to_look(&self) -> String {
        let sudo = if self.sudo { "sudo " } else { "" };
        let on = format!("{sudo}nsenter --net=/run/netns/{}", self.namespace);
        let program = format!(
            "{on} {} --bpffs {} --sockets {}",
            self.program.display(),
            self.bpffs.display(),
            self.sockets.display()
        );
        [
            "# a node (the others: ls /run/netns)".to_owned(),
            format!("{program} status"),
            format!("{program} status peers"),
            format!("{program} status routes"),
            format!("{on} ping {}", self.other),
            "# its tunnels, and what comes out of them".to_owned(),
            format!("{on} tcpdump -n -i eth0"),
            format!("{on} tcpdump -n -i {INSTANCE}"),
        ]
        .map(|line| format!("    {line}\n"))
        .concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_not_told_to_use_sudo_and_status_can_find_the_controller() {
        for sudo in [false, true] {
            let seen = Seen {
                sudo,
                program: Path::new("/target/re6st-user"),
                namespace: "re6st-demo-paris",
                bpffs: Path::new("/run/paris/bpf"),
                sockets: Path::new("/run/paris"),
                other: 1.into(),
            };

            let text = seen.how_to_look();

            let lines: Vec<&str> = text.lines().map(str::trim).collect();
            let mut commands = lines.iter().filter(|line| !line.starts_with('#'));
            assert!(
                commands.all(|line| line.starts_with("sudo ") == sudo),
                "{text}"
            );
            let status = lines.iter().find(|line| line.ends_with(" status"));
            assert!(
                status.is_some_and(|line| line.contains("--sockets /run/paris ")),
                "{text}"
            );
        }
    }
}
