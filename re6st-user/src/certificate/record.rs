//! Where a node is, as it says itself: signed with the key of its certificate, which goes along, so that anybody can pass it
//! on and nobody can forge it.
//!
//! | octets | what |
//! |---|---|
//! | 1 | version: 1 |
//! | 8 | when it was made, in seconds since 1970: of two records of a node the later one counts |
//! | 1 | flags: bit 0 it is open, what nobody there has asked for reaches it |
//! | 2 | country (ISO 3166-1 alpha-2), or two zeros |
//! | 1 | how many addresses, up to 8 |
//! | 7 or 19 each | family (4 or 6), address, UDP port; the best one first |
//! | 2, and as many | the certificate in DER |
//! | 2, and as many | the signature of [`DOMAIN`], the network and all of the above |

use std::{fmt, net::SocketAddr, str::FromStr};

use thiserror::Error;

use super::{
    error::{FormError, TrustError},
    key::PrivateKey,
    network::Network,
    node::NodeCertificate,
    node_prefix::NodePrefix,
    revocations::RevocationList,
    static_key::StaticPublicKey,
    verify::Authorities,
};
use crate::{
    octets::{Reader, put_socket_address},
    time::{DAY, Timestamp},
};

/// Octets of a record, at most: one of RSA with 4,096 bits fits.
pub const MAX_RECORD_SIZE: usize = 3_072;
/// Addresses of a node, at most.
pub const MAX_ADDRESSES: usize = 8;
/// How long a record counts. A node makes another one long before.
pub const RECORD_LIFETIME: u64 = 2 * DAY;
/// How far the clock of the node that made a record may be ahead, in seconds.
const CLOCK_SKEW: u64 = 600;
/// What is signed is nothing else.
const DOMAIN: &[u8] = b"re6st-ebpf node record\0";
const VERSION: u8 = 1;
const OPEN: u8 = 1;

/// A country by its two letters (ISO 3166-1 alpha-2).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Country([u8; 2]);

/// Something is no [`Country`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("expected the two letters of a country, such as \"FR\"")]
pub struct NoCountry;

impl FromStr for Country {
    type Err = NoCountry;

    /// From two letters, whatever their case.
    fn from_str(text: &str) -> Result<Self, NoCountry> {
        let letters: [u8; 2] = text.as_bytes().try_into().map_err(|_| NoCountry)?;
        let letters = letters.map(|letter| letter.to_ascii_uppercase());
        match letters.iter().all(u8::is_ascii_uppercase) {
            true => Ok(Self(letters)),
            false => Err(NoCountry),
        }
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, second] = self.0.map(char::from);
        write!(f, "{first}{second}")
    }
}

/// What a node says of itself.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Whereabouts {
    /// Where it can be called, the best one first; none if it only calls others.
    pub addresses: Vec<SocketAddr>,
    /// What nobody there has asked for reaches it.
    pub open: bool,
    /// The country that it is in.
    pub country: Option<Country>,
}

/// Why a record is not believed.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum RecordError {
    /// Not a record.
    #[error("not a record of a node")]
    Form,
    /// Its certificate cannot be read.
    #[error("its certificate: {0}")]
    Certificate(#[from] FormError),
    /// Its certificate is not good.
    #[error("its certificate: {0}")]
    Trust(#[from] TrustError),
    /// The node has no X25519 key, or a weak one: nobody can call it.
    #[error("its certificate has no X25519 key of use")]
    NoKey,
    /// Not signed by its node.
    #[error("its signature is not its node's")]
    Signature,
    /// Too old, or not of this time.
    #[error("it is out of date")]
    OutOfDate,
}

/// A record whose signature was made or verified here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeRecord {
    certificate: NodeCertificate,
    static_key: StaticPublicKey,
    made_at: Timestamp,
    whereabouts: Whereabouts,
    octets: Vec<u8>,
}

impl NodeRecord {
    /// Makes the record of the node whose certificate and key these are. Of its addresses the first ones are taken.
    ///
    /// # Errors
    /// The certificate has no X25519 key, or the key cannot sign.
    pub fn sign(
        mut whereabouts: Whereabouts,
        certificate: &NodeCertificate,
        key: &PrivateKey,
        network: &Network,
        now: Timestamp,
    ) -> Result<Self, RecordError> {
        whereabouts.addresses.truncate(MAX_ADDRESSES);
        let mut octets = vec![VERSION];
        octets.extend(now.0.to_be_bytes());
        octets.push(u8::from(whereabouts.open) * OPEN);
        octets.extend(whereabouts.country.map_or([0; 2], |country| country.0));
        octets.push(whereabouts.addresses.len().try_into().unwrap_or_default());
        for address in &whereabouts.addresses {
            put_socket_address(&mut octets, *address);
        }
        put(&mut octets, certificate.der())?;
        let signature = key.sign(&signed(network, &octets));
        put(&mut octets, &signature.map_err(|_| RecordError::Signature)?)?;
        Ok(Self {
            static_key: certificate.static_key().ok_or(RecordError::NoKey)?,
            certificate: certificate.clone(),
            made_at: now,
            whereabouts,
            octets,
        })
    }

    /// Verifies a record that came from anybody.
    ///
    /// # Errors
    /// It is no record, its certificate is not good now, the signature is not of that, or it is out of date.
    pub fn verify(
        octets: &[u8],
        authorities: &Authorities,
        revoked: &RevocationList,
        now: Timestamp,
    ) -> Result<Self, RecordError> {
        let parsed = Parsed::read(octets).ok_or(RecordError::Form)?;
        let soon = now.plus(CLOCK_SKEW);
        if parsed.made_at > soon || parsed.made_at.plus(RECORD_LIFETIME) < now {
            return Err(RecordError::OutOfDate);
        }
        let certificate = NodeCertificate::from_der(parsed.certificate)?;
        // our clock may be behind the registry's
        let moment = now.max(certificate.not_before().min(soon));
        authorities.verify_node(&certificate, revoked, moment, 0)?;
        let static_key = certificate.static_key();
        let static_key = static_key.filter(StaticPublicKey::is_contributory);
        let message = signed(&authorities.network(), parsed.body);
        if !certificate.public_key().verify(&message, parsed.signature) {
            return Err(RecordError::Signature);
        }
        Ok(Self {
            static_key: static_key.ok_or(RecordError::NoKey)?,
            certificate,
            made_at: parsed.made_at,
            whereabouts: parsed.whereabouts,
            octets: octets.to_vec(),
        })
    }

    /// Reads one that was verified before, and may be out of date by now.
    ///
    /// # Errors
    /// It is no record.
    pub fn read_verified(octets: &[u8]) -> Result<Self, RecordError> {
        let parsed = Parsed::read(octets).ok_or(RecordError::Form)?;
        let certificate = NodeCertificate::from_der(parsed.certificate)?;
        Ok(Self {
            static_key: certificate.static_key().ok_or(RecordError::NoKey)?,
            certificate,
            made_at: parsed.made_at,
            whereabouts: parsed.whereabouts,
            octets: octets.to_vec(),
        })
    }

    /// Whose it is.
    pub const fn node(&self) -> NodePrefix {
        self.certificate.prefix()
    }

    /// The node's certificate.
    pub const fn certificate(&self) -> &NodeCertificate {
        &self.certificate
    }

    /// The key that it is called with.
    pub const fn static_key(&self) -> StaticPublicKey {
        self.static_key
    }

    /// When it was made, by the clock of its node.
    pub const fn made_at(&self) -> Timestamp {
        self.made_at
    }

    /// What the node says.
    pub const fn whereabouts(&self) -> &Whereabouts {
        &self.whereabouts
    }

    /// To be passed on.
    pub fn octets(&self) -> &[u8] {
        &self.octets
    }
}

struct Parsed<'a> {
    made_at: Timestamp,
    whereabouts: Whereabouts,
    certificate: &'a [u8],
    /// All that is signed.
    body: &'a [u8],
    signature: &'a [u8],
}

impl<'a> Parsed<'a> {
    fn read(octets: &'a [u8]) -> Option<Self> {
        if octets.len() > MAX_RECORD_SIZE {
            return None;
        }
        let mut reader = Reader::new(octets);
        if reader.u8()? != VERSION {
            return None;
        }
        let made_at = Timestamp(reader.u64()?);
        let open = reader.u8()? & OPEN != 0;
        let country = match reader.array::<2>()? {
            [0, 0] => None,
            letters => Some(std::str::from_utf8(letters).ok()?.parse().ok()?),
        };
        let count = usize::from(reader.u8()?);
        if count > MAX_ADDRESSES {
            return None;
        }
        let mut addresses = Vec::with_capacity(count);
        for _ in 0..count {
            addresses.push(reader.socket_address()?);
        }
        let certificate = reader.measured()?;
        let body = octets.get(..octets.len() - reader.rest().len())?;
        let signature = reader.measured()?;
        reader.is_empty().then_some(Self {
            made_at,
            whereabouts: Whereabouts {
                addresses,
                open,
                country,
            },
            certificate,
            body,
            signature,
        })
    }
}

fn put(out: &mut Vec<u8>, octets: &[u8]) -> Result<(), RecordError> {
    let length = u16::try_from(octets.len()).map_err(|_| RecordError::Form)?;
    out.extend(length.to_be_bytes());
    out.extend(octets);
    match out.len() <= MAX_RECORD_SIZE {
        true => Ok(()),
        false => Err(RecordError::Form),
    }
}

/// What is signed: this, of that network, and no other thing.
fn signed(network: &Network, body: &[u8]) -> Vec<u8> {
    let network = network.to_string();
    [DOMAIN, network.as_bytes(), b"\0", body].concat()
}
