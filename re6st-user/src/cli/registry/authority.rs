//! `re6st-user registry ca`.

use std::fs;

use anyhow::{Context as _, Result, bail};
use clap::Subcommand;
use re6st_user::{
    certificate::{
        authority::AuthorityCertificate,
        key::{KeyAlgorithm, PrivateKey},
        public_key::KeyKind,
        verify::Authorities,
    },
    io::clock::wall,
    registry::{
        config::RegistryConfig,
        keys::{Keys, next_key},
    },
    time::{DAY, Timestamp},
};

use super::date;
use crate::cli::{conf::files::Pending, values};

/// How long a successor is valid, unless that is too short.
const DEFAULT_DAYS: u64 = 3650;

/// What to do.
#[derive(Debug, Subcommand)]
pub enum AuthorityAction {
    /// Make the authority that takes over from the present one, a year before that expires; after it has expired, remove
    /// its key. The registry takes it up when it is started again.
    #[command(after_long_help = "\
Example:
  re6st-user registry ca succeed --config /var/lib/re6st-registry/registry.toml")]
    Succeed {
        /// How many days it is valid: a certificate's validity longer than the present one at least; 3650 if that is enough.
        #[arg(long, value_name = "DAYS", value_parser = values::days)]
        days: Option<u32>,
    },
}

/// Works on the files of the authority: no registry may have them open.
pub fn run(action: &AuthorityAction, config: &RegistryConfig) -> Result<()> {
    let AuthorityAction::Succeed { days } = action;
    let now = wall();
    let mut keys = Keys::open(config)?;
    let present = keys.present(now).certificate().clone();
    match keys.next() {
        Some(next) if *next.certificate() == present => return finish(config, &keys),
        Some(next) => bail!(
            "the authority until {} takes over already: both are valid until {}",
            date(next.certificate().not_after().0),
            date(present.not_after().0)
        ),
        None => {}
    }
    let until = end(config, &present, now, *days)?;
    let key = PrivateKey::generate(algorithm(&present))?;
    let pem = key.to_pem();
    let successor = keys.present(now).succeed(key, now.minus(DAY), until)?;
    keys.succeed(successor, now)?;
    let pending_key = Pending::create(&next_key(config), 0o600)?;
    // a certificate without a key does nothing; a key without a certificate would be a mistake
    Pending::create(&config.ca, 0o644)?.write(keys.to_pem().as_bytes())?;
    pending_key.write(pem.as_bytes())?;
    say(&keys, &present);
    Ok(())
}

/// When a successor ends. It has to issue certificates that are not cut short when the present one ends.
fn end(
    config: &RegistryConfig,
    present: &AuthorityCertificate,
    now: Timestamp,
    days: Option<u32>,
) -> Result<Timestamp> {
    let validity = config.settings(&Authorities::new(present.clone())).validity;
    let least = present.not_after().max(now).plus(validity);
    let least = least.since(now).div_ceil(DAY);
    let days = days.map_or_else(|| least.max(DEFAULT_DAYS), u64::from);
    if days < least {
        bail!(
            "--days {days}: the present authority is valid until {}, and its successor has to issue whole certificates then: {least} or more",
            date(present.not_after().0)
        );
    }
    Ok(now.plus(days * DAY))
}

fn say(keys: &Keys, present: &AuthorityCertificate) {
    let successor = keys.newest().certificate();
    println!(
        "{}: takes over until {}. Start the registry again; nodes learn of it by themselves,\n\
         and newcomers may be told this fingerprint from then on, or the present one until {}.\n\
         When the present one has expired, run this once more: it removes its key.",
        successor.fingerprint(),
        date(successor.not_after().0),
        date(present.not_after().0)
    );
}

/// The next one is the only one that signs from now on. What the old one said of it stays in `ca.crt`.
fn finish(config: &RegistryConfig, keys: &Keys) -> Result<()> {
    Pending::create(&config.ca, 0o644)?.write(keys.to_pem().as_bytes())?;
    fs::rename(next_key(config), &config.ca_key)
        .with_context(|| config.ca_key.display().to_string())?;
    println!(
        "{} is the network's only authority that signs now. Start the registry again.",
        keys.newest().certificate().fingerprint()
    );
    Ok(())
}

/// The kind of key the authority has.
fn algorithm(authority: &AuthorityCertificate) -> KeyAlgorithm {
    match authority.public_key().kind() {
        KeyKind::Rsa { bits } if bits > 3072 => KeyAlgorithm::Rsa4096,
        KeyKind::Rsa { bits } if bits > 2048 => KeyAlgorithm::Rsa3072,
        KeyKind::Rsa { .. } => KeyAlgorithm::Rsa2048,
        KeyKind::EcdsaP256 => KeyAlgorithm::EcdsaP256,
    }
}
