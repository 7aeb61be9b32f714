//! What handshakes cost OpenVPN.

use std::{
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;

use super::super::core;
pub use super::super::openvpn::available;
use crate::{cleanup::wait_until, host::Host, process::Process};

/// How long a connection may take to come up.
const PATIENCE: Duration = Duration::from_secs(30);
/// What each end says after a complete TLS handshake.
const HANDSHAKE: &str = "Control Channel: TLSv1.3";
/// What each end says when it is ready.
const COMPLETE: &str = "Initialization Sequence Completed";

/// Two processes on one host, which agree on new keys every second.
pub struct Connection {
    processes: [Process; 2],
}

impl Connection {
    /// Connects them: certificates of P-256 keys, each issued by one authority and verified at the other end; nothing is
    /// carried (`--dev null`).
    pub fn start(host: &Host) -> Result<Self> {
        let end = |own: u16, remote: u16| {
            format!(
                "--dev null --local 127.0.0.1 --remote 127.0.0.1 --lport {own} --rport {remote} --reneg-sec 1"
            )
        };
        make_certificates(host)?;
        let processes = [
            start(host, "tls-server", &end(11940, 11941))?,
            start(host, "tls-client", &end(11941, 11940))?,
        ];
        for process in &processes {
            wait_for(process, COMPLETE)?;
        }
        Ok(Self { processes })
    }

    /// TLS handshakes so far, as the client counts them.
    fn handshakes(&self) -> usize {
        self.processes[1].stdout().matches(HANDSHAKE).count()
    }

    /// Handshakes for each second of processor time of both processes together.
    pub fn handshakes_per_second(&self, window: Duration) -> Result<f64> {
        let processes = self.processes.each_ref().map(Process::id);
        let handshakes = self.handshakes();
        let time = core::time(&processes)?;
        let begin = Instant::now();
        let wanted = handshakes + window.as_secs() as usize;
        wait_until(window * 3, || self.handshakes() >= wanted);
        // what follows the handshake belongs to it
        thread::sleep(Duration::from_millis(100));
        let handshakes = self.handshakes() - handshakes;
        ensure!(
            handshakes > 0,
            "OpenVPN made no handshake in {:?}:\n{}",
            begin.elapsed(),
            self.processes[1].stdout()
        );
        let time = core::time(&processes)? - time;
        Ok(handshakes as f64 / time.as_secs_f64())
    }
}

/// Connections of new client processes for each second of processor time: of a client, from its start until it is ready, and
/// of the server, which runs all the time.
pub fn connections_per_second(host: &Host, count: usize) -> Result<f64> {
    let server = start(
        host,
        "tls-server",
        "--mode server --dev served --dev-type tap --local 127.0.0.1 --port 11942 --duplicate-cn",
    )?;
    wait_for(&server, COMPLETE)?;
    let mut time = Duration::ZERO;
    for _ in 0..count {
        let before = core::time(&[server.id()])?;
        let client = start(
            host,
            "tls-client",
            "--dev null --remote 127.0.0.1 11942 --nobind",
        )?;
        wait_for(&client, COMPLETE)?;
        time += core::time(&[server.id(), client.id()])? - before;
        client.stop(Signal::SIGKILL)?;
    }
    Ok(count as f64 / time.as_secs_f64())
}

fn wait_for(process: &Process, words: &str) -> Result<()> {
    let said = wait_until(PATIENCE, || process.stdout().contains(words));
    ensure!(said, "OpenVPN made no connection:\n{}", process.stdout());
    Ok(())
}

fn start(host: &Host, role: &str, more: &str) -> Result<Process> {
    let file = |kind: &str| path(&host.directory().join(format!("{role}.{kind}")));
    let authority = path(&host.directory().join("ca.pem"));
    let mut arguments = format!(
        "--{role} {more} --proto udp4 --data-ciphers AES-256-GCM --cipher AES-256-GCM --verb 3 \
         --ca {authority} --key {} --cert {}",
        file("key"),
        file("pem")
    );
    if role == "tls-server" {
        arguments += " --dh none";
    }
    host.spawn(Command::new("openvpn").args(arguments.split_whitespace()))
}

fn make_certificates(host: &Host) -> Result<()> {
    const NEW: &str = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2";
    let file = |name: &str| path(&host.directory().join(name));
    let openssl = |arguments: &str| {
        let arguments: Vec<&str> = arguments.split_whitespace().collect();
        host.run("openssl", &arguments).map(drop)
    };
    let (key, authority) = (file("ca.key"), file("ca.pem"));
    openssl(&format!(
        "{NEW} -subj /CN=ca -keyout {key} -out {authority}"
    ))?;
    for name in ["tls-server", "tls-client"] {
        openssl(&format!(
            "{NEW} -subj /CN={name} -CA {authority} -CAkey {key} -addext basicConstraints=critical,CA:false \
             -keyout {} -out {}",
            file(&format!("{name}.key")),
            file(&format!("{name}.pem")),
        ))?;
    }
    Ok(())
}

fn path(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
