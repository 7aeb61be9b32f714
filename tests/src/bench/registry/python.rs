//! re6stnet's registry, from PyPI, and load made by its own client.

use std::{
    fs,
    net::TcpStream,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Result, bail, ensure};

use super::Rate;
use crate::{cleanup::wait_until, host::Host, process::Process};

/// HTTP port of the registry.
const PORT: u16 = 80;
/// How long the start may take.
const START: Duration = Duration::from_secs(20);
/// How long one measurement may take.
const LIMIT: Duration = Duration::from_secs(120);
/// Group 14 of RFC 3526: the registry wants some parameters, and making them takes minutes.
const DIFFIE_HELLMAN: &str = "\
-----BEGIN DH PARAMETERS-----
MIIBCAKCAQEA//////////+t+FRYortKmq/cViAnPTzx2LnFg84tNpWp4TZBFGQz
+8yTnc4kmz75fS/jY2MMddj2gbICrsRhetPfHtXV/WVhJDP1H18GbtCFY2VVPe0a
87VXE15/V8k1mE8McODmi3fipona8+/och3xWKE2rec1MKzKT0g6eXq8CrGCsyT7
YdEIqUuyyOP7uWrat2DX9GgdT0Kj3jlN9K5W7edjcrsZCwenyO4KbXCeAvzhzffi
7MA0BM0oNC9hkXL+nOmFg/+OTxIy7vKBg8P+OxtMb61zO7X8vC7CIAXFjvGDfRaD
ssbzSibBsu/6iGtCOGEoXJf//////////wIBAg==
-----END DH PARAMETERS-----
";

/// A running `re6st-registry`.
pub struct Python<'a> {
    host: &'a Host,
    environment: PathBuf,
    directory: PathBuf,
    registry: Process,
}

/// Where `cargo xtask bench registry` installs it.
fn environment() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    workspace.unwrap_or(Path::new(".")).join("target/re6stnet")
}

/// Says how to get it if it is not there.
pub fn available() -> Result<()> {
    let program = environment().join("bin/re6st-registry");
    ensure!(
        program.exists(),
        "re6stnet is not installed in {}: `cargo xtask bench registry` does that",
        environment().display()
    );
    Ok(())
}

impl<'a> Python<'a> {
    /// Starts one for a new network whose nodes need no token.
    pub fn start(host: &'a Host) -> Result<Self> {
        let environment = environment();
        let directory = host.directory().join("re6stnet");
        fs::create_dir_all(directory.join("run"))?;
        fs::write(directory.join("dh.pem"), DIFFIE_HELLMAN)?;
        let path = |name: &str| directory.join(name).to_string_lossy().into_owned();
        // the serial number is the network: 2001:db8:42::/48
        let subject = "/CN=benchmark/emailAddress=ca@example.com";
        let (key, ca) = (path("ca.key"), path("ca.crt"));
        let arguments = [
            "req",
            "-new",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-keyout",
            &key,
            "-out",
            &ca,
            "-set_serial",
            "0x120010db80042",
            "-days",
            "365",
            "-subj",
            subject,
        ];
        host.run("openssl", &arguments)?;
        let registry = host.spawn(
            Command::new(environment.join("bin/re6st-registry"))
                .args(["--port", &PORT.to_string(), "-4", "127.0.0.1", "-6", ""])
                .args(["--anonymous-prefix-length", "16", "--verbose", "1"])
                .args(["--db", &path("registry.db"), "--dh", &path("dh.pem")])
                .args(["--ca", &ca, "--key", &key])
                .args(["--logfile", &path("registry.log"), "--run", &path("run")]),
        )?;
        let started = Self {
            host,
            environment,
            directory,
            registry,
        };
        let connect = || host.enter(|| TcpStream::connect(("127.0.0.1", PORT)));
        let answers = wait_until(START, || matches!(connect(), Ok(Ok(_))));
        ensure!(
            answers,
            "re6st-registry does not answer:\n{}",
            started.registry.stderr()
        );
        Ok(started)
    }

    /// Newcomers without a token, some at a time.
    pub fn enrol(&self, count: usize, clients: usize) -> Result<Rate> {
        self.load(&["enrol", &count.to_string(), &clients.to_string()])
    }

    /// A node fetches the parameters over and over.
    pub fn fetch(&self, time: Duration) -> Result<Rate> {
        self.load(&["fetch", &time.as_secs_f64().to_string()])
    }

    fn load(&self, arguments: &[&str]) -> Result<Rate> {
        let script = self.directory.join("load.py");
        fs::write(&script, include_str!("re6stnet_load.py"))?;
        let said = self
            .host
            .spawn(
                Command::new(self.environment.join("bin/python"))
                    .arg(&script)
                    .arg(format!("http://127.0.0.1:{PORT}/"))
                    .arg(self.directory.join("ca.crt"))
                    .arg(&self.directory)
                    .args(arguments),
            )?
            .wait(LIMIT)?
            .success()?
            .stdout;
        let mut numbers = said.split_whitespace().map(str::parse::<f64>);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(count)), Some(Ok(seconds))) if count > 0.0 && seconds > 0.0 => {
                Ok(Rate(count / seconds))
            }
            _ => bail!("no two numbers but {said:?}"),
        }
    }
}
