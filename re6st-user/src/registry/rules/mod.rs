//! The registry's rules. Pure: what is asked, by whom, the time and random octets go in; an answer and the rows that
//! changed come out.
//!
//! A command either does all it says or nothing. What it does is made of [`Change`]s, which are rows with what they were
//! and what they are: the store writes the one, [`Rules::undo`] goes back to the other.

pub mod audit;
pub mod caller;
pub mod certificate;
pub mod change;
mod clock;
pub mod command;
pub mod community;
mod enrolment;
pub mod issuer;
pub mod limits;
pub mod mac_keys;
mod network;
pub mod packed_integer;
pub mod parameters;
pub mod present;
pub mod publication;
pub mod random;
pub mod refusal;
mod renewal;
mod restoration;
mod revocation;
pub mod settings;
mod state;
mod subject_serials;
#[cfg(test)]
pub(in crate::registry) mod tests;
mod time;
pub mod token;
mod token_rules;
pub mod tree;

use std::net::{IpAddr, Ipv6Addr};

use self::{
    audit::{Action, Entry},
    certificate::Certificate,
    limits::{Limiter, network_of},
    state::State,
    token::{Email, Token, TokenDigest},
    tree::Replacement,
};
pub use self::{
    caller::Caller,
    change::{Change, Notice, Outcome},
    command::{
        CertificateName, CertificateSummary, ClockSummary, Command, Mark, Newer, Reply, TokenRight,
        TokenSummary,
    },
    issuer::Issuer,
    random::Randomness,
    refusal::{Refusal, RestoreError},
    settings::Settings,
    state::Stored,
};
use crate::{
    certificate::{digest::KeyId, node::NodeCertificate, node_prefix::NodePrefix, serial::Serial},
    rate::Rate,
    time::Timestamp,
};

/// The registry without disk, clock or sockets.
pub struct Rules {
    settings: Settings,
    issuer: Box<dyn Issuer>,
    state: State,
    enrolments: Limiter<IpAddr>,
    token_requests: Limiter<IpAddr>,
    mails: Limiter<Email>,
    renewals: Limiter<NodePrefix>,
    lookups: Limiter<NodePrefix>,
    /// Those that go into the audit log.
    refused_tokens: Limiter<IpAddr>,
    /// The next publication has a higher number.
    floor: u64,
    /// Newcomers wait until then.
    paused_until: Timestamp,
    /// The clock was doubted when time was looked at last.
    doubted: bool,
    /// What the present command has changed so far.
    changes: Vec<Change>,
    notices: Vec<Notice>,
}

/// What becomes of a node whose certificate is revoked.
const REVOKED: &str = "revoked, and its key with it: ask the operator for a token for this node's prefix, and enrol by it \
                       with another key";

/// No limit for all together.
const UNLIMITED: Rate = Rate {
    count: 1,
    seconds: 0,
};

/// How often a node may ask for others: once for all peers that it can have, and then now and then. Trying all names of a
/// network of 2^16 takes a week.
const LOOKUPS: Rate = Rate {
    count: 300,
    seconds: 3_000,
};

/// How many refused tokens of one network of addresses are noted in the audit log.
const REFUSED_TOKENS: Rate = Rate {
    count: 5,
    seconds: 3_600,
};
/// The same of all together: some megabytes a year.
const ALL_REFUSED_TOKENS: Rate = Rate {
    count: 100,
    seconds: 86_400,
};

impl Rules {
    /// From what the store has. [`Command::Time`] comes next.
    ///
    /// # Errors
    ///
    /// It contradicts itself or the settings.
    pub fn restore(
        settings: Settings,
        issuer: Box<dyn Issuer>,
        stored: Stored,
    ) -> Result<Self, RestoreError> {
        if let Some(publication) = &stored.publication {
            publication.check_owner(&settings)?;
        }
        let state = State::new(settings.maximum(), stored)?;
        settings
            .check_lengths(&state.communities)
            .and_then(|()| state.communities.check(&state.tree, settings.maximum()))
            .map_err(RestoreError::Settings)?;
        Ok(Self {
            enrolments: Limiter::new(settings.enrolments, settings.all_enrolments),
            token_requests: Limiter::new(settings.token_requests, settings.all_token_requests),
            mails: Limiter::new(settings.mails, UNLIMITED),
            // of present nodes alone: as many as the tree has
            renewals: Limiter::with_capacity(settings.renewals, UNLIMITED, usize::MAX),
            lookups: Limiter::with_capacity(LOOKUPS, UNLIMITED, usize::MAX),
            refused_tokens: Limiter::new(REFUSED_TOKENS, ALL_REFUSED_TOKENS),
            settings,
            issuer,
            state,
            floor: 0,
            paused_until: Timestamp(0),
            doubted: false,
            changes: Vec::new(),
            notices: Vec::new(),
        })
    }

    /// Decides, and changes what is in memory.
    ///
    /// The changes have to be durable before anybody hears of the reply; if that fails, they are to be given to
    /// [`Rules::undo`], together with all that came after them.
    pub fn handle(
        &mut self,
        now: Timestamp,
        random: &mut dyn Randomness,
        from: &Caller,
        command: Command,
    ) -> Outcome {
        let token = match &command {
            Command::Enrol { token, .. } => token.as_ref().map(Token::digest),
            _ => None,
        };
        let reply = self.decide(now, random, from, command);
        let mut changes = std::mem::take(&mut self.changes);
        let mut notices = std::mem::take(&mut self.notices);
        if reply.is_err() {
            self.undo(&changes);
            changes.clear();
            notices.clear();
        }
        if let (Err(Refusal::BadToken), Some(token)) = (&reply, token) {
            self.note_refused(now, from, token);
            changes = std::mem::take(&mut self.changes);
        }
        Outcome {
            reply,
            changes,
            notices,
        }
    }

    /// Takes changes back, the last one first.
    pub fn undo(&mut self, changes: &[Change]) {
        for change in changes.iter().rev() {
            self.state.undo(change);
        }
    }

    fn decide(
        &mut self,
        now: Timestamp,
        random: &mut dyn Randomness,
        from: &Caller,
        command: Command,
    ) -> Result<Reply, Refusal> {
        match command {
            Command::RequestToken { email } => self.request_token(now, random, from, email),
            Command::Enrol {
                token,
                request,
                location,
            } => self.enrol(now, from, token.as_ref(), &request, location.as_ref()),
            Command::Renew { request } => self.renew(now, from, request.as_deref()),
            Command::Introduce => self.introduce(now, from),
            Command::HandBack { newer } => self.hand_back(now, random, from, &newer),
            Command::FetchOwnCertificate => self.own_certificate(now, from),
            Command::FetchNodeCertificate { node } => self.node_certificate(now, from, node),
            Command::FetchParameters => self.fetch_parameters(now, from),
            Command::FetchRevocations => self.fetch_revocations(now, from),
            Command::Time => {
                require_registry(from)?;
                self.pass_time(now, random)
            }
            Command::GoOnFrom { mark } => {
                require_registry(from)?;
                self.go_on_from(now, mark);
                Ok(Reply::Done)
            }
            command => {
                require_operator(from)?;
                self.operate(now, random, from, command)
            }
        }
    }

    fn operate(
        &mut self,
        now: Timestamp,
        random: &mut dyn Randomness,
        from: &Caller,
        command: Command,
    ) -> Result<Reply, Refusal> {
        match command {
            Command::AddToken {
                email,
                token,
                right,
            } => self.add_token(now, random, from, email, token, right),
            Command::ListTokens => Ok(self.list_tokens()),
            Command::DeleteToken { token } => self.delete_token(now, from, token),
            Command::ListCertificates { after, limit } => Ok(self.list_certificates(after, limit)),
            Command::ShowCertificate { which } => self.show_certificate(which),
            Command::Revoke { which } => self.revoke(now, from, which),
            Command::GetParameters => self.parameters(),
            Command::SetParameters { changes } => self.set_parameters(now, from, &changes),
            Command::GetCommunities => Ok(Reply::Communities(self.state.communities.text().into())),
            Command::SetCommunities { text } => self.set_communities(now, from, &text),
            Command::GetClock => Ok(Reply::Clock(self.clock(now))),
            Command::ConfirmClock => self.confirm_clock(now, random, from),
            Command::RotateMacKeys { at_once } => self.rotate_mac_keys(now, random, from, at_once),
            // the commands of everybody: [`Rules::decide`] has them
            _ => Err(Refusal::Forbidden),
        }
    }

    /// Makes a change and notes it down.
    fn change(&mut self, change: Change) {
        self.state.apply(&change);
        self.changes.push(change);
    }

    /// Notes down what the tree has done to itself: to blocks that nobody holds, which no index knows.
    fn note_blocks(&mut self, replacements: Vec<Replacement<Certificate>>) {
        for Replacement {
            prefix,
            before,
            after,
        } in replacements
        {
            self.changes.push(Change::Block {
                prefix,
                before,
                after,
                pem: None,
            });
        }
    }

    fn audit(&mut self, now: Timestamp, from: &Caller, action: Action, subject: String) {
        self.change(Change::Audit(Entry {
            time: now,
            who: from.to_string(),
            action,
            subject,
        }));
    }

    /// A token that is not good goes into the audit log, which guessers cannot fill.
    fn note_refused(&mut self, now: Timestamp, from: &Caller, token: TokenDigest) {
        let who = asker(from).unwrap_or(Ipv6Addr::UNSPECIFIED.into());
        if self.refused_tokens.take(who, now).is_ok() {
            self.audit(now, from, Action::TokenRefused, format!("token {token}"));
        }
    }

    /// What is to be known of a node's present certificate.
    fn summary(&self, prefix: NodePrefix, certificate: &Certificate) -> CertificateSummary {
        let ipv4 = self.state.parameters.ipv4();
        CertificateSummary {
            serial: certificate.serial,
            common_name: prefix.common_name(),
            prefix: prefix.to_string(),
            subnet: prefix.subnet(&self.settings.network),
            ipv4: ipv4.and_then(|network| network.address(certificate.subject_serial)),
            subject_serial: certificate.subject_serial,
            not_before: certificate.not_before,
            not_after: certificate.not_after,
            email: certificate
                .email
                .as_ref()
                .map(|email| email.as_str().to_owned()),
            revoked: self.is_revoked(certificate.serial)
                || self.check_key(certificate.key).is_err(),
            registry: self.state.registry_prefix == Some(prefix),
        }
    }

    fn is_revoked(&self, serial: Serial) -> bool {
        self.state.revocations.contains_key(&serial)
    }

    /// Nobody gets a certificate for a key that was revoked.
    fn check_key(&self, key: KeyId) -> Result<(), Refusal> {
        match self.state.revoked_keys.get(&key) {
            Some(serial) => Err(Refusal::RevokedKey { serial: *serial }),
            None => Ok(()),
        }
    }

    /// The present certificate of the node that shows one, which may be an older one of the same node.
    fn holder<'a>(
        &self,
        now: Timestamp,
        from: &'a Caller,
    ) -> Result<(NodePrefix, &Certificate, &'a NodeCertificate), Refusal> {
        let Caller::Node { certificate: shown } = from else {
            return Err(Refusal::NotIdentified);
        };
        let serial = shown.serial();
        let prefix = shown.prefix();
        let refuse = |why| Err(Refusal::NotCurrent { serial, why });
        if shown.not_after().plus(self.settings.grace_period) < now {
            return refuse("expired for too long: enrol again");
        }
        match self.state.tree.holder(&prefix) {
            Some(present) if self.is_of(prefix, present, shown) => Ok((prefix, present, shown)),
            _ => refuse("not that of a present node: enrol again"),
        }
    }

    /// Whether a certificate is a node's present one or an older one. Numbers alone do not tell: after an old backup was
    /// restored they are given once more, to others.
    fn is_of(&self, prefix: NodePrefix, present: &Certificate, shown: &NodeCertificate) -> bool {
        let (serial, key) = (shown.serial(), shown.public_key().id());
        let replaced = || {
            let replaced = self.state.replaced.get(&serial);
            replaced.is_some_and(|replaced| replaced.prefix == prefix && replaced.key == Some(key))
        };
        present.subject_serial == shown.subject_serial()
            && (present.enrolled..=present.serial).contains(&serial)
            && (key == present.key || (serial != present.serial && replaced()))
    }

    /// As [`Rules::holder`], of a certificate that is good for more than to be renewed.
    fn present_node(
        &self,
        now: Timestamp,
        from: &Caller,
    ) -> Result<(NodePrefix, &Certificate), Refusal> {
        let (prefix, present, shown) = self.holder(now, from)?;
        let serial = shown.serial();
        if self.is_revoked(serial) {
            return Err(Refusal::NotCurrent {
                serial,
                why: REVOKED,
            });
        }
        if shown.not_after() < now {
            return Err(Refusal::NotCurrent {
                serial,
                why: "expired: renew it",
            });
        }
        Ok((prefix, present))
    }
}

fn require_operator(from: &Caller) -> Result<(), Refusal> {
    match from {
        Caller::Operator { .. } | Caller::Registry => Ok(()),
        _ => Err(Refusal::Forbidden),
    }
}

fn require_registry(from: &Caller) -> Result<(), Refusal> {
    match from {
        Caller::Registry => Ok(()),
        _ => Err(Refusal::Forbidden),
    }
}

/// Who a limit counts for; none of those who have none.
fn asker(from: &Caller) -> Option<IpAddr> {
    match from {
        Caller::Anonymous { address } => Some(network_of(*address)),
        // one who could show a certificate, and asks for something else
        Caller::Node { .. } => Some(Ipv6Addr::UNSPECIFIED.into()),
        Caller::Operator { .. } | Caller::Registry => None,
    }
}
