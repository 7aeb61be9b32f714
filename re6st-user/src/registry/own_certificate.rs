//! Who the registry's server is: a key that is made anew with its certificates and never written down.
//!
//! While one authority takes over from another, both certify the key: nodes and newcomers may know either. The first
//! certificate is the one TLS wants; the other stands behind it in the chain, where our client looks for it.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use rustls::{
    pki_types::CertificateDer,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio::time;

use super::keys::{Keys, KeysError};
use crate::{
    certificate::{
        expiry::ExpiryWarning,
        key::{KeyAlgorithm, PrivateKey},
        serial::Serial,
        tls,
    },
    io::{clock::wall, random},
    time::{CLOCK_SKEW, DAY, Timestamp},
};

/// How long a certificate is valid, in seconds.
const VALIDITY: u64 = 90 * DAY;
/// It is replaced when it is valid for less than this.
const RENEWAL: u64 = 30 * DAY;
/// How often the clock, which may be set, is looked at.
const CARE: Duration = Duration::from_secs(60);

/// The server's key with its certificates.
#[derive(Debug)]
pub struct OwnCertificate {
    /// For TLS.
    pub key: CertifiedKey,
    made: Timestamp,
    /// From when on there has to be another one: in time, or when an authority has expired.
    replace: Timestamp,
}

impl OwnCertificate {
    /// A new key, certified by all authorities whose word counts.
    pub fn new(keys: &Keys, now: Timestamp) -> Result<Self, KeysError> {
        let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256)?;
        let (from, until) = (now.minus(CLOCK_SKEW), now.plus(VALIDITY));
        let mut own = Vec::new();
        let mut authorities = Vec::new();
        let mut replace = until.minus(RENEWAL);
        for authority in keys.signing(now) {
            let certificate =
                authority.issue_registry(key.public_key(), own_serial(), from, until)?;
            own.push(CertificateDer::from(certificate.der().to_vec()));
            let authority = authority.certificate();
            authorities.push(CertificateDer::from(authority.der().to_vec()));
            replace = replace.min(authority.not_after().plus(1));
        }
        let others = own.split_off(1);
        let chain = own.into_iter().chain(authorities).chain(others).collect();
        Ok(Self {
            key: tls::certified_key(chain, &key)?,
            made: now,
            replace,
        })
    }

    /// Whether there has to be another one. Also if the clock was set back: then it may not be valid yet.
    pub fn is_due(&self, now: Timestamp) -> bool {
        now >= self.replace || now < self.made
    }
}

/// The certificate that new connections get, which can be replaced while the server runs.
#[derive(Debug)]
pub struct ServerCertificate {
    // held only to copy a pointer
    current: RwLock<Arc<CertifiedKey>>,
}

impl ServerCertificate {
    /// With a first one.
    pub fn new(certificate: CertifiedKey) -> Self {
        Self {
            current: RwLock::new(Arc::new(certificate)),
        }
    }

    /// New connections get this one.
    pub fn replace(&self, certificate: CertifiedKey) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(certificate);
    }
}

impl ResolvesServerCert for ServerCertificate {
    /// The same for every name: clients know the registry by the network's CA, not by its host.
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(&current))
    }
}

/// Replaces the server's certificate before it expires and when an authority has, and warns while there is time to do
/// something about the authority.
pub async fn care(keys: &Keys, mut own: OwnCertificate, certificate: &ServerCertificate) {
    let mut warned = None;
    loop {
        let warning = warning(keys, wall());
        if warning.is_some() && warning != warned {
            eprintln!("WARNING: {}", warning.as_deref().unwrap_or_default());
        }
        warned = warning;
        let wait = Duration::from_secs(own.replace.since(wall()).max(1));
        time::sleep(wait.min(CARE)).await;
        if !own.is_due(wall()) {
            continue;
        }
        match OwnCertificate::new(keys, wall()) {
            Ok(next) => {
                certificate.replace(next.key.clone());
                own = next;
            }
            Err(error) => {
                eprintln!("WARNING: the server's certificate is not renewed: {error}");
                time::sleep(CARE).await;
            }
        }
    }
}

/// What the operator has to do about the authorities.
fn warning(keys: &Keys, now: Timestamp) -> Option<String> {
    let present = keys.present(now).certificate();
    match keys.next() {
        None => {
            let warning = ExpiryWarning::at(now, present.not_after())?;
            Some(format!(
                "the network's authority {}: make its successor with `re6st-user registry ca succeed`",
                warning.words()
            ))
        }
        Some(next) if next.certificate() == present => Some(
            "an authority has expired and its successor has taken over: remove its key with `re6st-user registry ca succeed`".to_owned(),
        ),
        Some(_) => None,
    }
}

/// A random serial number far above those that are counted for nodes.
fn own_serial() -> Serial {
    loop {
        let number = random::number() >> 2 | 1 << 62;
        if let Some(serial) = Serial::new(number) {
            return serial;
        }
    }
}
