//! A newcomer gets a prefix and a certificate.

use super::{
    Caller, Change, Notice, Refusal, Reply, Rules, asker,
    audit::Action,
    community::Location,
    token::{Email, Token, TokenEntry},
    tree::{AllocateError, Block},
};
use crate::{
    certificate::{issue::NodeTerms, node_prefix::NodePrefix, request::CertificateRequest},
    time::{CLOCK_SKEW, Timestamp},
};

impl Rules {
    /// Whose key has a certificate already gets that one, renewed if it is due: the answer to its first request may have
    /// been lost. Otherwise the token, or the right of everybody, is exchanged for a new one.
    pub(super) fn enrol(
        &mut self,
        now: Timestamp,
        from: &Caller,
        token: Option<&Token>,
        request: &CertificateRequest,
        location: Option<&Location>,
    ) -> Result<Reply, Refusal> {
        let key = request.public_key().id();
        self.check_key(key)?;
        if let Some(prefix) = self.state.by_key(key) {
            return self.renew_as(now, from, prefix, request.into());
        }
        let (length, email) = match token {
            Some(token) => {
                let used = self.use_token(now, from, token)?;
                if let Some(prefix) = used.node {
                    return self.reissue(now, from, prefix, used.email, request.into());
                }
                self.check_pause(now)?;
                (used.prefix_length, Some(used.email))
            }
            None => (self.allow_anonymous(now, from)?, None),
        };
        let shortest = self.state.tree.shortest_held();
        let community = self.state.communities.choose(location);
        let prefix = self.allocate(length, community)?;
        let reply = self.certify(now, prefix, email, request)?;
        self.audit(
            now,
            from,
            Action::Enrolled,
            format!("node {} serial {}", prefix.common_name(), self.state.serial),
        );
        if self.state.registry_prefix.is_none() {
            self.change(Change::RegistryPrefix {
                before: None,
                after: Some(prefix),
            });
            self.notices.push(Notice::Warning(format!(
                "node {} is the registry's own: the first certificate was issued for it",
                prefix.common_name()
            )));
        }
        self.publish_shortest(now, shortest)?;
        Ok(reply)
    }

    /// Consumes a token, which is given back if anything fails later. Who has a good one is never made to wait for those who
    /// guess; but a word that can be guessed (re6stnet's have eight letters) is no better than a guess.
    fn use_token(
        &mut self,
        now: Timestamp,
        from: &Caller,
        token: &Token,
    ) -> Result<TokenEntry, Refusal> {
        let digest = token.digest();
        let lifetime = self.settings.token_lifetime;
        let entry = self
            .state
            .tokens
            .get(&digest)
            .filter(|entry| entry.token == *token && now <= entry.created.plus(lifetime))
            .cloned();
        let is_for_node = entry.as_ref().is_some_and(|entry| entry.node.is_some());
        if self.settings.prefix_length == 0 && !is_for_node {
            return Err(Refusal::Disabled("enrolment by token"));
        }
        let can_be_guessed = |entry: &TokenEntry| entry.token.check_strength().is_err();
        if entry.as_ref().is_none_or(can_be_guessed)
            && let Some(asker) = asker(from)
        {
            let waited = match entry {
                Some(_) => self.enrolments.check(&asker, now),
                None => self.enrolments.take(asker, now),
            };
            waited.map_err(|retry_after| Refusal::TooMany { retry_after })?;
        }
        let entry = entry.ok_or(Refusal::BadToken)?;
        self.change(Change::Token {
            digest,
            before: Some(entry.clone()),
            after: None,
        });
        Ok(entry)
    }

    fn allow_anonymous(&mut self, now: Timestamp, from: &Caller) -> Result<u8, Refusal> {
        self.check_pause(now)?;
        if self.settings.anonymous_prefix_length == 0 {
            return Err(Refusal::Disabled("anonymous enrolment"));
        }
        if let Some(asker) = asker(from) {
            let taken = self.enrolments.take(asker, now);
            taken.map_err(|retry_after| Refusal::TooMany { retry_after })?;
        }
        Ok(self.settings.anonymous_prefix_length)
    }

    fn allocate(&mut self, length: u8, community: NodePrefix) -> Result<NodePrefix, Refusal> {
        let mut log = Vec::new();
        let allocated = self.state.tree.allocate(length, community, &mut log);
        self.note_blocks(log);
        allocated.map_err(|error| match error {
            AllocateError::Full(length) => Refusal::Full {
                length,
                community: match community.length() {
                    0 => String::new(),
                    _ => format!(" in community {community}"),
                },
            },
            AllocateError::Length(_) => {
                Refusal::Invalid(format!("{error}; the settings are wrong"))
            }
        })
    }

    /// Issues the first certificate for a free block.
    fn certify(
        &mut self,
        now: Timestamp,
        prefix: NodePrefix,
        email: Option<Email>,
        request: &CertificateRequest,
    ) -> Result<Reply, Refusal> {
        let subject_serial =
            self.state.subject_serials.smallest_free().ok_or_else(|| {
                Refusal::Unavailable("all numbers of nodes are in use".to_owned())
            })?;
        let serial = self.next_serial()?;
        let (certificate, pem) = self.issue(
            request.into(),
            &NodeTerms {
                serial,
                prefix,
                subject_serial,
                not_before: now.minus(CLOCK_SKEW),
                not_after: now.plus(self.settings.validity),
            },
            email,
            serial,
        )?;
        let summary = self.summary(prefix, &certificate);
        self.change(Change::Block {
            prefix,
            before: Some(Block::Free),
            after: Some(Block::Held(certificate)),
            pem: Some(pem.clone()),
        });
        Ok(Reply::Issued {
            certificate: Box::new(summary),
            pem,
        })
    }
}
