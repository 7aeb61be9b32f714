//! `re6st-user peer`: has a running node do something about one peer.

use std::{path::Path, process::ExitCode};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use re6st_user::{
    certificate::node_prefix::NodePrefix,
    dataplane::bpf::InstanceName,
    node::control::{self, Question, Reconnected},
};

/// Options of `peer`.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Example:
  re6st-user peer 1/16 --reconnect")]
pub struct PeerArguments {
    /// The name in the peer's certificate, such as 1/16.
    #[arg(value_name = "PEER", value_parser = peer)]
    peer: String,
    /// Make a new handshake now, at the address of the configuration. The tunnel goes on meanwhile.
    #[arg(long, required = true)]
    reconnect: bool,
    /// The instance.
    #[arg(long, default_value = InstanceName::DEFAULT, value_parser = InstanceName::parse)]
    instance: InstanceName,
}

fn peer(text: &str) -> Result<String, String> {
    NodePrefix::from_common_name(text)
        .map(|node| node.common_name())
        .map_err(|_| "expected a node's name, such as 1/16".to_owned())
}

/// Has the node do it.
pub fn run(arguments: &PeerArguments, sockets: &Path) -> Result<ExitCode> {
    let (instance, peer) = (&arguments.instance, &arguments.peer);
    let question = Question::Reconnect { peer: peer.clone() };
    let answer = control::ask(&control::path(sockets, instance), &question)
        .context("the controller does not answer")?;
    let Some(answer) = answer else {
        bail!("no node runs on instance {instance}: start `re6st-user node`");
    };
    match serde_json::from_value(answer).context("the controller answers otherwise")? {
        Reconnected::Begun => println!("{instance}: a handshake with {peer} has begun"),
        Reconnected::Refused(why) => bail!("{instance}: {why}"),
    }
    Ok(ExitCode::SUCCESS)
}
