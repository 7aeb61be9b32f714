//! Noise_IK_25519_ChaChaPoly_BLAKE2s by `snow`, over aws-lc's X25519 and ChaCha20-Poly1305. The ephemeral key is made of what
//! is passed in; secrets are erased.

use std::{mem::MaybeUninit, slice};

use aws_lc_rs::agreement::{PrivateKey, UnparsedPublicKey, X25519, agree};
use blake2::{Blake2s256, Digest as _};
use snow::{
    Builder, Error, HandshakeState,
    params::{CipherChoice, DHChoice, HashChoice, NoiseParams},
    resolvers::CryptoResolver,
    types::{Cipher, Dh, Hash, Random},
};
use zeroize::{Zeroize as _, Zeroizing};

use super::keys::{Key, Secret, hmac};

const NAME: &str = "Noise_IK_25519_ChaChaPoly_BLAKE2s";
/// What a message is longer than its payload at most: ephemeral key, encrypted static key, tag.
const OVERHEAD: usize = 32 + 48 + 16;
const TAG: usize = 16;

/// One side of a handshake.
pub(super) struct Noise(Wiped);

/// The secrets of Noise's Split: from the initiator to the responder, and back.
pub(super) struct Split {
    pub from_initiator: Secret,
    pub from_responder: Secret,
}

impl Noise {
    /// The initiator, who knows the responder's static key.
    pub fn initiator(
        private: &[u8; 32],
        responder: &[u8; 32],
        prologue: &[u8],
        ephemeral: Zeroizing<[u8; 32]>,
    ) -> Result<Self, Error> {
        let builder = Self::builder(private, prologue, ephemeral)?;
        let state = builder.remote_public_key(responder)?.build_initiator()?;
        Ok(Self(Wiped::new(state)))
    }

    /// The responder.
    pub fn responder(
        private: &[u8; 32],
        prologue: &[u8],
        ephemeral: Zeroizing<[u8; 32]>,
    ) -> Result<Self, Error> {
        let state = Self::builder(private, prologue, ephemeral)?.build_responder()?;
        Ok(Self(Wiped::new(state)))
    }

    fn builder<'a>(
        private: &'a [u8; 32],
        prologue: &'a [u8],
        ephemeral: Zeroizing<[u8; 32]>,
    ) -> Result<Builder<'a>, Error> {
        let parameters: NoiseParams = NAME.parse()?;
        Builder::with_resolver(parameters, Box::new(Primitives(ephemeral)))
            .local_private_key(private)?
            .prologue(prologue)
    }

    /// Appends the next message to a packet.
    pub fn write(&mut self, payload: &[u8], packet: &mut Vec<u8>) -> Result<(), Error> {
        let begin = packet.len();
        packet.resize(begin + OVERHEAD + payload.len(), 0);
        let message = packet.get_mut(begin..).ok_or(Error::Input)?;
        let length = self.0.state_mut().write_message(payload, message)?;
        packet.truncate(begin + length);
        Ok(())
    }

    /// The payload of the next message. After an error, another one can be read.
    pub fn read(&mut self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let mut payload = vec![0; message.len()];
        let length = self.0.state_mut().read_message(message, &mut payload)?;
        payload.truncate(length);
        Ok(payload)
    }

    /// The other side's static key, if it is known already.
    pub fn remote_static(&self) -> Option<[u8; 32]> {
        self.0.state().get_remote_static()?.try_into().ok()
    }

    /// The secrets of a handshake that is finished.
    pub fn split(mut self) -> Option<Split> {
        if !self.0.state().is_handshake_finished() {
            return None;
        }
        let (mut initiator, mut responder) = self.0.state_mut().dangerously_get_raw_split();
        let split = Split {
            from_initiator: Secret::new(Zeroizing::new(initiator)),
            from_responder: Secret::new(Zeroizing::new(responder)),
        };
        initiator.zeroize();
        responder.zeroize();
        Some(split)
    }
}

/// `snow` leaves the chaining key, from which both secrets follow, where it was. So its state has a place of its own, which is
/// overwritten when it goes.
struct Wiped(Box<MaybeUninit<HandshakeState>>);

impl Wiped {
    /// As long as it has not seen a key agreement the state is no secret: it may be moved.
    fn new(state: HandshakeState) -> Self {
        Self(Box::new(MaybeUninit::new(state)))
    }

    fn state(&self) -> &HandshakeState {
        // SAFETY: `new` has initialised it, and only `drop` ends it.
        unsafe { self.0.assume_init_ref() }
    }

    fn state_mut(&mut self) -> &mut HandshakeState {
        // SAFETY: as in `state`.
        unsafe { self.0.assume_init_mut() }
    }
}

impl Drop for Wiped {
    fn drop(&mut self) {
        // SAFETY: it is initialised, and nobody looks at it afterwards.
        unsafe { self.0.assume_init_drop() };
        slice::from_mut(&mut *self.0).zeroize();
    }
}

/// The primitives, and the octets that the ephemeral key is made of.
struct Primitives(Zeroizing<[u8; 32]>);

impl CryptoResolver for Primitives {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(Once(Some(self.0.clone()))))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        matches!(choice, DHChoice::Curve25519).then(|| Box::new(Curve25519::default()) as _)
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        matches!(choice, HashChoice::Blake2s).then(|| Box::new(Blake2s::default()) as _)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        matches!(choice, CipherChoice::ChaChaPoly).then(|| Box::new(ChaChaPoly(None)) as _)
    }
}

/// Randomness for one key, and never for another.
struct Once(Option<Zeroizing<[u8; 32]>>);

impl Random for Once {
    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Error> {
        let octets = self.0.take().ok_or(Error::Rng)?;
        if out.len() != octets.len() {
            return Err(Error::Rng);
        }
        out.copy_from_slice(&*octets);
        Ok(())
    }
}

/// X25519 (RFC 7748). Agreements that do not depend on both keys fail.
#[derive(Default)]
struct Curve25519 {
    octets: Zeroizing<[u8; 32]>,
    /// None until a key is set, or if the library has failed.
    key: Option<PrivateKey>,
    public: [u8; 32],
}

impl Curve25519 {
    fn take(&mut self, private: &[u8]) -> Option<()> {
        self.key = None;
        self.octets = Zeroizing::new(private.try_into().ok()?);
        let key = PrivateKey::from_private_key(&X25519, private).ok()?;
        let public = key.compute_public_key().ok()?;
        self.public = public.as_ref().try_into().ok()?;
        self.key = Some(key);
        Some(())
    }
}

impl Dh for Curve25519 {
    fn name(&self) -> &'static str {
        "25519"
    }

    fn pub_len(&self) -> usize {
        32
    }

    fn priv_len(&self) -> usize {
        32
    }

    /// Without success there is no key, and every agreement fails.
    fn set(&mut self, private: &[u8]) {
        self.take(private);
    }

    fn generate(&mut self, random: &mut dyn Random) -> Result<(), Error> {
        let mut private = Zeroizing::new([0; 32]);
        random.try_fill_bytes(&mut *private)?;
        self.take(&*private).ok_or(Error::Rng)
    }

    fn pubkey(&self) -> &[u8] {
        &self.public
    }

    fn privkey(&self) -> &[u8] {
        &*self.octets
    }

    fn dh(&self, public: &[u8], out: &mut [u8]) -> Result<(), Error> {
        let key = self.key.as_ref().ok_or(Error::Dh)?;
        let public = public.get(..32).ok_or(Error::Dh)?;
        let public = UnparsedPublicKey::new(&X25519, public);
        agree(key, public, Error::Dh, |secret| {
            let out = out.get_mut(..secret.len()).ok_or(Error::Dh)?;
            out.copy_from_slice(secret);
            Ok(())
        })
    }
}

#[derive(Default)]
struct Blake2s(Blake2s256);

impl Hash for Blake2s {
    fn name(&self) -> &'static str {
        "BLAKE2s"
    }

    fn block_len(&self) -> usize {
        64
    }

    fn hash_len(&self) -> usize {
        32
    }

    fn reset(&mut self) {
        self.0 = Blake2s256::new();
    }

    fn input(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn result(&mut self, out: &mut [u8]) {
        let hash = std::mem::take(&mut self.0).finalize();
        out.iter_mut()
            .zip(hash)
            .for_each(|(out, octet)| *out = octet);
    }

    /// As the trait's own, but it erases what it was made of. Noise's keys are as long as its hashes.
    fn hmac(&mut self, key: &[u8], data: &[u8], out: &mut [u8]) {
        let mut whole = Zeroizing::new([0; 32]);
        whole
            .iter_mut()
            .zip(key)
            .for_each(|(whole, octet)| *whole = *octet);
        let mac = hmac(&whole, &[data]);
        out.iter_mut()
            .zip(mac.iter())
            .for_each(|(out, octet)| *out = *octet);
    }
}

struct ChaChaPoly(Option<Key>);

impl Cipher for ChaChaPoly {
    fn name(&self) -> &'static str {
        "ChaChaPoly"
    }

    fn set(&mut self, key: &[u8; 32]) {
        self.0 = Key::new(key);
    }

    /// The trait knows no failure: if the library fails nothing is written, and what is sent is refused by the other side.
    fn encrypt(&self, nonce: u64, associated: &[u8], text: &[u8], out: &mut [u8]) -> usize {
        let length = text.len();
        let Some((space, after)) = out.split_at_mut_checked(length) else {
            return 0;
        };
        space.copy_from_slice(text);
        let tag = self.0.as_ref();
        let tag = tag.and_then(|key| key.seal(nonce, associated, space));
        match (tag, after.first_chunk_mut::<TAG>()) {
            (Some(tag), Some(place)) => {
                *place = tag;
                length + TAG
            }
            _ => {
                space.zeroize();
                0
            }
        }
    }

    fn decrypt(
        &self,
        nonce: u64,
        associated: &[u8],
        sealed: &[u8],
        out: &mut [u8],
    ) -> Result<usize, Error> {
        let key = self.0.as_ref().ok_or(Error::Decrypt)?;
        let text = key.open(nonce, associated, sealed).ok_or(Error::Decrypt)?;
        let place = out.get_mut(..text.len()).ok_or(Error::Decrypt)?;
        place.copy_from_slice(&text);
        Ok(text.len())
    }
}
