//! `re6st-user conf`: a newcomer gets its certificate and a configuration to start with.
//!
//! The order matters: everything that can fail on this host is done before the token is used, and a second try with the
//! same key gets the same certificate. So no token is ever lost.

use std::{
    io::{BufRead as _, IsTerminal as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use re6st_user::{
    certificate::{
        authority::AuthorityCertificate,
        digest::Fingerprint,
        document::Signed,
        key::{KeyAlgorithm, PrivateKey},
        node::NodeCertificate,
        public_key::KeyKind,
        record::Country,
        request::CertificateRequest,
        revocations::RevocationList,
        static_key::StaticKey,
        subject::Subject,
        tls::Trust,
        verify::Authorities,
    },
    config::DEFAULT_PORT,
    dataplane::bpf::InstanceName,
    io::{clock::wall, file},
    registry::{client::Client, documents::NetworkParameters},
    time::CLOCK_SKEW,
};

use crate::cli::values::{self, NoDataPlane};

pub mod files;
mod import;
mod node_file;
mod ways;

use files::{Pending, existing};
use import::Import;
use ways::{Interfaces, Named};

/// Options of `conf`.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  re6st-user conf --registry https://registry.example/ --fingerprint sha256:HEX --token TOKEN --dir /etc/re6st-ebpf
  re6st-user conf --registry https://registry.example/ --fingerprint sha256:HEX --email user@example.com --interface lan0
  re6st-user conf --registry https://registry.example/ --anonymous --req O 'Example Inc.' --location FR,EU
  re6st-user conf --import /etc/re6stnet/re6stnet.conf --fingerprint sha256:HEX --token TOKEN --dir /etc/re6st-ebpf
  re6st-user conf --registry https://registry.example/ --is-needed")]
pub struct ConfArguments {
    #[command(flatten)]
    no_data_plane: NoDataPlane,
    /// The registry's address.
    #[arg(long, value_name = "URL", required_unless_present = "import")]
    registry: Option<String>,
    /// A configuration of re6stnet: what of it is of use here is taken, with the key, and of each line is said what became of it.
    #[arg(long, value_name = "FILE")]
    import: Option<PathBuf>,
    /// Fingerprint of the network's authority, as the operator tells it.
    #[arg(long, value_name = "sha256:HEX", value_parser = values::fingerprint)]
    fingerprint: Option<Fingerprint>,
    /// The token that gives the right to a certificate; - reads it from standard input.
    #[arg(long, group = "right")]
    token: Option<String>,
    /// Have a token sent to this address, and ask for it here.
    #[arg(long, group = "right")]
    email: Option<String>,
    /// Ask for a certificate without any token.
    #[arg(long, group = "right")]
    anonymous: bool,
    /// Where the files go.
    #[arg(long, short, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// A field of the certificate's subject, such as O "Example Inc."; may be given several times.
    #[arg(long, short, num_args = 2, value_names = ["KEY", "VALUE"], action = clap::ArgAction::Append)]
    req: Vec<String>,
    /// Where this node is: country and continent.
    #[arg(long, value_name = "CC,CONT")]
    location: Option<String>,
    /// A link on which other nodes are; may be given several times. Without it the interfaces that lead to the Internet.
    #[arg(long = "interface", value_name = "NAME")]
    interfaces: Vec<String>,
    /// Only fetch the certificate of the network's authority.
    #[arg(long, group = "right")]
    ca_only: bool,
    /// Only say whether this host needs re6st: exit status 0 if it is not in the network yet, 1 if it is.
    #[arg(long, group = "right")]
    is_needed: bool,
}

/// Enrols this node, and writes the files it starts with.
pub fn run(arguments: &ConfArguments) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(configure(arguments))
}

async fn configure(arguments: &ConfArguments) -> Result<ExitCode> {
    let has_right = arguments.token.is_some() || arguments.email.is_some() || arguments.anonymous;
    if !has_right && !arguments.ca_only && !arguments.is_needed {
        bail!(
            "say by what right: --token TOKEN from the operator, --email ADDRESS to have one sent, or --anonymous"
        );
    }
    let import = imported(arguments)?;
    let registry = arguments.registry.as_ref().or(import.registry.as_ref());
    let registry = registry.context("where is the registry? Give its address by --registry")?;
    let authority_file = arguments.dir.join("ca.crt");
    let in_folder = match existing(&authority_file)? {
        Some(text) => Some(
            Authorities::from_pem(&text)
                .with_context(|| format!("{} is there already, but", authority_file.display()))?,
        ),
        None => None,
    };
    let known = match &in_folder {
        Some(known) => Some(known.clone()),
        None => import.authorities(arguments.fingerprint)?,
    };
    let (client, authorities) = meet(arguments, registry, known).await?;
    if arguments.is_needed {
        return ways::is_needed(authorities.network());
    }
    files::directory(&arguments.dir)?;
    if in_folder.as_ref() != Some(&authorities) {
        Pending::create(&authority_file, 0o644)?.write(authorities.to_pem().as_bytes())?;
        println!(
            "{}: the authority of {}",
            authority_file.display(),
            authorities.network()
        );
    }
    if arguments.ca_only {
        return Ok(ExitCode::SUCCESS);
    }
    let newcomer = Newcomer::prepare(arguments, &import, &authorities)?;
    let certificate = newcomer.enrol(arguments, &client, &authorities).await?;
    newcomer
        .finish(arguments, registry, &import, &authorities, &certificate)
        .await?;
    Ok(ExitCode::SUCCESS)
}

/// Finds out whose registry it is, as far as that can be told.
async fn meet(
    arguments: &ConfArguments,
    registry: &str,
    known: Option<Authorities>,
) -> Result<(Client, Authorities)> {
    let known = match known {
        Some(known) => Some(succeeded(arguments, registry, known).await?),
        None => None,
    };
    let trust = match (&known, arguments.fingerprint) {
        (Some(known), _) => Trust::Authorities(known.clone()),
        (None, Some(fingerprint)) => Trust::Fingerprint(fingerprint),
        (None, None) => Trust::FirstSeen,
    };
    let client = Client::newcomer(registry, trust)?;
    let seen = client.authority().await?;
    if known.is_none() && arguments.fingerprint.is_none() {
        warn(&seen);
    }
    let all = client.authorities().await?;
    if !all.iter().any(|authority| *authority == seen) {
        bail!(
            "the registry's list of authorities lacks its own: it is misconfigured, tell its operator"
        );
    }
    Ok((client, known.unwrap_or(all)))
}

/// The authorities that are known here, and those that took over from them: by their word, or by that of the person who gives
/// a fingerprint.
async fn succeeded(
    arguments: &ConfArguments,
    registry: &str,
    mut known: Authorities,
) -> Result<Authorities> {
    // whoever is there: the statements are signed
    let anybody = Client::newcomer(registry, Trust::FirstSeen)?;
    for statement in anybody.successions().await? {
        // one about authorities that we do not know is not for us
        if known.follow(&statement, wall()) == Ok(true) {
            println!("another authority has taken over, by the word of the one before");
        }
    }
    let Some(fingerprint) = arguments.fingerprint else {
        return Ok(known);
    };
    if known.iter().all(|it| it.fingerprint() != fingerprint) {
        let named = Client::newcomer(registry, Trust::Fingerprint(fingerprint))?;
        known.admit(named.authority().await?, wall()).with_context(|| {
            format!(
                "{}/ca.crt is of another network than the authority {fingerprint}: choose another --dir",
                arguments.dir.display()
            )
        })?;
    }
    Ok(known)
}

fn warn(seen: &AuthorityCertificate) {
    eprintln!(
        "WARNING: without --fingerprint nobody can tell whether this is the right registry, or somebody in between.\n\
         WARNING: compare with what its operator tells you: {}",
        seen.fingerprint()
    );
}

/// Everything of a newcomer that is on this host.
struct Newcomer {
    key: PrivateKey,
    request: CertificateRequest,
    /// Open for writing before anything is asked of the registry.
    certificate: Pending,
    /// The same; `None` if there is a configuration already.
    configuration: Option<(Pending, Interfaces)>,
}

impl Newcomer {
    fn prepare(
        arguments: &ConfArguments,
        import: &Import,
        authorities: &Authorities,
    ) -> Result<Self> {
        let directory = &arguments.dir;
        let key = key(
            &directory.join("cert.key"),
            import.key.as_deref(),
            authorities,
        )?;
        let static_key = static_key(&directory.join("x25519.key"))?;
        let path = directory.join("cert.crt");
        let before = match existing(&path)? {
            Some(text) => Some(
                NodeCertificate::from_pem(&text)
                    .with_context(|| format!("{} is there already, but", path.display()))?,
            ),
            None => import.certificate()?,
        };
        let subject = subject(&arguments.req, before.as_ref())?;
        let request = CertificateRequest::make(&key, Some(static_key.public_key()), &subject)?;
        Ok(Self {
            key,
            request,
            certificate: Pending::create(&path, 0o644)?,
            configuration: configuration(arguments, import)?,
        })
    }

    async fn enrol(
        &self,
        arguments: &ConfArguments,
        client: &Client,
        authorities: &Authorities,
    ) -> Result<NodeCertificate> {
        let token = token(arguments, client).await?;
        let issued = client
            .enrol(
                &self.request,
                token.as_deref(),
                arguments.location.as_deref(),
            )
            .await;
        let issued = match (issued, &arguments.email) {
            (Err(error), Some(_)) if error.is_temporary() => {
                return Err(error).context("the token is still good: try again with --token");
            }
            (issued, _) => issued?,
        };
        let certificate = NodeCertificate::from_pem(&issued.certificate)
            .context("the certificate the registry has issued")?;
        if certificate.public_key() != self.key.public_key() {
            bail!("the registry has issued a certificate for another key; tell its operator");
        }
        let now = wall();
        // our clock may be behind the registry's
        let moment = now.max(certificate.not_before().min(now.plus(CLOCK_SKEW)));
        authorities
            .verify_node(&certificate, &RevocationList::default(), moment, 0)
            .context(
                "the certificate the registry has issued (is the clock of this host right? Run this again: the same key \
                 gets its certificate again, no token is lost)",
            )?;
        Ok(certificate)
    }

    async fn finish(
        self,
        arguments: &ConfArguments,
        registry: &str,
        import: &Import,
        authorities: &Authorities,
        certificate: &NodeCertificate,
    ) -> Result<()> {
        let directory = &arguments.dir;
        self.certificate.write(certificate.to_pem().as_bytes())?;
        let network = authorities.network();
        let days = certificate.not_after().since(wall()) / 86_400;
        println!(
            "{}: node {} for {days} days; it is renewed while the node runs",
            directory.join("cert.crt").display(),
            certificate.prefix().common_name(),
        );
        if let Some(subnet) = certificate.prefix().subnet(&network) {
            println!("this node's subnet is {subnet}");
        }
        let path = configuration_file(directory);
        let Some((pending, interfaces)) = self.configuration else {
            println!(
                "{} is there already and stays as it is; a node that runs by it is to be started again",
                path.display()
            );
            return Ok(());
        };
        let client = Client::node(registry, authorities, certificate, &self.key)?;
        let envelope = client.parameters(None, std::time::Duration::ZERO).await?;
        let envelope = envelope.context("the registry has no parameters")?;
        let parameters: Signed<NetworkParameters> =
            Signed::verify(&envelope, authorities, wall(), None)
                .context("the network's parameters")?;
        let text = node_file::text(&node_file::Facts {
            registry,
            network,
            certificate,
            parameters: parameters.content(),
            interfaces: &interfaces,
            import,
        });
        pending.write(text.as_bytes())?;
        println!(
            "Other nodes are looked for on {} (`--interface` names others, before the file is there)",
            interfaces.plain.join(", ")
        );
        println!(
            "{}: look it through, then: re6st-user node --config {}",
            path.display(),
            path.display()
        );
        println!(
            "Nodes beyond these links find each other by the registry; UDP port {} should be open",
            import.draft.port.unwrap_or(DEFAULT_PORT)
        );
        println!(
            "Keep a copy of {}, without which this node's place in the network is lost, and of {}, the key of its channels.",
            directory.join("cert.key").display(),
            directory.join("x25519.key").display()
        );
        Ok(())
    }
}

/// What `node` is started with.
fn configuration_file(directory: &Path) -> PathBuf {
    directory.join(format!("{}.toml", InstanceName::DEFAULT))
}

/// The configuration file, empty, and what of this host will be in it; `None` if there is one.
fn configuration(
    arguments: &ConfArguments,
    import: &Import,
) -> Result<Option<(Pending, Interfaces)>> {
    let path = configuration_file(&arguments.dir);
    if existing(&path)?.is_some() {
        return Ok(None);
    }
    let named = arguments.interfaces.iter().map(Named::by_option);
    let named: Vec<Named> = named.chain(import.interfaces.iter().cloned()).collect();
    let interfaces = Interfaces::find(&named)?;
    Ok(Some((Pending::create(&path, 0o644)?, interfaces)))
}

/// What a file of re6stnet says, if one was given, and what the options say of the same things.
fn imported(arguments: &ConfArguments) -> Result<Import> {
    let mut import = Import::default();
    if let Some(path) = &arguments.import {
        let configuration = configuration_file(&arguments.dir);
        if existing(&configuration)?.is_some() {
            bail!(
                "{} is there already, and nothing would be put into it: move it away first",
                configuration.display()
            );
        }
        import = Import::read(path)?;
        import
            .remarks
            .iter()
            .for_each(|remark| println!("{remark}"));
    }
    let country = arguments.location.as_deref();
    let country = country.and_then(|location| location.split(',').next()?.parse::<Country>().ok());
    if let Some(country) = country {
        import.draft.country = Some(country.to_string());
    }
    Ok(import)
}

/// The node's key: the one that is there, or the one of another file, or a new one of the kind the authority has.
fn key(path: &Path, other: Option<&Path>, authorities: &Authorities) -> Result<PrivateKey> {
    if let Some(text) = existing(path)? {
        println!("{}: the key that is there is used", path.display());
        return PrivateKey::from_pem(&text).with_context(|| path.display().to_string());
    }
    if let Some(other) = other {
        let text = file::read_text(other).with_context(|| other.display().to_string())?;
        let text = zeroize::Zeroizing::new(text);
        let key = PrivateKey::from_pem(&text).with_context(|| other.display().to_string())?;
        Pending::create(path, 0o600)?.write(key.to_pem().as_bytes())?;
        println!("{}: the key of {}", path.display(), other.display());
        return Ok(key);
    }
    // re6stnet's protocol wants RSA keys of the size the authority has
    let kind = authorities
        .iter()
        .next()
        .map(|authority| authority.public_key().kind());
    let algorithm = match kind {
        Some(KeyKind::Rsa { bits }) if bits > 3072 => KeyAlgorithm::Rsa4096,
        Some(KeyKind::Rsa { bits }) if bits > 2048 => KeyAlgorithm::Rsa3072,
        Some(KeyKind::Rsa { .. }) => KeyAlgorithm::Rsa2048,
        _ => KeyAlgorithm::EcdsaP256,
    };
    let key = PrivateKey::generate(algorithm)?;
    Pending::create(path, 0o600)?.write(key.to_pem().as_bytes())?;
    Ok(key)
}

/// The key of the node's encrypted channels.
fn static_key(path: &Path) -> Result<StaticKey> {
    if let Some(text) = existing(path)? {
        return StaticKey::from_pem(&text).with_context(|| path.display().to_string());
    }
    let key = StaticKey::generate()?;
    Pending::create(path, 0o600)?.write(key.to_pem().as_bytes())?;
    Ok(key)
}

/// What is said about the node: by options, and by the certificate it has.
fn subject(options: &[String], before: Option<&NodeCertificate>) -> Result<Subject> {
    let mut subject = Subject::default();
    for pair in options.chunks_exact(2) {
        if let [name, value] = pair {
            subject
                .push(name, value)
                .with_context(|| format!("--req {name}"))?;
        }
    }
    for (name, value) in before.iter().flat_map(|before| before.subject().fields()) {
        // what the options say counts
        let said = subject.fields().any(|(said, _)| said == name);
        if !said {
            subject.push(&name, value)?;
        }
    }
    Ok(subject)
}

async fn token(arguments: &ConfArguments, client: &Client) -> Result<Option<String>> {
    if let Some(token) = &arguments.token {
        if token != "-" {
            return Ok(Some(token.clone()));
        }
        return line().map(Some);
    }
    let Some(email) = &arguments.email else {
        return Ok(None);
    };
    client.request_token(email).await?;
    if std::io::stdin().is_terminal() {
        eprint!("A token was sent to {email}. Token: ");
    } else {
        eprintln!("A token was sent to {email}.");
    }
    let token = line();
    token
        .map(Some)
        .context("when it is there, run the same again with --token TOKEN instead of --email")
}

fn line() -> Result<String> {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    match line.trim() {
        "" => bail!("no token on standard input"),
        token => Ok(token.to_owned()),
    }
}
