//! The chain of one direction's secrets, and the AEAD keys that are made of them.
//!
//! ```text
//! secret 0          = an output of Noise's Split
//! secret 1          = HKDF-Expand(HKDF-Extract(secret 0, ML-KEM's shared secret), "re6st-ebpf post-quantum")   with ML-KEM
//! secret n + 1      = HKDF-Expand(secret n, "re6st-ebpf ratchet")                                              otherwise
//! key n             = HKDF-Expand(secret n, "re6st-ebpf key")
//! ```
//!
//! HKDF (RFC 5869) is over HMAC-BLAKE2s, and every output is one block of 32 octets. Nothing leads from a secret to the one
//! before, nor from a key to its secret.

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use blake2::Blake2s256;
use hmac::{KeyInit as _, Mac as _, SimpleHmac};
use zeroize::Zeroizing;

use super::wire::packet::{TAG, TRANSPORT_HEADER};

/// HMAC-BLAKE2s (RFC 2104, block of 64 octets) over the parts, one after another.
pub(super) fn hmac(key: &[u8; 32], parts: &[&[u8]]) -> Zeroizing<[u8; 32]> {
    // a whole block: a shorter key is filled up with zeros
    let mut block = Zeroizing::new([0; 64]);
    let (first, _) = block.split_at_mut(32);
    first.copy_from_slice(key);
    let mut mac = SimpleHmac::<Blake2s256>::new((&*block).into());
    parts.iter().for_each(|part| mac.update(part));
    Zeroizing::new(mac.finalize().into_bytes().into())
}

/// A secret of the chain. Erased when dropped; not shown.
#[derive(Clone)]
pub(super) struct Secret(Zeroizing<[u8; 32]>);

impl Secret {
    pub const fn new(octets: Zeroizing<[u8; 32]>) -> Self {
        Self(octets)
    }

    fn expand(&self, label: &str) -> Zeroizing<[u8; 32]> {
        hmac(&self.0, &[label.as_bytes(), &[1]])
    }

    /// The secret of the epoch after.
    pub fn ratchet(&self) -> Self {
        Self(self.expand("re6st-ebpf ratchet"))
    }

    /// The secret of epoch 1, from that of epoch 0.
    pub fn mix(&self, shared_secret: &[u8; 32]) -> Self {
        let extracted = hmac(&self.0, &[shared_secret]);
        Self(Self(extracted).expand("re6st-ebpf post-quantum"))
    }

    /// The AEAD key of its epoch.
    pub fn key(&self) -> Option<Key> {
        let octets = self.expand("re6st-ebpf key");
        Key::new(&octets)
    }

    #[cfg(test)]
    pub fn octets(&self) -> &[u8; 32] {
        &self.0
    }

    #[cfg(test)]
    pub fn key_octets(&self) -> Zeroizing<[u8; 32]> {
        self.expand("re6st-ebpf key")
    }
}

/// ChaCha20-Poly1305 (RFC 8439) with a nonce as Noise has it: four zeros, then the counter, little-endian. The library erases
/// it when it is dropped.
pub(super) struct Key(LessSafeKey);

fn nonce(counter: u64) -> Nonce {
    let mut nonce = [0; NONCE_LEN];
    let (_, last) = nonce.split_at_mut(4);
    last.copy_from_slice(&counter.to_le_bytes());
    Nonce::assume_unique_for_key(nonce)
}

impl Key {
    /// Of 32 octets. None if the library has no memory.
    pub fn new(octets: &[u8; 32]) -> Option<Self> {
        let key = UnboundKey::new(&CHACHA20_POLY1305, octets).ok()?;
        Some(Self(LessSafeKey::new(key)))
    }

    /// Encrypts in place; gives the tag.
    pub fn seal(&self, counter: u64, associated: &[u8], text: &mut [u8]) -> Option<[u8; TAG]> {
        let sealed = self
            .0
            .seal_in_place_separate_tag(nonce(counter), Aad::from(associated), text);
        sealed.ok()?.as_ref().try_into().ok()
    }

    /// Decrypts a ciphertext with its tag. None if it was not made with this key, counter and associated octets.
    pub fn open(&self, counter: u64, associated: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let (ciphertext, tag) = sealed.split_last_chunk::<TAG>()?;
        let mut text = vec![0; ciphertext.len()];
        self.0
            .open_separate_gather(
                nonce(counter),
                Aad::from(associated),
                ciphertext,
                tag,
                &mut text,
            )
            .ok()?;
        Some(text)
    }

    /// A transport packet: its header, then the plaintext encrypted.
    pub fn packet(
        &self,
        counter: u64,
        header: &[u8; TRANSPORT_HEADER],
        plaintext: &[u8],
    ) -> Option<Vec<u8>> {
        let mut packet = Vec::with_capacity(TRANSPORT_HEADER + plaintext.len() + TAG);
        packet.extend(header);
        packet.extend(plaintext);
        let text = packet.get_mut(TRANSPORT_HEADER..)?;
        let tag = self.seal(counter, header, text)?;
        packet.extend(tag);
        Some(packet)
    }
}
