//! Nodes of a managed mesh: `re6st-user node` with the files that `conf` wrote.

use std::{fs, path::PathBuf, process::Command, time::Duration};

use anyhow::{Context as _, Result};
use nix::{sys::signal::Signal, unistd::Pid};
use serde_json::Value;
use testbed::{
    host::Host,
    link::{LinkOptions, link},
    process::Process,
};

use super::support::{OPEN, RegistryHost, node_file, run, start_node, wait_for};

/// A member, whose controller may run.
pub(super) struct Member {
    pub(super) host: Host,
    process: Option<Process>,
}

impl Member {
    /// Enrolled, with a LAN interface in its configuration, and without the mesh that `conf` gives it.
    pub(super) fn new(registry: &RegistryHost, name: &str, right: &[&str]) -> Result<Self> {
        let member = Self::of_mesh(registry, name, right)?;
        member.configure(|text| text.split("[mesh]").next().unwrap_or_default().to_owned())?;
        Ok(member)
    }

    /// The same, as `conf` has left it but for the LAN interface.
    pub(super) fn of_mesh(registry: &RegistryHost, name: &str, right: &[&str]) -> Result<Self> {
        Self::enrolled(registry, registry.newcomer(name)?, right)
    }

    /// The same on a host that is there.
    pub(super) fn enrolled(registry: &RegistryHost, host: Host, right: &[&str]) -> Result<Self> {
        registry.conf(&host, right)?.success()?;
        let member = Self {
            host,
            process: None,
        };
        let state = member.host.directory().join("state");
        let babel = format!(
            "[babel]\nstate-directory = {:?}\ninterfaces = [\"lan0\"]",
            state.to_str().context("a folder's name")?
        );
        member.configure(|text| {
            // all in [babel] but what is put there now comes from the network
            let mut lines: Vec<&str> = text.lines().collect();
            lines.retain(|line| !line.contains("interval"));
            let text = lines.join("\n");
            let (before, after) = text.split_once("[babel]").unwrap();
            let (_, after) = after.split_once("interfaces = [\"eth0\"]").unwrap();
            format!("{before}{babel}{after}\n")
        })?;
        Ok(member)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.host.directory().join("node").join(name)
    }

    pub(super) fn configure(&self, change: impl Fn(String) -> String) -> Result<()> {
        let text = change(node_file(&self.host, "re6st0.toml")?);
        Ok(fs::write(self.path("re6st0.toml"), text)?)
    }

    pub(super) fn start(&mut self) -> Result<()> {
        self.process = Some(start_node(&self.host, &self.path("re6st0.toml"))?);
        Ok(())
    }

    /// Has it take up its file; what that changed.
    pub(super) fn reload(&self) -> Result<String> {
        let sockets = self.host.directory();
        let sockets = ["--sockets", sockets.to_str().context("a folder's name")?];
        let all = [&sockets[..], &["reload"]].concat();
        Ok(run(&self.host, &all)?.success()?.stdout)
    }

    pub(super) fn kill(&mut self) -> Result<()> {
        self.end(Signal::SIGKILL)
    }

    /// Ends its controller by a signal.
    pub(super) fn end(&mut self, signal: Signal) -> Result<()> {
        let process = self.process.take().context("it is not running")?;
        process.stop(signal)?;
        Ok(())
    }

    /// The controller's process.
    pub(super) fn id(&self) -> Result<Pid> {
        let process = self.process.as_ref().context("it is not running")?;
        Ok(process.id())
    }

    pub(super) fn said(&self) -> String {
        self.process
            .as_ref()
            .map(Process::stderr)
            .unwrap_or_default()
    }

    /// `status`, as people or programs see it.
    pub(super) fn status(&self, json: &[&str]) -> Result<String> {
        let bpffs = self.host.bpffs();
        let sockets = self.host.directory();
        let arguments = [
            &["--bpffs", bpffs.to_str().context("a folder's name")?][..],
            &["--sockets", sockets.to_str().context("a folder's name")?],
            &["status", "--instance", "re6st0"],
            json,
        ];
        Ok(run(&self.host, &arguments.concat())?.success()?.stdout)
    }

    /// `status peers --json`.
    pub(super) fn peers(&self) -> Result<String> {
        self.status(&["peers", "--json"])
    }

    /// Does something about one peer.
    pub(super) fn about_peer(&self, arguments: &[&str]) -> Result<String> {
        let sockets = self.host.directory();
        let sockets = ["--sockets", sockets.to_str().context("a folder's name")?];
        let all = [&sockets[..], &["peer"], arguments].concat();
        Ok(run(&self.host, &all)?.success()?.stdout)
    }

    pub(super) fn controller(&self) -> Result<Value> {
        let status: Value = serde_json::from_str(&self.status(&["--json"])?)?;
        Ok(status["controller"].clone())
    }

    /// What it says of the registry.
    pub(super) fn membership(&self) -> Result<Value> {
        Ok(self.controller()?["registry"].clone())
    }

    pub(super) fn address(&self) -> Result<String> {
        let text = node_file(&self.host, "re6st0.toml")?;
        let address = text.split('"').nth(1).context("no address")?;
        Ok(address.split('/').next().context("no prefix")?.to_owned())
    }

    /// Packets that authentication refused.
    fn refused(&self) -> Result<u64> {
        let controller = self.controller()?;
        let refused = controller["refused"].as_object().context("no counters")?;
        Ok(refused.values().filter_map(Value::as_u64).sum())
    }

    pub(super) fn wait(&self, what: &str, is_so: impl Fn(&Value) -> bool) -> Result<()> {
        wait_for(what, || Ok(is_so(&self.membership()?)))
            .with_context(|| format!("{}\n{}", self.status(&[]).unwrap_or_default(), self.said()))
    }

    /// Waits until packets arrive.
    pub(super) fn reach(&self, other: &Self) -> Result<()> {
        let address = other.address()?;
        wait_for("a way", || {
            let ping = ["-n", "-c", "1", "-W", "1", &address];
            Ok(self.host.output("ping", &ping)?.status.success())
        })
        .with_context(|| format!("{}\n---\n{}", self.said(), other.said()))
    }

    /// Waits until it follows the network's interval between Hellos.
    fn wait_for_interval(&self, seconds: f64) -> Result<()> {
        self.wait("the interval", |standing| {
            standing["parameters"]["hello-interval"] == seconds
        })
    }

    /// Packets to another, 50 a second, for so many seconds.
    fn ping(&self, other: &Self, seconds: u32) -> Result<Process> {
        let count = (seconds * 50).to_string();
        let address = other.address()?;
        let arguments = ["-n", "-q", "-i", "0.02", "-W", "2", "-c", &count, &address];
        self.host.spawn(Command::new("ping").args(arguments))
    }
}

/// The registry and two members on one LAN, that hear each other.
fn mesh() -> Result<(RegistryHost, [Member; 2])> {
    let registry = RegistryHost::new(&OPEN, "")?;
    registry.set(&["hello-interval=1"])?;
    let token = registry.token()?;
    let mut members = [
        Member::new(&registry, "a", &["--token", &token])?,
        Member::new(&registry, "b", &["--anonymous"])?,
    ];
    let [a, b] = &members;
    link((&a.host, "lan0"), (&b.host, "lan0"), LinkOptions::default())?;
    for member in &mut members {
        member.start()?;
    }
    let [a, b] = &members;
    a.reach(b)?;
    b.reach(a)?;
    Ok((registry, members))
}

fn assert_no_loss(pinging: Process) -> Result<()> {
    let said = pinging.wait(Duration::from_secs(60))?.stdout;
    assert!(said.contains(" 0% packet loss"), "{said}");
    Ok(())
}

#[test]
fn changed_parameters_are_followed_in_seconds_and_no_packet_is_lost() -> Result<()> {
    let (registry, members) = mesh()?;
    let [a, b] = &members;
    for member in &members {
        let standing = member.membership()?;
        assert_eq!(standing["parameters"]["hello-interval"], 1.0, "{standing}");
        assert_eq!(standing["mac-keys"], "sign and accept one key");
        assert_eq!(standing["reachable"], true);
        assert_eq!(standing["certificate"]["revoked"], false);
        assert_eq!(standing["warnings"], serde_json::json!([]));
    }
    let text = a.status(&[])?;
    assert!(text.contains(&registry.url()), "{text}");
    let pinging = a.ping(b, 12)?;
    let before = (a.said(), b.said());

    registry.set(&["hello-interval=2", "encrypt=true"])?;
    for member in &members {
        member.wait_for_interval(2.0)?;
    }

    assert_no_loss(pinging)?;
    for (member, before) in members.iter().zip([before.0, before.1]) {
        let said = member.said().replace(&before, "");
        assert!(!said.contains("neighbour"), "{said}");
        assert!(
            said.contains("encryption"),
            "what is not done is said: {said}"
        );
    }
    Ok(())
}

#[test]
fn the_networks_mac_key_is_changed_in_three_steps_and_no_packet_is_lost() -> Result<()> {
    let (registry, members) = mesh()?;
    let [a, b] = &members;
    let number = |standing: &Value| standing["parameters"]["number"].as_u64();
    let refused = (a.refused()?, b.refused()?);
    let pinging = a.ping(b, 20)?;

    let summaries = [
        "sign with one key, accept two",
        "sign with one key, accept two",
        "sign and accept one key",
    ];
    for summary in summaries {
        let before = number(&a.membership()?);
        registry.operate(&["mac-keys", "rotate"])?;
        for member in &members {
            member.wait("the next step", |standing| {
                number(standing) > before && standing["mac-keys"] == summary
            })?;
        }
        // Hellos with the keys of this step
        std::thread::sleep(Duration::from_secs(3));
    }

    assert_no_loss(pinging)?;
    assert_eq!((a.refused()?, b.refused()?), refused);
    for member in &members {
        assert_eq!(member.controller()?["neighbours"], 1);
        let key = fs::metadata(member.host.directory().join("state/mac-keys.json"))?;
        assert_eq!(
            std::os::unix::fs::PermissionsExt::mode(&key.permissions()) & 0o777,
            0o600
        );
    }
    Ok(())
}

#[test]
fn a_revocation_is_seen_by_all_and_the_node_goes_on_with_another_key_by_a_token() -> Result<()> {
    let (registry, mut members) = mesh()?;
    let [a, b] = &mut members;
    let serial = b.membership()?["certificate"]["serial"].as_u64();
    let serial = serial.context("no serial number")?;
    let certificate = node_file(&b.host, "cert.crt")?;

    registry.operate(&["cert", "revoke", &serial.to_string()])?;

    a.wait("the revocation", |standing| {
        standing["revocations"]["count"] == 1
    })?;
    b.wait("the revocation", |standing| {
        standing["certificate"]["revoked"] == true
    })?;
    assert!(b.said().contains("REVOKED"), "{}", b.said());
    // what was sent goes on
    a.reach(b)?;
    // the key gets nothing more, whoever has it
    let error = registry.conf(&b.host, &["--anonymous"])?.failure()?;
    assert!(error.contains("was revoked"), "{error}");
    assert_eq!(node_file(&b.host, "cert.crt")?, certificate);
    let name = b.membership()?["certificate"]["common-name"].clone();
    let name = name.as_str().context("no name")?.to_owned();
    let add = ["token", "add", "--email", "b@example.com", "--node", &name];
    let token = registry.operate(&add)?;
    fs::remove_file(b.path("cert.key"))?;
    registry
        .conf(&b.host, &["--token", token.trim()])?
        .success()?;
    b.kill()?;
    b.start()?;
    b.wait("another certificate", |standing| {
        standing["certificate"]["serial"].as_u64() > Some(serial)
            && standing["certificate"]["revoked"] == false
            && standing["reachable"] == true
    })?;

    // a node that the operator ends says so, and goes on with what it has
    registry.operate(&["cert", "revoke", &name])?;
    b.wait("the end", |standing| {
        standing["certificate"]["revoked"] == true
    })?;
    let text = b.status(&[])?;
    assert!(text.contains("revoked"), "{text}");
    a.reach(b)?;
    Ok(())
}

#[test]
fn nodes_that_start_while_the_registry_is_away_go_on_with_what_they_have() -> Result<()> {
    let (mut registry, mut members) = mesh()?;
    registry.stop(Signal::SIGTERM)?;

    for member in &mut members {
        member.kill()?;
        member.start()?;
    }

    let [a, b] = &members;
    a.reach(b)?;
    for member in &members {
        member.wait("the failure", |standing| standing["reachable"] == false)?;
        let standing = member.membership()?;
        assert_eq!(standing["parameters"]["hello-interval"], 1.0, "{standing}");
        assert_eq!(standing["mac-keys"], "sign and accept one key");
        let message = standing["problem"]["message"].as_str().unwrap_or_default();
        assert!(message.contains("cannot be reached"), "{standing}");
    }

    registry.serve()?;
    registry.set(&["hello-interval=2"])?;
    for member in &members {
        member.wait("the registry", |standing| {
            standing["reachable"] == true && standing["parameters"]["hello-interval"] == 2.0
        })?;
        assert!(member.said().contains("answers again"), "{}", member.said());
    }
    Ok(())
}

#[test]
fn nodes_go_on_with_a_registry_that_was_restored_on_another_host() -> Result<()> {
    let (mut registry, mut members) = mesh()?;
    let copy = registry.back_up()?;
    // what was changed after the backup is known to the nodes, not to the registry
    registry.set(&["hello-interval=3"])?;
    for member in &members {
        member.wait_for_interval(3.0)?;
    }
    registry.stop(Signal::SIGKILL)?;

    let restored = registry.restored(&copy)?;
    let (former, url) = (registry.url(), restored.url());
    for member in &mut members {
        member.configure(|text| text.replace(&former, &url))?;
        member.kill()?;
        member.start()?;
    }

    let [a, b] = &members;
    a.reach(b)?;
    for member in &members {
        member.wait("the registry", |standing| standing["reachable"] == true)?;
        let standing = member.membership()?;
        assert_eq!(
            standing["parameters"]["hello-interval"], 3.0,
            "nothing is rolled back: {standing}"
        );
    }
    // numbers follow the time in seconds, and this scenario is fast: the lost change is no longer of this second
    std::thread::sleep(Duration::from_secs(2));
    restored.set(&["hello-interval=2"])?;
    for member in &members {
        member.wait_for_interval(2.0)?;
    }
    Ok(())
}

#[test]
fn a_certificate_that_is_due_is_renewed_in_place() -> Result<()> {
    let mut registry = RegistryHost::new(&OPEN, "")?;
    // enrolled with certificates of ten days; from now on they are for a year, and due thirty days before their end
    let set = |registry: &RegistryHost, days: u32, renewal: u32| -> Result<()> {
        let path = registry.file("registry.toml");
        let text = fs::read_to_string(&path)?;
        let lines = text.lines().map(|line| match line.split('=').next() {
            Some(key) if key.trim() == "certificate-days" => format!("certificate-days = {days}\n"),
            Some(key) if key.trim() == "renewal-days" => format!("renewal-days = {renewal}\n"),
            _ => format!("{line}\n"),
        });
        Ok(fs::write(&path, lines.collect::<String>())?)
    };
    set(&registry, 10, 5)?;
    registry.stop(Signal::SIGTERM)?;
    registry.serve()?;
    let mut member = Member::new(&registry, "a", &["--anonymous"])?;
    set(&registry, 365, 30)?;
    registry.stop(Signal::SIGTERM)?;
    registry.serve()?;
    let key = node_file(&member.host, "cert.key")?;
    link(
        (&member.host, "lan0"),
        (&registry.host, "lan0"),
        LinkOptions::default(),
    )?;
    std::os::unix::fs::chown(member.path("cert.crt"), Some(65_534), Some(65_534))?;

    member.start()?;
    member.wait("the renewal", |standing| {
        standing["certificate"]["serial"].as_u64() > Some(1)
            && standing["warnings"] == serde_json::json!([])
    })?;

    let metadata = fs::metadata(member.path("cert.crt"))?;
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&metadata), 65_534);
    assert_eq!(node_file(&member.host, "cert.key")?, key);
    let path = member.path("cert.crt");
    let path = path.to_str().context("a file's name")?;
    // for a year: it is not over in 300 days
    member.host.run(
        "openssl",
        &["x509", "-noout", "-checkend", "25920000", "-in", path],
    )?;
    // and the node goes on with it: new parameters come by the new connection
    registry.set(&["hello-interval=2"])?;
    member.wait_for_interval(2.0)
}

#[test]
fn an_authority_that_takes_over_is_trusted_by_the_word_of_the_old_one() -> Result<()> {
    let (mut registry, members) = mesh()?;
    let [a, b] = &members;
    let pinging = a.ping(b, 10)?;

    registry.operate(&["ca", "succeed"])?;
    registry.stop(Signal::SIGTERM)?;
    registry.serve()?;

    for member in &members {
        member.wait("both authorities", |standing| {
            standing["authorities"].as_array().map(Vec::len) == Some(2)
                && standing["reachable"] == true
        })?;
        let kept = node_file(&member.host, "ca.crt")?;
        assert_eq!(kept.matches("BEGIN CERTIFICATE").count(), 2, "{kept}");
        assert!(member.said().contains("a new authority takes over"));
    }
    assert_no_loss(pinging)?;
    Ok(())
}

#[test]
fn files_that_do_not_belong_together_are_refused_before_anything_is_attached() -> Result<()> {
    let registry = RegistryHost::new(&OPEN, "")?;
    let a = Member::new(&registry, "a", &["--anonymous"])?;
    let b = Member::new(&registry, "b", &["--anonymous"])?;
    let refusal = |member: &Member| -> Result<String> {
        let bpffs = member.host.bpffs();
        let path = member.path("re6st0.toml");
        let arguments = ["--bpffs", bpffs.to_str().unwrap(), "node", "--config"];
        let arguments = [&arguments[..], &[path.to_str().unwrap()]].concat();
        let said = run(&member.host, &arguments)?.failure()?;
        let links = member.host.ip(&["link"])?;
        assert!(!links.contains("re6st0"), "{links}");
        Ok(said)
    };

    fs::copy(b.path("cert.key"), a.path("cert.key"))?;
    let said = refusal(&a)?;
    assert!(said.contains("is not the key of"), "{said}");
    assert!(!said.contains("PRIVATE KEY"), "{said}");

    b.configure(|text| text.replace("2001:db8:42:1::1", "2001:db8:42:7::1"))?;
    let said = refusal(&b)?;
    assert!(
        said.contains("gives this node 2001:db8:42:1::1/64; add it"),
        "{said}"
    );
    Ok(())
}
