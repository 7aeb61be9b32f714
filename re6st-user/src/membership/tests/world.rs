//! A member, a registry and a clock that moves only when a test says so.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Map, Value, json};

use crate::{
    certificate::{
        authority::{Authority, AuthorityCertificate},
        document::Signed,
        key::PrivateKey,
        node::NodeCertificate,
        node_prefix::NodePrefix,
        static_key::{StaticKey, StaticPublicKey},
        testing::{CertificateOf, START, authority, new_key, revocation_list},
        verify::Authorities,
    },
    config::{Config, Registry},
    membership::{
        credentials::{Credentials, Texts},
        held::{Held, Kept},
        mac_keys::NetworkMacKeys,
        member::Member,
        messages::{Action, Answer, Failure, FailureKind, Input, Keep, Question},
    },
    registry::{api::MacKeys, documents::NetworkParameters},
    time::{DAY, Now, Time, Timestamp},
};

pub const CONFIGURATION: &str = r#"
    addresses  = ["2001:db8:42:1::1/64"]
    interfaces = ["eth0"]
    networks   = ["2001:db8:42::/48"]
    [babel]
    [registry]
    url  = "https://registry.example/"
    ca   = "ca.crt"
    cert = "cert.crt"
    key  = "cert.key"
"#;

pub fn registry_section() -> Registry {
    Config::parse(CONFIGURATION).unwrap().registry.unwrap()
}

/// A node's keys.
pub struct Keys {
    pub key: PrivateKey,
    pub fixed: StaticKey,
}

impl Keys {
    pub fn new() -> Self {
        Self {
            key: new_key(),
            fixed: StaticKey::generate().unwrap(),
        }
    }

    /// A certificate for the prefix `1/16`.
    pub fn certificate(&self, authority: &Authority, serial: u64, days: u64) -> NodeCertificate {
        self.certificate_from(authority, serial, "1/16", START, days)
    }

    /// The same as a version that knew no X25519 keys made it.
    pub fn certificate_without_static_key(
        &self,
        authority: &Authority,
        prefix: &str,
    ) -> NodeCertificate {
        self.issue(authority, None, 5, prefix, START, 365)
    }

    pub fn certificate_from(
        &self,
        authority: &Authority,
        serial: u64,
        prefix: &str,
        from: Timestamp,
        days: u64,
    ) -> NodeCertificate {
        let fixed = Some(self.fixed.public_key());
        self.issue(authority, fixed, serial, prefix, from, days)
    }

    fn issue(
        &self,
        authority: &Authority,
        fixed: Option<StaticPublicKey>,
        serial: u64,
        prefix: &str,
        from: Timestamp,
        days: u64,
    ) -> NodeCertificate {
        let certificate = CertificateOf {
            authority,
            node: NodePrefix::from_common_name(prefix).unwrap(),
            serial,
            from,
            until: from.plus(days * DAY),
        };
        certificate.issue_for(&self.key, fixed)
    }
}

/// A document as the registry publishes it.
pub fn parameters(
    authority: &Authority,
    number: u64,
    mac_keys: u64,
    revocations: u64,
    values: &Value,
) -> Vec<u8> {
    let content = json!({
        "network": authority.certificate().network().to_string(),
        "authorities": [authority.certificate().fingerprint().to_string()],
        "mac-keys": mac_keys,
        "revocations": {"number": revocations, "digest": ""},
        "parameters": values,
    });
    let content: Map<String, Value> = content.as_object().unwrap().clone();
    let signed = Signed::sign(number, NetworkParameters(content), authority, None).unwrap();
    signed.envelope().to_vec()
}

/// A revocation list.
pub fn revocations(authority: &Authority, number: u64, serials: &[u64]) -> Vec<u8> {
    let list = revocation_list(authority, serials);
    let signed = Signed::sign(number, list, authority, None).unwrap();
    signed.envelope().to_vec()
}

pub fn mac_keys(sign: &str, accept: Option<&str>) -> NetworkMacKeys {
    let message = MacKeys {
        sign: Some(sign.to_owned()),
        accept: accept.map(str::to_owned),
        accept_anything: false,
    };
    NetworkMacKeys::try_from(message).unwrap()
}

/// What the registry answers.
pub struct RegistryModel {
    pub up: bool,
    pub number: u64,
    pub parameters: Vec<u8>,
    pub revocations: (u64, Vec<u8>),
    pub mac_keys: NetworkMacKeys,
    pub certificate: String,
    pub successions: Vec<Vec<u8>>,
    /// PEM of certificates by the names of nodes.
    pub nodes: BTreeMap<NodePrefix, String>,
    /// Records of other nodes.
    pub others: Vec<Vec<u8>>,
    /// Asks for patience.
    pub busy: Option<Duration>,
    /// Asks for patience with where nodes are alone.
    pub hears_too_much: Option<Duration>,
    /// Does not wait for news.
    pub impatient: bool,
    /// Says no to everything but renewals and the revocation list.
    pub refuses: bool,
    /// Says no to renewals.
    pub refuses_renewal: bool,
    /// The authority whose certificate it shows; whoever does not trust that asks for nothing but successions.
    pub shows: AuthorityCertificate,
}

impl RegistryModel {
    fn answer(
        &self,
        question: Question,
        trust: &Authorities,
        now: Timestamp,
    ) -> Result<Answer, Failure> {
        let failure = |kind| {
            Err(Failure {
                message: "no".to_owned(),
                kind,
            })
        };
        if !self.up {
            return failure(FailureKind::Away);
        }
        if let Some(wait) = self.busy {
            return failure(FailureKind::Busy(wait));
        }
        if let (Some(wait), Question::Presence { .. }) = (self.hears_too_much, question) {
            return failure(FailureKind::Busy(wait));
        }
        let trusts = self.shows.is_valid_at(now) && trust.iter().any(|known| *known == self.shows);
        match question {
            _ if !trusts && question != Question::Successions => failure(FailureKind::Untrusted),
            Question::Parameters { .. } | Question::MacKeys { .. } if self.refuses => {
                failure(FailureKind::Refused)
            }
            Question::Renewal if self.refuses_renewal => failure(FailureKind::Refused),
            Question::Parameters { after, .. } => {
                let newer = after.is_none_or(|after| after < self.number);
                Ok(Answer::Document(newer.then(|| self.parameters.clone())))
            }
            Question::Revocations { after } => {
                let newer = after.is_none_or(|after| after < self.revocations.0);
                let envelope = newer.then(|| self.revocations.1.clone());
                Ok(Answer::Document(envelope))
            }
            Question::HandBack => Ok(Answer::Taken),
            Question::MacKeys { .. } => Ok(Answer::MacKeys(self.mac_keys.clone())),
            Question::Successions => Ok(Answer::Successions(self.successions.clone())),
            Question::NodeKey { .. } if self.refuses => failure(FailureKind::Refused),
            Question::NodeKey { node } => {
                Ok(Answer::NodeCertificate(self.nodes.get(&node).cloned()))
            }
            Question::Presence { .. } => Ok(Answer::Others(self.others.clone())),
            Question::Renewal => Ok(Answer::Certificate(self.certificate.clone())),
        }
    }
}

/// All of it.
pub struct World {
    pub authority: Authority,
    pub keys: Keys,
    pub member: Member,
    pub registry: RegistryModel,
    pub now: Now,
    pub said: Vec<String>,
    pub kept: Vec<Keep>,
    pub asked: Vec<(Now, Question)>,
    /// Nothing can be written.
    pub disk_full: bool,
    pending: Option<(Time, Question)>,
}

impl World {
    /// A node with a certificate for so many days; the registry has parameters number 1 and nothing revoked.
    pub fn new(days: u64) -> Self {
        Self::with(days, Kept::default(), CONFIGURATION, 7)
    }

    pub fn with(days: u64, kept: Kept, configuration: &str, seed: u64) -> Self {
        let authority = authority();
        let keys = Keys::new();
        let certificate = keys.certificate(&authority, 5, days);
        let trust = Authorities::new(authority.certificate().clone());
        Self::of(
            authority,
            &trust,
            keys,
            &certificate,
            &kept,
            configuration,
            seed,
        )
    }

    pub fn of(
        authority: Authority,
        trust: &Authorities,
        keys: Keys,
        certificate: &NodeCertificate,
        kept: &Kept,
        configuration: &str,
        seed: u64,
    ) -> Self {
        let config = Config::parse(configuration).unwrap();
        let texts = Texts {
            authorities: &trust.to_pem(),
            certificate: &certificate.to_pem(),
            key: &keys.key.to_pem(),
            static_key: Ok(&keys.fixed.to_pem()),
        };
        let credentials = Credentials::read(&texts, &registry_section(), &config).unwrap();
        let (held, said) = Held::restore(kept, &credentials.authorities);
        let values = json!({"hello-interval": 15, "update-interval": 60});
        let registry = RegistryModel {
            up: true,
            number: 1,
            parameters: parameters(&authority, 1, 1, 1, &values),
            revocations: (1, revocations(&authority, 1, &[])),
            mac_keys: mac_keys("0a", None),
            certificate: certificate.to_pem(),
            successions: Vec::new(),
            nodes: BTreeMap::new(),
            others: Vec::new(),
            busy: None,
            hears_too_much: None,
            impatient: false,
            refuses: false,
            refuses_renewal: false,
            shows: authority.certificate().clone(),
        };
        let babel = config.babel.unwrap();
        Self {
            member: Member::new(credentials, held, babel, config.networks, seed),
            authority,
            keys,
            registry,
            now: Now {
                elapsed: Time(1_000_000_000),
                wall: START,
            },
            said,
            kept: Vec::new(),
            asked: Vec::new(),
            disk_full: false,
            pending: None,
        }
    }

    /// Its X25519 key is not there.
    pub fn without_static_key() -> Self {
        let mut world = Self::new(365);
        let Credentials {
            authorities,
            certificate,
            key,
            ..
        } = world.member.credentials();
        let texts = Texts {
            authorities: &authorities.to_pem(),
            certificate: &certificate.to_pem(),
            key: &key.to_pem(),
            static_key: Err("it is not there".to_owned()),
        };
        let config = Config::parse(CONFIGURATION).unwrap();
        let credentials = Credentials::read(&texts, &registry_section(), &config).unwrap();
        let babel = config.babel.unwrap();
        world.member = Member::new(credentials, Held::default(), babel, config.networks, 7);
        world
    }

    /// Something happens now.
    pub fn input(&mut self, input: Input) {
        let mut actions = Vec::new();
        self.member.handle(self.now, input, &mut actions);
        for action in actions {
            match action {
                Action::Say(text) => self.said.push(text),
                Action::Keep(keep) if self.disk_full => {
                    self.input(Input::NotKept(keep, "disk full".to_owned()));
                }
                Action::Keep(keep) => self.kept.push(keep),
                Action::Ask(question) => {
                    let pending = self.pending.map(|(_, pending)| pending);
                    assert!(
                        pending.is_none_or(|pending| pending.waits()),
                        "one question at a time"
                    );
                    self.asked.push((self.now, question));
                    let patient = match question {
                        Question::Parameters { after, wait }
                            if self.registry.up
                                && !self.registry.impatient
                                && !self.registry.refuses
                                && after >= Some(self.registry.number) =>
                        {
                            wait
                        }
                        _ => Duration::from_millis(10),
                    };
                    self.pending = Some((self.now.elapsed + patient, question));
                }
            }
        }
    }

    /// Time passes.
    pub fn run(&mut self, span: Duration) {
        let end = self.now.elapsed + span;
        // a question and an answer a minute, and some more
        let most = 1000 + span.as_secs() / 15;
        let mut events = 0;
        self.input(Input::Time);
        loop {
            events += 1;
            assert!(events < most, "it does not come to rest: {:?}", self.said);
            let answer = self.pending.map(|(due, _)| due);
            let next = answer
                .unwrap_or(Time(u64::MAX))
                .min(self.member.next_deadline())
                // a deadline that is now has had its turn
                .max(self.now.elapsed + Duration::from_millis(1));
            if next > end {
                self.pass(end);
                return;
            }
            self.pass(next);
            match self.pending {
                Some((due, question)) if due <= self.now.elapsed => {
                    self.pending = None;
                    let trust = &self.member.credentials().authorities;
                    let answer = self.registry.answer(question, trust, self.now.wall);
                    self.input(Input::Answered(answer));
                }
                _ => self.input(Input::Time),
            }
        }
    }

    fn pass(&mut self, to: Time) {
        let whole = |elapsed: Time| elapsed.0 / 1_000_000;
        self.now.wall = self.now.wall.plus(whole(to) - whole(self.now.elapsed));
        self.now.elapsed = to;
    }

    pub fn run_days(&mut self, days: u64) {
        self.run(Duration::from_secs(days * DAY));
    }

    /// The registry has new parameters; who waits for them is answered.
    pub fn publish(&mut self, number: u64, mac_keys: u64, revocations: u64, values: &Value) {
        self.registry.number = number;
        self.registry.parameters =
            parameters(&self.authority, number, mac_keys, revocations, values);
        if let Some((due, Question::Parameters { .. })) = &mut self.pending {
            *due = self.now.elapsed;
        }
    }

    /// The registry goes; who waits is told.
    pub fn take_down(&mut self) {
        self.registry.up = false;
        if let Some((due, _)) = &mut self.pending {
            *due = self.now.elapsed;
        }
    }

    /// The same node after a restart, with what it kept.
    pub fn restarted(self, seed: u64) -> Self {
        let mut kept = Kept::default();
        for keep in &self.kept {
            match keep {
                Keep::Parameters(envelope) => kept.parameters = Some(envelope.clone()),
                Keep::Revocations(envelope) => kept.revocations = Some(envelope.clone()),
                Keep::MacKeys(keys) => kept.mac_keys = Some(keys.clone()),
                Keep::NodeKeys(keys) => kept.node_keys = Some(keys.clone()),
                Keep::Successions(statements) => kept.successions = Some(statements.clone()),
                Keep::Certificate(_) | Keep::Authorities(_) => {}
            }
        }
        let certificate = self.member.credentials().certificate.clone();
        let trust = self.trust().clone();
        let mut world = Self::of(
            self.authority,
            &trust,
            self.keys,
            &certificate,
            &kept,
            CONFIGURATION,
            seed,
        );
        world.registry = self.registry;
        world.now = self.now;
        world
    }

    pub fn trust(&self) -> &Authorities {
        &self.member.credentials().authorities
    }

    pub fn count(&self, kind: impl Fn(&Question) -> bool) -> usize {
        self.asked
            .iter()
            .filter(|(_, question)| kind(question))
            .count()
    }

    pub fn has_said(&self, words: &str) -> bool {
        self.said.iter().any(|text| text.contains(words))
    }
}
