//! Certificates nobody is to trust any more, and what operators see of certificates.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Caller, CertificateName, Change, Refusal, Reply, Rules,
    audit::Action,
    certificate::{Certificate, Replaced},
    tree::Block,
};
use crate::{
    certificate::{
        digest::KeyId, node_prefix::NodePrefix, revocations::Revocation, serial::Serial,
    },
    time::Timestamp,
};

/// At most so many certificates a page.
const LARGEST_PAGE: usize = 10_000;

/// A certificate that has not expired.
struct Valid {
    serial: Serial,
    not_after: Timestamp,
    key: Option<KeyId>,
}

impl Rules {
    pub(super) fn revoke(
        &mut self,
        now: Timestamp,
        from: &Caller,
        which: CertificateName,
    ) -> Result<Reply, Refusal> {
        let replaced = match which {
            CertificateName::Serial(serial) => self.state.replaced.get(&serial).copied(),
            CertificateName::Prefix(_) => None,
        };
        let (prefix, key) = match replaced {
            Some(replaced) => (replaced.prefix, replaced.key),
            None => {
                let (prefix, certificate) = self.find(which)?;
                (prefix, Some(certificate.key))
            }
        };
        let all = self.valid_certificates(prefix);
        match which {
            CertificateName::Serial(serial) => {
                // Whoever had the key may have asked by it for a certificate for another, or have it from another that was
                // stolen: since the operator's last word (enrolment, or a token) all are one.
                let last_word = self.state.tree.holder(&prefix);
                let last_word = last_word.map(|present| present.enrolled);
                let since = |serial| last_word.is_some_and(|last_word| last_word <= serial);
                let revoked = all.into_iter().filter(|valid| {
                    valid.serial == serial
                        || (key.is_some() && valid.key == key)
                        || (since(serial) && since(valid.serial))
                });
                let subject = self.revoke_all(now, prefix, revoked.collect());
                self.audit(now, from, Action::Revoked, subject);
            }
            CertificateName::Prefix(_) => {
                if self.state.registry_prefix == Some(prefix) {
                    return Err(Refusal::Conflict(format!(
                        "node {name} is the registry's own, which nodes know by its prefix; revoke its certificate by \
                         the serial number, and give it another one: registry token add --node {name}",
                        name = prefix.common_name()
                    )));
                }
                let subject = self.revoke_all(now, prefix, all);
                self.end(now, prefix);
                self.audit(now, from, Action::NodeEnded, subject);
            }
        }
        self.publish(now, false)?;
        Ok(Reply::Done)
    }

    /// What a node has of certificates that have not expired: those that were replaced, and the present one last.
    fn valid_certificates(&self, prefix: NodePrefix) -> Vec<Valid> {
        let replaced = self.state.replaced_of(prefix).filter_map(|serial| {
            let replaced = self.state.replaced.get(&serial)?;
            Some(Valid {
                serial,
                not_after: replaced.not_after,
                key: replaced.key,
            })
        });
        let present = self.state.tree.holder(&prefix).map(|present| Valid {
            serial: present.serial,
            not_after: present.not_after,
            key: Some(present.key),
        });
        replaced.chain(present).collect()
    }

    /// The certificates for a key that have not expired, whichever nodes have them.
    fn valid_for(&self, key: KeyId) -> Vec<Valid> {
        let holders = self.state.prefixes_of_key(key);
        let present = holders.filter_map(|prefix| self.state.tree.holder(&prefix));
        let present = present.map(|present| (present.serial, present.not_after));
        let replaced = self.state.replaced.iter();
        let replaced = replaced.filter(|(_, replaced)| replaced.key == Some(key));
        let replaced = replaced.map(|(serial, replaced)| (*serial, replaced.not_after));
        let valid = |(serial, not_after)| Valid {
            serial,
            not_after,
            key: Some(key),
        };
        present.chain(replaced).map(valid).collect()
    }

    /// Revokes certificates of a node and their keys, and with each key all certificates for it: whoever has the key has them. Says it
    /// for the audit log.
    fn revoke_all(&mut self, now: Timestamp, prefix: NodePrefix, mut all: Vec<Valid>) -> String {
        let keys: BTreeSet<_> = all.iter().filter_map(|valid| valid.key).collect();
        all.extend(keys.iter().flat_map(|key| self.valid_for(*key)));
        let all: BTreeMap<_, _> = all.into_iter().map(|valid| (valid.serial, valid)).collect();
        let mut subject = format!("node {}", prefix.common_name());
        for valid in all.into_values() {
            subject += &format!(" serial {}", valid.serial);
            self.revoke_serial(now, valid.serial, valid.not_after);
            if let Some(key) = valid.key
                && !self.state.revoked_keys.contains_key(&key)
            {
                self.change(Change::RevokedKey {
                    key,
                    before: None,
                    after: Some(valid.serial),
                });
            }
        }
        subject
    }

    /// Puts a serial number on the list, unless its certificate has expired.
    fn revoke_serial(&mut self, now: Timestamp, serial: Serial, not_after: Timestamp) {
        let now = self.settled(now);
        if now <= not_after && !self.is_revoked(serial) {
            self.change(Change::Revocation {
                serial,
                before: None,
                after: Some(Revocation { at: now, not_after }),
            });
        }
    }

    /// Takes the prefix from its node. What it still has of older certificates is revoked: another node will have the
    /// prefix.
    pub(super) fn end(&mut self, now: Timestamp, prefix: NodePrefix) {
        let Some(Block::Held(certificate)) = self.state.tree.get(&prefix).cloned() else {
            return;
        };
        let older: Vec<Serial> = self.state.replaced_of(prefix).collect();
        for serial in older {
            if let Some(replaced) = self.state.replaced.get(&serial).copied() {
                self.revoke_serial(now, serial, replaced.not_after);
                self.forget_replaced(serial, replaced);
            }
        }
        self.change(Change::Block {
            prefix,
            before: Some(Block::Held(certificate)),
            after: Some(Block::Free),
            pem: None,
        });
        let mut log = Vec::new();
        self.state.tree.release(prefix, &mut log);
        self.note_blocks(log);
    }

    pub(super) fn forget_replaced(&mut self, serial: Serial, replaced: Replaced) {
        self.change(Change::Replaced {
            serial,
            before: Some(replaced),
            after: None,
        });
    }

    fn find(&self, which: CertificateName) -> Result<(NodePrefix, &Certificate), Refusal> {
        let (prefix, name) = match which {
            CertificateName::Prefix(prefix) => {
                (Some(prefix), format!("node {}", prefix.common_name()))
            }
            CertificateName::Serial(serial) => (
                self.state.by_serial(serial),
                format!("present certificate with serial number {serial}"),
            ),
        };
        prefix
            .and_then(|prefix| Some((prefix, self.state.tree.holder(&prefix)?)))
            .ok_or(Refusal::NotFound(name))
    }

    pub(super) fn show_certificate(&self, which: CertificateName) -> Result<Reply, Refusal> {
        let (prefix, certificate) = self.find(which)?;
        Ok(Reply::Present(Box::new(self.summary(prefix, certificate))))
    }

    pub(super) fn list_certificates(&self, after: Option<NodePrefix>, limit: usize) -> Reply {
        let summaries = self
            .state
            .tree
            .blocks(after)
            .filter_map(|(prefix, block)| match block {
                Block::Held(certificate) => Some(self.summary(prefix, certificate)),
                _ => None,
            })
            .take(limit.min(LARGEST_PAGE))
            .collect();
        Reply::Certificates(summaries)
    }
}
