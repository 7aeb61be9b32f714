//! Juliusz Chroboczek's babeld.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    os::unix::net::UnixStream,
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result};

use super::{Daemon, Role, file, prepare, words};
use crate::{
    configuration::{Mac, MacAlgorithm},
    host::Host,
    process::Process,
};

/// Its local socket, in the host's folder.
const SOCKET: &str = "babeld.sock";
/// `RTPROT_STATIC`.
const STATIC: u8 = 4;

/// Juliusz Chroboczek's.
#[derive(Debug)]
pub struct Babeld;

impl Babeld {
    /// Its configuration file.
    pub fn configuration(role: &Role<'_>, socket: &str) -> String {
        let Role {
            interfaces,
            intervals,
            features,
            ..
        } = role;
        let mut text = format!("link-detect true\nlocal-path {socket}\n");
        let kind = match features.round_trip {
            // with timestamps, without split horizon
            true => "type tunnel",
            false => "type wired link-quality false split-horizon true",
        };
        let key = features.mac.map(key).unwrap_or_default();
        let signed = features.mac.map_or("", |_| "key k");
        text += &key;
        for interface in *interfaces {
            text += &format!(
                "interface {interface} {kind} hello-interval {} update-interval {} {signed}\n",
                intervals.hello.as_secs_f64(),
                intervals.update.as_secs_f64()
            );
        }
        text += "redistribute local ip 2001:db8:42::/48 allow\n";
        if features.ipv4 {
            text += "redistribute local ip 10.42.0.0/16 allow\n";
        }
        if let Some(source) = features.default_from {
            text += &format!("redistribute ip ::/0 eq 0 proto {STATIC} src-prefix {source}\n");
        }
        text + "redistribute local deny\n"
    }
}

fn key(mac: &Mac) -> String {
    let algorithm = match mac.algorithm {
        MacAlgorithm::HmacSha256 => "hmac-sha256",
        MacAlgorithm::Blake2s128 => "blake2s128",
    };
    format!("key id k type {algorithm} value {}\n", mac.key)
}

impl Daemon for Babeld {
    fn name(&self) -> &'static str {
        "babeld"
    }

    fn start(&self, host: &Host, role: Role<'_>) -> Result<Process> {
        prepare(host, &role)?;
        let socket = words(&host.directory().join(SOCKET))?;
        let text = Self::configuration(&role, &socket);
        let configuration = file(host, "babeld.conf", &text)?;
        let state = words(&host.directory().join("babeld.state"))?;
        let mut command = Command::new("babeld");
        command
            .args(["-I", "", "-S", &state, "-c", &configuration])
            .args(role.interfaces);
        host.spawn(&mut command)
    }

    /// What it answers to `dump` on its local socket.
    fn tables(&self, host: &Host) -> Result<String> {
        let path = host.directory().join(SOCKET);
        let mut stream = UnixStream::connect(&path)
            .with_context(|| format!("connecting to {}", path.display()))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(b"dump\n")?;
        // the greeting ends in `ok` too
        let mut ends = 2;
        let mut text = String::new();
        let mut lines = BufReader::new(stream).lines();
        while ends > 0 {
            let line = lines.next().context("babeld hung up")??;
            ends -= u8::from(line == "ok");
            text += &line;
            text.push('\n');
        }
        Ok(text)
    }
}
