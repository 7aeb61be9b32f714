//! `re6st-user registry cert`.

use anyhow::Result;
use clap::Subcommand;
use re6st_user::registry::{
    api::{CertificateName, NodeEntry, Page},
    client::Client,
    config::RegistryConfig,
};

use super::{date, session::Session, show};
use crate::cli::table::table;

/// How many certificates are asked for at once.
const PAGE: usize = 5_000;

/// What to do.
#[derive(Debug, Subcommand)]
pub enum CertificateAction {
    /// List the nodes' certificates.
    #[command(after_long_help = "\
Example:
  re6st-user registry cert list --config /var/lib/re6st-registry/registry.toml")]
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show a certificate.
    #[command(after_long_help = "\
Example:
  re6st-user registry cert show 1/16 --config /var/lib/re6st-registry/registry.toml")]
    Show {
        /// The node's prefix (1/16), or the certificate's serial number.
        name: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// By serial number: revoke the certificates of a node and their keys, since whoever has one may have asked for others by
    /// it; the node keeps the prefix and gets another certificate by `token add --node`. By prefix: end a node and free its
    /// prefix.
    #[command(after_long_help = "\
Examples:
  re6st-user registry cert revoke 3 --config /var/lib/re6st-registry/registry.toml
  re6st-user registry cert revoke 1/16 --config /var/lib/re6st-registry/registry.toml")]
    Revoke {
        /// The node's prefix (1/16), or the certificate's serial number.
        name: String,
    },
}

/// Asks the registry, or its database if none serves.
pub async fn run(action: &CertificateAction, config: &RegistryConfig) -> Result<()> {
    match action {
        CertificateAction::List { json } => {
            let certificates = Session::ask(config, all).await?;
            show(*json, &certificates, |certificates| list(certificates))
        }
        CertificateAction::Show { name, json } => {
            let name = CertificateName { name: name.clone() };
            let certificate: NodeEntry = Session::ask(config, async |client| {
                Ok(client.get("/v1/admin/certificate", &name).await?)
            })
            .await?;
            show(*json, &certificate, text)
        }
        CertificateAction::Revoke { name } => {
            let asked = CertificateName { name: name.clone() };
            Session::ask(config, async |client| {
                Ok(client
                    .post_for_nothing("/v1/admin/certificates/revoke", &asked)
                    .await?)
            })
            .await?;
            println!("{}", what_now(name));
            Ok(())
        }
    }
}

/// What an operator should know who has revoked something.
fn what_now(name: &str) -> String {
    let keys = "The node still has the keys of Babel's MAC, and is heard on LANs until they are others: `registry mac-keys \
                rotate` three times, or at once with --at-once.";
    if name.contains('/') {
        return format!("node {name} has ended; its key gets no certificate again.\n{keys}");
    }
    format!(
        "certificate {name} is revoked, with all that its node has got by renewal; their keys get no certificate again. The \
         node gets another one by `registry token add --node PREFIX`.\n{keys}"
    )
}

async fn all(client: &Client) -> Result<Vec<NodeEntry>> {
    let mut certificates: Vec<NodeEntry> = Vec::new();
    loop {
        let page = Page {
            after: certificates.last().map(|last| last.common_name.clone()),
            limit: Some(PAGE),
        };
        let next: Vec<NodeEntry> = client.get("/v1/admin/certificates", &page).await?;
        let is_last = next.len() < PAGE;
        certificates.extend(next);
        if is_last {
            return Ok(certificates);
        }
    }
}

fn list(certificates: &[NodeEntry]) -> String {
    if certificates.is_empty() {
        return "there are no nodes yet\n".to_owned();
    }
    let rows = certificates.iter().map(|certificate| {
        vec![
            certificate.common_name.clone(),
            shown(certificate.subnet),
            shown(certificate.ipv4),
            certificate.serial.to_string(),
            date(certificate.not_after),
            certificate.email.clone().unwrap_or_default(),
            remark(certificate),
        ]
    });
    let columns = [
        "node",
        "subnet",
        "IPv4",
        "serial",
        "valid until (UTC)",
        "email",
        "",
    ];
    table("certificates", &columns, rows)
}

fn remark(certificate: &NodeEntry) -> String {
    let mut remarks = Vec::new();
    if certificate.registry {
        remarks.push("the registry's own node");
    }
    if certificate.revoked {
        remarks.push("REVOKED");
    }
    remarks.join(", ")
}

fn text(certificate: &NodeEntry) -> String {
    let mut text = String::new();
    for (name, value) in [
        ("node", certificate.common_name.clone()),
        ("subnet", shown(certificate.subnet)),
        ("IPv4", shown(certificate.ipv4)),
        ("serial", certificate.serial.to_string()),
        ("valid from", date(certificate.not_before)),
        ("valid until", date(certificate.not_after)),
        ("email", certificate.email.clone().unwrap_or_default()),
        ("", remark(certificate)),
    ] {
        if !value.is_empty() {
            text += &format!("{name:<12} {value}\n");
        }
    }
    text + certificate.certificate.as_deref().unwrap_or_default()
}

fn shown<T: ToString>(value: Option<T>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}
