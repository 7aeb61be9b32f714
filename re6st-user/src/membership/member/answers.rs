//! What a member makes of answers, and of documents that come from others.

use std::time::Duration;

use super::{
    Action, CONTACT, Keep, LEAST_PATIENCE, Member, Problem, QUESTION, RENEWAL_QUESTION,
    RENEWAL_SPREAD,
};
use crate::{
    certificate::{
        document::{DocumentError, Signed},
        succession::SuccessionError,
    },
    membership::{
        babel,
        exchange::{Answer, Failure, FailureKind, Question, Topic},
        held::Taken,
        mac_keys::KeptMacKeys,
        schedule::{Moment, Retry},
    },
    registry::documents::NetworkParameters,
    time::DAY,
};

impl Member {
    pub(super) fn answered(
        &mut self,
        now: Moment,
        question: Question,
        asked: Moment,
        outcome: Result<Answer, Failure>,
        actions: &mut Vec<Action>,
    ) {
        let topic = question.topic();
        let answer = match outcome {
            Ok(answer) => answer,
            Err(failure) => return self.failed(now, topic, failure, actions),
        };
        if topic != Topic::Successions {
            self.reached(now, actions);
            self.in_touch = true;
            self.untrusted = false;
        }
        let useful = match (question, answer) {
            (Question::Parameters { .. }, Answer::Document(None)) => {
                if now.elapsed.saturating_sub(asked.elapsed) < LEAST_PATIENCE {
                    // it is about to stop, or is no registry of ours
                    self.topics[topic as usize].failed(now, QUESTION, &mut self.random);
                    return;
                }
                Ok(())
            }
            (Question::Parameters { after, .. }, Answer::Document(Some(envelope))) => {
                self.parameters(now, after, &envelope, actions)
            }
            (Question::Revocations { .. }, Answer::Document(envelope)) => {
                self.suspicious = false;
                self.revocations(now, envelope, actions)
            }
            (Question::HandBack, Answer::Taken) => {
                self.registry_is_behind = false;
                // it has something newer now; one that stays behind is not told in a tight loop
                self.topics[Topic::Parameters as usize] = Retry::default();
                self.topics[topic as usize].failed(now, QUESTION, &mut self.random);
                self.in_touch = false;
                return self.solved(topic);
            }
            (Question::Successions, Answer::Successions(statements)) if self.untrusted => {
                return self.succeeded(now, &statements, actions);
            }
            (Question::Successions, Answer::Successions(statements)) => {
                self.successions(now, &statements, actions)
            }
            (Question::MacKeys { number }, Answer::MacKeys(keys)) => {
                self.mac_keys(KeptMacKeys { number, keys }, actions);
                Ok(())
            }
            (Question::Renewal, Answer::Certificate(certificate)) => {
                return self.renewed(now, &certificate, actions);
            }
            _ => Err("an answer to something else".to_owned()),
        };
        match useful {
            Ok(()) => {
                self.topics[topic as usize].succeeded();
                self.solved(topic);
            }
            Err(message) => self.useless(now, topic, message, actions),
        }
    }

    /// The registry is there.
    fn reached(&mut self, now: Moment, actions: &mut Vec<Action>) {
        self.contact.succeeded();
        self.last_contact = Some(now.wall);
        if self
            .last_problem
            .as_ref()
            .is_some_and(|problem| problem.topic.is_none())
        {
            self.last_problem = None;
            actions.push(Action::Say("the registry answers again".to_owned()));
        }
    }

    fn solved(&mut self, topic: Topic) {
        self.last_problem
            .take_if(|problem| problem.topic == Some(topic));
    }

    fn failed(&mut self, now: Moment, topic: Topic, failure: Failure, actions: &mut Vec<Action>) {
        if topic == Topic::Successions && self.untrusted {
            // why it is asked is the problem
            self.topics[topic as usize].failed(now, QUESTION, &mut self.random);
            return;
        }
        match failure.kind {
            FailureKind::Away | FailureKind::Untrusted => {
                self.in_touch = false;
                self.untrusted = failure.kind == FailureKind::Untrusted;
                self.contact.failed(now, CONTACT, &mut self.random);
                self.problem(now, None, failure.message, actions);
            }
            FailureKind::Busy(wait) => {
                self.in_touch = false;
                // whoever says "in months" is not believed, nor who says "at once"
                let wait = wait.min(CONTACT.longest);
                self.contact.refused(now, wait, CONTACT, &mut self.random);
                self.problem(now, None, failure.message, actions);
            }
            FailureKind::Refused => {
                self.reached(now, actions);
                self.suspicious = topic == Topic::Parameters || topic == Topic::MacKeys;
                self.useless(now, topic, failure.message, actions);
            }
        }
    }

    fn useless(&mut self, now: Moment, topic: Topic, message: String, actions: &mut Vec<Action>) {
        let pace = match topic {
            Topic::Certificate => RENEWAL_QUESTION,
            _ => QUESTION,
        };
        self.topics[topic as usize].failed(now, pace, &mut self.random);
        self.problem(now, Some(topic), message, actions);
    }

    /// Says a problem once.
    fn problem(
        &mut self,
        now: Moment,
        topic: Option<Topic>,
        message: String,
        actions: &mut Vec<Action>,
    ) {
        let known = self
            .last_problem
            .as_ref()
            .is_some_and(|known| known.message == message);
        if !known {
            actions.push(Action::Say(message.clone()));
        }
        self.last_problem = Some(Problem {
            topic,
            at: now.wall,
            message,
        });
    }

    fn parameters(
        &mut self,
        now: Moment,
        after: Option<u64>,
        envelope: &[u8],
        actions: &mut Vec<Action>,
    ) -> Result<(), String> {
        match self.take(now, envelope, actions) {
            Ok(()) => Ok(()),
            // asked without a number, the registry tells what it has
            Err(DocumentError::NotNewer { held, offered })
                if held == offered && self.is_held(now, envelope) =>
            {
                match after {
                    Some(after) if after >= offered => Err(
                        "the registry was asked for newer parameters and gives those this node has"
                            .to_owned(),
                    ),
                    _ => Ok(()),
                }
            }
            Err(DocumentError::NotNewer { held, offered }) => {
                self.registry_is_behind = offered < held;
                Err(format!(
                    "the registry's parameters have number {offered}, those this node has {held}, and say something else: was the registry restored from an old backup? This node goes on with its own, and hands them back"
                ))
            }
            Err(error) => Err(format!("the registry's parameters: {error}")),
        }
    }

    /// Whether parameters, which are good, say what ours say. Their signature may be another.
    fn is_held(&self, now: Moment, envelope: &[u8]) -> bool {
        let authorities = &self.credentials.authorities;
        let offered = Signed::<NetworkParameters>::verify(envelope, authorities, now.wall, None);
        offered.is_ok_and(|offered| Some(offered.content()) == self.held.network())
    }

    fn revocations(
        &mut self,
        now: Moment,
        envelope: Option<Vec<u8>>,
        actions: &mut Vec<Action>,
    ) -> Result<(), String> {
        if let Some(envelope) = envelope {
            match self.take(now, &envelope, actions) {
                Ok(()) | Err(DocumentError::NotNewer { .. }) => {}
                Err(error) => return Err(format!("the registry's revocation list: {error}")),
            }
        }
        if self.held.wants_revocations() {
            return Err(
                "the registry does not have the revocation list its parameters name".into(),
            );
        }
        Ok(())
    }

    /// From the registry or from anybody.
    fn take(
        &mut self,
        now: Moment,
        envelope: &[u8],
        actions: &mut Vec<Action>,
    ) -> Result<(), DocumentError> {
        let authorities = &self.credentials.authorities;
        match self.held.take(envelope, authorities, now.wall)? {
            Taken::Parameters => {
                let number = self.held.parameters_number().unwrap_or_default();
                let mut text = format!("the network's parameters number {number}");
                if let Some(network) = self.held.network() {
                    for remark in babel::overridden(&self.babel, network) {
                        text += "; ";
                        text += &remark;
                    }
                }
                actions.push(Action::Say(text));
                for remark in self.not_applied() {
                    actions.push(Action::Say(format!("WARNING: {remark}")));
                }
                actions.push(Action::Keep(Keep::Parameters(envelope.to_vec())));
            }
            Taken::Revocations => {
                let number = self.held.revocations_number().unwrap_or_default();
                let count = self.held.revoked().len();
                actions.push(Action::Say(format!(
                    "the revocation list number {number}: {count} certificates"
                )));
                actions.push(Action::Keep(Keep::Revocations(envelope.to_vec())));
            }
        }
        Ok(())
    }

    pub(super) fn document(&mut self, now: Moment, envelope: &[u8], actions: &mut Vec<Action>) {
        match self.take(now, envelope, actions) {
            Ok(()) | Err(DocumentError::NotNewer { .. }) => {}
            Err(DocumentError::Type { .. }) => {
                if self.follow(now, envelope, actions).is_err() {
                    self.refused_documents += 1;
                }
            }
            Err(_) => self.refused_documents += 1,
        }
    }

    fn successions(
        &mut self,
        now: Moment,
        statements: &[Vec<u8>],
        actions: &mut Vec<Action>,
    ) -> Result<(), String> {
        let mut problem = None;
        for statement in statements {
            if let Err(error) = self.follow(now, statement, actions) {
                problem = Some(format!("a new authority is not trusted: {error}"));
            }
        }
        // statements about those we know, by those we do not, are no problem
        match problem {
            _ if !self.wants(Topic::Successions, now) => Ok(()),
            Some(problem) => Err(problem),
            None => Err(
                "the parameters name an authority that no statement of the old one is about".into(),
            ),
        }
    }

    /// Whether another authority has taken over, says somebody who is not of ours: by the word of ours alone.
    fn succeeded(&mut self, now: Moment, statements: &[Vec<u8>], actions: &mut Vec<Action>) {
        let mut learned = false;
        for statement in statements {
            learned |= self.follow(now, statement, actions) == Ok(true);
        }
        if learned {
            // it may be the registry after all
            self.untrusted = false;
            self.contact.succeeded();
            self.topics = Default::default();
        } else {
            // why it was asked is the problem
            self.topics[Topic::Successions as usize].failed(now, QUESTION, &mut self.random);
        }
    }

    /// Whether it was not known before.
    fn follow(
        &mut self,
        now: Moment,
        statement: &[u8],
        actions: &mut Vec<Action>,
    ) -> Result<bool, SuccessionError> {
        let authorities = &mut self.credentials.authorities;
        let is_new = authorities.follow(statement, now.wall)?;
        if is_new {
            actions.push(Action::Say(
                "a new authority takes over, by the word of the old one; each is trusted until it ends".to_owned(),
            ));
            actions.push(Action::Keep(Keep::Authorities(authorities.to_pem())));
        }
        Ok(is_new)
    }

    fn mac_keys(&mut self, kept: KeptMacKeys, actions: &mut Vec<Action>) {
        let before = self.held.mac_keys.take();
        if before.is_none_or(|before| before.keys != kept.keys) {
            let summary = kept.keys.summary();
            actions.push(Action::Say(format!("keys of Babel's MAC: {summary}")));
        }
        actions.push(Action::Keep(Keep::MacKeys(kept.to_json())));
        self.held.mac_keys = Some(kept);
    }

    fn renewed(&mut self, now: Moment, certificate: &str, actions: &mut Vec<Action>) {
        let revoked = self.held.revoked();
        match self.credentials.renew(certificate, revoked, now.wall) {
            Ok(true) => {
                self.solved(Topic::Certificate);
                let serial = self.credentials.certificate.serial();
                actions.push(Action::Say(format!(
                    "this node's certificate is renewed: serial number {serial}"
                )));
                let pem = self.credentials.certificate.to_pem();
                actions.push(Action::Keep(Keep::Certificate(pem)));
                // whatever was refused to the old one
                self.topics = Default::default();
                self.renewal_spread = self.random.below(RENEWAL_SPREAD);
                // a registry whose certificates are short gives another one at once, and again
                self.postpone_renewal(now);
            }
            Ok(false) if self.is_revoked() => {
                let message = "the registry gives no other certificate in place of the revoked one";
                self.useless(now, Topic::Certificate, message.to_owned(), actions);
            }
            Ok(false) => {
                self.solved(Topic::Certificate);
                self.postpone_renewal(now);
            }
            Err(unfit) => {
                let message = format!("the certificate the registry gave is not used: {unfit}");
                self.useless(now, Topic::Certificate, message, actions);
            }
        }
    }

    fn postpone_renewal(&mut self, now: Moment) {
        let wait = Duration::from_secs(DAY * 2 / 3);
        self.topics[Topic::Certificate as usize].postpone(now, wait, &mut self.random);
    }
}
