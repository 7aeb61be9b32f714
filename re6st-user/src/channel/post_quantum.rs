//! ML-KEM-768 (FIPS 203), inside the channel and before any data: the initiator sends an encapsulation key, the responder
//! answers with a ciphertext, and both mix the shared secret into the keys of both directions
//! ([`Session::mix`](super::session::Session::mix)). Who breaks X25519 later, with a quantum computer, still lacks it.
//!
//! Randomness comes from the operating system, inside the library.

use std::fmt;

use aws_lc_rs::kem::{DecapsulationKey, EncapsulationKey, ML_KEM_768};
use thiserror::Error;
use zeroize::Zeroizing;

use super::wire::message::{CIPHERTEXT, ENCAPSULATION_KEY};

/// What both sides have in the end. Erased when dropped; not shown.
pub struct SharedSecret(Zeroizing<[u8; 32]>);

impl SharedSecret {
    /// Any 32 octets: for test vectors and simulations.
    pub fn new(octets: [u8; 32]) -> Self {
        Self(Zeroizing::new(octets))
    }

    fn from_slice(octets: &[u8]) -> Result<Self, PostQuantumError> {
        let octets = <[u8; 32]>::try_from(octets).map_err(|_| PostQuantumError::Library)?;
        Ok(Self::new(octets))
    }

    pub(super) fn octets(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for SharedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedSecret(..)")
    }
}

/// Why there is no shared secret.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Error)]
pub enum PostQuantumError {
    /// The other side's encapsulation key is none (FIPS 203, section 7.2).
    #[error("the encapsulation key is none")]
    EncapsulationKey,
    /// The cryptographic library has failed.
    #[error("the cryptographic library has failed")]
    Library,
}

impl PostQuantumError {
    /// Its counter's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::EncapsulationKey => "bad_encapsulation_key",
            Self::Library => "library_failed",
        }
    }
}

/// The initiator's key pair. For one session; the library erases it when it is dropped.
pub struct KeyPair {
    private: DecapsulationKey,
    public: Box<[u8; ENCAPSULATION_KEY]>,
}

impl KeyPair {
    /// A new one.
    ///
    /// # Errors
    ///
    /// The library has failed.
    pub fn generate() -> Result<Self, PostQuantumError> {
        let library = |_| PostQuantumError::Library;
        let private = DecapsulationKey::generate(&ML_KEM_768).map_err(library)?;
        let public = private.encapsulation_key().map_err(library)?;
        let public = public.key_bytes().map_err(library)?;
        let public = <[u8; ENCAPSULATION_KEY]>::try_from(public.as_ref())
            .map_err(|_| PostQuantumError::Library)?;
        Ok(Self {
            private,
            public: Box::new(public),
        })
    }

    /// The key to send.
    pub fn encapsulation_key(&self) -> &[u8; ENCAPSULATION_KEY] {
        &self.public
    }

    /// The shared secret of the responder's ciphertext. A ciphertext that was not made for this key gives a secret that
    /// nobody else has (implicit rejection, FIPS 203, section 6.3): nothing that follows can be opened.
    ///
    /// # Errors
    ///
    /// The library has failed.
    pub fn decapsulate(
        &self,
        ciphertext: &[u8; CIPHERTEXT],
    ) -> Result<SharedSecret, PostQuantumError> {
        let secret = self
            .private
            .decapsulate(ciphertext[..].into())
            .map_err(|_| PostQuantumError::Library)?;
        SharedSecret::from_slice(secret.as_ref())
    }
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyPair(..)")
    }
}

/// The responder's part: a ciphertext to send (and to send again if the key comes again), and the shared secret.
///
/// # Errors
///
/// The key is none, or the library has failed.
pub fn encapsulate(
    key: &[u8; ENCAPSULATION_KEY],
) -> Result<(Box<[u8; CIPHERTEXT]>, SharedSecret), PostQuantumError> {
    let key =
        EncapsulationKey::new(&ML_KEM_768, key).map_err(|_| PostQuantumError::EncapsulationKey)?;
    let (ciphertext, secret) = key
        .encapsulate()
        .map_err(|_| PostQuantumError::EncapsulationKey)?;
    let ciphertext =
        <[u8; CIPHERTEXT]>::try_from(ciphertext.as_ref()).map_err(|_| PostQuantumError::Library)?;
    Ok((
        Box::new(ciphertext),
        SharedSecret::from_slice(secret.as_ref())?,
    ))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may end there")]
mod tests {
    use super::*;

    #[test]
    fn both_sides_have_the_same_secret_and_it_is_another_one_each_time() {
        let pair = KeyPair::generate().unwrap();
        let (ciphertext, secret) = encapsulate(pair.encapsulation_key()).unwrap();
        let (_, other) = encapsulate(pair.encapsulation_key()).unwrap();
        let opened = pair.decapsulate(&ciphertext).unwrap();
        assert_eq!(opened.octets(), secret.octets());
        assert_ne!(opened.octets(), other.octets());
    }

    #[test]
    fn a_key_that_is_none_is_refused_by_name() {
        // coefficients of 4,095 are beyond the modulus
        let refused = encapsulate(&[0xff; ENCAPSULATION_KEY]).unwrap_err();
        assert_eq!(refused.name(), "bad_encapsulation_key");
    }

    #[test]
    fn a_changed_ciphertext_gives_a_secret_that_nobody_else_has() {
        let pair = KeyPair::generate().unwrap();
        let (mut ciphertext, secret) = encapsulate(pair.encapsulation_key()).unwrap();
        ciphertext[7] ^= 1;
        let opened = pair.decapsulate(&ciphertext).unwrap();
        assert_ne!(opened.octets(), secret.octets());
    }

    #[test]
    fn nothing_is_shown() {
        let pair = KeyPair::generate().unwrap();
        assert_eq!(format!("{pair:?}"), "KeyPair(..)");
        let (_, secret) = encapsulate(pair.encapsulation_key()).unwrap();
        assert_eq!(format!("{secret:?}"), "SharedSecret(..)");
    }
}
