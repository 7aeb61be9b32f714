//! What a node shows and proves in a handshake.

use std::fmt;

use re6st_common::handshake::SipKey;
use zeroize::Zeroizing;

use super::handshake::mac_key;
use crate::certificate::static_key::{StaticKey, StaticPublicKey};

/// A node's static key and the certificate that binds it. The key is erased when this is dropped.
pub struct Identity {
    private: Zeroizing<[u8; 32]>,
    public: StaticPublicKey,
    certificate: Vec<u8>,
    mac_key: SipKey,
}

impl Identity {
    /// Of this key and the certificate (DER) whose `subjectAltPublicKeyInfo` has its public half. That is not looked at here:
    /// the peer would refuse it.
    pub fn new(key: &StaticKey, certificate: Vec<u8>) -> Self {
        let public = key.public_key();
        Self {
            private: key.to_octets(),
            public,
            certificate,
            mac_key: mac_key(&public),
        }
    }

    /// The public static key.
    pub const fn public_key(&self) -> &StaticPublicKey {
        &self.public
    }

    /// The certificate in DER.
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// What initiations to this node are authenticated with at first: [`re6st_common::handshake::judge`].
    pub const fn mac_key(&self) -> SipKey {
        self.mac_key
    }

    pub(super) fn private(&self) -> &[u8; 32] {
        &self.private
    }
}

impl fmt::Debug for Identity {
    /// Shows nothing of the private key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Identity").field(&self.public).finish()
    }
}
