//! Who a node is: the certificate it showed in the TLS handshake, checked against the network's authorities once for the
//! connection, and against what changes (time, revocations, authorities) for every request.

use std::{
    net::IpAddr,
    sync::{Arc, OnceLock},
};

use axum::http::StatusCode;
use rustls::pki_types::CertificateDer;
use sha2::{Digest as _, Sha256};

use super::{
    connections::{Source, Ticket},
    problem::Problem,
};
use crate::{
    certificate::{digest::KeyId, node::NodeCertificate, revocations::RevocationList},
    io::panics::contain,
    registry::publication::Published,
    time::Timestamp,
};

/// Who is at the other end, for the handlers.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Where it is.
    pub origin: Origin,
    /// The certificate whose key it has proved to hold.
    pub certificate: Option<Shown>,
    /// The place of its connection.
    pub ticket: Arc<Ticket>,
}

/// Where a peer is. No word of its own counts (`Host`, `X-Forwarded-For`).
#[derive(Clone, Debug)]
pub enum Origin {
    /// On the Internet, at this address as TCP has it.
    Internet(IpAddr),
    /// On this host, with a name for the audit log: somebody who may open the Unix socket.
    Host(String),
}

/// A certificate that the peer has proved to hold.
#[derive(Clone, Debug)]
pub struct Shown {
    der: Arc<CertificateDer<'static>>,
    checked: Arc<OnceLock<Result<Identity, Problem>>>,
    introduced: Arc<OnceLock<()>>,
}

/// A node of the network, and the key of the authority that says so.
#[derive(Clone, Debug)]
struct Identity {
    certificate: NodeCertificate,
    issuer: KeyId,
}

/// What a certificate is needed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// What members of the network get: it must be valid.
    Membership,
    /// Getting another one: it may be revoked, or have expired so many seconds ago.
    Renewal {
        /// Seconds.
        grace: u64,
    },
}

impl Shown {
    /// From the DER that the TLS handshake has proved a key for.
    pub fn new(der: CertificateDer<'static>) -> Self {
        Self {
            der: Arc::new(der),
            checked: Arc::default(),
            introduced: Arc::default(),
        }
    }
}

/// The node at the other end.
///
/// `introduce` is called once for a connection, with the certificate of a member.
pub fn node(
    peer: &Peer,
    published: &Published,
    now: Timestamp,
    need: Need,
    introduce: impl FnOnce(&NodeCertificate),
) -> Result<NodeCertificate, Problem> {
    let shown = peer.certificate.as_ref().ok_or_else(|| {
        refused("this is for nodes: show the node's certificate in the TLS handshake")
    })?;
    let checked = shown.checked.get_or_init(|| {
        let identity = identify(&shown.der, published, now)?;
        peer.ticket
            .belongs_to(Source::Node(Sha256::digest(shown.der.as_ref()).into()));
        Ok(identity)
    });
    let identity = checked.as_ref().map_err(Problem::clone)?;
    let certificate = &identity.certificate;
    let grace = match need {
        Need::Membership => 0,
        Need::Renewal { grace } => grace,
    };
    let mut authorities = published.authorities.iter();
    if !authorities.any(|authority| {
        authority.key_id() == identity.issuer && now <= authority.not_after().plus(grace)
    }) {
        return Err(refused(
            "the certificate's authority has expired, or is not the network's any more: renew the certificate, or enrol again",
        ));
    }
    if certificate.not_after().plus(grace) < now {
        return Err(refused(
            "the certificate has expired: renew it, or enrol again",
        ));
    }
    let revoked = &published.revocation_list;
    if need == Need::Membership && revoked.contains(&identity.issuer, certificate.serial()) {
        return Err(refused(
            "the certificate is revoked: ask the operator for a token, for this node's prefix if it was not ended as well, and enrol by it with another key",
        ));
    }
    if need == Need::Membership && shown.introduced.set(()).is_ok() {
        introduce(certificate);
    }
    Ok(certificate.clone())
}

/// Whatever cannot change while a connection is open.
fn identify(
    der: &CertificateDer<'_>,
    published: &Published,
    now: Timestamp,
) -> Result<Identity, Problem> {
    let bad = |reason: String| {
        refused(format!(
            "the certificate shown in the TLS handshake: {reason}"
        ))
    };
    // whoever makes the parser panic gets an error, and nobody else anything
    let read = contain(|| NodeCertificate::from_der(der));
    let read = read.map_err(|_| bad("it cannot be read".to_owned()))?;
    let certificate = read.map_err(|error| bad(error.to_string()))?;
    let issuer = published
        .authorities
        .verify_node(&certificate, &RevocationList::default(), now, u64::MAX)
        .map_err(|error| bad(error.to_string()))?
        .key_id();
    Ok(Identity {
        certificate,
        issuer,
    })
}

fn refused(message: impl Into<String>) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "not-identified", message)
}
