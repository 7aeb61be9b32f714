//! A node gets another certificate for its prefix.

use std::sync::Arc;

use super::{
    Caller, Change, REVOKED, Refusal, Reply, Rules,
    audit::Action,
    certificate::{Certificate, Replaced},
    token::Email,
    tree::Block,
};
use crate::{
    certificate::{
        issue::{Identity, NodeTerms},
        node_prefix::NodePrefix,
        request::CertificateRequest,
        serial::Serial,
    },
    time::{CLOCK_SKEW, Timestamp},
};

/// What is new of a node's next certificate.
struct Next {
    not_after: Timestamp,
    email: Option<Email>,
    /// The serial number of the node's first certificate; none: this is the first one.
    enrolled: Option<Serial>,
    action: Action,
}

impl Rules {
    /// By the node itself. A certificate that was revoked proves nothing: somebody else may have its key.
    pub(super) fn renew(
        &mut self,
        now: Timestamp,
        from: &Caller,
        request: Option<&CertificateRequest>,
    ) -> Result<Reply, Refusal> {
        let (prefix, _, shown) = self.holder(now, from)?;
        let serial = shown.serial();
        if self.is_revoked(serial) || self.check_key(shown.public_key().id()).is_err() {
            return Err(Refusal::NotCurrent {
                serial,
                why: REVOKED,
            });
        }
        let identity = request.map_or_else(|| Identity::from(shown), Identity::from);
        self.renew_as(now, from, prefix, identity)
    }

    /// Gives the holder of a prefix its present certificate, or another one where that is due (a year more), or for another
    /// key (until the same time).
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
        // one that is not valid yet was issued by a clock that was wrong
        let due = present.not_after.minus(self.settings.renewal) <= now || now < present.not_before;
        let key = identity.public_key.id();
        let same = key == present.key && identity.static_key == present.static_key;
        self.check_key(key)?;
        if !due && same {
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
        let next = Next {
            not_after,
            email: present.email.clone(),
            enrolled: Some(present.enrolled),
            action: Action::Renewed,
        };
        self.replace(now, from, prefix, present, identity, next)
    }

    /// Another certificate for a node, for another key, by the operator's word: whoever has the former key has no part in
    /// it any more.
    pub(super) fn reissue(
        &mut self,
        now: Timestamp,
        from: &Caller,
        prefix: NodePrefix,
        email: Email,
        identity: Identity<'_>,
    ) -> Result<Reply, Refusal> {
        let Some(present) = self.state.tree.holder(&prefix).cloned() else {
            return Err(Refusal::Conflict(format!(
                "the token is for node {}, which has ended: ask the operator for another one",
                prefix.common_name()
            )));
        };
        let next = Next {
            not_after: now.plus(self.settings.validity),
            email: Some(email),
            enrolled: None,
            action: Action::Reissued,
        };
        self.replace(now, from, prefix, present, identity, next)
    }

    fn replace(
        &mut self,
        now: Timestamp,
        from: &Caller,
        prefix: NodePrefix,
        present: Certificate,
        identity: Identity<'_>,
        next: Next,
    ) -> Result<Reply, Refusal> {
        let serial = self.next_serial()?;
        let (certificate, pem) = self.issue(
            identity,
            &NodeTerms {
                serial,
                prefix,
                subject_serial: present.subject_serial,
                not_before: now.minus(CLOCK_SKEW),
                not_after: next.not_after,
            },
            next.email,
            next.enrolled.unwrap_or(serial),
        )?;
        self.audit(
            now,
            from,
            next.action,
            format!(
                "node {} serial {} to {serial}",
                prefix.common_name(),
                present.serial
            ),
        );
        if self.settled(now) <= present.not_after {
            let replaced = Replaced {
                prefix,
                not_after: present.not_after,
                key: Some(present.key),
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

    /// What the store has for another node, if that is good for anything.
    pub(super) fn node_certificate(
        &mut self,
        now: Timestamp,
        from: &Caller,
        node: NodePrefix,
    ) -> Result<Reply, Refusal> {
        let (asker, _) = self.present_node(now, from)?;
        let taken = self.lookups.take(asker, now);
        taken.map_err(|retry_after| Refusal::TooMany { retry_after })?;
        let good = self.state.tree.holder(&node);
        let good = good.filter(|present| present.not_after >= now);
        let summary = good.map(|present| self.summary(node, present));
        match summary.filter(|summary| !summary.revoked) {
            Some(summary) => Ok(Reply::Present(Box::new(summary))),
            None => Err(Refusal::NoSuchNode(node.common_name())),
        }
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
            not_before: issued.not_before,
            not_after: issued.not_after,
            key: identity.public_key.id(),
            static_key: identity.static_key,
            email,
            enrolled,
        };
        Ok((certificate, issued.pem))
    }
}
