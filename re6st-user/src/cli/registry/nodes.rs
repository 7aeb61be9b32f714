//! `re6st-user registry nodes`: who is there.

use anyhow::Result;
use clap::Args;
use re6st_user::{
    printable::printable,
    registry::{
        api::{Page, PresentNode},
        client::Client,
        config::RegistryConfig,
    },
};

use super::{date, session::Session, show};
use crate::cli::table::table;

/// How many nodes are asked for at once.
const PAGE: usize = 5_000;

/// Options of `nodes`.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Example:
  re6st-user registry nodes --config /var/lib/re6st-registry/registry.toml")]
pub struct NodesArguments {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Asks the registry that serves.
pub async fn run(arguments: &NodesArguments, config: &RegistryConfig) -> Result<()> {
    let nodes = Session::ask_server(config, all).await?;
    show(arguments.json, &nodes, |nodes| list(nodes))
}

async fn all(client: &Client) -> Result<Vec<PresentNode>> {
    let mut nodes: Vec<PresentNode> = Vec::new();
    loop {
        let page = Page {
            after: nodes.last().map(|last| last.common_name.clone()),
            limit: Some(PAGE),
        };
        let next: Vec<PresentNode> = client.get("/v1/admin/nodes", &page).await?;
        let is_last = next.len() < PAGE;
        nodes.extend(next);
        if is_last {
            return Ok(nodes);
        }
    }
}

fn list(nodes: &[PresentNode]) -> String {
    if nodes.is_empty() {
        return "no node has said in the last 15 minutes that it is there\n".to_owned();
    }
    let rows = nodes.iter().map(|node| {
        let addresses = node.addresses.iter().map(ToString::to_string);
        vec![
            node.common_name.clone(),
            addresses.collect::<Vec<_>>().join(", "),
            node.country.clone().unwrap_or_default(),
            node.version.as_deref().map(printable).unwrap_or_default(),
            date(node.said),
            node.serial.to_string(),
            date(node.not_after),
        ]
    });
    let columns = [
        "node",
        "addresses",
        "country",
        "version",
        "said so last (UTC)",
        "certificate",
        "valid until (UTC)",
    ];
    table("nodes that are there", &columns, rows)
}
