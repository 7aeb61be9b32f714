//! CZ.NIC's BIRD.

use std::process::Command;

use anyhow::Result;

use super::{Daemon, Role, file, prepare, words};
use crate::{
    configuration::{Mac, MacAlgorithm},
    host::Host,
    node::{mesh_ipv4, mesh_ipv6},
    process::Process,
};

/// Its control socket, in the host's folder.
const SOCKET: &str = "bird.ctl";

/// CZ.NIC's.
#[derive(Debug)]
pub struct Bird;

impl Bird {
    /// Its configuration file. BIRD 2.0 measures no round-trip times, and has no interfaces of type `tunnel`.
    pub fn configuration(role: &Role<'_>) -> String {
        let number = role.number;
        let address = mesh_ipv6(number);
        let mut text = format!("router id 10.42.0.{number};\nprotocol device {{ }}\n");
        let mut channels = vec![match role.features.default_from {
            None => {
                let own = format!("route {address}/128 unreachable;");
                Channel::new("ipv6", "", own)
            }
            Some(source) => {
                text += "ipv6 sadr table sources;\n";
                let own = format!(
                    "route {address}/128 from ::/0 unreachable; route ::/0 from {source} unreachable;"
                );
                Channel::new("ipv6 sadr", "table sources; ", own)
            }
        }];
        if role.features.ipv4 {
            let own = format!("route {}/32 unreachable;", mesh_ipv4(number));
            channels.push(Channel::new("ipv4", "", own));
        }
        text.extend(channels.iter().map(Channel::protocols));
        let babel: String = channels.iter().map(Channel::babel).collect();
        let names: Vec<String> = role
            .interfaces
            .iter()
            .map(|interface| format!("\"{interface}\""))
            .collect();
        text + &format!(
            "protocol babel {{\n{babel}  interface {} {{ type wired; check link yes; hello interval {} ms; update interval {} ms; {}}};\n}}\n",
            names.join(", "),
            role.intervals.hello.as_millis(),
            role.intervals.update.as_millis(),
            role.features.mac.map(password).unwrap_or_default(),
        )
    }
}

/// What BIRD keeps apart: a kind of routes.
struct Channel {
    name: &'static str,
    table: &'static str,
    own: String,
}

impl Channel {
    const fn new(name: &'static str, table: &'static str, own: String) -> Self {
        Self { name, table, own }
    }

    fn protocols(&self) -> String {
        let Self { name, table, own } = self;
        format!(
            "protocol kernel {{ {name} {{ {table}import none; export where source = RTS_BABEL; }}; }}\n\
             protocol static {{ {name} {{ {table}}}; {own} }}\n"
        )
    }

    fn babel(&self) -> String {
        let Self { name, table, .. } = self;
        format!(
            "  {name} {{ {table}import all; export where source ~ [ RTS_BABEL, RTS_STATIC ]; }};\n"
        )
    }
}

fn password(mac: &Mac) -> String {
    let algorithm = match mac.algorithm {
        MacAlgorithm::HmacSha256 => "hmac sha256",
        MacAlgorithm::Blake2s128 => "blake2s128",
    };
    let octets: Vec<&str> = mac
        .key
        .as_bytes()
        .chunks(2)
        .filter_map(|octet| str::from_utf8(octet).ok())
        .collect();
    let key = octets.join(":");
    format!("authentication mac; password {key} {{ algorithm {algorithm}; }}; ")
}

impl Daemon for Bird {
    fn name(&self) -> &'static str {
        "bird"
    }

    fn start(&self, host: &Host, role: Role<'_>) -> Result<Process> {
        prepare(host, &role)?;
        let configuration = file(host, "bird.conf", &Self::configuration(&role))?;
        let control = words(&host.directory().join(SOCKET))?;
        let mut command = Command::new("bird");
        command.args(["-f", "-c", &configuration, "-s", &control]);
        host.spawn(&mut command)
    }

    fn tables(&self, host: &Host) -> Result<String> {
        let control = words(&host.directory().join(SOCKET))?;
        let ask = |what: &[&str]| host.run("birdc", &[&["-s", &control, "show"], what].concat());
        Ok(ask(&["babel", "neighbors"])? + &ask(&["babel", "entries"])?)
    }
}
