//! What the registry tells all nodes, signed and ready to be sent: made once for each change, taken by everybody.

use std::sync::Arc;

use axum::body::Bytes;
use data_encoding::HEXLOWER;

use super::{
    api::MacKeys as MacKeysMessage,
    documents::NetworkParameters,
    keys::Keys,
    rules::{
        mac_keys::{MacKey, MacKeys},
        publication::{ParametersDocument, RevocationsDocument},
    },
};
use crate::{
    certificate::{
        error::IssueError,
        revocations::{Revocation, RevocationList},
        verify::Authorities,
    },
    time::{DAY, Timestamp},
};

/// How long a CRL is good for those who look at that; a newer one may be fetched at any time.
const CRL_VALIDITY: u64 = 7 * DAY;
/// After this it is signed again.
const CRL_RENEWAL: u64 = DAY;

/// An X.509 CRL.
#[derive(Clone, Debug)]
pub struct X509List {
    /// The list in DER.
    pub der: Bytes,
    /// When it was signed.
    signed: Timestamp,
}

/// A signed document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Its number.
    pub number: u64,
    /// The envelope as it is passed on.
    pub envelope: Bytes,
}

/// Everything that is published.
#[derive(Clone, Debug)]
pub struct Published {
    /// The network's authorities, also those that have expired.
    pub authorities: Arc<Authorities>,
    /// Statements of authorities about their successors.
    pub successions: Arc<[String]>,
    /// The network's parameters.
    pub parameters: Document,
    /// What is revoked.
    pub revocations: Document,
    /// The same, to look certificates up in.
    pub revocation_list: Arc<RevocationList>,
    /// The same as X.509 has it.
    pub crl: X509List,
    /// The keys of Babel's MAC, for nodes alone.
    pub mac_keys: MacKeysMessage,
}

/// Signs what is published.
#[derive(Debug)]
pub struct Publisher {
    keys: Arc<Keys>,
    authorities: Arc<Authorities>,
    successions: Arc<[String]>,
    /// Of the last X.509 CRL.
    list_number: u64,
}

impl Publisher {
    /// With the authority's key, and the next one's.
    pub fn new(keys: Arc<Keys>) -> Self {
        Self {
            authorities: Arc::new(keys.all().clone()),
            successions: keys.successions().into(),
            keys,
            list_number: 0,
        }
    }

    /// Signs everything.
    pub fn publish(
        &mut self,
        now: Timestamp,
        parameters: &ParametersDocument,
        revocations: &RevocationsDocument,
        mac_keys: &MacKeys,
    ) -> Result<Published, IssueError> {
        let mut list = RevocationList::default();
        for authority in self.authorities.iter() {
            // no certificate is valid for longer than its issuer
            let could = |not_after| not_after <= authority.not_after();
            let revoked = revocations.revoked.iter();
            for revoked in revoked.filter(|revoked| could(revoked.not_after)) {
                let revocation = Revocation {
                    at: revoked.at,
                    not_after: revoked.not_after,
                };
                list.insert(authority.key_id(), revoked.serial, revocation);
            }
        }
        let crl = self.sign_list(now, revocations.number, &list)?;
        let content = NetworkParameters(parameters.content.clone());
        let parameters = self.keys.sign_document(parameters.number, content)?;
        let revocations = self.keys.sign_document(revocations.number, list)?;
        Ok(Published {
            authorities: Arc::clone(&self.authorities),
            successions: Arc::clone(&self.successions),
            parameters: Document {
                number: parameters.number(),
                envelope: Bytes::copy_from_slice(parameters.envelope()),
            },
            revocations: Document {
                number: revocations.number(),
                envelope: Bytes::copy_from_slice(revocations.envelope()),
            },
            revocation_list: Arc::new(revocations.into_content()),
            crl,
            mac_keys: MacKeysMessage {
                sign: mac_keys.sign.as_ref().map(hexadecimal),
                accept: mac_keys.accept.as_ref().map(hexadecimal),
                accept_anything: mac_keys.accept_anything,
            },
        })
    }

    /// The X.509 CRL signed again, if it is time: it is a day old, or of a clock that was ahead.
    pub fn renew_list(
        &mut self,
        now: Timestamp,
        published: &Published,
    ) -> Result<Option<X509List>, IssueError> {
        let signed = published.crl.signed;
        if (signed..signed.plus(CRL_RENEWAL)).contains(&now) {
            return Ok(None);
        }
        let number = published.revocations.number;
        self.sign_list(now, number, &published.revocation_list)
            .map(Some)
    }

    /// Two lists of different times have different numbers (RFC 5280, section 5.2.3), also where the same is revoked, and where
    /// one is of a registry before a restart.
    fn sign_list(
        &mut self,
        now: Timestamp,
        number: u64,
        list: &RevocationList,
    ) -> Result<X509List, IssueError> {
        let number = number.max(now.0).max(self.list_number.saturating_add(1));
        let until = now.plus(CRL_VALIDITY);
        let der = list.to_crl(self.keys.present(now), number, now, until)?;
        self.list_number = number;
        Ok(X509List {
            der: der.into(),
            signed: now,
        })
    }
}

fn hexadecimal(key: &MacKey) -> String {
    HEXLOWER.encode(key.reveal())
}
