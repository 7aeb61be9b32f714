//! Certificates nobody is to trust any more, and what operators see of certificates.

use super::{
    Caller, CertificateName, Change, Refusal, Reply, Rules, audit::Action,
    certificate::Certificate, tree::Block,
};
use crate::certificate::{node_prefix::NodePrefix, timestamp::Timestamp};

/// At most so many certificates a page.
const LARGEST_PAGE: usize = 10_000;

impl Rules {
    pub(super) fn revoke(
        &mut self,
        now: Timestamp,
        from: &Caller,
        which: CertificateName,
    ) -> Result<Reply, Refusal> {
        let (prefix, certificate) = self.find(which)?;
        let certificate = certificate.clone();
        let serial = certificate.serial;
        let subject = format!("node {} serial {serial}", prefix.common_name());
        match which {
            CertificateName::Serial(_) => {
                self.revoke_serial(now, &certificate);
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
                self.revoke_serial(now, &certificate);
                self.end(prefix);
                self.audit(now, from, Action::NodeEnded, subject);
            }
        }
        self.publish(false)?;
        Ok(Reply::Done)
    }

    /// Puts a serial number on the list, unless its certificate has expired.
    fn revoke_serial(&mut self, now: Timestamp, certificate: &Certificate) {
        let serial = certificate.serial;
        if now < certificate.not_after && !self.is_revoked(serial) {
            self.change(Change::Revocation {
                serial,
                before: None,
                after: Some(certificate.not_after),
            });
        }
    }

    /// Takes the prefix from its node.
    pub(super) fn end(&mut self, prefix: NodePrefix) {
        let Some(Block::Held(certificate)) = self.state.tree.get(&prefix).cloned() else {
            return;
        };
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
