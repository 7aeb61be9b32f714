//! What a node holds of what the registry tells all nodes: signed documents, verified again whenever they are read, and never
//! rolled back. Whom they came from does not matter.

use serde_json::Value;

use super::{mac_keys::KeptMacKeys, node_keys::NodeKeys, presence::Presence};
use crate::{
    certificate::{
        document::{Content, DocumentError, Signed},
        revocations::RevocationList,
        verify::Authorities,
    },
    registry::documents::NetworkParameters,
    time::Timestamp,
};

/// What was kept by a node before.
#[derive(Debug, Default)]
pub struct Kept {
    /// Envelope of the parameters.
    pub parameters: Option<Vec<u8>>,
    /// Envelope of the revocation list.
    pub revocations: Option<Vec<u8>>,
    /// As [`KeptMacKeys::to_json`] made it.
    pub mac_keys: Option<Vec<u8>>,
    /// As [`NodeKeys::to_json`] made it.
    pub node_keys: Option<Vec<u8>>,
    /// As [`Held::successions_to_json`] made it.
    pub successions: Option<Vec<u8>>,
}

/// What is held.
#[derive(Debug, Default)]
pub struct Held {
    /// The network's parameters.
    pub parameters: Option<Signed<NetworkParameters>>,
    /// What is revoked.
    pub revocations: Option<Signed<RevocationList>>,
    /// The keys of Babel's MAC.
    pub mac_keys: Option<KeptMacKeys>,
    /// The X25519 keys of other nodes.
    pub node_keys: NodeKeys,
    /// Where this node is, and which others are there.
    pub presence: Presence,
    /// Authorities' statements about their successors that were good when they came, the newest last; at most
    /// [`Authorities::MAX`].
    pub successions: Vec<Vec<u8>>,
    nothing: RevocationList,
}

/// A document that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// The parameters.
    Parameters,
    /// The revocation list.
    Revocations,
}

impl Held {
    /// Takes back what was kept, and says what of it cannot be used.
    ///
    /// It was accepted when it came. So it is verified whatever the time is: neither a wrong clock at
    /// the start of a host nor an authority that has expired makes a node forget what the network does.
    pub fn restore(kept: &Kept, authorities: &Authorities) -> (Self, Vec<String>) {
        let mut held = Self::default();
        let mut unusable = Vec::new();
        let mut problem = |what: &str, problem: String| {
            unusable.push(format!(
                "the kept {what} cannot be used, the registry is asked again: {problem}"
            ));
        };
        let parameters = kept.parameters.as_deref();
        held.parameters = verified(parameters, "parameters", authorities, &mut problem);
        let revocations = kept.revocations.as_deref();
        held.revocations = verified(revocations, "revocation list", authorities, &mut problem);
        if let Some(text) = &kept.mac_keys {
            held.mac_keys = KeptMacKeys::from_json(text);
            if held.mac_keys.is_none() {
                problem("MAC keys", "they are damaged".to_owned());
            }
        }
        if let Some(text) = &kept.node_keys {
            match NodeKeys::from_json(text) {
                Some(keys) => held.node_keys = keys,
                None => problem("keys of peers", "they are damaged".to_owned()),
            }
        }
        if let Some(text) = &kept.successions {
            match serde_json::from_slice::<Vec<String>>(text) {
                Ok(statements) => {
                    for statement in statements {
                        held.hold_succession(statement.as_bytes());
                    }
                }
                Err(error) => problem("statements of authorities", error.to_string()),
            }
        }
        (held, unusable)
    }

    /// Holds a statement that is good, to be passed on. Whether it was not held before.
    pub fn hold_succession(&mut self, statement: &[u8]) -> bool {
        if self.successions.iter().any(|held| held == statement) {
            return false;
        }
        if self.successions.len() >= Authorities::MAX {
            self.successions.remove(0);
        }
        self.successions.push(statement.to_vec());
        true
    }

    /// JSON: an array of texts.
    pub fn successions_to_json(&self) -> Vec<u8> {
        let statements = self.successions.iter();
        let statements = statements.map(|statement| String::from_utf8_lossy(statement));
        serde_json::to_vec(&Vec::from_iter(statements)).unwrap_or_default()
    }

    /// Takes a document that came from anybody, if it is good and newer than ours.
    pub fn take(
        &mut self,
        envelope: &[u8],
        authorities: &Authorities,
        now: Timestamp,
    ) -> Result<Taken, DocumentError> {
        match Signed::verify(envelope, authorities, now, self.parameters_number()) {
            Err(DocumentError::Type { .. }) => {}
            outcome => {
                self.parameters = Some(outcome?);
                return Ok(Taken::Parameters);
            }
        }
        let document = Signed::verify(envelope, authorities, now, self.revocations_number())?;
        self.revocations = Some(document);
        Ok(Taken::Revocations)
    }

    /// The envelopes of our parameters and of our revocation list, to be passed on.
    pub fn envelopes(&self) -> (String, Option<String>) {
        let text = |envelope: &[u8]| String::from_utf8_lossy(envelope).into_owned();
        let parameters = self.parameters.as_ref().map(Signed::envelope).map(text);
        let revocations = self.revocations.as_ref().map(Signed::envelope).map(text);
        (parameters.unwrap_or_default(), revocations)
    }

    /// The number of our parameters.
    pub fn parameters_number(&self) -> Option<u64> {
        self.parameters.as_ref().map(Signed::number)
    }

    /// The number of our revocation list.
    pub fn revocations_number(&self) -> Option<u64> {
        self.revocations.as_ref().map(Signed::number)
    }

    /// The parameters themselves.
    pub fn network(&self) -> Option<&NetworkParameters> {
        self.parameters.as_ref().map(Signed::content)
    }

    /// What is revoked, as far as we know.
    pub fn revoked(&self) -> &RevocationList {
        let list = self.revocations.as_ref().map(Signed::content);
        list.unwrap_or(&self.nothing)
    }

    /// Whether our parameters say that there is a newer revocation list than ours, or we have none.
    pub fn wants_revocations(&self) -> bool {
        let there = self.network().and_then(NetworkParameters::revocations);
        self.revocations_number()
            .is_none_or(|ours| there.is_some_and(|there| there > ours))
    }

    /// The number of the parameters that have other MAC keys than ours; 0 if there are no parameters yet.
    pub fn wanted_mac_keys(&self) -> Option<u64> {
        let there = self.network().and_then(NetworkParameters::mac_keys);
        let there = there.unwrap_or_default();
        match &self.mac_keys {
            Some(ours) if ours.number >= there => None,
            _ => Some(there),
        }
    }

    /// Whether our parameters name an authority that we do not know.
    pub fn names_unknown_authority(&self, authorities: &Authorities) -> bool {
        let network = self.network();
        let named = network.and_then(|network| network.0.get("authorities")?.as_array());
        let is_known = |named: &Value| {
            let mut known = authorities.iter();
            known.any(|known| named.as_str() == Some(&known.fingerprint().to_string()))
        };
        named.is_some_and(|named| !named.iter().all(is_known))
    }
}

/// Whenever it was signed.
fn verified<T: Content>(
    kept: Option<&[u8]>,
    what: &str,
    authorities: &Authorities,
    mut problem: impl FnMut(&str, String),
) -> Option<Signed<T>> {
    let verified = Signed::verify_by(kept?, authorities, |_| true, None);
    let told = verified.map_err(|error| problem(what, error.to_string()));
    told.ok()
}
