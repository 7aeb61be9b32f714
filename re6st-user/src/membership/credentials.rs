//! Who this node is, and whom it trusts: certificate, key and authorities, which belong together.

use std::{path::PathBuf, sync::Arc};

use ipnet::IpNet;
use thiserror::Error;

use crate::{
    certificate::{
        error::{FormError, TrustError},
        key::PrivateKey,
        node::NodeCertificate,
        node_prefix::NodePrefix,
        revocations::RevocationList,
        static_key::{StaticKey, StaticPublicKey},
        verify::Authorities,
    },
    config::{Config, Peer, Registry},
    time::{CLOCK_SKEW, Timestamp},
};

/// Certificate, key and authorities.
#[derive(Debug)]
pub struct Credentials {
    /// The authorities that are trusted.
    pub authorities: Authorities,
    /// The certificate of this node.
    pub certificate: NodeCertificate,
    /// The private key of that certificate.
    pub key: Arc<PrivateKey>,
    /// The X25519 key of that certificate, or why there is none.
    pub static_key: Result<Arc<StaticKey>, NoStaticKey>,
}

/// Why a node has no channels to others.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum NoStaticKey {
    /// Its certificate has no such key.
    #[error("this node's certificate has no X25519 key: {REMEDY}")]
    NotCertified,
    /// There is no such file, or it cannot be read, or it is something else.
    #[error("{}: {problem}: put the X25519 key of this node's certificate there, or {REMEDY}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// It is another key.
    #[error("{} is not the X25519 key in {}: put the one that belongs to it there, or {REMEDY}", file.display(), certificate.display())]
    Other {
        /// The key's file.
        file: PathBuf,
        /// The certificate's file.
        certificate: PathBuf,
    },
}

/// What gives a node a certificate with another X25519 key.
const REMEDY: &str = "run `re6st-user conf` again as when it enrolled (with the same cert.key it stays the same node, and no token is used up), and start the node again";

/// What the files of the section `[registry]` say.
#[derive(Debug)]
pub struct Texts<'a> {
    /// PEM of the authorities.
    pub authorities: &'a str,
    /// PEM of the certificate.
    pub certificate: &'a str,
    /// PEM of the key.
    pub key: &'a str,
    /// PEM of the X25519 key, or why it cannot be read.
    pub static_key: Result<&'a str, String>,
}

/// Why the files are of no use.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum CredentialsError {
    /// A file is not what it should be.
    #[error("{}: {problem}; get it again with `re6st-user conf`", file.display())]
    Form {
        /// The file, as the configuration names it.
        file: PathBuf,
        /// What is wrong.
        problem: FormError,
    },
    /// Key and certificate are two nodes'.
    #[error("{} is not the key of {}: put the one that belongs to it there, or enrol again with `re6st-user conf`", key.display(), certificate.display())]
    OtherKey {
        /// The key's file.
        key: PathBuf,
        /// The certificate's file.
        certificate: PathBuf,
    },
    /// The certificate is another network's.
    #[error("{} was not issued by the authority in {}: {problem}; one of the two is another network's", certificate.display(), authority.display())]
    OtherNetwork {
        /// The certificate's file.
        certificate: PathBuf,
        /// The authorities' file.
        authority: PathBuf,
        /// How that is known.
        problem: TrustError,
    },
    /// The configuration does not have the certificate's network.
    #[error("networks = [{networks}]: {} is for {network}; add it", certificate.display())]
    NoNetwork {
        /// The certificate's file.
        certificate: PathBuf,
        /// The certificate's network.
        network: String,
        /// What there is.
        networks: String,
    },
    /// The configuration does not have the certificate's address.
    #[error("addresses = [{addresses}]: {} gives this node {wanted}; add it", certificate.display())]
    NoAddress {
        /// The certificate's file.
        certificate: PathBuf,
        /// The certificate's address.
        wanted: IpNet,
        /// What there is.
        addresses: String,
    },
    /// The configuration has an address that is not the certificate's to give.
    #[error("addresses: {address} is in the network of {}, but not in the subnet {subnet} it gives this node; remove it", certificate.display())]
    ForeignAddress {
        /// The certificate's file.
        certificate: PathBuf,
        /// The address.
        address: IpNet,
        /// The certificate's subnet.
        subnet: IpNet,
    },
    /// A peer is the node itself.
    #[error("peer {0:?}: that is this node itself; remove this [[peer]]")]
    OwnPeer(String),
}

/// Why another node's certificate is of no use.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum UnfitPeer {
    /// No certificate.
    #[error("{0}")]
    Form(#[from] FormError),
    /// Not valid.
    #[error("{0}")]
    Trust(#[from] TrustError),
    /// Another node's.
    #[error("it is node {0}'s")]
    Name(String),
    /// Without an X25519 key.
    #[error(
        "it has no X25519 key: that node is to run `re6st-user conf` again, as when it enrolled"
    )]
    NoKey,
    /// What is agreed on with its key would be known to all.
    #[error("its X25519 key is nobody's")]
    Weak,
}

impl CredentialsError {
    /// A peer of the configuration that is this node itself.
    pub fn own_peer(own: NodePrefix, peers: &[Peer]) -> Option<Self> {
        let is_own = peers.iter().any(|peer| peer.node == own);
        is_own.then(|| Self::OwnPeer(own.common_name()))
    }
}

/// Why a new certificate is not put in the place of the old one.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum Unfit {
    /// No certificate.
    #[error("{0}")]
    Form(#[from] FormError),
    /// Not valid.
    #[error("{0}")]
    Trust(#[from] TrustError),
    /// For another key.
    #[error("it is not for this node's key")]
    Key,
    /// For another X25519 key.
    #[error("it does not have this node's X25519 key")]
    StaticKey,
    /// For another prefix.
    #[error("it is for the prefix {0}, which is not this node's")]
    Prefix(String),
}

fn static_key(
    texts: &Texts<'_>,
    registry: &Registry,
    certificate: &NodeCertificate,
) -> Result<StaticKey, NoStaticKey> {
    let Some(certified) = certificate.static_key() else {
        return Err(NoStaticKey::NotCertified);
    };
    let file = registry.static_key.clone();
    let key = match &texts.static_key {
        Ok(text) => StaticKey::from_pem(text).map_err(|error| error.to_string()),
        Err(problem) => Err(problem.clone()),
    };
    match key {
        Ok(key) if key.public_key() == certified => Ok(key),
        Ok(_) => Err(NoStaticKey::Other {
            file,
            certificate: registry.certificate.clone(),
        }),
        Err(problem) => Err(NoStaticKey::File { file, problem }),
    }
}

impl Credentials {
    /// Reads them and checks that they belong together, and to the configuration. Whether the certificate is valid now does
    /// not matter: a node whose certificate has expired renews it.
    pub fn read(
        texts: &Texts<'_>,
        registry: &Registry,
        config: &Config,
    ) -> Result<Self, CredentialsError> {
        let form = |file: &PathBuf| {
            let file = file.clone();
            move |problem| CredentialsError::Form { file, problem }
        };
        let authorities = Authorities::from_pem(texts.authorities).map_err(form(&registry.ca))?;
        let certificate =
            NodeCertificate::from_pem(texts.certificate).map_err(form(&registry.certificate))?;
        let key = PrivateKey::from_pem(texts.key).map_err(form(&registry.key))?;
        if key.public_key() != certificate.public_key() {
            return Err(CredentialsError::OtherKey {
                key: registry.key.clone(),
                certificate: registry.certificate.clone(),
            });
        }
        let credentials = Self {
            static_key: static_key(texts, registry, &certificate).map(Arc::new),
            authorities,
            certificate,
            key: Arc::new(key),
        };
        credentials
            .check_issuer()
            .map_err(|problem| CredentialsError::OtherNetwork {
                certificate: registry.certificate.clone(),
                authority: registry.ca.clone(),
                problem,
            })?;
        credentials.check_addresses(registry, config)?;
        let own = credentials.certificate.prefix();
        match CredentialsError::own_peer(own, &config.peers) {
            Some(error) => Err(error),
            None => Ok(credentials),
        }
    }

    /// Whatever the time is.
    fn check_issuer(&self) -> Result<(), TrustError> {
        let nothing = RevocationList::default();
        let mut outcome = Err(TrustError::UnknownAuthority);
        for authority in self.authorities.iter() {
            let moment = self.certificate.not_before().max(authority.not_before());
            let issuer =
                self.authorities
                    .verify_node(&self.certificate, &nothing, moment, u64::MAX);
            outcome = issuer.map(drop);
            if outcome.is_ok() {
                break;
            }
        }
        outcome
    }

    fn check_addresses(
        &self,
        registry: &Registry,
        config: &Config,
    ) -> Result<(), CredentialsError> {
        let listed = |prefixes: &[IpNet]| {
            let texts: Vec<String> = prefixes.iter().map(ToString::to_string).collect();
            texts.join(", ")
        };
        let network = self.authorities.network();
        let prefix = self.certificate.prefix();
        let certificate = &registry.certificate;
        if !config.networks.contains(&IpNet::V6(network.prefix())) {
            return Err(CredentialsError::NoNetwork {
                certificate: certificate.clone(),
                network: network.to_string(),
                networks: listed(&config.networks),
            });
        }
        let (Some(subnet), Some(wanted)) = (prefix.subnet(&network), prefix.address(&network))
        else {
            return Ok(());
        };
        let (subnet, wanted) = (IpNet::V6(subnet), IpNet::V6(wanted));
        if !config.addresses.contains(&wanted) {
            return Err(CredentialsError::NoAddress {
                certificate: certificate.clone(),
                wanted,
                addresses: listed(&config.addresses),
            });
        }
        let network = IpNet::V6(network.prefix());
        let foreign = config
            .addresses
            .iter()
            .find(|address| network.contains(*address) && !subnet.contains(*address));
        match foreign {
            Some(address) => Err(CredentialsError::ForeignAddress {
                certificate: certificate.clone(),
                address: *address,
                subnet,
            }),
            None => Ok(()),
        }
    }

    /// Puts a new certificate in the place of the old one, if it is as good. Says whether it is another one.
    pub fn renew(
        &mut self,
        certificate: &str,
        revoked: &RevocationList,
        now: Timestamp,
    ) -> Result<bool, Unfit> {
        let new = NodeCertificate::from_pem(certificate)?;
        if new == self.certificate {
            return Ok(false);
        }
        let moment = now.max(new.not_before().min(now.plus(CLOCK_SKEW)));
        self.authorities.verify_node(&new, revoked, moment, 0)?;
        if new.public_key() != self.certificate.public_key() {
            return Err(Unfit::Key);
        }
        if new.static_key() != self.certificate.static_key() {
            return Err(Unfit::StaticKey);
        }
        if new.prefix() != self.certificate.prefix() {
            return Err(Unfit::Prefix(new.prefix().common_name()));
        }
        self.certificate = new;
        Ok(true)
    }

    /// The X25519 key of another node, out of the certificate that the registry has of it.
    pub fn key_of(
        &self,
        node: NodePrefix,
        certificate: &str,
        revoked: &RevocationList,
        now: Timestamp,
    ) -> Result<StaticPublicKey, UnfitPeer> {
        let certificate = NodeCertificate::from_pem(certificate)?;
        // our clock may be behind the registry's
        let moment = now.max(certificate.not_before().min(now.plus(CLOCK_SKEW)));
        self.authorities
            .verify_node(&certificate, revoked, moment, 0)?;
        if certificate.prefix() != node {
            return Err(UnfitPeer::Name(certificate.prefix().common_name()));
        }
        let key = certificate.static_key().ok_or(UnfitPeer::NoKey)?;
        match key.is_contributory() {
            true => Ok(key),
            false => Err(UnfitPeer::Weak),
        }
    }

    /// Whether the registry has taken our certificate back.
    pub fn is_revoked(&self, revoked: &RevocationList) -> bool {
        let serial = self.certificate.serial();
        self.authorities
            .iter()
            .any(|authority| revoked.contains(&authority.key_id(), serial))
    }
}
