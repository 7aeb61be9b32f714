//! Tokens are asked for, given and taken back.

use super::{
    Caller, Change, Notice, Randomness, Refusal, Reply, Rules, TokenSummary, asker,
    audit::Action,
    command::TokenRight,
    token::{Email, Token, TokenDigest, TokenEntry},
};
use crate::{certificate::node_prefix::NodePrefix, time::Timestamp};

impl Rules {
    pub(super) fn request_token(
        &mut self,
        now: Timestamp,
        random: &mut dyn Randomness,
        from: &Caller,
        email: Email,
    ) -> Result<Reply, Refusal> {
        if !self.settings.mail || self.settings.prefix_length == 0 {
            return Err(Refusal::Disabled("enrolment by mail"));
        }
        if let Some(asker) = asker(from) {
            // one address cannot be flooded from many networks, in whatever case it is written
            let mailbox = Email::stored(email.as_str().to_lowercase());
            self.token_requests
                .check(&asker, now)
                .and_then(|()| self.mails.take(mailbox, now))
                .and_then(|()| self.token_requests.take(asker, now))
                .map_err(|retry_after| Refusal::TooMany { retry_after })?;
        }
        let token = Token::generate(random);
        let length = self.settings.prefix_length;
        self.insert_token(now, &token, email.clone(), length, None)?;
        self.audit(now, from, Action::TokenRequested, about(&token, &email));
        self.notices.push(Notice::Mail { email, token });
        Ok(Reply::Done)
    }

    pub(super) fn add_token(
        &mut self,
        now: Timestamp,
        random: &mut dyn Randomness,
        from: &Caller,
        email: Email,
        token: Option<Token>,
        right: TokenRight,
    ) -> Result<Reply, Refusal> {
        let (length, node) = match right {
            TokenRight::Node(prefix) => match self.state.tree.holder(&prefix) {
                Some(_) => (prefix.length(), Some(prefix)),
                None => return Err(Refusal::NotFound(format!("node {}", prefix.common_name()))),
            },
            TokenRight::Newcomer { prefix_length } => {
                if self.settings.prefix_length == 0 {
                    return Err(Refusal::Disabled("enrolment by token"));
                }
                let length = prefix_length.unwrap_or(self.settings.prefix_length);
                self.settings
                    .check_length(length, &self.state.communities)
                    .map_err(Refusal::Invalid)?;
                (length, None)
            }
        };
        let token = match token {
            Some(token) => {
                token.check_strength()?;
                token
            }
            None => Token::generate(random),
        };
        self.insert_token(now, &token, email.clone(), length, node)?;
        let mut subject = about(&token, &email);
        if let Some(node) = node {
            subject += &format!(", another certificate of node {}", node.common_name());
        }
        self.audit(now, from, Action::TokenAdded, subject);
        Ok(Reply::Token(token))
    }

    fn insert_token(
        &mut self,
        now: Timestamp,
        token: &Token,
        email: Email,
        prefix_length: u8,
        node: Option<NodePrefix>,
    ) -> Result<(), Refusal> {
        if self.state.tokens.len() >= self.settings.maximum_tokens {
            return Err(Refusal::Unavailable(format!(
                "{} tokens wait to be used, which is the limit",
                self.settings.maximum_tokens
            )));
        }
        let digest = token.digest();
        if self.state.tokens.contains_key(&digest) {
            return Err(Refusal::Conflict("there is this token already".to_owned()));
        }
        self.change(Change::Token {
            digest,
            before: None,
            after: Some(TokenEntry {
                token: token.clone(),
                email,
                prefix_length,
                created: now,
                node,
            }),
        });
        Ok(())
    }

    pub(super) fn list_tokens(&self) -> Reply {
        let summary = |digest: &TokenDigest| {
            let entry = self.state.tokens.get(digest)?;
            Some(TokenSummary {
                id: *digest,
                email: entry.email.as_str().to_owned(),
                prefix_length: entry.prefix_length,
                node: entry.node.map(|node| node.common_name()),
                created: entry.created,
                expires: entry.created.plus(self.settings.token_lifetime),
            })
        };
        let by_age = self.state.token_age.iter();
        Reply::Tokens(by_age.filter_map(|(_, digest)| summary(digest)).collect())
    }

    pub(super) fn delete_token(
        &mut self,
        now: Timestamp,
        from: &Caller,
        digest: TokenDigest,
    ) -> Result<Reply, Refusal> {
        let Some(entry) = self.state.tokens.get(&digest).cloned() else {
            return Err(Refusal::NotFound(format!("token {digest}")));
        };
        self.audit(
            now,
            from,
            Action::TokenDeleted,
            about(&entry.token, &entry.email),
        );
        self.remove_token(entry);
        Ok(Reply::Done)
    }

    pub(super) fn remove_token(&mut self, entry: TokenEntry) {
        self.change(Change::Token {
            digest: entry.token.digest(),
            before: Some(entry),
            after: None,
        });
    }
}

/// For the audit log.
pub(super) fn about(token: &Token, email: &Email) -> String {
    format!("token {} for {}", token.digest(), email.as_str())
}
