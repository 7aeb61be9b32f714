//! Nodes of a managed network, as people run them: `registry`, `conf`, three lines for a peer, and `node`.

use std::{fs, net::Ipv4Addr, path::PathBuf, process::Command, time::Duration};

use anyhow::{Context as _, Result, ensure};
use re6st_user::certificate::{authority::Authority, node::NodeCertificate};

use crate::{channel::Issuer, cleanup::wait_until, host::Host, node::re6st_user, process::Process};

/// TCP port of the registry.
const PORT: u16 = 4443;
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// The registry of a new network, whose nodes need no token.
pub struct Registry {
    fingerprint: String,
    address: Ipv4Addr,
    process: Process,
}

impl Registry {
    /// Starts one on a host, which has this address.
    pub fn start(host: &Host, address: Ipv4Addr) -> Result<Self> {
        let directory = directory_of_registry(host);
        let mut init = Command::new(re6st_user()?);
        init.args(["registry", "init", "--network", "2001:db8:42::/48"])
            .args(["--listen", &format!("{address}:{PORT}")])
            .args(["--anonymous-prefix-length", "16", "--dir"])
            .arg(&directory);
        let said = host.spawn(&mut init)?.wait(PATIENCE)?.success()?.stdout;
        let fingerprint = said
            .split_whitespace()
            .find(|word| word.starts_with("sha256:"))
            .with_context(|| format!("no fingerprint in {said}"))?
            .to_owned();
        let mut serve = Command::new(re6st_user()?);
        serve
            .args(["registry", "--config"])
            .arg(directory.join("registry.toml"));
        let process = host.spawn(&mut serve)?;
        wait_for(&process, "the registry serves")?;
        Ok(Self {
            fingerprint,
            address,
            process,
        })
    }

    /// Its process, which goes on.
    pub fn into_process(self) -> Process {
        self.process
    }

    /// Makes a host a node, which does not run yet. `interfaces`: where XDP attaches.
    pub fn conf(&self, host: &Host, interfaces: &[&str]) -> Result<Member> {
        let member = Member::of(host);
        let mut conf = Command::new(re6st_user()?);
        conf.args(["conf", "--anonymous", "--fingerprint", &self.fingerprint])
            .args(["--registry", &format!("https://{}:{PORT}/", self.address)])
            .arg("--dir")
            .arg(&member.directory);
        for interface in interfaces {
            conf.args(["--interface", interface]);
        }
        host.spawn(&mut conf)?.wait(PATIENCE)?.success()?;
        let state = host.directory().join("state");
        member.change(|text| {
            // other nodes are behind tunnels only
            let (before, babel) = text.split_once("[babel]").unwrap_or((&text, ""));
            let (_, registry) = babel.split_once("\n[registry]").unwrap_or(("", babel));
            // and are named, but for `find_others`
            let (registry, _) = registry.split_once("[mesh]").unwrap_or((registry, ""));
            format!(
                "{before}[babel]\ninterfaces = []\nstate-directory = {state:?}\n\n[registry]{registry}"
            )
        })?;
        Ok(member)
    }
}

fn directory_of_registry(host: &Host) -> PathBuf {
    host.directory().join("registry")
}

/// Who issues certificates in the name of the registry on this host.
pub fn issuer_of(host: &Host) -> Result<Issuer> {
    let directory = directory_of_registry(host);
    let read = |name| fs::read_to_string(directory.join(name));
    Issuer::of(Authority::from_pem(&read("ca.crt")?, &read("ca.key")?)?)
}

/// The files of a node.
pub struct Member {
    directory: PathBuf,
}

impl Member {
    /// Those of the node on this host.
    pub fn of(host: &Host) -> Self {
        let directory = host.directory().join("node");
        Self { directory }
    }

    fn file(&self) -> PathBuf {
        self.directory.join("re6st0.toml")
    }

    fn change(&self, change: impl FnOnce(String) -> String) -> Result<()> {
        let text = fs::read_to_string(self.file())?;
        Ok(fs::write(self.file(), change(text))?)
    }

    /// Its certificate.
    pub fn certificate(&self) -> Result<NodeCertificate> {
        let text = fs::read_to_string(self.directory.join("cert.crt"))?;
        Ok(NodeCertificate::from_pem(&text)?)
    }

    /// Lets it find other nodes by itself; `settings` are lines of the section `[mesh]`.
    pub fn find_others(&self, settings: &str) -> Result<()> {
        self.change(|text| text + "\n[mesh]\n" + settings)
    }

    /// Its address in the mesh.
    pub fn address(&self) -> Result<String> {
        let text = fs::read_to_string(self.file())?;
        let address = text.split('"').nth(1).context("no address")?;
        Ok(address.split('/').next().unwrap_or(address).to_owned())
    }

    /// Names a peer, at this address.
    pub fn add_peer(&self, peer: &Self, address: Ipv4Addr) -> Result<()> {
        let name = peer.certificate()?.prefix().common_name();
        self.change(|text| {
            text + &format!("\n[[peer]]\nnode = \"{name}\"\naddress = \"{address}\"\n")
        })
    }

    /// Starts it.
    pub fn start(&self, host: &Host) -> Result<Process> {
        let mut command = command(host, &["node", "--config"])?;
        command.arg(self.file());
        let process = host.spawn(&mut command)?;
        wait_for(&process, "speaks Babel")?;
        Ok(process)
    }
}

/// `re6st-user` on a host with a node.
pub fn command(host: &Host, arguments: &[&str]) -> Result<Command> {
    let mut command = Command::new(re6st_user()?);
    command
        .arg("--bpffs")
        .arg(host.bpffs())
        .arg("--sockets")
        .arg(host.directory())
        .args(arguments);
    Ok(command)
}

fn wait_for(process: &Process, words: &str) -> Result<()> {
    let said = wait_until(PATIENCE, || process.stderr().contains(words));
    ensure!(said, "{words:?} was not said:\n{}", process.stderr());
    Ok(())
}
