//! Our node, as a router like the others: without tunnels.

use std::process::Command;

use anyhow::Result;
use re6st_user::node::control::{self, Question};
use serde_json::Value;

use super::{Daemon, Role, file, words};
use crate::{
    configuration::{Announcement, Babel, Configuration},
    host::Host,
    node::{INSTANCE, mesh_ipv4, mesh_ipv6, re6st_user},
    process::Process,
};

/// Ours.
#[derive(Debug)]
pub struct Re6st;

impl Re6st {
    /// Its configuration file.
    pub fn configuration(role: &Role<'_>, state_directory: &std::path::Path) -> Configuration {
        let Role {
            number,
            interfaces,
            intervals,
            features,
        } = role;
        let interfaces: Vec<String> = interfaces.iter().map(ToString::to_string).collect();
        let mut configuration = Configuration {
            addresses: vec![format!("{}/64", mesh_ipv6(*number))],
            interfaces: interfaces.clone(),
            networks: vec!["2001:db8:42::/48".into()],
            forward: true,
            ..Configuration::default()
        };
        if features.ipv4 {
            let address = format!("{}/24", mesh_ipv4(*number));
            configuration.addresses.push(address);
            configuration.networks.push("10.42.0.0/16".into());
        }
        let announcement = |source: &str| Announcement {
            from: Some(source.into()),
            ..Announcement::new("::/0")
        };
        configuration.babel = Some(Babel {
            hello_interval: intervals.hello.as_secs_f64(),
            update_interval: Some(intervals.update.as_secs_f64()),
            mac: features.mac.into_iter().cloned().collect(),
            round_trip_interfaces: match features.round_trip {
                true => interfaces.clone(),
                false => Vec::new(),
            },
            announce: features
                .default_from
                .into_iter()
                .map(announcement)
                .collect(),
            ..Babel::new(interfaces, state_directory.to_owned())
        });
        configuration
    }

    /// All that the controller says to such a question.
    fn list(host: &Host, question: Question) -> Result<Vec<Value>> {
        let socket = host.directory().join(format!("{INSTANCE}.sock"));
        let answers = control::ask_for_all(&socket, question);
        Ok(answers.collect::<std::io::Result<_>>()?)
    }

    fn neighbours(host: &Host) -> Result<Vec<Value>> {
        Self::list(host, Question::Neighbours { from: 0 })
    }
}

impl Daemon for Re6st {
    fn name(&self) -> &'static str {
        "re6st"
    }

    fn start(&self, host: &Host, role: Role<'_>) -> Result<Process> {
        host.set_sysctl("net.ipv6.conf.all.forwarding", "1")?;
        let configuration = Self::configuration(&role, &host.directory().join("state"));
        let configuration = file(host, "re6st.toml", &toml::to_string(&configuration)?)?;
        let bpffs = words(&host.bpffs())?;
        let sockets = words(host.directory())?;
        let mut command = Command::new(re6st_user()?);
        command
            .args(["--bpffs", &bpffs, "--sockets", &sockets, "node"])
            .args(["--config", &configuration, "--instance", INSTANCE]);
        host.spawn(&mut command)
    }

    fn routes_of_neighbours(&self, host: &Host) -> Result<Option<Vec<u64>>> {
        let neighbours = Self::neighbours(host)?;
        let routes = neighbours
            .iter()
            .map(|neighbour| neighbour["routes"].as_u64());
        Ok(routes.collect())
    }

    fn tables(&self, host: &Host) -> Result<String> {
        let (from, near) = (0, None);
        let routes = Self::list(host, Question::Routes { from, near })?;
        let all = [Self::neighbours(host)?, routes].concat();
        Ok(format!("{:#}", Value::from(all)))
    }
}
