//! How one looks at a demo that was left running.

use std::{net::IpAddr, path::Path};

use crate::node::INSTANCE;

/// What there is to look at.
#[derive(Debug)]
pub struct Seen<'a> {
    /// Whether root is somebody else.
    pub sudo: bool,
    /// The `re6st-user` command.
    pub program: &'a Path,
    /// The relay's network namespace.
    pub relay: &'a str,
    /// Its BPF file system.
    pub bpffs: &'a Path,
    /// Its control sockets.
    pub sockets: &'a Path,
    /// Its log.
    pub log: &'a Path,
    /// The network namespace of one who sends.
    pub sender: &'a str,
    /// The network namespace of the receiver.
    pub receiver: &'a str,
    /// The receiver's address.
    pub address: IpAddr,
}

impl Seen<'_> {
    /// Lines to type.
    pub fn how_to_look(&self) -> String {
        let sudo = if self.sudo { "sudo " } else { "" };
        let on = |namespace: &str| format!("{sudo}nsenter --net=/run/netns/{namespace}");
        let (relay, bpffs) = (on(self.relay), self.bpffs.display());
        let (program, sockets) = (self.program.display(), self.sockets.display());
        [
            "# the relay lyon (the others: office, cloud, tokyo, quito, oslo, laptop, stranger)"
                .to_owned(),
            format!("{relay} {program} --bpffs {bpffs} --sockets {sockets} status"),
            format!("{relay} bpftool map lookup pinned {bpffs}/{INSTANCE}/NEXT_HOPS key 3 0 0 0"),
            format!("{relay} ip -6 route"),
            format!("{sudo}tail -f {}", self.log.display()),
            format!("{relay} tcpdump -n -i eth0"),
            "# traffic from the laptop behind the office to the cloud, and as the cloud sees it"
                .to_owned(),
            format!("{} ping {}", on(self.sender), self.address),
            format!("{} tcpdump -n -i {INSTANCE}", on(self.receiver)),
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
                relay: "re6st-demo-lyon",
                bpffs: Path::new("/run/lyon/bpf"),
                sockets: Path::new("/run/lyon"),
                log: Path::new("/run/lyon/node.log"),
                sender: "re6st-demo-laptop",
                receiver: "re6st-demo-cloud",
                address: [0, 0, 0, 0, 0, 0, 0, 1].into(),
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
                status.is_some_and(|line| line.contains("--sockets /run/lyon ")),
                "{text}"
            );
        }
    }
}
