//! `conf --import FILE`: what a node of re6stnet was told, in the words of a node of this kind, and what became of each line.
//!
//! [`lines`] reads the file, [`options`] has what there is of re6stnet. Whatever is taken is tried in a configuration at once
//! ([`Draft::check`]): so it can be used, or else the person reads what the configuration would say of it.

mod draft;
mod lines;
mod options;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use re6st_user::{
    certificate::{digest::Fingerprint, node::NodeCertificate, verify::Authorities},
    io::file,
    printable::printable,
};

pub use self::draft::Draft;
use self::{
    lines::Line,
    options::{Here, Taken},
};
use super::ways::Named;

/// What became of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is in the configuration: as what.
    Taken(String),
    /// Nothing is missing without it: why.
    NotNeeded(String),
    /// It may be missed: why, or what to do instead.
    NotSupported(String),
    /// re6stnet would not know it either.
    Unknown,
}

/// What a file of re6stnet says.
#[derive(Debug, Default)]
pub struct Import {
    /// The registry's address.
    pub registry: Option<String>,
    /// The file with the network's authority.
    pub authority: Option<PathBuf>,
    /// The file with the node's certificate.
    pub certificate: Option<PathBuf>,
    /// The file with the node's key.
    pub key: Option<PathBuf>,
    /// Links on which other nodes are.
    pub interfaces: Vec<Named>,
    /// It is an Internet gateway.
    pub gateway: bool,
    /// What else goes into the configuration.
    pub draft: Draft,
    /// For each line what became of it, in words.
    pub remarks: Vec<String>,
    /// Of `disable-proto`.
    disabled: Vec<String>,
}

impl Import {
    /// Reads a file, and those that it names.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(path: &Path) -> Result<Self> {
        Ok(Self::of(&lines::read(path)?))
    }

    /// The network's authorities, if the file names some, and the person who gives a fingerprint does not mean others.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn authorities(&self, fingerprint: Option<Fingerprint>) -> Result<Option<Authorities>> {
        let Some(path) = &self.authority else {
            return Ok(None);
        };
        let place = || path.display().to_string();
        let text = file::read_text(path).with_context(place)?;
        let authorities = Authorities::from_pem(&text).with_context(place)?;
        let meant = |fingerprint| authorities.iter().any(|it| it.fingerprint() == fingerprint);
        if !fingerprint.is_none_or(meant) {
            println!(
                "{}: not taken, --fingerprint is another authority's",
                place()
            );
            return Ok(None);
        }
        Ok(Some(authorities))
    }

    /// The node's certificate, if the file names one.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn certificate(&self) -> Result<Option<NodeCertificate>> {
        let Some(path) = &self.certificate else {
            return Ok(None);
        };
        let place = || path.display().to_string();
        let text = file::read_text(path).with_context(place)?;
        NodeCertificate::from_pem(&text)
            .map(Some)
            .with_context(place)
    }

    fn of(lines: &[Line]) -> Self {
        let mut import = Self::default();
        for line in lines {
            let outcome = import.take(line);
            import.remarks.push(remark(line, &outcome));
        }
        import
    }

    fn take(&mut self, line: &Line) -> Outcome {
        let Some((known, values)) = &line.option else {
            return Outcome::Unknown;
        };
        let value = values.first().map(String::as_str).unwrap_or_default();
        match known.here {
            Here::NotNeeded(why) => Outcome::NotNeeded(why.to_owned()),
            Here::NotSupported(why) => Outcome::NotSupported(why.to_owned()),
            Here::Taken(what) => self.take_as(what, value, values, line),
        }
    }

    fn take_as(&mut self, what: Taken, value: &str, values: &[String], line: &Line) -> Outcome {
        match what {
            Taken::Registry if value.starts_with("https://") => {
                self.registry = Some(value.to_owned());
                taken("registry.url")
            }
            Taken::Registry => Outcome::NotSupported(
                "this registry is asked by HTTPS: give its address by --registry".to_owned(),
            ),
            Taken::Authority => named(
                &mut self.authority,
                value,
                line,
                "ca.crt, by which the registry is known",
            ),
            Taken::Certificate => named(
                &mut self.certificate,
                value,
                line,
                "the certificate's subject",
            ),
            Taken::Key => named(
                &mut self.key,
                value,
                line,
                "cert.key, the node's place in the network",
            ),
            Taken::Interface => {
                self.interfaces.push(Named {
                    name: value.to_owned(),
                    by: printable(&format!("{}: {}", place(line), line.text)),
                });
                taken("babel.interfaces")
            }
            Taken::MainInterface if value == "lo" => not_needed("re6st0 has the node's addresses"),
            Taken::MainInterface => Outcome::NotSupported(format!(
                "re6st0 has the node's addresses; for hosts on {value}: \"A LAN behind a node\" in docs/operating.md"
            )),
            Taken::Gateway => {
                self.gateway = true;
                taken(
                    "gateway-interfaces and babel.announce, which other nodes ignore so far: no certificate makes a node a gateway",
                )
            }
            Taken::Ip if value == "any" => self.draft.try_change(
                "mesh.port-mapping = false; peers tell where they see it",
                |draft| draft.no_port_mapping = true,
            ),
            Taken::Ip if value == "upnp" => {
                not_needed("routers are asked, also by PCP and NAT-PMP")
            }
            Taken::Ip => self
                .draft
                .try_change("mesh.ip", |draft| draft.ip.push(value.to_owned())),
            Taken::Country => {
                let what = last_word("mesh.country", self.draft.country.is_some());
                self.draft.try_change(&what, |draft| {
                    draft.country = Some(value.to_owned());
                })
            }
            Taken::Count(key) => self.count(key, value),
            Taken::Port => self.port(value, values.get(1).map(String::as_str).unwrap_or_default()),
            Taken::DisabledProtocol => self.disable(value),
            Taken::Client => self.draft.try_change(
                "mesh.client; whom it has its tunnel with is found, or a [[peer]]",
                |draft| draft.client = true,
            ),
            Taken::Neighbour => self.draft.try_change("[[peer]]", |draft| {
                draft.peers.push(value.to_owned());
            }),
            Taken::Up => {
                let what = last_word("up", self.draft.up.is_some());
                self.draft
                    .try_change(&what, |draft| draft.up = Some(value.to_owned()))
            }
            Taken::Daemon => self.draft.try_change("daemon", |draft| {
                draft.daemons.push(value.to_owned());
            }),
        }
    }

    fn count(&mut self, key: &'static str, value: &str) -> Outcome {
        let Ok(count) = value.parse() else {
            return Outcome::NotSupported("it is no number".to_owned());
        };
        let was_said = self.draft.counts.contains_key(key);
        let what = last_word(&format!("mesh.{key}"), was_said);
        self.draft.try_change(&what, |draft| {
            draft.counts.insert(key, count);
        })
    }

    /// The first UDP port, which whatever firewall there is lets in.
    fn port(&mut self, port: &str, protocol: &str) -> Outcome {
        if !matches!(protocol, "udp" | "udp6" | "udp4") {
            return not_needed("tunnels are UDP: let the UDP port in that is said at the end");
        }
        match (self.draft.port, port.parse()) {
            (None, Ok(port)) => self
                .draft
                .try_change("port", |draft| draft.port = Some(port)),
            (Some(_), Ok(_)) => not_needed("there is one port, for both versions of IP"),
            (_, Err(_)) => Outcome::NotSupported("it is no port".to_owned()),
        }
    }

    /// A version of IP that has neither TCP nor UDP is not used: re6stnet has no UDP unless told otherwise.
    fn disable(&mut self, protocol: &str) -> Outcome {
        self.disabled.push(protocol.to_owned());
        let all = |names: [&str; 2]| {
            names
                .iter()
                .all(|name| self.disabled.iter().any(|it| it == name))
        };
        let without = match protocol {
            "udp" | "tcp" if all(["udp", "tcp"]) => "udp",
            "udp6" | "tcp6" if all(["udp6", "tcp6"]) => "udp6",
            "none" => return not_needed("nothing is disabled unless said"),
            _ => {
                return not_needed(
                    "tunnels are UDP; disable-proto = [\"udp6\"] is for IPv6 as a whole",
                );
            }
        };
        self.draft.try_change("mesh.disable-proto", |draft| {
            draft.disabled.insert(without);
        })
    }
}

/// A file's name, which is relative to the folder of the one that names it.
fn named(place: &mut Option<PathBuf>, name: &str, line: &Line, what: &str) -> Outcome {
    let folder = line.file.parent().unwrap_or_else(|| Path::new(""));
    *place = Some(folder.join(name));
    taken(what)
}

fn taken(what: &str) -> Outcome {
    Outcome::Taken(what.to_owned())
}

fn not_needed(why: &str) -> Outcome {
    Outcome::NotNeeded(why.to_owned())
}

fn remark(line: &Line, outcome: &Outcome) -> String {
    let what = match outcome {
        Outcome::Taken(what) => format!("taken as {what}"),
        Outcome::NotNeeded(why) => format!("not needed: {why}"),
        Outcome::NotSupported(why) => format!("NOT SUPPORTED: {why}"),
        Outcome::Unknown => "UNKNOWN, as re6stnet would say, or not with these values".to_owned(),
    };
    printable(&format!("{}: {}: {what}", place(line), line.text))
}

fn place(line: &Line) -> String {
    format!("{}:{}", line.file.display(), line.number)
}

/// What is taken, of which a configuration has one: the last word counts, as with re6stnet.
fn last_word(what: &str, was_said: bool) -> String {
    match was_said {
        true => format!("{what}, in place of what was said before"),
        false => what.to_owned(),
    }
}
