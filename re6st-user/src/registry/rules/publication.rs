//! What the registry tells all nodes: two documents the certificate authority signs. Each has a number that grows with
//! every change, so that nobody can pass on an old one as new.

use std::{collections::BTreeMap, sync::Arc};

use data_encoding::HEXLOWER;
use serde::Serialize;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::{refusal::RestoreError, settings::Settings};
use crate::{
    certificate::{revocations::Revocation, serial::Serial},
    time::Timestamp,
};

/// The network's parameters.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct ParametersDocument {
    /// Grows with each change of anything that is published: it is the time, or one more than the last one. So what a
    /// registry publishes after it was restored from an old backup is newer than what is known of it. re6stnet's
    /// `version` is the same number.
    pub number: u64,
    /// `network`; `registry-prefix` and `shortest-prefix`, the bits of the shortest prefix of a node, once there is one; `authorities`, the fingerprints of the CA certificates;
    /// `revocations`, the `number` and `digest` of the other document; `mac-keys`, the number of the document with which
    /// the keys of Babel's MAC changed last; `parameters`, of which unknown ones are to be kept and passed on.
    #[serde(flatten)]
    pub content: Map<String, Value>,
}

/// The certificates nobody is to trust any more, until they expire.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct RevocationsDocument {
    /// The number the parameters had when this list changed.
    pub number: u64,
    /// In order of their serial numbers.
    pub revoked: Vec<Revoked>,
}

/// One certificate.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Revoked {
    /// Its serial number, one for all authorities of the network.
    pub serial: Serial,
    /// When it was revoked.
    pub at: Timestamp,
    /// When it expires.
    pub not_after: Timestamp,
}

/// Both documents.
#[derive(Clone, PartialEq, Debug)]
pub struct Publication {
    /// What the network is, and how it is run.
    pub parameters: Arc<ParametersDocument>,
    /// Which certificates are revoked.
    pub revocations: Arc<RevocationsDocument>,
}

/// What there is to publish, without numbers.
pub(super) struct Content {
    pub network: String,
    pub registry_prefix: Option<String>,
    /// Bits of the shortest prefix that a node has.
    pub shortest_prefix: Option<u8>,
    pub authorities: Vec<String>,
    pub parameters: Map<String, Value>,
}

impl Publication {
    /// The number of the last change of revocations, and the digest of the list, as the parameters say them.
    fn revocations_stamp(&self) -> Option<(u64, &str)> {
        let stamp = self.parameters.content.get("revocations")?;
        Some((
            stamp.get("number")?.as_u64()?,
            stamp.get("digest")?.as_str()?,
        ))
    }

    /// Whether it is of this network, and of one of its authorities.
    pub(super) fn check_owner(&self, settings: &Settings) -> Result<(), RestoreError> {
        let content = &self.parameters.content;
        let (found, expected) = (content.get("network"), settings.network.to_string());
        let found = found.and_then(Value::as_str).unwrap_or_default();
        if found != expected {
            let found = found.to_owned();
            return Err(RestoreError::OtherNetwork { found, expected });
        }
        let published = content.get("authorities").and_then(Value::as_array);
        let known = |published: &Value| {
            let mut ours = settings.all_authorities.iter();
            ours.any(|ours| published.as_str() == Some(ours))
        };
        match published {
            Some(published) if !published.is_empty() && !published.iter().any(known) => {
                Err(RestoreError::OtherAuthority)
            }
            _ => Ok(()),
        }
    }

    /// The publication after this one, with this number, if anything has changed. The last number may not be that of
    /// this one, if re6stnet's registry has published in between.
    pub(super) fn succeed(
        previous: Option<&Self>,
        last_number: u64,
        number: u64,
        content: Content,
        revoked: &BTreeMap<Serial, Revocation>,
        mac_keys_changed: bool,
    ) -> Option<Self> {
        let digest = digest(revoked);
        let stamp = previous.and_then(Self::revocations_stamp);
        let same_list = stamp
            .filter(|(_, before)| *before == digest)
            .map(|(number, _)| number);
        let revocations_number = same_list.unwrap_or(number);
        let mac_keys_number = previous
            .filter(|_| !mac_keys_changed)
            .and_then(|previous| previous.parameters.content.get("mac-keys")?.as_u64())
            .unwrap_or(number);
        let mut fields = Map::from_iter([
            ("network".to_owned(), Value::from(content.network)),
            ("authorities".to_owned(), Value::from(content.authorities)),
            (
                "revocations".to_owned(),
                json!({"number": revocations_number, "digest": digest}),
            ),
            ("mac-keys".to_owned(), Value::from(mac_keys_number)),
            ("parameters".to_owned(), Value::Object(content.parameters)),
        ]);
        if let Some(prefix) = content.registry_prefix {
            fields.insert("registry-prefix".to_owned(), Value::from(prefix));
        }
        if let Some(bits) = content.shortest_prefix {
            fields.insert("shortest-prefix".to_owned(), Value::from(bits));
        }
        if previous.is_some_and(|previous| {
            previous.parameters.content == fields && previous.parameters.number == last_number
        }) {
            return None;
        }
        let revocations = match previous {
            Some(previous) if same_list.is_some() => Arc::clone(&previous.revocations),
            _ => Arc::new(RevocationsDocument::new(revocations_number, revoked)),
        };
        Some(Self {
            parameters: Arc::new(ParametersDocument {
                number,
                content: fields,
            }),
            revocations,
        })
    }

    /// From the store: the parameters as published last, and the revocations as they are.
    pub(in crate::registry) fn stored(
        number: u64,
        content: Map<String, Value>,
        revoked: &BTreeMap<Serial, Revocation>,
    ) -> Self {
        let mut publication = Self {
            parameters: Arc::new(ParametersDocument { number, content }),
            revocations: Arc::new(RevocationsDocument::new(0, revoked)),
        };
        if let Some((number, _)) = publication.revocations_stamp() {
            publication.revocations = Arc::new(RevocationsDocument::new(number, revoked));
        }
        publication
    }
}

impl RevocationsDocument {
    fn new(number: u64, revoked: &BTreeMap<Serial, Revocation>) -> Self {
        let revoked = revoked
            .iter()
            .map(|(serial, revocation)| Revoked {
                serial: *serial,
                at: revocation.at,
                not_after: revocation.not_after,
            })
            .collect();
        Self { number, revoked }
    }
}

/// SHA-256 over each serial number and its two times, 8 octets each, in order.
fn digest(revoked: &BTreeMap<Serial, Revocation>) -> String {
    let mut hash = Sha256::new();
    for (serial, revocation) in revoked {
        hash.update(serial.number().to_be_bytes());
        hash.update(revocation.at.0.to_be_bytes());
        hash.update(revocation.not_after.0.to_be_bytes());
    }
    HEXLOWER.encode(&hash.finalize())
}
