//! Private keys, of authorities and of nodes. Never shown by `Debug`, erased from memory when dropped.

use std::fmt;

use aws_lc_rs::{
    encoding::{AsDer as _, Pkcs8V1Der},
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA512, RsaKeyPair,
    },
};
use data_encoding::BASE64;
use rcgen::{PublicKeyData, SigningKey};
use zeroize::Zeroizing;

use super::{
    error::{FormError, KeyError},
    public_key::PublicKey,
};

/// The most octets of a private key's file that are read.
pub const MAX_KEY_SIZE: usize = 16_384;

/// What key to make.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum KeyAlgorithm {
    /// ECDSA on the curve P-256.
    #[default]
    EcdsaP256,
    /// RSA with 2048 bits.
    Rsa2048,
    /// RSA with 3072 bits.
    Rsa3072,
    /// RSA with 4096 bits.
    Rsa4096,
}

/// A private key and its public key.
pub struct PrivateKey {
    pair: Pair,
    /// PKCS#8, version 1.
    der: Zeroizing<Vec<u8>>,
    public: PublicKey,
}

enum Pair {
    Ecdsa(EcdsaKeyPair),
    Rsa(RsaKeyPair),
}

impl PrivateKey {
    /// A new key, out of the operating system's randomness. RSA takes a second or more.
    pub fn generate(algorithm: KeyAlgorithm) -> Result<Self, KeyError> {
        let rsa = |size| RsaKeyPair::generate(size).map(Pair::Rsa);
        let pair = match algorithm {
            KeyAlgorithm::EcdsaP256 => {
                EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).map(Pair::Ecdsa)
            }
            KeyAlgorithm::Rsa2048 => rsa(KeySize::Rsa2048),
            KeyAlgorithm::Rsa3072 => rsa(KeySize::Rsa3072),
            KeyAlgorithm::Rsa4096 => rsa(KeySize::Rsa4096),
        };
        Self::from_pair(pair.map_err(|_| KeyError::Library)?)
    }

    /// From PEM: PKCS#8 (`PRIVATE KEY`), PKCS#1 (`RSA PRIVATE KEY`) or SEC 1 (`EC PRIVATE KEY`), not encrypted.
    pub fn from_pem(text: &str) -> Result<Self, FormError> {
        if text.len() > MAX_KEY_SIZE {
            return Err(FormError::TooLarge {
                what: "a private key",
                size: text.len(),
                limit: MAX_KEY_SIZE,
            });
        }
        let blocks = pem::parse_many(text).map_err(|_| FormError::Pem("PRIVATE KEY"))?;
        // `openssl ecparam -genkey` writes a block of parameters first
        let block = blocks
            .into_iter()
            .find(|block| {
                ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"].contains(&block.tag())
            })
            .ok_or(FormError::Pem("PRIVATE KEY"))?;
        let rsa_only = block.tag() == "RSA PRIVATE KEY";
        let der = Zeroizing::new(block.into_contents());
        let pair = if rsa_only {
            RsaKeyPair::from_der(&der).map(Pair::Rsa)
        } else {
            EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_ASN1_SIGNING, &der)
                .map(Pair::Ecdsa)
                .or_else(|_| RsaKeyPair::from_pkcs8(&der).map(Pair::Rsa))
        };
        let pair = pair.map_err(|_| KeyError::Algorithm)?;
        Ok(Self::from_pair(pair)?)
    }

    fn from_pair(pair: Pair) -> Result<Self, KeyError> {
        let der = match &pair {
            Pair::Ecdsa(pair) => {
                let document = pair.to_pkcs8v1().map_err(|_| KeyError::Library)?;
                Zeroizing::new(document.as_ref().to_vec())
            }
            Pair::Rsa(pair) => {
                let document: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| KeyError::Library)?;
                Zeroizing::new(document.as_ref().to_vec())
            }
        };
        let public = match &pair {
            Pair::Ecdsa(pair) => pair.public_key().as_der(),
            Pair::Rsa(pair) => pair.public_key().as_der(),
        };
        let public = public.map_err(|_| KeyError::Library)?;
        let public = PublicKey::from_der(public.as_ref())?;
        Ok(Self { pair, der, public })
    }

    /// PKCS#8 in PEM. The file it is written to is for the owner's eyes only (mode 0600).
    pub fn to_pem(&self) -> Zeroizing<String> {
        encode("PRIVATE KEY", &self.der)
    }

    /// PKCS#8 in DER.
    pub fn to_pkcs8_der(&self) -> Zeroizing<Vec<u8>> {
        self.der.clone()
    }

    /// The public key that goes with it.
    pub const fn public_key(&self) -> &PublicKey {
        &self.public
    }

    /// Signs: ECDSA with SHA-256 (DER encoding), or RSA by PKCS#1 v1.5 with SHA-512.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Ecdsa(pair) => pair
                .sign(&random, message)
                .map(|signature| signature.as_ref().to_vec())
                .map_err(|_| KeyError::Library),
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA512, &random, message, &mut signature)
                    .map_err(|_| KeyError::Library)?;
                Ok(signature)
            }
        }
    }
}

/// Private octets in PEM, without a copy that is not erased.
pub(super) fn encode(tag: &str, der: &[u8]) -> Zeroizing<String> {
    /// Octets of a line of 64 characters (RFC 7468, section 2).
    const LINE: usize = 48;
    // enough, or growing would leave a copy behind
    let capacity = 2 * der.len() + 2 * tag.len() + 64;
    let mut text = Zeroizing::new(String::with_capacity(capacity));
    for part in ["-----BEGIN ", tag, "-----\n"] {
        text.push_str(part);
    }
    for line in der.chunks(LINE) {
        BASE64.encode_append(line, &mut text);
        text.push('\n');
    }
    for part in ["-----END ", tag, "-----\n"] {
        text.push_str(part);
    }
    text
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrivateKey")
            .field("public", &self.public)
            .finish_non_exhaustive()
    }
}

impl PublicKeyData for PrivateKey {
    fn subject_public_key_info(&self) -> Vec<u8> {
        self.public.subject_public_key_info()
    }

    fn der_bytes(&self) -> &[u8] {
        self.public.der_bytes()
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        self.public.algorithm()
    }
}

impl SigningKey for PrivateKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Self::sign(self, message).map_err(|_| rcgen::Error::RemoteKeyError)
    }
}
