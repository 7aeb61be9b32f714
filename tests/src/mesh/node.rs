//! A node of such a mesh.

use std::{net::Ipv6Addr, process::Stdio};

use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;
use re6st_user::node::control::{self, Question};
use serde_json::Value;

use crate::{
    host::{COMMAND_LIMIT, Host},
    member::{self, Member, Registry},
    node::INSTANCE,
    process::Process,
};

/// A host that has enrolled, and on which a node may run.
pub struct Node {
    // before its files are gone
    process: Option<Process>,
    /// The host.
    pub host: Host,
    /// The name in its certificate.
    pub name: String,
    /// Its address in the mesh.
    pub address: Ipv6Addr,
    member: Member,
}

impl Node {
    /// Enrols a host, which tells nobody but the registry where it is. `settings`: lines of the section `[mesh]`.
    pub fn enrol(host: Host, registry: &Registry, settings: &str) -> Result<Self> {
        let member = registry.conf(&host, &["eth0"])?;
        member.find_others(settings)?;
        Ok(Self {
            name: member.certificate()?.prefix().common_name(),
            address: member.address()?.parse()?,
            host,
            member,
            process: None,
        })
    }

    /// Starts it.
    pub fn start(&mut self) -> Result<()> {
        self.process = Some(self.member.start(&self.host)?);
        Ok(())
    }

    /// Whether it was started, and has not been ended since.
    pub const fn is_running(&self) -> bool {
        self.process.is_some()
    }

    /// Its process.
    pub fn process(&self) -> Result<&Process> {
        self.process.as_ref().context("it is not running")
    }

    /// What it has said.
    pub fn said(&self) -> String {
        self.process
            .as_ref()
            .map(Process::stderr)
            .unwrap_or_default()
    }

    /// Ends it by a signal, and takes away what it has left in the kernel.
    pub fn end(&mut self, signal: Signal) -> Result<()> {
        let process = self.process.take().context("it is not running")?;
        process.stop(signal)?;
        self.command(&["unload"])?;
        Ok(())
    }

    /// Runs `re6st-user` on it; what it said.
    pub fn command(&self, arguments: &[&str]) -> Result<String> {
        let mut command = member::command(&self.host, arguments)?;
        command.stdin(Stdio::null());
        let output = self.host.spawn(&mut command)?.wait(COMMAND_LIMIT)?;
        Ok(output.success()?.stdout)
    }

    /// What its controller says of itself; none if there is none.
    pub fn summary(&self) -> Result<Option<Value>> {
        let socket = self.host.directory().join(format!("{INSTANCE}.sock"));
        Ok(control::ask(&socket, &Question::Summary)?)
    }

    /// Its tunnels through which packets flow, as [`summary`](Self::summary) has them.
    pub fn tunnels(&self) -> Result<Vec<Value>> {
        let summary = self.summary()?.unwrap_or_default();
        let tunnels = summary["mesh"]["tunnels"].as_array().into_iter().flatten();
        Ok(tunnels
            .filter(|tunnel| tunnel["is-up"] == true)
            .cloned()
            .collect())
    }
}
