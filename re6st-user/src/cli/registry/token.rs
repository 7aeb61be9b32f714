//! `re6st-user registry token`.

use anyhow::Result;
use clap::Subcommand;
use re6st_user::registry::{
    api::{MadeToken, NewToken, TokenName, WaitingToken},
    config::RegistryConfig,
};

use super::{date, session::Session, show};
use crate::cli::{table::table, values};

/// What to do.
#[derive(Debug, Subcommand)]
pub enum TokenAction {
    /// Make a token: whoever has it gets one certificate, and a prefix unless it is for a node that has one.
    #[command(after_long_help = "\
Examples:
  re6st-user registry token add --email user@example.com --config /var/lib/re6st-registry/registry.toml
  re6st-user registry token add --email user@example.com --prefix-length 8 --json --config /var/lib/re6st-registry/registry.toml")]
    Add {
        /// Whose it is.
        #[arg(long)]
        email: String,
        /// A word of your own, hard to guess; without it one is made.
        #[arg(long)]
        token: Option<String>,
        /// Bits of the prefix it gives; without it the setting counts.
        #[arg(long, value_name = "BITS", value_parser = values::prefix_bits)]
        prefix_length: Option<u8>,
        /// For the next certificate of the node with this prefix (1/16), for another key than it has: after `cert revoke
        /// SERIAL`, or if its key was lost.
        #[arg(long, value_name = "PREFIX", conflicts_with = "prefix_length")]
        node: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// List the tokens that wait to be used.
    #[command(after_long_help = "\
Example:
  re6st-user registry token list --config /var/lib/re6st-registry/registry.toml")]
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Take a token back.
    #[command(after_long_help = "\
Example:
  re6st-user registry token delete ID --config /var/lib/re6st-registry/registry.toml")]
    Delete {
        /// Its id in the list.
        id: String,
    },
}

/// Asks the registry, or its database if none serves.
pub async fn run(action: &TokenAction, config: &RegistryConfig) -> Result<()> {
    match action {
        TokenAction::Add {
            email,
            token,
            prefix_length,
            node,
            json,
        } => {
            let new = NewToken {
                email: email.clone(),
                token: token.clone(),
                prefix_length: *prefix_length,
                node: node.clone(),
            };
            let made: MadeToken = Session::ask(config, async |client| {
                Ok(client.post("/v1/admin/tokens", &new).await?)
            })
            .await?;
            show(*json, &made, |made| format!("{}\n", made.token))
        }
        TokenAction::List { json } => {
            let tokens: Vec<WaitingToken> = Session::ask(config, async |client| {
                Ok(client.get("/v1/admin/tokens", &()).await?)
            })
            .await?;
            show(*json, &tokens, |tokens| list(tokens))
        }
        TokenAction::Delete { id } => {
            let name = TokenName { id: id.clone() };
            Session::ask(config, async |client| {
                Ok(client
                    .post_for_nothing("/v1/admin/tokens/delete", &name)
                    .await?)
            })
            .await?;
            println!("token {id} is good for nothing any more");
            Ok(())
        }
    }
}

fn list(tokens: &[WaitingToken]) -> String {
    if tokens.is_empty() {
        return "no token waits to be used\n".to_owned();
    }
    let rows = tokens.iter().map(|token| {
        vec![
            token.id.clone(),
            token.email.clone(),
            token.node.clone().unwrap_or_default(),
            token.prefix_length.to_string(),
            date(token.created),
            date(token.expires),
        ]
    });
    let columns = [
        "id",
        "email",
        "for node",
        "prefix bits",
        "made (UTC)",
        "ends",
    ];
    table("tokens", &columns, rows)
}
