//! Nodes of re6stnet that become nodes of this kind: `re6st-user conf --import`.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;
use testbed::{
    host::Host,
    process::{Output, Process},
};

use super::support::{OPEN, RegistryHost, node_file, run, start_node, wait_for};

/// What files of re6stnet's name: the node has them in the folder `node`.
const FILES: &str = "ca ca.crt\ncert cert.crt\nkey cert.key\n";

/// A node whose file of re6stnet has these lines.
struct Imported {
    registry: RegistryHost,
    host: Host,
}

impl Imported {
    fn new(lines: &str) -> Result<Self> {
        let registry = RegistryHost::new(&OPEN, "")?;
        let host = registry.newcomer("node")?;
        let subject = ["--anonymous", "-r", "O", "Example"];
        registry.conf(&host, &subject)?.success()?;
        let file = host.directory().join("node/re6stnet.conf");
        let url = registry.url();
        fs::write(file, format!("registry {url}\n{FILES}{lines}"))?;
        Ok(Self { registry, host })
    }

    fn folder(&self) -> PathBuf {
        self.host.directory().join("after")
    }

    fn import(&self) -> Result<Output> {
        let file = self.host.directory().join("node/re6stnet.conf");
        let file = file.to_str().context("a file's name")?;
        let folder = self.folder();
        let folder = folder.to_str().context("a folder's name")?;
        let arguments = ["conf", "--import", file, "--anonymous", "--dir", folder];
        let location = ["--location", "FR,EU"];
        run(&self.host, &[&arguments[..], &location].concat())
    }

    fn start(&self) -> Result<Process> {
        let path = self.folder().join("re6st0.toml");
        let text = fs::read_to_string(&path)?;
        if !text.contains("state-directory") {
            let state = format!("[babel]\nstate-directory = {:?}", self.folder());
            fs::write(&path, text.replace("[babel]", &state))?;
        }
        start_node(&self.host, &path)
    }
}

#[test]
fn a_node_keeps_its_place_and_each_line_is_answered_for() -> Result<()> {
    let lines = "log /var/log/re6stnet\nclient-count 3\nneighbour 7/16\ngateway\nmulticast\n";
    let imported = Imported::new(lines)?;

    let output = imported.import()?.success()?;

    // the authority in the file is as good as a fingerprint
    assert!(!output.stderr.contains("WARNING"), "{}", output.stderr);
    let url = imported.registry.url();
    for expected in [
        &format!("re6stnet.conf:1: registry {url}: taken as registry.url"),
        "re6stnet.conf:5: log /var/log/re6stnet: not needed: ",
        "re6stnet.conf:9: multicast: NOT SUPPORTED: ",
        "node 0/16 for ",
    ] {
        assert!(output.stdout.contains(expected), "{}", output.stdout);
    }
    let folder = imported.folder();
    let key = fs::read_to_string(folder.join("cert.key"))?;
    assert_eq!(key, node_file(&imported.host, "cert.key")?);
    let text = fs::read_to_string(folder.join("re6st0.toml"))?;
    for expected in [
        "client-count = 3\n",
        "country = \"FR\"\n",
        "node = \"7/16\"\n",
        "gateway-interfaces = [\"eth0\"]\n",
        "announce = [{ to = \"::/0\", from = \"2001:db8:42::/48\" }]\n",
    ] {
        assert!(text.contains(expected), "{text}");
    }
    imported.start()?;

    let again = imported.import()?.failure()?;
    assert!(again.contains("re6st0.toml is there already"), "{again}");
    Ok(())
}

#[test]
fn commands_run_beside_the_node_and_end_with_it_however_it_ends() -> Result<()> {
    let imported = Imported::new("")?;
    let noted = imported.host.directory().join("noted");
    let file = imported.host.directory().join("node/re6stnet.conf");
    let lines = format!(
        "up 'echo $re6stnet_ip $re6stnet_iface > {0}'\ndaemon 'echo $$ >> {0}; exec sleep 1000'\n",
        noted.display()
    );
    fs::write(&file, fs::read_to_string(&file)? + &lines)?;
    imported.import()?.success()?;
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        let node = imported.start()?;
        let written = || fs::read_to_string(&noted).unwrap_or_default();
        wait_for("both", || Ok(written().lines().count() == 2))?;
        let (up, daemon) = written()
            .split_once('\n')
            .map(|(up, daemon)| (up.to_owned(), daemon.trim().to_owned()))
            .context("two lines")?;
        assert_eq!(up, "2001:db8:42::1 re6st0");

        node.stop(signal)?;

        let status = PathBuf::from("/proc").join(daemon).join("status");
        wait_for("the daemon to end", || {
            let status = fs::read_to_string(&status).unwrap_or_default();
            Ok(status.is_empty() || status.contains("Z (zombie)"))
        })?;
        fs::remove_file(&noted)?;
    }
    Ok(())
}
