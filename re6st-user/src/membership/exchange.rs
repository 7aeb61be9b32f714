//! The exchange with the registry: what is asked when, one question at a time, and what a failure means for the next ones.
//! Pure; what an answer says is the member's to judge.

use std::time::Duration;

use serde::Serialize;

use super::{
    credentials::Credentials,
    held::Held,
    messages::{Action, Answer, Failure, FailureKind, Question, Topic},
    schedule::{Pace, Retry},
};
use crate::{
    babel::random::Random,
    rate::{Bucket, Rate},
    time::{DAY, Now, Time, Timestamp},
};

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
/// A node's key, beside the name's own pace: other names have a turn soon.
const NODE_KEY: Pace = Pace {
    first: Duration::from_secs(2),
    longest: Duration::from_secs(60),
};
/// A renewal that was refused, which at least once a day is asked for.
const RENEWAL_QUESTION: Pace = Pace {
    first: Duration::from_secs(600),
    longest: Duration::from_secs(16 * 3600),
};
/// How long after a renewal the next one is asked for at the soonest.
const BETWEEN_RENEWALS: Duration = Duration::from_secs(DAY * 2 / 3);
/// How many questions may be asked, whatever the answers are: some in a row, then one a second.
const QUESTIONS: Rate = Rate {
    count: 30,
    seconds: 30,
};
/// How long the registry may wait before it says that there is nothing new.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// An answer that there is nothing new comes no sooner from a registry that stays.
const LEAST_PATIENCE: Duration = Duration::from_secs(30);

/// Something that went wrong, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// With which question; none: with all of them.
    #[serde(skip)]
    pub topic: Option<Topic>,
    /// When it went wrong.
    pub at: Timestamp,
    /// For people.
    pub message: String,
}

/// The state of the exchange.
#[derive(Debug)]
pub struct Exchange {
    random: Random,
    asked: Option<(Question, Now)>,
    /// When the next question is due, if none is asked.
    due: Option<Time>,
    /// Of all questions.
    contact: Retry,
    /// Of each, in the order of [`Topic`].
    topics: [Retry; Topic::ALL.len()],
    questions: Bucket,
    /// The keys of Babel's MAC are the network's, not this node's configuration's.
    uses_mac_keys: bool,
    /// Whether the registry answered last; then it is asked to wait for news.
    pub(super) in_touch: bool,
    /// The registry has older documents than we.
    is_behind: bool,
    /// The registry said no, for a reason that the revocation list may tell.
    suspicious: bool,
    /// Whoever answered last is not of an authority we know.
    pub(super) untrusted: bool,
    renewal_spread: u64,
    /// When the registry answered last.
    pub(super) last_contact: Option<Timestamp>,
    /// What went wrong last and has not gone well since.
    pub(super) last_problem: Option<Problem>,
}

impl Exchange {
    /// Nothing is asked yet.
    pub fn new(seed: u64, uses_mac_keys: bool) -> Self {
        let mut random = Random::new(seed);
        Self {
            renewal_spread: random.below(RENEWAL_SPREAD),
            random,
            uses_mac_keys,
            asked: None,
            due: None,
            contact: Retry::default(),
            topics: Default::default(),
            questions: Bucket::default(),
            in_touch: false,
            is_behind: false,
            suspicious: false,
            untrusted: false,
            last_contact: None,
            last_problem: None,
        }
    }

    /// When the next question is due; none while one is asked.
    pub const fn next_deadline(&self) -> Option<Time> {
        self.due
    }

    /// What was asked last and is not answered yet.
    pub fn asked(&self) -> Option<Question> {
        self.asked.map(|(question, _)| question)
    }

    /// The registry's answer to what was asked last. What the member has to judge is returned; [`Self::judged`] follows.
    pub fn handle(
        &mut self,
        now: Now,
        outcome: Result<Answer, Failure>,
        actions: &mut Vec<Action>,
    ) -> Option<(Question, Answer)> {
        let (question, asked) = self.asked.take()?;
        let topic = question.topic();
        let answer = match outcome {
            Ok(answer) => answer,
            Err(failure) => {
                self.failed(now, topic, failure, actions);
                return None;
            }
        };
        if topic != Topic::Successions {
            self.reached(now, actions);
            self.in_touch = true;
            self.untrusted = false;
            self.suspicious &= topic != Topic::Revocations;
        }
        match (question, &answer) {
            (Question::Parameters { .. }, Answer::Document(None)) => {
                if now.elapsed.since(asked.elapsed) < LEAST_PATIENCE {
                    // it is about to stop, or is no registry of ours
                    self.ask_later(now, topic);
                } else {
                    self.judged(now, topic, Ok(()), actions);
                }
            }
            (Question::HandBack, Answer::Taken) => {
                self.is_behind = false;
                // it has something newer now; one that stays behind is not told in a tight loop
                self.ask_at_once(Topic::Parameters);
                self.ask_later(now, topic);
                self.in_touch = false;
                self.solved(topic);
            }
            _ => return Some((question, answer)),
        }
        None
    }

    /// Whether an answer was of use, or why not.
    pub fn judged(
        &mut self,
        now: Now,
        topic: Topic,
        outcome: Result<(), String>,
        actions: &mut Vec<Action>,
    ) {
        match outcome {
            Ok(()) => {
                self.ask_at_once(topic);
                self.solved(topic);
            }
            Err(message) => {
                self.ask_later(now, topic);
                self.problem(now, Some(topic), message, actions);
            }
        }
    }

    /// Whoever is in the registry's place has said who succeeds our authorities: whether that was news.
    pub fn judged_stranger(&mut self, now: Now, is_news: bool) {
        if is_news {
            // it may be the registry after all
            self.untrusted = false;
            self.begin_again();
        } else {
            // why it was asked is the problem
            self.ask_later(now, Topic::Successions);
        }
    }

    /// The registry gave a certificate that may be used: another one, or the same.
    pub fn renewed(&mut self, now: Now, is_new: bool) {
        self.solved(Topic::Certificate);
        if is_new {
            // whatever was refused to the old one
            self.topics = Default::default();
            self.renewal_spread = self.random.below(RENEWAL_SPREAD);
        }
        // a registry whose certificates are short gives another one at once, and again
        let retry = &mut self.topics[Topic::Certificate as usize];
        retry.postpone(now.elapsed, BETWEEN_RENEWALS, &mut self.random);
    }

    /// The registry's parameters are older than ours, or they are not.
    pub const fn compared(&mut self, is_behind: bool) {
        self.is_behind = is_behind;
    }

    /// Whatever failed may succeed now.
    pub fn begin_again(&mut self) {
        self.contact.succeeded();
        self.topics = Default::default();
    }

    /// When it is wanted next, a topic is asked about at once.
    pub const fn ask_at_once(&mut self, topic: Topic) {
        self.topics[topic as usize].succeeded();
    }

    fn ask_later(&mut self, now: Now, topic: Topic) {
        let pace = match topic {
            Topic::Certificate => RENEWAL_QUESTION,
            Topic::NodeKeys => NODE_KEY,
            _ => QUESTION,
        };
        self.topics[topic as usize].failed(now.elapsed, pace, &mut self.random);
    }

    /// The registry is there.
    fn reached(&mut self, now: Now, actions: &mut Vec<Action>) {
        self.contact.succeeded();
        self.last_contact = Some(now.wall);
        let with_all = |problem: &mut Problem| problem.topic.is_none();
        if self.last_problem.take_if(with_all).is_some() {
            actions.push(Action::Say("the registry answers again".to_owned()));
        }
    }

    fn solved(&mut self, topic: Topic) {
        self.last_problem
            .take_if(|problem| problem.topic == Some(topic));
    }

    fn failed(&mut self, now: Now, topic: Topic, failure: Failure, actions: &mut Vec<Action>) {
        if topic == Topic::Successions && self.untrusted {
            // why it is asked is the problem
            self.ask_later(now, topic);
            return;
        }
        match failure.kind {
            FailureKind::Away | FailureKind::Untrusted => {
                self.in_touch = false;
                self.untrusted = failure.kind == FailureKind::Untrusted;
                self.contact.failed(now.elapsed, CONTACT, &mut self.random);
                self.problem(now, None, failure.message, actions);
            }
            FailureKind::Busy(wait) if matches!(topic, Topic::NodeKeys | Topic::Presence) => {
                // this node has asked for many, or often; other questions are no part of it
                self.reached(now, actions);
                let wait = wait.min(CONTACT.longest);
                let retry = &mut self.topics[topic as usize];
                retry.refused(now.elapsed, wait, NODE_KEY, &mut self.random);
                self.problem(now, Some(topic), failure.message, actions);
            }
            FailureKind::Busy(wait) => {
                self.in_touch = false;
                // whoever says "in months" is not believed, nor who says "at once"
                let wait = wait.min(CONTACT.longest);
                self.contact
                    .refused(now.elapsed, wait, CONTACT, &mut self.random);
                self.problem(now, None, failure.message, actions);
            }
            FailureKind::Refused => {
                self.reached(now, actions);
                self.suspicious = topic == Topic::Parameters || topic == Topic::MacKeys;
                self.judged(now, topic, Err(failure.message), actions);
            }
        }
    }

    /// Says a problem once.
    fn problem(
        &mut self,
        now: Now,
        topic: Option<Topic>,
        message: String,
        actions: &mut Vec<Action>,
    ) {
        let known = self.last_problem.as_ref();
        if known.is_none_or(|known| known.message != message) {
            actions.push(Action::Say(message.clone()));
        }
        self.last_problem = Some(Problem {
            topic,
            at: now.wall,
            message,
        });
    }

    /// From when on a topic is to be asked about, if it is.
    fn due(&self, topic: Topic, now: Now, credentials: &Credentials, held: &Held) -> Option<Time> {
        let wanted = match topic {
            Topic::Successions => {
                self.untrusted || held.names_unknown_authority(&credentials.authorities)
            }
            Topic::Certificate => {
                let end = credentials.certificate.not_after();
                now.wall >= end.minus(RENEWAL).plus(self.renewal_spread)
                    || credentials.is_revoked(held.revoked())
            }
            Topic::HandBack => self.is_behind,
            Topic::Revocations => self.suspicious || held.wants_revocations(),
            Topic::MacKeys => self.uses_mac_keys && held.wanted_mac_keys().is_some(),
            Topic::NodeKeys => held.node_keys.next(now.elapsed).is_some(),
            Topic::Presence => held.presence.due().is_some(),
            Topic::Parameters => true,
        };
        let contact = match topic {
            // whoever is there can be asked
            Topic::Successions if self.untrusted => Time(0),
            _ => self.contact.not_before(),
        };
        let retry = self.topics[topic as usize].not_before();
        let own = match topic {
            Topic::NodeKeys => held.node_keys.next(now.elapsed).map(|(_, due)| due),
            Topic::Presence => held.presence.due(),
            _ => None,
        };
        let due = retry.max(contact).max(own.unwrap_or_default());
        wanted.then(|| due.max(self.questions.not_before(QUESTIONS)))
    }

    /// From when on another question is to be asked in the place of one that waits for news of the network: whoever wants a
    /// node's key, or other nodes, does not wait for that.
    fn due_instead(
        &self,
        asked: Question,
        now: Now,
        credentials: &Credentials,
        held: &Held,
    ) -> Option<Time> {
        if !asked.waits() {
            return None;
        }
        let key = held.node_keys.next_new().and_then(|(_, wanted)| {
            let topic = self.due(Topic::NodeKeys, now, credentials, held)?;
            Some(topic.max(wanted))
        });
        let presence = self.due(Topic::Presence, now, credentials, held);
        key.into_iter().chain(presence).min()
    }

    /// Asks for what this node wants next, if nothing is asked.
    pub fn ask(
        &mut self,
        now: Now,
        credentials: &Credentials,
        held: &Held,
        actions: &mut Vec<Action>,
    ) {
        self.due = None;
        if let Some((question, _)) = self.asked {
            self.due = self.due_instead(question, now, credentials, held);
            if self.due.is_none_or(|due| due > now.elapsed) {
                return;
            }
        }
        // a registry that was away first says what is new, then it is known what else to ask
        let first = (!self.in_touch).then_some(Topic::Parameters);
        let topics = first.into_iter().chain(Topic::ALL);
        let due = |topic| Some((topic, self.due(topic, now, credentials, held)?));
        let wanted: Vec<(Topic, Time)> = topics.filter_map(due).collect();
        let Some((topic, _)) = wanted.iter().find(|(_, due)| *due <= now.elapsed) else {
            self.due = wanted.into_iter().map(|(_, due)| due).min();
            return;
        };
        // that it may be asked was seen just now
        let _ = self.questions.take(QUESTIONS, now.elapsed);
        let question = match topic {
            Topic::Successions => Question::Successions,
            Topic::Certificate => Question::Renewal,
            Topic::Revocations => Question::Revocations {
                after: held.revocations_number(),
            },
            Topic::HandBack => Question::HandBack,
            Topic::MacKeys => Question::MacKeys {
                number: held.wanted_mac_keys().unwrap_or_default(),
            },
            Topic::NodeKeys => Question::NodeKey {
                node: held
                    .node_keys
                    .next(now.elapsed)
                    .map(|(node, _)| node)
                    .unwrap_or_default(),
            },
            Topic::Presence => Question::Presence {
                count: held.presence.wanted(),
            },
            Topic::Parameters if self.in_touch => Question::Parameters {
                after: held.parameters_number(),
                wait: PATIENCE,
            },
            Topic::Parameters => Question::Parameters {
                after: None,
                wait: Duration::ZERO,
            },
        };
        self.asked = Some((question, now));
        self.due = self.due_instead(question, now, credentials, held);
        actions.push(Action::Ask(question));
    }
}
