//! The node's X25519 key, which its channels to other nodes are made with; the public half is bound in its certificate.

use std::fmt;

use aws_lc_rs::rand;
use x509_parser::{
    oid_registry::{Oid, asn1_rs::oid},
    prelude::FromDer as _,
    x509::SubjectPublicKeyInfo,
};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use super::{
    error::{FormError, KeyError},
    key::{MAX_KEY_SIZE, encode},
};

/// What PKCS#8 puts before the 32 octets (RFC 8410, section 7).
const PRIVATE_PREFIX: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x6e, 0x04, 0x22, 0x04, 0x20,
];
/// What SubjectPublicKeyInfo puts before the 32 octets (RFC 8410, section 4).
const PUBLIC_PREFIX: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x6e, 0x03, 0x21, 0x00,
];
const ID_X25519: Oid<'static> = oid!(1.3.101.110);

/// A private X25519 key (RFC 7748). Erased when dropped.
#[derive(Clone)]
pub struct StaticKey(StaticSecret);

impl StaticKey {
    /// A new key, out of the operating system's randomness.
    pub fn generate() -> Result<Self, KeyError> {
        let mut octets = Zeroizing::new([0; 32]);
        rand::fill(&mut *octets).map_err(|_| KeyError::Library)?;
        Ok(Self(StaticSecret::from(*octets)))
    }

    /// From PKCS#8 in PEM, as `openssl genpkey -algorithm X25519` writes it.
    pub fn from_pem(text: &str) -> Result<Self, FormError> {
        if text.len() > MAX_KEY_SIZE {
            return Err(FormError::TooLarge {
                what: "a private key",
                size: text.len(),
                limit: MAX_KEY_SIZE,
            });
        }
        let block = pem::parse(text).map_err(|_| FormError::Pem("PRIVATE KEY"))?;
        if block.tag() != "PRIVATE KEY" {
            return Err(FormError::Pem("PRIVATE KEY"));
        }
        let der = Zeroizing::new(block.into_contents());
        let octets = der
            .strip_prefix(&PRIVATE_PREFIX)
            .and_then(|octets| <[u8; 32]>::try_from(octets).ok())
            .map(Zeroizing::new)
            .ok_or(FormError::Der("an X25519 private key"))?;
        Ok(Self(StaticSecret::from(*octets)))
    }

    /// PKCS#8 in PEM. The file it is written to is for the owner's eyes only (mode 0600).
    pub fn to_pem(&self) -> Zeroizing<String> {
        let octets = self.to_octets();
        let der = Zeroizing::new([&PRIVATE_PREFIX[..], &*octets].concat());
        encode("PRIVATE KEY", &der)
    }

    /// The 32 octets.
    pub fn to_octets(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// The public key that goes with it.
    pub fn public_key(&self) -> StaticPublicKey {
        StaticPublicKey(PublicKey::from(&self.0).to_bytes())
    }
}

impl fmt::Debug for StaticKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StaticKey")
            .field(&self.public_key())
            .finish()
    }
}

/// A public X25519 key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StaticPublicKey([u8; 32]);

impl StaticPublicKey {
    /// Any 32 octets.
    pub const fn new(octets: [u8; 32]) -> Self {
        Self(octets)
    }

    /// The 32 octets.
    pub const fn octets(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether a key agreement with it depends on both keys: not so for a dozen points of small order (RFC 7748,
    /// section 6.1).
    pub fn is_contributory(&self) -> bool {
        StaticSecret::from([1; 32])
            .diffie_hellman(&PublicKey::from(self.0))
            .was_contributory()
    }

    /// SubjectPublicKeyInfo in DER.
    pub fn to_der(&self) -> Vec<u8> {
        [&PUBLIC_PREFIX[..], &self.0].concat()
    }

    /// From SubjectPublicKeyInfo in DER.
    pub fn from_der(der: &[u8]) -> Option<Self> {
        let (rest, parsed) = SubjectPublicKeyInfo::from_der(der).ok()?;
        let algorithm = &parsed.algorithm;
        if !rest.is_empty() || algorithm.algorithm != ID_X25519 || algorithm.parameters.is_some() {
            return None;
        }
        let octets = parsed.subject_public_key;
        if octets.unused_bits != 0 {
            return None;
        }
        octets.as_ref().try_into().ok().map(Self)
    }
}

impl fmt::Debug for StaticPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", data_encoding::HEXLOWER.encode(&self.0))
    }
}
