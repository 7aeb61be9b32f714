//! `re6st-user registry ca`.

use std::fs;

use anyhow::{Context as _, Result, bail};
use clap::Subcommand;
use re6st_user::{
    certificate::{
        authority::{Authority, AuthorityCertificate},
        key::{KeyAlgorithm, PrivateKey},
        public_key::KeyKind,
        timestamp::{DAY, Timestamp},
        verify::Authorities,
    },
    registry::{
        config::RegistryConfig,
        engine::now,
        keys::{Keys, next_key},
    },
};

use super::date;
use crate::cli::conf::files::Pending;

/// What to do.
#[derive(Debug, Subcommand)]
pub enum AuthorityAction {
    /// Make the authority that takes over from the present one, a year before that expires; after it has expired, remove
    /// what is left of it. The registry takes it up when it is started again.
    Succeed {
        /// How many days it is valid.
        #[arg(long, default_value_t = 3650, value_parser = clap::value_parser!(u32).range(1..=36_500))]
        days: u32,
    },
}

/// Does it.
pub fn run(action: &AuthorityAction, config: &RegistryConfig) -> Result<()> {
    let AuthorityAction::Succeed { days } = action;
    let now = now();
    let keys = Keys::open(config, now)?;
    let next = next_key(config);
    if let Some(next) = keys.next() {
        bail!(
            "the authority until {} takes over already: both are valid until {}",
            date(next.certificate().not_after().0),
            date(keys.present().certificate().not_after().0)
        );
    }
    if next.exists() {
        return finish(config, &keys, now);
    }
    let key = PrivateKey::generate(algorithm(keys.present().certificate()))?;
    let pem = key.to_pem();
    let until = now.plus(u64::from(*days) * DAY);
    let successor = keys.present().succeed(key, now.minus(DAY), until)?;
    let all = keys.all().to_pem() + &successor.certificate().to_pem();
    Authorities::from_pem(&all)?;
    let pending_key = Pending::create(&next, 0o600)?;
    // a certificate without a key does nothing; a key without a certificate would be a mistake
    Pending::create(&config.ca, 0o644)?.write(all.as_bytes())?;
    pending_key.write(pem.as_bytes())?;
    say(&successor, &keys);
    Ok(())
}

fn say(successor: &Authority, keys: &Keys) {
    println!(
        "{}: takes over until {}. Start the registry again; nodes learn of it by themselves.\n\
         When the present one has expired ({}), run this once more.",
        successor.certificate().fingerprint(),
        date(successor.certificate().not_after().0),
        date(keys.present().certificate().not_after().0)
    );
}

/// The next one is the only one from now on.
fn finish(config: &RegistryConfig, keys: &Keys, now: Timestamp) -> Result<()> {
    let mut all = keys.all().clone();
    all.prune(now);
    fs::rename(next_key(config), &config.ca_key)
        .with_context(|| config.ca_key.display().to_string())?;
    Pending::create(&config.ca, 0o644)?.write(all.to_pem().as_bytes())?;
    println!(
        "{} is the network's only authority now",
        keys.present().certificate().fingerprint()
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
