//! What a member of a managed mesh does: pure; time, randomness and answers go in, actions come out.
//!
//! ```text
//! answer ─► exchange ─► judged here: credentials, documents ─► watch ─► keeping ─► exchange: the next question
//! ```

use super::{
    babel::{self, BabelParameters},
    channel::{self, ChannelStanding},
    credentials::Credentials,
    exchange::Exchange,
    held::{Held, Taken},
    keeping::Keeping,
    mac_keys::KeptMacKeys,
    messages::{Action, Answer, Failure, FailureKind, Input, Keep, Question, Topic},
    watch::{Watch, Watched},
};
use crate::{
    babel::random::Random,
    certificate::{
        document::{DocumentError, Signed},
        node_prefix::NodePrefix,
        succession::SuccessionError,
    },
    config,
    registry::documents::NetworkParameters,
    time::{Now, Time},
};

/// A member.
#[derive(Debug)]
pub struct Member {
    pub(super) credentials: Credentials,
    pub(super) held: Held,
    pub(super) babel: config::Babel,
    pub(super) networks: Vec<ipnet::IpNet>,
    pub(super) exchange: Exchange,
    pub(super) keeping: Keeping,
    watch: Watch,
    random: Random,
    channel: Option<ChannelStanding>,
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
        Self {
            exchange: Exchange::new(seed, babel.mac.is_empty()),
            random: Random::new(seed.wrapping_add(1)),
            channel: channel::again(None, &credentials, &held),
            credentials,
            held,
            babel,
            networks,
            keeping: Keeping::default(),
            watch: Watch::default(),
            refused_documents: 0,
        }
    }

    /// Who the node is, and whom it trusts.
    pub const fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// What is held of the network's documents, to be passed on to others.
    pub const fn held(&self) -> &Held {
        &self.held
    }

    /// What channels to other nodes are made from; none if this node can have none.
    pub const fn channel(&self) -> Option<&ChannelStanding> {
        self.channel.as_ref()
    }

    /// What Babel does from now on.
    pub fn babel_parameters(&self) -> BabelParameters {
        let keys = self.held.mac_keys.as_ref().map(|kept| &kept.keys);
        BabelParameters::managed(&self.babel, self.held.network(), keys)
    }

    /// When [`Input::Time`] is due, if nothing happens before.
    pub fn next_deadline(&self) -> Time {
        let others = self.keeping.next_deadline().into_iter();
        let others = others.chain(self.exchange.next_deadline());
        others.fold(self.watch.next_deadline(), Time::min)
    }

    /// Something has happened.
    pub fn handle(&mut self, now: Now, input: Input, actions: &mut Vec<Action>) {
        let mut not_kept = None;
        match input {
            Input::Time => {}
            Input::Answered(outcome) => {
                self.note_refused(now, &outcome);
                if let Some((question, answer)) = self.exchange.handle(now, outcome, actions) {
                    self.judge(now, question, answer, actions);
                }
            }
            Input::Document(envelope) => self.document(now, &envelope, actions),
            Input::WantNodeKey(node) => self.want_node_key(now, node),
            Input::Whereabouts(whereabouts) => self.held.presence.is_at(whereabouts),
            Input::Hidden => self.held.presence.hide(),
            Input::WantOthers(count) => self.held.presence.want(count),
            Input::NotKept(keep, message) => not_kept = Some((keep, message)),
        }
        let noticed = self.watch.handle(now, &self.watched(), actions);
        if noticed.clock_set {
            self.exchange.begin_again();
        }
        if noticed.must_renew {
            self.exchange.ask_at_once(Topic::Certificate);
        }
        self.keeping.handle(now, not_kept, actions);
        if let Err(error) = self.held.presence.sign(now.wall, &self.credentials) {
            let text = format!("WARNING: nobody is told where this node is: {error}");
            actions.push(Action::Say(text));
        }
        self.exchange
            .ask(now, &self.credentials, &self.held, actions);
        self.channel = channel::again(self.channel.take(), &self.credentials, &self.held);
    }

    fn want_node_key(&mut self, now: Now, node: NodePrefix) {
        if node != self.credentials.certificate.prefix() {
            let keys = &mut self.held.node_keys;
            keys.want(now.elapsed, node, &mut self.random);
        }
    }

    /// A name that the registry refuses to talk about lets others have their turn; one that was away knows nothing of us.
    fn note_refused(&mut self, now: Now, outcome: &Result<Answer, Failure>) {
        let refused = outcome.as_ref().err();
        if refused.is_some_and(|failure| failure.kind == FailureKind::Away) {
            self.held.presence.unsay();
        }
        if let Some(Question::NodeKey { node }) = self.exchange.asked()
            && refused.is_some_and(|failure| failure.kind == FailureKind::Refused)
        {
            let keys = &mut self.held.node_keys;
            keys.failed(now.elapsed, node, &mut self.random);
        }
    }

    /// What may end.
    pub(super) fn watched(&self) -> Watched {
        let authorities = self.credentials.authorities.iter();
        let ends = authorities.map(|authority| authority.not_after());
        Watched {
            certificate: self.credentials.certificate.not_after(),
            // then nobody is trusted any more
            authority: ends.max().unwrap_or_default(),
            is_revoked: self.credentials.is_revoked(self.held.revoked()),
        }
    }

    fn judge(&mut self, now: Now, question: Question, answer: Answer, actions: &mut Vec<Action>) {
        let outcome = match (question, answer) {
            (Question::Parameters { after, .. }, Answer::Document(Some(envelope))) => {
                self.parameters(now, after, &envelope, actions)
            }
            (Question::Revocations { .. }, Answer::Document(envelope)) => {
                self.revocations(now, envelope, actions)
            }
            (Question::Successions, Answer::Successions(statements)) => {
                let follow = |statement: &Vec<u8>| self.follow(now, statement, actions);
                let followed: Vec<_> = statements.iter().map(follow).collect();
                if self.exchange.untrusted {
                    // of somebody who is not of ours, the word of ours alone counts
                    let is_news = followed.contains(&Ok(true));
                    return self.exchange.judged_stranger(now, is_news);
                }
                self.successions(followed)
            }
            (Question::MacKeys { number }, Answer::MacKeys(keys)) => {
                self.mac_keys(KeptMacKeys { number, keys }, actions);
                Ok(())
            }
            (Question::NodeKey { node }, Answer::NodeCertificate(certificate)) => {
                self.node_key(now, node, certificate.as_deref(), actions)
            }
            (Question::Presence { .. }, Answer::Others(records)) => {
                let revoked = self.held.revoked().clone();
                let presence = &mut self.held.presence;
                presence
                    .answered(now, &records, &self.credentials, &revoked)
                    .map_err(|error| {
                        format!("the registry's records of nodes are of no use: {error}")
                    })
            }
            (Question::Renewal, Answer::Certificate(certificate)) => {
                match self.renewed(now, &certificate, actions) {
                    Ok(is_new) => return self.exchange.renewed(now, is_new),
                    Err(message) => Err(message),
                }
            }
            _ => Err("an answer to something else".to_owned()),
        };
        self.exchange
            .judged(now, question.topic(), outcome, actions);
    }

    fn parameters(
        &mut self,
        now: Now,
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
                self.exchange.compared(offered < held);
                Err(format!(
                    "the registry's parameters have number {offered}, those this node has {held}, and say something else: was the registry restored from an old backup? This node goes on with its own, and hands them back"
                ))
            }
            Err(error) => Err(format!("the registry's parameters: {error}")),
        }
    }

    /// Whether parameters, which are good, say what ours say. Their signature may be another.
    fn is_held(&self, now: Now, envelope: &[u8]) -> bool {
        let authorities = &self.credentials.authorities;
        let offered = Signed::<NetworkParameters>::verify(envelope, authorities, now.wall, None);
        offered.is_ok_and(|offered| Some(offered.content()) == self.held.network())
    }

    fn revocations(
        &mut self,
        now: Now,
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
        now: Now,
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

    fn document(&mut self, now: Now, envelope: &[u8], actions: &mut Vec<Action>) {
        let is_good = match self.take(now, envelope, actions) {
            Ok(()) | Err(DocumentError::NotNewer { .. }) => true,
            Err(DocumentError::Type { .. }) => self.follow(now, envelope, actions).is_ok(),
            Err(_) => false,
        };
        self.refused_documents += u64::from(!is_good);
    }

    fn successions(&self, followed: Vec<Result<bool, SuccessionError>>) -> Result<(), String> {
        // statements about those we know, by those we do not, are no problem
        let authorities = &self.credentials.authorities;
        if !self.held.names_unknown_authority(authorities) {
            return Ok(());
        }
        match followed.into_iter().filter_map(Result::err).next_back() {
            Some(error) => Err(format!("a new authority is not trusted: {error}")),
            None => Err(
                "the parameters name an authority that no statement of the old one is about".into(),
            ),
        }
    }

    /// Whether it was not known before.
    fn follow(
        &mut self,
        now: Now,
        statement: &[u8],
        actions: &mut Vec<Action>,
    ) -> Result<bool, SuccessionError> {
        let authorities = &mut self.credentials.authorities;
        let is_new = authorities.follow(statement, now.wall)?;
        if self.held.hold_succession(statement) {
            let statements = self.held.successions_to_json();
            actions.push(Action::Keep(Keep::Successions(statements)));
        }
        if is_new {
            actions.push(Action::Say(
                "a new authority takes over, by the word of the old one; each is trusted until it ends".to_owned(),
            ));
            actions.push(Action::Keep(Keep::Authorities(authorities.to_pem())));
        }
        Ok(is_new)
    }

    /// The certificate of another node, if there is one, is believed as far as it can be verified.
    fn node_key(
        &mut self,
        now: Now,
        node: NodePrefix,
        certificate: Option<&str>,
        actions: &mut Vec<Action>,
    ) -> Result<(), String> {
        let name = node.common_name();
        let Some(certificate) = certificate else {
            let keys = &mut self.held.node_keys;
            if keys.not_found(now.elapsed, node, &mut self.random) {
                let text = format!("the registry knows no node {name}; it is asked again");
                actions.push(Action::Say(text));
            }
            return Ok(());
        };
        let revoked = self.held.revoked();
        match self
            .credentials
            .key_of(node, certificate, revoked, now.wall)
        {
            Ok(key) => {
                let was_known = self.held.node_keys.keys().contains_key(&node);
                if self.held.node_keys.learned(now, node, key) {
                    let kept = self.held.node_keys.to_json();
                    actions.push(Action::Keep(Keep::NodeKeys(kept)));
                    if was_known {
                        let text = format!("node {name} has another X25519 key");
                        actions.push(Action::Say(text));
                    }
                }
                Ok(())
            }
            Err(unfit) => {
                let keys = &mut self.held.node_keys;
                keys.failed(now.elapsed, node, &mut self.random);
                Err(format!(
                    "the certificate of node {name} is of no use: {unfit}"
                ))
            }
        }
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

    /// Whether it is another certificate than before.
    fn renewed(
        &mut self,
        now: Now,
        certificate: &str,
        actions: &mut Vec<Action>,
    ) -> Result<bool, String> {
        let revoked = self.held.revoked();
        let renewed = self.credentials.renew(certificate, revoked, now.wall);
        let is_new = renewed
            .map_err(|unfit| format!("the certificate the registry gave is not used: {unfit}"))?;
        if is_new {
            let certificate = &self.credentials.certificate;
            let serial = certificate.serial();
            actions.push(Action::Say(format!(
                "this node's certificate is renewed: serial number {serial}"
            )));
            actions.push(Action::Keep(Keep::Certificate(certificate.to_pem())));
        } else if self.watched().is_revoked {
            return Err(
                "the registry gives no other certificate in place of the revoked one".into(),
            );
        }
        Ok(is_new)
    }
}
