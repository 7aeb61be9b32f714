//! What time brings: tokens and certificates end, and a new database gets what it needs.

use super::{
    Caller, Change, Notice, Randomness, Refusal, Reply, Rules, audit::Action, mac_keys::MacKey,
    token_rules::about,
};
use crate::{certificate::node_prefix::NodePrefix, time::Timestamp};

impl Rules {
    /// When [`super::Command::Time`] has something to do next. By a clock that is doubted, nothing.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        if self.doubted {
            return None;
        }
        self.next_end().into_iter().chain(self.next_note()).min()
    }

    /// When something ends next.
    pub(super) fn next_end(&self) -> Option<Timestamp> {
        let token = self.state.token_age.first();
        let token = token.map(|(created, _)| created.plus(self.settings.token_lifetime));
        let certificate = self.first_expiring().map(|(end, _)| self.given_up(end));
        let ends = self
            .state
            .revocations
            .values()
            .map(|revocation| revocation.not_after);
        let revocation = ends.min().map(|end| self.given_up(end));
        let replaced = self.state.replaced_expiry.first().map(|(end, _)| *end);
        // each may still be used in the second that is named
        let moments = [token, certificate, revocation, replaced];
        let moments = moments.into_iter().flatten();
        moments.map(|moment| moment.plus(1)).min()
    }

    /// When the prefix of a certificate that is valid until `end` is given up.
    fn given_up(&self, end: Timestamp) -> Timestamp {
        end.plus(self.settings.grace_period)
    }

    /// The certificate that expires first, without that of the registry's own node: nodes know it by its prefix.
    fn first_expiring(&self) -> Option<(Timestamp, NodePrefix)> {
        let mut expiry = self.state.expiry.iter();
        expiry
            .find(|(_, prefix)| self.state.registry_prefix != Some(*prefix))
            .copied()
    }

    pub(super) fn pass_time(
        &mut self,
        now: Timestamp,
        random: &mut dyn Randomness,
    ) -> Result<Reply, Refusal> {
        self.start_network(random);
        self.look_at_clock(now);
        let settled = self.settled(now);
        self.end_tokens(settled);
        self.end_certificates(settled);
        self.end_replaced(settled);
        self.forget_revocations(settled);
        let mut log = Vec::new();
        self.state.tree.merge_all(&mut log);
        self.note_blocks(log);
        self.publish(now, false)?;
        Ok(Reply::Done)
    }

    /// A network begins with a key of Babel's MAC.
    fn start_network(&mut self, random: &mut dyn Randomness) {
        let fresh = self.state.number == 0 && self.state.mac_keys == [None, None, None];
        if fresh {
            self.change(Change::MacKeys {
                before: [None, None, None],
                after: [Some(MacKey::generate(random)), None, None],
            });
        }
    }

    fn end_tokens(&mut self, now: Timestamp) {
        while let Some((created, digest)) = self.state.token_age.first().copied()
            && created.plus(self.settings.token_lifetime) < now
            && let Some(entry) = self.state.tokens.get(&digest).cloned()
        {
            let subject = about(&entry.token, &entry.email);
            self.audit(now, &Caller::Registry, Action::TokenExpired, subject);
            self.remove_token(entry);
        }
    }

    fn end_certificates(&mut self, now: Timestamp) {
        while let Some((end, prefix)) = self.first_expiring()
            && self.given_up(end) < now
        {
            let subject = format!("node {}", prefix.common_name());
            self.audit(now, &Caller::Registry, Action::NodeExpired, subject);
            self.end(now, prefix);
        }
        if let Some(prefix) = self.state.registry_prefix
            && let Some(certificate) = self.state.tree.holder(&prefix)
            && certificate.not_after < now
        {
            self.notices.push(Notice::Warning(format!(
                "the certificate of the registry's own node {} has expired: let it renew, or correct this host's clock",
                prefix.common_name()
            )));
        }
    }

    fn end_replaced(&mut self, now: Timestamp) {
        while let Some((end, serial)) = self.state.replaced_expiry.first().copied()
            && end < now
            && let Some(replaced) = self.state.replaced.get(&serial).copied()
        {
            self.forget_replaced(serial, replaced);
        }
    }

    /// A revoked certificate that nobody can renew any more is of no use to anybody.
    fn forget_revocations(&mut self, now: Timestamp) {
        let past: Vec<_> = self
            .state
            .revocations
            .iter()
            .filter(|(_, revocation)| self.given_up(revocation.not_after) < now)
            .map(|(serial, revocation)| (*serial, *revocation))
            .collect();
        for (serial, revocation) in past {
            self.change(Change::Revocation {
                serial,
                before: Some(revocation),
                after: None,
            });
        }
    }
}
