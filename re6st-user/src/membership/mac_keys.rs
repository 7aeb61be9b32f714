//! The keys of Babel's MAC that all nodes of a network share. They are secret, so they are in no signed document: nodes fetch
//! them, and keep them with the number of the parameters they go with.

use std::fmt;

use data_encoding::HEXLOWER_PERMISSIVE;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    config::{Mac, MacAlgorithm},
    registry::api::MacKeys,
};

/// Octets of a key of BLAKE2s, at most.
const MAXIMUM: usize = 32;

/// The keys are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a MAC key is not 1 to {MAXIMUM} octets in hexadecimal")]
pub struct MacKeysError;

/// What nodes do with packets on plain interfaces. `Debug` does not show the keys.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "MacKeys", into = "MacKeys")]
pub struct NetworkMacKeys {
    /// All are accepted; ours are signed with those that are not `accept_only`.
    pub keys: Vec<Mac>,
    /// Packets that are signed with other keys, or not at all, are accepted too: while a network begins to use keys.
    pub accept_anything: bool,
}

impl fmt::Debug for NetworkMacKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.summary())
    }
}

impl NetworkMacKeys {
    /// Those that the configuration file has.
    pub const fn configured(keys: Vec<Mac>) -> Self {
        Self {
            keys,
            accept_anything: false,
        }
    }

    /// What is done with them, for people.
    pub fn summary(&self) -> &'static str {
        match (self.keys.as_slice(), self.accept_anything) {
            ([], _) => "none: packets are not signed",
            (_, true) => "sign, accept anything",
            ([_], false) => "sign and accept one key",
            (_, false) => "sign with one key, accept two",
        }
    }
}

impl TryFrom<MacKeys> for NetworkMacKeys {
    type Error = MacKeysError;

    fn try_from(message: MacKeys) -> Result<Self, MacKeysError> {
        let mac = |text: &String, accept_only| {
            let key = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok();
            let key = key.filter(|key| (1..=MAXIMUM).contains(&key.len()));
            Ok(Mac {
                algorithm: MacAlgorithm::Blake2s128,
                key: key.ok_or(MacKeysError)?,
                accept_only,
            })
        };
        let sign = message.sign.iter().map(|key| mac(key, false));
        let accept = message.accept.iter().map(|key| mac(key, true));
        Ok(Self {
            keys: sign.chain(accept).collect::<Result<_, _>>()?,
            accept_anything: message.accept_anything,
        })
    }
}

impl From<NetworkMacKeys> for MacKeys {
    fn from(network: NetworkMacKeys) -> Self {
        let text = |accept_only| {
            let mut keys = network.keys.iter();
            let key = keys.find(|mac| mac.accept_only == accept_only);
            key.map(|mac| HEXLOWER_PERMISSIVE.encode(&mac.key))
        };
        Self {
            sign: text(false),
            accept: text(true),
            accept_anything: network.accept_anything,
        }
    }
}

/// As they are kept, in a file for root alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptMacKeys {
    /// The number of the parameters with which they became so.
    pub number: u64,
    /// What nodes do with packets on plain interfaces since then.
    pub keys: NetworkMacKeys,
}

impl KeptMacKeys {
    /// From what [`Self::to_json`] made.
    pub fn from_json(text: &[u8]) -> Option<Self> {
        serde_json::from_slice(text).ok()
    }

    /// JSON.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}
