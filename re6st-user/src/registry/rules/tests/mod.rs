//! The rules as an operator and his nodes see them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends where it fails"
)]

mod allocation;
mod clock;
mod communities;
mod enrolment;
mod history;
mod lookup;
mod network;
mod renewal;
mod restoration;
mod revocation;
mod tokens;

use std::net::IpAddr;

use super::{
    Caller, CertificateName, CertificateSummary, Command, Outcome, Randomness, Refusal, Reply,
    Rules, Settings, Stored, TokenRight, token::Email,
};
use crate::{
    certificate::{
        authority::Authority,
        key::{KeyAlgorithm, PrivateKey},
        network::Network,
        node::NodeCertificate,
        node_prefix::NodePrefix,
        request::CertificateRequest,
        subject::Subject,
        testing::authority_between,
    },
    rate::Rate,
    time::{DAY, Timestamp},
};

/// When the tests begin.
pub(in crate::registry) const START: Timestamp = Timestamp(1_800_000_000);

/// Not for secrets: each octet is one more than the last.
#[derive(Default)]
pub(in crate::registry) struct Counting(u8);

impl Randomness for Counting {
    fn fill(&mut self, buffer: &mut [u8]) {
        for octet in buffer {
            self.0 = self.0.wrapping_add(1);
            *octet = self.0;
        }
    }
}

/// An authority of a network.
pub(in crate::registry) fn authority(network: &str) -> Authority {
    authority_between(network, START.minus(DAY), START.plus(3_650 * DAY))
}

/// A newcomer's key, and a request for it.
pub(in crate::registry) fn newcomer() -> (PrivateKey, Box<CertificateRequest>) {
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).expect("a key");
    let request = request_for(&key);
    (key, request)
}

pub(in crate::registry) fn request_for(key: &PrivateKey) -> Box<CertificateRequest> {
    Box::new(CertificateRequest::make(key, None, &Subject::default()).expect("a request"))
}

/// What most tests begin with: both kinds of enrolment, and no limit in the way.
pub(in crate::registry) fn open_settings(network: &str) -> Settings {
    let unlimited = Rate {
        count: 1,
        seconds: 0,
    };
    Settings {
        anonymous_prefix_length: 16,
        mail: true,
        enrolments: unlimited,
        all_enrolments: unlimited,
        renewals: unlimited,
        token_requests: unlimited,
        all_token_requests: unlimited,
        mails: unlimited,
        ..Settings::new(network.parse::<Network>().expect("a network"))
    }
}

/// A registry, and its clock.
struct World {
    rules: Rules,
    random: Counting,
    now: Timestamp,
}

impl World {
    fn new() -> Self {
        Self::with(|_| {})
    }

    /// With other settings than [`open_settings`].
    fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let network = "2001:db8:42::/48";
        let mut settings = open_settings(network);
        change(&mut settings);
        let authority = authority(network);
        let rules =
            Rules::restore(settings, Box::new(authority), Stored::default()).expect("rules");
        let mut world = Self {
            rules,
            random: Counting::default(),
            now: START,
        };
        world.pass(0);
        world
    }

    fn outcome(&mut self, from: &Caller, command: Command) -> Outcome {
        self.rules.handle(self.now, &mut self.random, from, command)
    }

    fn ask(&mut self, from: &Caller, command: Command) -> Result<Reply, Refusal> {
        self.outcome(from, command).reply
    }

    fn operate(&mut self, command: Command) -> Result<Reply, Refusal> {
        self.ask(&operator(), command)
    }

    /// Lets time pass, and the rules notice; of a long time the operator says that it has passed.
    fn pass(&mut self, seconds: u64) {
        self.now = self.now.plus(seconds);
        let (from, command) = if seconds > DAY {
            (operator(), Command::ConfirmClock)
        } else {
            (Caller::Registry, Command::Time)
        };
        self.ask(&from, command).expect("time passes");
    }

    /// An anonymous newcomer's certificate and key.
    fn enrol(&mut self) -> Node {
        let (key, request) = newcomer();
        let reply = self.ask(&stranger(), enrol(None, request));
        Node::new(key, reply)
    }

    fn summary(&mut self, which: CertificateName) -> Result<CertificateSummary, Refusal> {
        match self.operate(Command::ShowCertificate { which })? {
            Reply::Present(summary) => Ok(*summary),
            other => panic!("{other:?}"),
        }
    }

    fn revoked(&mut self) -> Vec<u64> {
        let reply = self.ask(&Caller::Registry, Command::FetchRevocations);
        let Ok(Reply::Revocations(document)) = reply else {
            panic!("{reply:?}")
        };
        document
            .revoked
            .iter()
            .map(|revoked| revoked.serial.number())
            .collect()
    }

    /// The number of the parameters.
    fn number(&mut self) -> u64 {
        let reply = self.ask(&Caller::Registry, Command::FetchParameters);
        let Ok(Reply::Parameters { document, .. }) = reply else {
            panic!("{reply:?}")
        };
        document.number
    }
}

/// A node: what it got, and its key.
struct Node {
    key: PrivateKey,
    certificate: NodeCertificate,
}

impl Node {
    fn new(key: PrivateKey, reply: Result<Reply, Refusal>) -> Self {
        Self {
            key,
            certificate: issued(reply),
        }
    }

    fn caller(&self) -> Caller {
        Caller::Node {
            certificate: Box::new(self.certificate.clone()),
        }
    }

    fn prefix(&self) -> NodePrefix {
        self.certificate.prefix()
    }

    fn serial(&self) -> u64 {
        self.certificate.serial().number()
    }
}

/// The certificate in a reply, which has to agree with what is said about it.
fn issued(reply: Result<Reply, Refusal>) -> NodeCertificate {
    let Ok(Reply::Issued { certificate, pem }) = reply else {
        panic!("{reply:?}")
    };
    let read = NodeCertificate::from_pem(&pem).expect("a certificate");
    assert_eq!(read.serial(), certificate.serial);
    assert_eq!(read.prefix().common_name(), certificate.common_name);
    assert_eq!(read.subject_serial(), certificate.subject_serial);
    assert_eq!(read.not_after(), certificate.not_after);
    read
}

fn enrol(token: Option<super::token::Token>, request: Box<CertificateRequest>) -> Command {
    Command::Enrol {
        token,
        request,
        location: None,
    }
}

fn operator() -> Caller {
    Caller::Operator {
        name: "root".to_owned(),
    }
}

fn stranger() -> Caller {
    from("192.0.2.1")
}

fn from(address: &str) -> Caller {
    Caller::Anonymous {
        address: address.parse::<IpAddr>().expect("an address"),
    }
}
