//! The thread that asks the registry and keeps files. The controller gets what changed through a channel.

use std::{future::Future, io, path::Path, pin::Pin, sync::Arc, thread, time::Duration};

use anyhow::{Context as _, Result};
use tokio::{
    sync::{mpsc, watch},
    time,
};

use super::{
    babel::BabelParameters,
    channel::ChannelStanding,
    credentials::{Credentials, Texts},
    files::Files,
    held::Held,
    mac_keys::NetworkMacKeys,
    member::Member,
    mesh::MeshParameters,
    messages::{Action, Answer, Failure, FailureKind, Input, Keep, Question},
    node_keys::MOST_WANTED,
    presence::PresenceStanding,
    report::Report,
};
use crate::{
    certificate::{
        network::Network,
        node_prefix::NodePrefix,
        record::{NodeRecord, Whereabouts},
        tls::Trust,
    },
    config::{Babel, Config, Registry},
    io::{
        clock::{Clock, wall},
        file,
    },
    printable::printable,
    registry::client::{Client, ClientError},
};

/// How long a registry that says "later" without a time is left alone.
const LATER: Duration = Duration::from_secs(60);

/// How the member is, for the controller.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// The name in this node's certificate.
    pub node: NodePrefix,
    /// What Babel does from now on.
    pub babel: BabelParameters,
    /// What the network says of the mesh.
    pub mesh: MeshParameters,
    /// What channels to other nodes are made from; none if this node can have none, which the report's warnings say.
    pub channel: Option<ChannelStanding>,
    /// Where this node is, and which others are there.
    pub presence: PresenceStanding,
    /// For people.
    pub report: Report,
}

/// What others ask of the thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// The X25519 key of another node: [`ChannelStanding::keys`] has it when it is there. One that is known is asked for again,
    /// at most once a minute.
    NodeKey(NodePrefix),
    /// A signed document that came from somebody.
    Document(Vec<u8>),
    /// Where this node is: the registry is told, and [`PresenceStanding::own`] says it to others.
    Whereabouts(Whereabouts),
    /// Nobody is to be told any more where this node is.
    Hidden,
    /// So many other nodes are wanted: [`PresenceStanding::others`] has them when they are known.
    Others(u8),
}

/// How the thread is asked.
#[derive(Clone, Debug)]
pub struct Requests {
    nodes: mpsc::Sender<NodePrefix>,
    documents: mpsc::Sender<Vec<u8>>,
    presence: mpsc::Sender<Input>,
}

/// What others have asked.
struct Asked {
    nodes: mpsc::Receiver<NodePrefix>,
    documents: mpsc::Receiver<Vec<u8>>,
    presence: mpsc::Receiver<Input>,
}

/// What is said and asked of whereabouts that waits.
const WAITING_PRESENCE: usize = 16;
/// How many documents wait, which may have megabytes.
const WAITING_DOCUMENTS: usize = 4;

impl Requests {
    fn channel() -> (Self, Asked) {
        let (nodes, asked_nodes) = mpsc::channel(MOST_WANTED);
        let (documents, asked_documents) = mpsc::channel(WAITING_DOCUMENTS);
        let (presence, asked_presence) = mpsc::channel(WAITING_PRESENCE);
        let asked = Asked {
            nodes: asked_nodes,
            documents: asked_documents,
            presence: asked_presence,
        };
        let requests = Self {
            nodes,
            documents,
            presence,
        };
        (requests, asked)
    }

    /// Asks, and waits for nothing. False if it was not taken, because too much waits.
    pub fn send(&self, request: Request) -> bool {
        match request {
            Request::NodeKey(node) => self.nodes.try_send(node).is_ok(),
            Request::Document(envelope) => self.documents.try_send(envelope).is_ok(),
            Request::Whereabouts(where_we_are) => {
                let input = Input::Whereabouts(where_we_are);
                self.presence.try_send(input).is_ok()
            }
            Request::Hidden => self.presence.try_send(Input::Hidden).is_ok(),
            Request::Others(count) => self.presence.try_send(Input::WantOthers(count)).is_ok(),
        }
    }
}

/// A member that is about to start.
#[derive(Debug)]
pub struct Membership {
    member: Member,
    files: Files,
    url: String,
    clock: Clock,
    client: Option<Arc<Client>>,
    /// What people should know.
    pub notes: Vec<String>,
}

type Asking = Pin<Box<dyn Future<Output = Result<Answer, Failure>>>>;

impl Membership {
    /// Reads the files of the section `[registry]` and what was kept in the state directory, and checks that all of it
    /// belongs together. Nothing is asked of the registry yet.
    ///
    /// # Errors
    /// A file of the section cannot be read, or is not what it should be.
    pub fn open(
        registry: &Registry,
        babel: &Babel,
        config: &Config,
        state: &Path,
        seed: u64,
    ) -> Result<Self> {
        let text = |path: &Path| {
            file::read_text(path).with_context(|| {
                format!(
                    "{}: cannot be read; `re6st-user conf` writes it",
                    path.display()
                )
            })
        };
        let (authorities, certificate) = (text(&registry.ca)?, text(&registry.certificate)?);
        let key = zeroize::Zeroizing::new(text(&registry.key)?);
        let static_key = file::read_text(&registry.static_key);
        let static_key = static_key.map(zeroize::Zeroizing::new);
        let static_key = static_key.map_err(|error| format!("it cannot be read: {error}"));
        let texts = Texts {
            authorities: &authorities,
            certificate: &certificate,
            key: &key,
            static_key: static_key
                .as_ref()
                .map(|text| text.as_str())
                .map_err(Clone::clone),
        };
        let credentials = Credentials::read(&texts, registry, config)?;
        let files = Files::new(registry, state);
        let (kept, mut notes) = files.kept();
        let (held, unusable) = Held::restore(&kept, &credentials.authorities);
        notes.extend(unusable);
        let no_channels = credentials.static_key.as_ref().err();
        notes.extend(no_channels.map(|why| format!("WARNING: no channels to other nodes: {why}")));
        let networks = config.networks.clone();
        Ok(Self {
            member: Member::new(credentials, held, babel.clone(), networks, seed),
            files,
            url: registry.url.clone(),
            clock: Clock::new(),
            client: None,
            notes,
        })
    }

    /// Which node of which network this one is.
    pub fn node(&self) -> (NodePrefix, Network) {
        let credentials = self.member.credentials();
        (
            credentials.certificate.prefix(),
            credentials.authorities.network(),
        )
    }

    /// How it is now.
    pub fn standing(&self) -> Standing {
        Standing {
            node: self.member.credentials().certificate.prefix(),
            babel: self.member.babel_parameters(),
            mesh: MeshParameters::of(self.member.held().network()),
            channel: self.member.channel().cloned(),
            presence: self.member.held().presence.standing().clone(),
            report: self.member.report(wall(), &self.url),
        }
    }

    /// Starts the thread. It ends with the process, or when nobody listens any more: whatever it writes is whole or not there.
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub fn start(self) -> io::Result<(watch::Receiver<Standing>, Requests)> {
        let (sender, receiver) = watch::channel(self.standing());
        let (requests, asked) = Requests::channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        thread::Builder::new()
            .name("membership".to_owned())
            .spawn(move || runtime.block_on(self.run(&sender, asked)))?;
        Ok((receiver, requests))
    }

    async fn run(mut self, listeners: &watch::Sender<Standing>, mut asked: Asked) {
        let mut asking: Option<Asking> = None;
        let mut input = Input::Time;
        loop {
            if let Some(question) = self.handle(input) {
                asking = Some(self.ask(question));
            }
            let standing = self.standing();
            listeners.send_if_modified(|last| {
                let changed = *last != standing;
                *last = standing;
                changed
            });
            let now = self.clock.elapsed();
            let wait = self.member.next_deadline().since(now);
            input = tokio::select! {
                outcome = answer(&mut asking) => Input::Answered(outcome),
                Some(node) = asked.nodes.recv() => Input::WantNodeKey(node),
                Some(envelope) = asked.documents.recv() => Input::Document(envelope),
                Some(input) = asked.presence.recv() => input,
                () = time::sleep(wait) => Input::Time,
                () = listeners.closed() => return,
            };
        }
    }

    /// Does what is to be done, but for the question, which is returned.
    fn handle(&mut self, input: Input) -> Option<Question> {
        let mut question = None;
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            let mut actions = Vec::new();
            let now = self.clock.now();
            self.member.handle(now, input, &mut actions);
            for action in actions {
                match action {
                    Action::Ask(asked) => question = Some(asked),
                    Action::Say(text) => eprintln!("registry: {}", printable(&text)),
                    Action::Keep(keep) => {
                        if matches!(keep, Keep::Certificate(_) | Keep::Authorities(_)) {
                            // the next question goes by another connection
                            self.client = None;
                        }
                        if let Err(problem) = self.files.keep(&keep) {
                            eprintln!("registry: cannot be kept: {problem}");
                            inputs.push(Input::NotKept(keep, problem));
                        }
                    }
                }
            }
        }
        question
    }

    fn client(&mut self) -> Result<Arc<Client>, ClientError> {
        if let Some(client) = &self.client {
            return Ok(Arc::clone(client));
        }
        let credentials = self.member.credentials();
        let client = Client::node(
            &self.url,
            &credentials.authorities,
            &credentials.certificate,
            &credentials.key,
        )?;
        Ok(Arc::clone(self.client.insert(Arc::new(client))))
    }

    fn ask(&mut self, question: Question) -> Asking {
        let client = match question {
            Question::Successions => Client::newcomer(&self.url, Trust::FirstSeen).map(Arc::new),
            _ => self.client(),
        };
        let held = (question == Question::HandBack).then(|| self.member.held().envelopes());
        let own = Own {
            documents: held.unwrap_or_default(),
            record: self.member.held().presence.standing().own.clone(),
        };
        Box::pin(async move { Ok(ask(&*client?, question, own).await?) })
    }
}

/// Waits for an answer, for ever if nothing was asked.
async fn answer(asking: &mut Option<Asking>) -> Result<Answer, Failure> {
    let outcome = match asking {
        Some(future) => future.await,
        None => std::future::pending().await,
    };
    *asking = None;
    outcome
}

/// What this node has to tell.
struct Own {
    /// The envelopes of the parameters and of the revocation list.
    documents: (String, Option<String>),
    record: Option<Arc<NodeRecord>>,
}

async fn ask(client: &Client, question: Question, own: Own) -> Result<Answer, ClientError> {
    Ok(match question {
        Question::Parameters { after, wait } => {
            let envelope = client.parameters(after, wait).await?;
            Answer::Document(envelope.map(|envelope| envelope.to_vec()))
        }
        Question::Revocations { after } => {
            let envelope = client.revocations(after, Duration::ZERO).await?;
            Answer::Document(envelope.map(|envelope| envelope.to_vec()))
        }
        Question::MacKeys { .. } => {
            let keys = NetworkMacKeys::try_from(client.mac_keys().await?);
            Answer::MacKeys(keys.map_err(|error| ClientError::Unintelligible(error.to_string()))?)
        }
        Question::HandBack => {
            let (parameters, revocations) = own.documents;
            client
                .hand_back(&parameters, revocations.as_deref())
                .await?;
            Answer::Taken
        }
        Question::Successions => Answer::Successions(client.successions().await?),
        Question::NodeKey { node } => {
            let certificate = client.node_certificate(node).await?;
            Answer::NodeCertificate(certificate.map(|certificate| certificate.certificate))
        }
        Question::Presence { count } => {
            let record = own.record.as_ref().map(|record| record.octets());
            Answer::Others(client.presence(record, count.into()).await?)
        }
        Question::Renewal => Answer::Certificate(client.renew(None).await?.certificate),
    })
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let kind = match &error {
            ClientError::Refused {
                retry_after: Some(wait),
                ..
            } => FailureKind::Busy(*wait),
            ClientError::Refused { status, .. } if status.as_u16() == 429 => {
                FailureKind::Busy(LATER)
            }
            ClientError::Refused { status, .. } if !status.is_server_error() => {
                FailureKind::Refused
            }
            ClientError::NotTrusted { .. } => FailureKind::Untrusted,
            _ => FailureKind::Away,
        };
        Self {
            message: error.to_string(),
            kind,
        }
    }
}
