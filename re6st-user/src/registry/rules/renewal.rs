//! A node gets another certificate for its prefix.

use std::sync::Arc;

use super::{
    Caller, Change, Refusal, Reply, Rules,
    audit::Action,
    certificate::{Certificate, Replaced},
    token::Email,
    tree::Block,
};
use crate::certificate::{
    issue::{Identity, NodeTerms},
    node_prefix::NodePrefix,
    request::CertificateRequest,
    serial::Serial,
    timestamp::Timestamp,
};

impl Rules {
    /// By the node itself. Whoever shows a revoked certificate that was replaced since is refused: only the present one
    /// proves that its holder is who the operator lets go on.
    pub(super) fn renew(
        &mut self,
        now: Timestamp,
        from: &Caller,
        request: Option<&CertificateRequest>,
    ) -> Result<Reply, Refusal> {
        let (prefix, present, shown) = self.holder(now, from)?;
        let serial = shown.serial();
        if self.is_revoked(serial) && serial != present.serial {
            return Err(Refusal::NotCurrent {
                serial,
                why: "revoked and replaced: use the present one",
            });
        }
        let identity = request.map_or_else(|| Identity::from(shown), Identity::from);
        self.renew_as(now, from, prefix, identity)
    }

    /// Gives the holder of a prefix its present certificate, or another one where that is due (a year more), revoked, or
    /// for another key (until the same time).
    pub(super) fn renew_as(
        &mut self,
        now: Timestamp,
        from: &Caller,
        prefix: NodePrefix,
        identity: Identity<'_>,
    ) -> Result<Reply, Refusal> {
        let Some(present) = self.state.tree.holder(&prefix).cloned() else {
            return Err(Refusal::NotFound(format!("node {}", prefix.common_name())));
        };
        let due = present.not_after.minus(self.settings.renewal) <= now;
        let key = identity.public_key.id();
        let same = key == present.key && identity.static_key == present.static_key;
        if !due && !self.is_revoked(present.serial) && same {
            return Ok(Reply::Present(Box::new(self.summary(prefix, &present))));
        }
        if self.state.by_key(key).is_some_and(|owner| owner != prefix) {
            return Err(Refusal::Conflict(
                "the key is another node's: make a new one".to_owned(),
            ));
        }
        let taken = self.renewals.take(prefix, now);
        taken.map_err(|retry_after| Refusal::TooMany { retry_after })?;
        let not_after = if due {
            now.plus(self.settings.validity)
        } else {
            present.not_after
        };
        let serial = self.next_serial()?;
        let (certificate, pem) = self.issue(
            identity,
            &NodeTerms {
                serial,
                prefix,
                subject_serial: present.subject_serial,
                not_before: now,
                not_after,
            },
            present.email.clone(),
            present.enrolled,
        )?;
        self.audit(
            now,
            from,
            Action::Renewed,
            format!(
                "node {} serial {} to {serial}",
                prefix.common_name(),
                present.serial
            ),
        );
        if now <= present.not_after {
            let replaced = Replaced {
                prefix,
                not_after: present.not_after,
            };
            self.change(Change::Replaced {
                serial: present.serial,
                before: None,
                after: Some(replaced),
            });
        }
        let summary = self.summary(prefix, &certificate);
        self.change(Change::Block {
            prefix,
            before: Some(Block::Held(present)),
            after: Some(Block::Held(certificate)),
            pem: Some(pem.clone()),
        });
        Ok(Reply::Issued {
            certificate: Box::new(summary),
            pem,
        })
    }

    /// What the store has for the node.
    pub(super) fn own_certificate(&self, now: Timestamp, from: &Caller) -> Result<Reply, Refusal> {
        let (prefix, present, _) = self.holder(now, from)?;
        Ok(Reply::Present(Box::new(self.summary(prefix, present))))
    }

    /// Counts a serial number.
    pub(super) fn next_serial(&mut self) -> Result<Serial, Refusal> {
        let before = self.state.serial;
        let serial = Serial::new(before.saturating_add(1))
            .ok_or_else(|| Refusal::Unavailable("no serial number is left".to_owned()))?;
        self.change(Change::Serial {
            before,
            after: serial.number(),
        });
        Ok(serial)
    }

    /// Signs a certificate: what the rules keep of it, and its text.
    pub(super) fn issue(
        &self,
        identity: Identity<'_>,
        terms: &NodeTerms,
        email: Option<Email>,
        enrolled: Serial,
    ) -> Result<(Certificate, Arc<str>), Refusal> {
        let issued = self.issuer.issue(identity, terms).map_err(|error| {
            Refusal::Unavailable(format!("the certificate cannot be signed: {error}"))
        })?;
        let certificate = Certificate {
            serial: terms.serial,
            subject_serial: terms.subject_serial,
            not_before: terms.not_before,
            not_after: issued.not_after,
            key: identity.public_key.id(),
            static_key: identity.static_key,
            email,
            enrolled,
        };
        Ok((certificate, issued.pem))
    }
}
