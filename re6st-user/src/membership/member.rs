//! What a member of a managed mesh does: pure; time, randomness and answers go in, actions come out.

use std::time::Duration;

use super::{
    babel::BabelParameters,
    credentials::Credentials,
    exchange::{Answer, Failure, Question, Topic},
    expiry::Watch,
    held::Held,
    schedule::{Allowance, Moment, Pace, Retry},
};
use crate::{
    babel::random::Random,
    certificate::expiry::ExpiryWarning,
    config,
    time::{DAY, Timestamp},
};

mod answers;

/// How long before its end a certificate is renewed.
const RENEWAL: u64 = 30 * DAY;
/// Nodes that enrolled together do not renew together.
const RENEWAL_SPREAD: u64 = DAY;
/// A registry that is away: soon at first; after months, by all nodes of a big network, some hundred times a second in all.
const CONTACT: Pace = Pace {
    first: Duration::from_secs(4),
    longest: Duration::from_secs(300),
};
/// A question that was refused, or whose answer was of no use.
const QUESTION: Pace = Pace {
    first: Duration::from_secs(8),
    longest: Duration::from_secs(600),
};
/// The same of a renewal, which at least once a day is asked for.
const RENEWAL_QUESTION: Pace = Pace {
    first: Duration::from_secs(600),
    longest: Duration::from_secs(16 * 3600),
};
/// How long the registry may wait before it says that there is nothing new.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// An answer that there is nothing new comes no sooner from a registry that stays.
const LEAST_PATIENCE: Duration = Duration::from_secs(30);
/// What could not be kept is tried again after this.
const KEEP_AGAIN: Duration = Duration::from_secs(60);
/// The clock is looked at so often.
const LOOK: Duration = Duration::from_secs(60);
/// The wall clock was set if it moved so much further than time passed.
const CLOCK_JUMP: u64 = 120;

/// What happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Nothing but time has passed.
    Time,
    /// The registry's answer to what was asked last.
    Answered(Result<Answer, Failure>),
    /// A signed document, from anybody.
    Document(Vec<u8>),
    /// Something could not be kept.
    NotKept(Keep, String),
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// The registry is to be asked; [`Input::Answered`] follows.
    Ask(Question),
    /// Something has to survive a restart.
    Keep(Keep),
    /// People should know.
    Say(String),
}

/// What has to survive a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keep {
    /// An envelope.
    Parameters(Vec<u8>),
    /// An envelope.
    Revocations(Vec<u8>),
    /// Keys, for root alone.
    MacKeys(Vec<u8>),
    /// PEM of our certificate.
    Certificate(String),
    /// PEM of the authorities' certificates.
    Authorities(String),
}

impl Keep {
    const fn replaces(&self, other: &Self) -> bool {
        matches!(
            (self, other),
            (Self::Parameters(_), Self::Parameters(_))
                | (Self::Revocations(_), Self::Revocations(_))
                | (Self::MacKeys(_), Self::MacKeys(_))
                | (Self::Certificate(_), Self::Certificate(_))
                | (Self::Authorities(_), Self::Authorities(_))
        )
    }
}

/// Something that went wrong, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// With which question; none: with all of them.
    pub topic: Option<Topic>,
    /// When.
    pub at: Timestamp,
    /// For people.
    pub message: String,
}

/// A member.
#[derive(Debug)]
pub struct Member {
    pub(super) credentials: Credentials,
    pub(super) held: Held,
    pub(super) babel: config::Babel,
    pub(super) networks: Vec<ipnet::IpNet>,
    random: Random,
    asked: Option<(Question, Moment)>,
    /// Of all questions.
    contact: Retry,
    /// Of each, in the order of [`Topic`].
    topics: [Retry; Topic::ALL.len()],
    allowance: Allowance,
    /// Whether the registry answered last; then it is asked to wait for news.
    pub(super) in_touch: bool,
    /// The registry has older documents than we.
    registry_is_behind: bool,
    /// The registry said no, for a reason that the revocation list may tell.
    suspicious: bool,
    /// Whoever answered last is not of an authority we know.
    untrusted: bool,
    renewal_spread: u64,
    unkept: Vec<Keep>,
    keep_again: Duration,
    last_look: Option<Moment>,
    expiry: [Watch; 2],
    revoked_said: bool,
    /// When the registry answered last.
    pub(super) last_contact: Option<Timestamp>,
    /// What went wrong last and has not gone well since.
    pub(super) last_problem: Option<Problem>,
    /// What could not be kept.
    pub(super) not_kept: Option<Problem>,
    /// Documents from others that were refused.
    pub(super) refused_documents: u64,
}

impl Member {
    /// One that begins, with what it kept.
    pub fn new(
        credentials: Credentials,
        held: Held,
        babel: config::Babel,
        networks: Vec<ipnet::IpNet>,
        seed: u64,
    ) -> Self {
        let mut random = Random::new(seed);
        Self {
            renewal_spread: random.below(RENEWAL_SPREAD),
            credentials,
            held,
            babel,
            networks,
            random,
            asked: None,
            contact: Retry::default(),
            topics: Default::default(),
            allowance: Allowance::default(),
            in_touch: false,
            registry_is_behind: false,
            suspicious: false,
            untrusted: false,
            unkept: Vec::new(),
            keep_again: Duration::ZERO,
            last_look: None,
            expiry: Default::default(),
            revoked_said: false,
            last_contact: None,
            last_problem: None,
            not_kept: None,
            refused_documents: 0,
        }
    }

    /// Who we are.
    pub const fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// What is held of the network's documents, to be passed on to others.
    pub const fn held(&self) -> &Held {
        &self.held
    }

    /// What Babel does from now on.
    pub fn babel_parameters(&self) -> BabelParameters {
        let keys = self.held.mac_keys.as_ref().map(|kept| &kept.keys);
        BabelParameters::managed(&self.babel, self.held.network(), keys)
    }

    /// When something is due, if nothing happens before; at the latest in a minute.
    pub fn next_deadline(&self, now: Moment) -> Duration {
        let mut deadline = now.elapsed + LOOK;
        if !self.unkept.is_empty() {
            deadline = deadline.min(self.keep_again);
        }
        if self.asked.is_none() {
            let due = Topic::ALL.iter().filter_map(|topic| self.due(*topic, now));
            deadline = due.fold(deadline, Duration::min);
        }
        deadline.max(now.elapsed)
    }

    /// Something has happened.
    pub fn handle(&mut self, now: Moment, input: Input, actions: &mut Vec<Action>) {
        match input {
            Input::Time => {}
            Input::Answered(outcome) => {
                if let Some((question, asked)) = self.asked.take() {
                    self.answered(now, question, asked, outcome, actions);
                }
            }
            Input::Document(envelope) => self.document(now, &envelope, actions),
            Input::NotKept(keep, message) => self.not_kept(now, keep, message),
        }
        self.look(now, actions);
        self.keep_again(now, actions);
        self.ask(now, actions);
    }

    /// What only time changes.
    fn look(&mut self, now: Moment, actions: &mut Vec<Action>) {
        if let Some(before) = self.last_look {
            let passed = (now.elapsed.saturating_sub(before.elapsed)).as_secs();
            let expected = before.wall.plus(passed);
            if now.wall.since(expected).max(expected.since(now.wall)) > CLOCK_JUMP {
                // what failed may have failed because of the clock
                self.contact.succeeded();
                self.topics = Default::default();
                actions.push(Action::Say("the clock of this host was set".to_owned()));
            }
        }
        self.last_look = Some(now);
        let certificate = self.credentials.certificate.not_after();
        let subjects = [
            ("this node's certificate", certificate),
            ("the network's authority", self.last_authority_ends()),
        ];
        for (watch, (subject, not_after)) in self.expiry.iter_mut().zip(subjects) {
            if let Some(warning) = watch.look(now.wall, not_after) {
                let words = warning.words();
                actions.push(Action::Say(format!("WARNING: {subject} {words}")));
                if warning == ExpiryWarning::Expired {
                    // until the certificate is renewed, the registry tells us nothing else
                    self.topics[Topic::Certificate as usize].succeeded();
                }
            }
        }
        let revoked = self.is_revoked();
        if revoked && !self.revoked_said {
            self.topics[Topic::Certificate as usize].succeeded();
            actions.push(Action::Say(
                "WARNING: THIS NODE'S CERTIFICATE IS REVOKED: the registry tells this node nothing new any more; it forwards on, and is heard on LANs until the keys of Babel's MAC change. To go on, ask the operator for a token, for this node's prefix if it was not ended as well, move the key away, and run `re6st-user conf` with the token".to_owned(),
            ));
        }
        self.revoked_said = revoked;
    }

    /// When nobody is trusted any more.
    pub(super) fn last_authority_ends(&self) -> Timestamp {
        let authorities = self.credentials.authorities.iter();
        let ends = authorities.map(|authority| authority.not_after());
        ends.max().unwrap_or_default()
    }

    /// Whether the registry has taken our certificate back.
    pub fn is_revoked(&self) -> bool {
        self.credentials.is_revoked(self.held.revoked())
    }

    /// From when on our certificate is to be renewed.
    fn renewal(&self) -> Timestamp {
        let not_after = self.credentials.certificate.not_after();
        not_after.minus(RENEWAL).plus(self.renewal_spread)
    }

    fn wants(&self, topic: Topic, now: Moment) -> bool {
        match topic {
            Topic::Successions => {
                let authorities = &self.credentials.authorities;
                self.untrusted || self.held.names_unknown_authority(authorities)
            }
            Topic::Certificate => now.wall >= self.renewal() || self.is_revoked(),
            Topic::HandBack => self.registry_is_behind,
            Topic::Revocations => self.suspicious || self.held.wants_revocations(),
            Topic::MacKeys => self.babel.mac.is_empty() && self.held.wanted_mac_keys().is_some(),
            Topic::Parameters => true,
        }
    }

    /// From when on a topic is to be asked about, if it is.
    fn due(&self, topic: Topic, now: Moment) -> Option<Duration> {
        let contact = match topic {
            // whoever is there can be asked
            Topic::Successions if self.untrusted => Duration::ZERO,
            _ => self.contact.not_before(),
        };
        let retry = self.topics[topic as usize].not_before();
        self.wants(topic, now)
            .then(|| retry.max(contact).max(self.allowance.not_before()))
    }

    fn ask(&mut self, now: Moment, actions: &mut Vec<Action>) {
        if self.asked.is_some() {
            return;
        }
        let is_due = |topic: &Topic| self.due(*topic, now).is_some_and(|due| due <= now.elapsed);
        // a registry that was away first says what is new, then it is known what else to ask
        let first = (!self.in_touch).then_some(Topic::Parameters);
        let mut topics = first.into_iter().chain(Topic::ALL);
        let Some(topic) = topics.find(is_due) else {
            return;
        };
        self.allowance.take(now);
        let question = match topic {
            Topic::Successions => Question::Successions,
            Topic::Certificate => Question::Renewal,
            Topic::Revocations => Question::Revocations {
                after: self.held.revocations_number(),
            },
            Topic::HandBack => Question::HandBack,
            Topic::MacKeys => Question::MacKeys {
                number: self.held.wanted_mac_keys().unwrap_or_default(),
            },
            Topic::Parameters if self.in_touch => Question::Parameters {
                after: self.held.parameters_number(),
                wait: PATIENCE,
            },
            Topic::Parameters => Question::Parameters {
                after: None,
                wait: Duration::ZERO,
            },
        };
        self.asked = Some((question, now));
        actions.push(Action::Ask(question));
    }

    fn not_kept(&mut self, now: Moment, keep: Keep, message: String) {
        self.not_kept = Some(Problem {
            topic: None,
            at: now.wall,
            message,
        });
        self.unkept.retain(|older| !keep.replaces(older));
        self.unkept.push(keep);
        self.keep_again = now.elapsed + KEEP_AGAIN;
    }

    fn keep_again(&mut self, now: Moment, actions: &mut Vec<Action>) {
        // what is newer is kept instead of what could not be
        self.unkept.retain(|older| {
            !actions
                .iter()
                .any(|action| matches!(action, Action::Keep(keep) if keep.replaces(older)))
        });
        if self.unkept.is_empty() {
            return;
        }
        if self.keep_again <= now.elapsed {
            self.not_kept = None;
            actions.extend(self.unkept.drain(..).map(Action::Keep));
        }
    }
}
