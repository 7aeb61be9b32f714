//! Certificates nobody is to trust any more, and what operators see of certificates.

use super::{
    Caller, CertificateName, Change, Refusal, Reply, Rules,
    audit::Action,
    certificate::{Certificate, Replaced},
    tree::Block,
};
use crate::certificate::{
    node_prefix::NodePrefix, revocations::Revocation, serial::Serial, timestamp::Timestamp,
};

/// At most so many certificates a page.
const LARGEST_PAGE: usize = 10_000;

impl Rules {
    pub(super) fn revoke(
        &mut self,
        now: Timestamp,
        from: &Caller,
        which: CertificateName,
    ) -> Result<Reply, Refusal> {
        let (prefix, serial, not_after) = match which {
            CertificateName::Serial(serial) if self.state.replaced.contains_key(&serial) => {
                let replaced = self.state.replaced.get(&serial);
                let replaced = replaced.ok_or_else(|| Refusal::NotFound(serial.to_string()))?;
                (replaced.prefix, serial, replaced.not_after)
            }
            which => {
                let (prefix, certificate) = self.find(which)?;
                (prefix, certificate.serial, certificate.not_after)
            }
        };
        let subject = format!("node {} serial {serial}", prefix.common_name());
        match which {
            CertificateName::Serial(_) => {
                self.revoke_serial(now, serial, not_after);
                self.audit(now, from, Action::Revoked, subject);
            }
            CertificateName::Prefix(_) => {
                if self.state.registry_prefix == Some(prefix) {
                    return Err(Refusal::Conflict(format!(
                        "node {} is the registry's own, which nodes know by its prefix; revoke its certificate by the \
                         serial number {serial}, and it can renew it",
                        prefix.common_name()
                    )));
                }
                self.revoke_serial(now, serial, not_after);
                self.end(now, prefix);
                self.audit(now, from, Action::NodeEnded, subject);
            }
        }
        self.publish(now, false)?;
        Ok(Reply::Done)
    }

    /// Puts a serial number on the list, unless its certificate has expired.
    fn revoke_serial(&mut self, now: Timestamp, serial: Serial, not_after: Timestamp) {
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
