//! `re6st-user registry init`: authority, database and configuration file.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    net::SocketAddr,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum};
use ipnet::Ipv4Net;
use re6st_user::{
    certificate::{
        authority::{Authority, AuthorityTerms},
        digest::Fingerprint,
        key::{KeyAlgorithm, PrivateKey},
        network::Network,
        subject::Subject,
    },
    io::clock::wall,
    registry::{api::ParameterChanges, config::RegistryConfig, store::Store},
    time::DAY,
};
use serde_json::{Map, Value};

use super::{session::Session, wait};
use crate::cli::values;

/// Options of `init`.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  re6st-user registry init --network 2001:db8:42::/48 --dir /var/lib/re6st-registry
  re6st-user registry init --network 2001:db8:42::/48 --ipv4 10.42.0.0/16 --ipv4-subnet-bits 8 --dir /var/lib/re6st-registry
  re6st-user registry init --network fd42:1234:5678::/48 --anonymous-prefix-length 16 --listen 192.0.2.1:8443 --dir registry")]
pub struct InitArguments {
    /// It is written here, not read.
    #[arg(long, hide = true, value_parser = values::useless)]
    config: Option<PathBuf>,
    /// The network: an IPv6 prefix that all nodes' addresses are in.
    #[arg(long, value_name = "PREFIX", value_parser = values::network)]
    network: Network,
    /// Where everything is kept.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Where the registry listens for HTTPS.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "[::]:443", value_parser = values::listen)]
    listen: SocketAddr,
    /// The address nodes reach it by, if that is another one.
    #[arg(long)]
    url: Option<String>,
    /// Bits of the prefix a node gets for a token.
    #[arg(long, value_name = "BITS", default_value_t = 16, value_parser = values::prefix_bits)]
    prefix_length: u8,
    /// Bits of the prefix a node gets without a token; 0: no node does.
    #[arg(long, value_name = "BITS", default_value_t = 0, value_parser = values::prefix_bits)]
    anonymous_prefix_length: u8,
    /// An IPv4 network, of which each node gets a part as well.
    #[arg(long, value_name = "PREFIX", requires = "ipv4_subnet_bits", value_parser = values::ipv4_network)]
    ipv4: Option<Ipv4Net>,
    /// How many bits number the nodes' parts of the IPv4 network.
    #[arg(long, value_name = "BITS", requires = "ipv4", value_parser = values::subnet_bits)]
    ipv4_subnet_bits: Option<u8>,
    /// The authority's key. RSA is for networks that nodes of re6stnet take part in.
    #[arg(long, value_enum, default_value_t)]
    key: KeyArgument,
    /// The authority's name (common name).
    #[arg(long, default_value = "re6st")]
    name: String,
    /// How many days the authority is valid.
    #[arg(long, value_name = "DAYS", default_value_t = 3650, value_parser = values::days)]
    days: u32,
}

/// The authority's key.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum KeyArgument {
    /// ECDSA on P-256.
    #[default]
    EcdsaP256,
    /// RSA with 2048 bits.
    Rsa2048,
    /// RSA with 3072 bits.
    Rsa3072,
    /// RSA with 4096 bits.
    Rsa4096,
}

impl KeyArgument {
    const fn algorithm(self) -> KeyAlgorithm {
        match self {
            Self::EcdsaP256 => KeyAlgorithm::EcdsaP256,
            Self::Rsa2048 => KeyAlgorithm::Rsa2048,
            Self::Rsa3072 => KeyAlgorithm::Rsa3072,
            Self::Rsa4096 => KeyAlgorithm::Rsa4096,
        }
    }
}

const FILES: [&str; 5] = [
    "ca.key",
    "ca.crt",
    "registry.toml",
    "registry.db",
    "registry.mark",
];

/// Makes a registry.
pub fn run(arguments: &InitArguments) -> Result<()> {
    let directory = &arguments.dir;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .with_context(|| directory.display().to_string())?;
    for name in FILES {
        let path = directory.join(name);
        if path.symlink_metadata().is_ok() {
            bail!(
                "{} is there already: this folder has a registry; choose another one, or move it away",
                path.display()
            );
        }
    }
    let made = make(arguments);
    if made.is_err() {
        // none of them was there before
        for name in FILES {
            fs::remove_file(directory.join(name)).ok();
        }
    }
    println!("{}", next_steps(arguments, made?));
    if let Some(remark) = remark(arguments.network.length() + arguments.prefix_length) {
        println!("\nnote: {remark}");
    }
    Ok(())
}

fn make(arguments: &InitArguments) -> Result<Fingerprint> {
    let directory = &arguments.dir;
    let key = PrivateKey::generate(arguments.key.algorithm())?;
    write(&directory.join("ca.key"), 0o600, key.to_pem().as_bytes())?;
    let terms = AuthorityTerms {
        network: arguments.network,
        common_name: &arguments.name,
        subject: &Subject::default(),
        // clocks of nodes may be behind
        not_before: wall().minus(DAY),
        not_after: wall().plus(u64::from(arguments.days) * DAY),
    };
    let authority = Authority::create(key, &terms)?;
    let certificate = authority.certificate();
    write(
        &directory.join("ca.crt"),
        0o644,
        certificate.to_pem().as_bytes(),
    )?;
    let path = directory.join("registry.toml");
    write(&path, 0o644, configuration(arguments).as_bytes())?;

    let config = RegistryConfig::from_path(&path)?;
    Store::create(&config.database)?;
    let set: Map<String, Value> = [
        (
            "ipv4",
            arguments.ipv4.map(|ipv4| Value::from(ipv4.to_string())),
        ),
        (
            "ipv4-subnet-bits",
            arguments.ipv4_subnet_bits.map(Value::from),
        ),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name.to_owned(), value?)))
    .collect();
    wait(Session::ask(&config, async |client| {
        if !set.is_empty() {
            let changes = ParameterChanges { set };
            client
                .post_for_nothing("/v1/admin/parameters", &changes)
                .await?;
        }
        Ok(())
    }))?;
    Ok(certificate.fingerprint())
}

fn write(path: &Path, mode: u32, content: &[u8]) -> Result<()> {
    let write = || {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(path)?;
        file.write_all(content)?;
        file.sync_all()
    };
    write().with_context(|| path.display().to_string())
}

fn configuration(arguments: &InitArguments) -> String {
    let InitArguments {
        network,
        listen,
        prefix_length,
        anonymous_prefix_length,
        ..
    } = arguments;
    let url = arguments.url.as_ref().map_or_else(
        || "# url = \"https://registry.example/\"   # what mails tell newcomers".to_owned(),
        |url| format!("url = {}", Value::from(url.as_str())),
    );
    format!(
        r#"# The registry of {network}: `re6st-user registry --config THIS-FILE`.
# Names of files are relative to this folder. Everything else is in the database: `re6st-user registry --help`.

listen   = ["{listen}"]
{url}
ca       = "ca.crt"
ca-key   = "ca.key"
database = "registry.db"
socket   = "registry.sock"

prefix-length           = {prefix_length}   # bits of the prefix a node gets for a token; 0: none does
anonymous-prefix-length = {anonymous_prefix_length}    # the same without a token
certificate-days        = 365  # how long a node's certificate is valid
renewal-days            = 30   # how long before its end it is renewed
grace-days              = 100  # how long after its end a node can still renew and keeps its prefix
token-days              = 7    # how long a token is valid

# Tokens by mail. Either a mail server, or a file that is appended to:
# [mail]
# from          = "registry@example.com"
# smtp          = "mail.example.com"
# tls           = "starttls"        # "immediate" for TLS from the start, "none" for a server on this host
# user          = "registry"
# password-file = "mail.password"
# mailbox       = "/var/mail/registry"

# Communities by the address of newcomers:
# [location]
# database = "GeoLite2-Country.mmdb"

# [limits]
# connections            = 4096     # of strangers; nodes have as many as there are files (ulimit -n)
# connections-per-source = 256
# enrolments     = {{ count = 10, seconds = 600 }}   # of one network of addresses, without a good token
# token-requests = {{ count = 5, seconds = 1500 }}
"#
    )
}

/// What follows from the length of a node's prefix.
fn remark(length: u8) -> Option<String> {
    (length > 64).then(|| {
        format!(
            "a node's subnet is a /{length}: hosts behind nodes need their addresses by hand or by DHCPv6, because they \
             give themselves some only in a /64 or shorter"
        )
    })
}

fn next_steps(arguments: &InitArguments, fingerprint: Fingerprint) -> String {
    let directory = arguments.dir.display();
    let url = arguments.url.clone().unwrap_or_else(|| {
        let listen = arguments.listen;
        if listen.ip().is_unspecified() {
            format!("https://THIS-HOST:{}/", listen.port())
        } else {
            format!("https://{listen}/")
        }
    });
    let right = if arguments.anonymous_prefix_length > 0 {
        "--anonymous"
    } else {
        "--token TOKEN"
    };
    format!(
        "The registry of {network} is in {directory}.\n\
         Keep {directory}/ca.key safe: whoever has it is the network.\n\n\
         Serve:       re6st-user registry --config {directory}/registry.toml\n\
         Token:       re6st-user registry token add --config {directory}/registry.toml --email WHOSE\n\
         A newcomer:  re6st-user conf --registry {url} --fingerprint {fingerprint} {right} --dir /etc/re6st-ebpf",
        network = arguments.network,
    )
}
