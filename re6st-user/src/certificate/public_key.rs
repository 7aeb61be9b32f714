//! Public keys that certificates are about, and signatures made with them.

use std::fmt;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PKCS1_2048_8192_SHA512, UnparsedPublicKey, VerificationAlgorithm,
};
use rcgen::PublicKeyData;
use x509_parser::{
    oid_registry::{
        OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_PKCS1_RSAENCRYPTION, OID_PKCS1_SHA256WITHRSA,
        OID_PKCS1_SHA384WITHRSA, OID_PKCS1_SHA512WITHRSA, OID_SIG_ECDSA_WITH_SHA256,
    },
    prelude::{AlgorithmIdentifier, FromDer as _},
    public_key,
    x509::SubjectPublicKeyInfo,
};

use super::{
    digest::KeyId,
    error::{FormError, KeyError},
};

/// Which keys are accepted.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum KeyKind {
    /// ECDSA on the curve P-256 (FIPS 186-5), signatures with SHA-256.
    EcdsaP256,
    /// RSA, signatures by PKCS#1 v1.5 with SHA-512, as re6stnet makes them.
    Rsa {
        /// Size of the modulus: 2048 to 4096.
        bits: usize,
    },
}

/// A public key of a kind and size that is accepted.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PublicKey {
    kind: KeyKind,
    /// SubjectPublicKeyInfo in DER.
    information: Vec<u8>,
    /// What its BIT STRING holds.
    key: Vec<u8>,
}

impl PublicKey {
    /// From a SubjectPublicKeyInfo in DER.
    pub fn from_der(information: &[u8]) -> Result<Self, KeyError> {
        let (rest, parsed) =
            SubjectPublicKeyInfo::from_der(information).map_err(|_| KeyError::Malformed)?;
        if !rest.is_empty() {
            return Err(KeyError::Malformed);
        }
        Self::from_parsed(&parsed)
    }

    pub(super) fn from_parsed(parsed: &SubjectPublicKeyInfo<'_>) -> Result<Self, KeyError> {
        let key = parsed.subject_public_key.as_ref();
        let algorithm = &parsed.algorithm.algorithm;
        let kind = if *algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY {
            check_p256(&parsed.algorithm, key)?;
            KeyKind::EcdsaP256
        } else if *algorithm == OID_PKCS1_RSAENCRYPTION {
            KeyKind::Rsa {
                bits: rsa_size(key)?,
            }
        } else {
            return Err(KeyError::Algorithm);
        };
        Ok(Self {
            kind,
            information: parsed.raw.to_vec(),
            key: key.to_vec(),
        })
    }

    /// What kind of key.
    pub const fn kind(&self) -> KeyKind {
        self.kind
    }

    /// SubjectPublicKeyInfo in DER.
    pub fn der(&self) -> &[u8] {
        &self.information
    }

    /// What names it in documents and lists: SHA-256 of its SubjectPublicKeyInfo.
    pub fn id(&self) -> KeyId {
        KeyId::of(&self.information)
    }

    /// Whether a signature is this key's, by the algorithm that [`super::key::PrivateKey::sign`] takes for its kind.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        let algorithm = match self.kind {
            KeyKind::EcdsaP256 => SignatureAlgorithm::EcdsaSha256,
            KeyKind::Rsa { .. } => SignatureAlgorithm::RsaSha512,
        };
        self.verify_by(algorithm, message, signature)
    }

    /// Whether a signature is this key's, by an algorithm of its kind.
    pub(super) fn verify_by(
        &self,
        algorithm: SignatureAlgorithm,
        message: &[u8],
        signature: &[u8],
    ) -> bool {
        algorithm.is_for(self.kind)
            && UnparsedPublicKey::new(algorithm.verification(), &self.key)
                .verify(message, signature)
                .is_ok()
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({:?}, {})", self.kind, self.id())
    }
}

impl PublicKeyData for PublicKey {
    fn subject_public_key_info(&self) -> Vec<u8> {
        self.information.clone()
    }

    fn der_bytes(&self) -> &[u8] {
        &self.key
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        match self.kind {
            KeyKind::EcdsaP256 => &rcgen::PKCS_ECDSA_P256_SHA256,
            KeyKind::Rsa { .. } => &rcgen::PKCS_RSA_SHA512,
        }
    }
}

/// The curve P-256 and an uncompressed point (RFC 5480, sections 2.1.1.1 and 2.2).
fn check_p256(algorithm: &AlgorithmIdentifier<'_>, key: &[u8]) -> Result<(), KeyError> {
    let curve = algorithm
        .parameters
        .as_ref()
        .and_then(|parameters| parameters.as_oid().ok());
    if curve != Some(OID_EC_P256) {
        return Err(KeyError::Algorithm);
    }
    if key.len() != 65 || key.first() != Some(&4) {
        return Err(KeyError::Malformed);
    }
    Ok(())
}

/// Bits of the modulus, within bounds; the exponent is odd and has at most 32 bits.
fn rsa_size(key: &[u8]) -> Result<usize, KeyError> {
    let (rest, parsed) =
        public_key::RSAPublicKey::from_der(key).map_err(|_| KeyError::Malformed)?;
    let exponent = parsed.try_exponent().map_err(|_| KeyError::Malformed)?;
    if !rest.is_empty() || exponent < 3 || exponent % 2 == 0 || exponent > u64::from(u32::MAX) {
        return Err(KeyError::Malformed);
    }
    let zeros = parsed
        .modulus
        .iter()
        .take_while(|octet| **octet == 0)
        .count();
    let significant = parsed.modulus.get(zeros..).unwrap_or_default();
    let unused = significant.first().map_or(0, |octet| octet.leading_zeros());
    let bits = (significant.len() * 8).saturating_sub(unused as usize);
    if !(2048..=4096).contains(&bits) {
        return Err(KeyError::RsaSize(bits));
    }
    Ok(bits)
}

/// How something is signed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum SignatureAlgorithm {
    EcdsaSha256,
    RsaSha256,
    RsaSha384,
    RsaSha512,
}

impl SignatureAlgorithm {
    pub(super) fn from_parsed(parsed: &AlgorithmIdentifier<'_>) -> Result<Self, FormError> {
        let known = [
            (OID_SIG_ECDSA_WITH_SHA256, Self::EcdsaSha256),
            (OID_PKCS1_SHA256WITHRSA, Self::RsaSha256),
            (OID_PKCS1_SHA384WITHRSA, Self::RsaSha384),
            (OID_PKCS1_SHA512WITHRSA, Self::RsaSha512),
        ];
        known
            .into_iter()
            .find(|(oid, _)| *oid == parsed.algorithm)
            .map(|(_, algorithm)| algorithm)
            .ok_or(FormError::SignatureAlgorithm)
    }

    /// AlgorithmIdentifier in DER (RFC 5758, section 3.2; RFC 4055, section 5).
    const fn der(self) -> &'static [u8] {
        match self {
            Self::EcdsaSha256 => &[
                0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02,
            ],
            Self::RsaSha256 => &[
                0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b, 0x05,
                0x00,
            ],
            Self::RsaSha384 => &[
                0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0c, 0x05,
                0x00,
            ],
            Self::RsaSha512 => &[
                0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0d, 0x05,
                0x00,
            ],
        }
    }

    const fn is_for(self, kind: KeyKind) -> bool {
        matches!(
            (self, kind),
            (Self::EcdsaSha256, KeyKind::EcdsaP256)
                | (
                    Self::RsaSha256 | Self::RsaSha384 | Self::RsaSha512,
                    KeyKind::Rsa { .. }
                )
        )
    }

    fn verification(self) -> &'static dyn VerificationAlgorithm {
        match self {
            Self::EcdsaSha256 => &ECDSA_P256_SHA256_ASN1,
            Self::RsaSha256 => &RSA_PKCS1_2048_8192_SHA256,
            Self::RsaSha384 => &RSA_PKCS1_2048_8192_SHA384,
            Self::RsaSha512 => &RSA_PKCS1_2048_8192_SHA512,
        }
    }
}

/// Octets with the signature under them, as certificates and requests have it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct SignedOctets {
    pub(super) octets: Vec<u8>,
    algorithm: SignatureAlgorithm,
    pub(super) signature: Vec<u8>,
}

impl SignedOctets {
    /// The parts of `der`. What is around the signed octets must be written in the one way that DER has, or the same
    /// certificate would have several fingerprints.
    pub(super) fn new(
        what: &'static str,
        der: &[u8],
        octets: &[u8],
        algorithm: &AlgorithmIdentifier<'_>,
        signature: &[u8],
    ) -> Result<Self, FormError> {
        let signed = Self {
            octets: octets.to_vec(),
            algorithm: SignatureAlgorithm::from_parsed(algorithm)?,
            signature: signature.to_vec(),
        };
        if signed.to_der() != der {
            return Err(FormError::Der(what));
        }
        Ok(signed)
    }

    /// SEQUENCE of the signed octets, the algorithm, and the signature as BIT STRING (RFC 5280, section 4.1).
    fn to_der(&self) -> Vec<u8> {
        let signature = [&[0], self.signature.as_slice()].concat();
        let content = [
            self.octets.as_slice(),
            self.algorithm.der(),
            &header(0x03, signature.len()),
            &signature,
        ]
        .concat();
        [header(0x30, content.len()), content].concat()
    }

    pub(super) fn is_signed_by(&self, key: &PublicKey) -> bool {
        key.verify_by(self.algorithm, &self.octets, &self.signature)
    }
}

/// Tag and length in DER.
fn header(tag: u8, length: usize) -> Vec<u8> {
    let octets = length.to_be_bytes();
    let significant = octets.iter().skip_while(|octet| **octet == 0).copied();
    let significant: Vec<u8> = significant.collect();
    match u8::try_from(length) {
        Ok(short @ 0..=0x7f) => vec![tag, short],
        _ => {
            // a usize has 8 octets at most
            let count = u8::try_from(significant.len()).unwrap_or(0);
            [vec![tag, 0x80 | count], significant].concat()
        }
    }
}
