//! The units of `docs/`, run by a real systemd that sees nothing but a host of its own.

use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;
use testbed::{
    host::{Host, Testbed},
    link::{LinkOptions, add_addresses, link},
    process::{Output, Process},
};

use crate::{babel_nodes::wait_within, place::Place};

const PATIENCE: Duration = Duration::from_secs(60);
const NODE: &str = "re6st-ebpf@re6st0";
const REGISTRY: &str = "re6st-registry";
/// Units that ours name and that have nothing to do here.
const TARGETS: [&str; 5] = ["basic", "network-online", "none", "shutdown", "sysinit"];
/// As the first process of its namespace, with a tree of control groups that is its own.
const SYSTEMD: &str = "mkdir -p /run/groups
mount -t cgroup2 cgroup2 /run/groups
mkdir /run/groups/re6st-units-$$
echo $$ > /run/groups/re6st-units-$$/cgroup.procs
exec unshare --mount --pid --fork --kill-child --mount-proc --cgroup --propagation private sh -euc '
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /var/tmp
exec env -i container=lxc PATH=/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin SYSTEMD_UNIT_PATH=/run/units \
  /lib/systemd/systemd --system --unit=none.target --log-target=null'";

/// A host whose services are looked after.
struct Managed {
    place: Place,
    /// At the other end of its link.
    _other: Host,
    systemd: Option<Process>,
}

impl Managed {
    /// `more`: of the section `[Service]` of all units.
    fn new(testbed: &Testbed, more: &str) -> Result<Self> {
        let place = Place::new(testbed, "managed", "127.0.0.1 registry.example\n")?;
        let other = testbed.host("other")?;
        link(
            (&place.host, "eth0"),
            (&other, "eth0"),
            LinkOptions::default(),
        )?;
        add_addresses(&place.host, "eth0", &["192.0.2.1/24"])?;
        for target in TARGETS {
            let text = "[Unit]\nDescription=nothing\nDefaultDependencies=no\n";
            place.write(&format!("/run/units/{target}.target"), text)?;
        }
        for (name, text) in [
            (
                "re6st-ebpf@",
                include_str!("../../docs/re6st-ebpf@.service"),
            ),
            (REGISTRY, include_str!("../../docs/re6st-registry.service")),
        ] {
            place.write(&format!("/run/units/{name}.service"), text)?;
            let more = format!("[Service]\nStandardError=append:/run/{name}.log\n{more}");
            place.write(&format!("/run/units/{name}.service.d/test.conf"), &more)?;
        }
        let systemd = place.spawn(SYSTEMD)?;
        let managed = Self {
            place,
            _other: other,
            systemd: Some(systemd),
        };
        let runs = || Ok(managed.output("systemctl list-units")?.status.success());
        wait_within(PATIENCE, "systemd", runs).with_context(|| managed.said())?;
        Ok(managed)
    }

    /// What comes of lines of a shell, where systemd sees who asks.
    fn output(&self, lines: &str) -> Result<Output> {
        let systemd = self.systemd.as_ref().context("it has ended")?;
        self.place.write("/run/lines", lines)?;
        self.place.output(&format!(
            "exec nsenter --target $(pgrep -P {}) --mount --pid --root --wd sh -eu /run/lines",
            systemd.id()
        ))
    }

    fn said(&self) -> String {
        let systemd = self.systemd.as_ref().map(Process::stderr);
        let logs =
            self.output("tail -n 20 /run/*.log; systemctl status --no-pager 're6st-*.service'");
        let logs = logs.map(|logs| logs.stdout).unwrap_or_default();
        format!("{}\n{logs}", systemd.unwrap_or_default())
    }

    fn type_in(&self, line: &str) -> Result<String> {
        let done = self.output(line)?.success();
        Ok(done.with_context(|| self.said())?.stdout)
    }

    fn property(&self, unit: &str, name: &str) -> Result<String> {
        let shown = self.type_in(&format!("systemctl show --value -p {name} {unit}"))?;
        Ok(shown.trim().to_owned())
    }

    fn runs(&self, unit: &str) -> Result<bool> {
        Ok(self.property(unit, "SubState")? == "running")
    }
}

impl Drop for Managed {
    fn drop(&mut self) {
        if let Some(systemd) = self.systemd.take() {
            let group = format!("/run/groups/re6st-units-{}", systemd.id());
            systemd.stop(Signal::SIGKILL).ok();
            // a group can be removed when nobody is in it any more
            let remove = format!(
                "while [ -e {group} ]; do find {group} -depth -type d -exec rmdir {{}} + || sleep 0.1; done"
            );
            self.place.output(&remove).ok();
        }
    }
}

/// A registry and a node that has enrolled there, by the lines that the documents show.
fn enrolled(testbed: &Testbed, more: &str) -> Result<Managed> {
    let managed = Managed::new(testbed, more)?;
    let init = "re6st-user registry init --network 2001:db8:42::/48 --url https://registry.example/ --dir /var/lib/re6st-registry";
    let said = managed.type_in(init)?;
    let words = said.split_whitespace();
    let fingerprint = words.rev().find(|word| word.starts_with("sha256:"));
    let fingerprint = fingerprint.context("no fingerprint")?.to_owned();
    // returns when it serves
    managed.type_in(&format!("systemctl start {REGISTRY}"))?;
    let config = "--config /var/lib/re6st-registry/registry.toml";
    let token = format!("re6st-user registry token add --email user@example.com {config}");
    let token = managed.type_in(&token)?;
    managed.type_in(&format!(
        "re6st-user conf --registry https://registry.example/ --fingerprint {fingerprint} --token {} --interface eth0 \
         --dir /etc/re6st-ebpf",
        token.trim()
    ))?;
    managed.type_in(&format!("systemctl start {NODE}"))?;
    Ok(managed)
}

#[test]
fn the_units_have_what_registry_and_node_need_also_when_they_start_again() -> Result<()> {
    let testbed = Testbed::new()?;
    let managed = enrolled(&testbed, "")?;

    let status = managed.type_in("re6st-user status")?;
    assert!(status.contains("member of 2001:db8:42::/48"), "{status}");
    managed.type_in(&format!("systemctl restart {REGISTRY} {NODE}"))?;
    let nodes = "re6st-user registry nodes --config /var/lib/re6st-registry/registry.toml";
    let is_there = || Ok(managed.type_in(nodes)?.contains("192.0.2.1:4754"));
    wait_within(PATIENCE, "the node to say where it is", is_there)?;

    // which the node takes up, or says why not
    let file = "/etc/re6st-ebpf/re6st0.toml";
    let text = managed.place.read(file)?;
    managed
        .place
        .write(file, &format!("{text}client-count = 3\n"))?;
    managed.type_in(&format!("systemctl reload {NODE}"))?;
    let log = managed.place.read("/run/re6st-ebpf@.log")?;
    assert!(log.contains("reload: [mesh]: changed"), "{log}");
    managed
        .place
        .write(file, &format!("{text}nonsense = 3\n"))?;
    let refused = managed.output(&format!("systemctl reload {NODE}"))?;
    assert!(!refused.status.success(), "{refused:?}");

    // whoever rotates logs
    managed.type_in(&format!("systemctl kill --signal=USR1 {REGISTRY} {NODE}"))?;
    for unit in [REGISTRY, NODE] {
        assert!(managed.runs(unit)?, "{}", managed.said());
        assert_eq!(
            managed.property(unit, "NRestarts")?,
            "0",
            "{}",
            managed.said()
        );
    }
    managed.type_in(&format!("systemctl stop {NODE}"))?;
    managed.type_in("re6st-user unload")?;
    Ok(())
}

#[test]
fn what_does_not_go_round_any_more_is_started_again() -> Result<()> {
    let testbed = Testbed::new()?;
    let managed = enrolled(&testbed, "WatchdogSec=10\nTimeoutAbortSec=1\n")?;

    for unit in [REGISTRY, NODE] {
        managed.type_in(&format!(
            "systemctl kill --kill-who=main --signal=STOP {unit}"
        ))?;
        let again = || Ok(managed.property(unit, "NRestarts")? != "0" && managed.runs(unit)?);
        wait_within(PATIENCE, "another process", again).with_context(|| managed.said())?;
    }
    Ok(())
}
