//! The thread that holds the rules and the store. Requests wait for it in a bounded queue; those that have gathered while
//! the disk was writing are decided together and written in one transaction (group commit).
//!
//! What nodes fetch again and again does not come here: signed documents are published, and taken from there.

use std::{
    fmt,
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use tokio::{
    sync::{mpsc, oneshot, watch},
    time,
};

use super::{
    Handled, Registry, RegistryError, Request,
    publication::{Published, Publisher},
    rules::{
        Caller, Command, Notice, Randomness, Refusal, Reply,
        token::{Email, Token},
    },
    store::AuditLine,
};
use crate::{
    certificate::error::IssueError,
    io::{
        clock::{Clock, wall},
        log::Log,
        random,
    },
};

/// How many requests may wait.
const QUEUE: usize = 4096;
/// How many requests are decided together, at most.
const BATCH: usize = 256;
/// The longest time without looking at the clock, which may be set.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);
/// How long the thread may take to say how it is.
const HEALTH_PATIENCE: Duration = Duration::from_secs(5);

/// The operating system's randomness.
#[derive(Debug)]
pub struct SystemRandomness;

impl Randomness for SystemRandomness {
    fn fill(&mut self, buffer: &mut [u8]) {
        random::fill(buffer);
    }
}

/// Why the registry does not start.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The database cannot be used, or contradicts itself.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The authority's key.
    #[error("the network's documents cannot be signed: {0}")]
    Sign(#[from] IssueError),
    /// The first decisions failed.
    #[error("the registry cannot start: {0}")]
    Refused(#[from] Refusal),
    /// The thread.
    #[error("no thread for the registry: {0}")]
    Thread(#[from] std::io::Error),
    /// The thread has ended by itself.
    #[error("the registry's thread has ended: this is a bug, its last words are above")]
    Ended,
}

/// Something that is asked of the thread.
enum Job {
    Command {
        caller: Caller,
        command: Box<Command>,
        answer: oneshot::Sender<Result<Reply, Refusal>>,
    },
    Audit {
        after: i64,
        limit: usize,
        answer: oneshot::Sender<Result<Vec<AuditLine>, Refusal>>,
    },
    /// Whether the thread is there, and the disk takes what is decided.
    Health {
        answer: oneshot::Sender<Result<(), Refusal>>,
    },
    /// The last one.
    End,
}

/// A token on its way to somebody.
#[derive(Clone, Debug)]
pub struct TokenMail {
    /// Who gets it.
    pub email: Email,
    /// The token, in clear.
    pub token: Token,
}

/// The way to the thread.
#[derive(Clone)]
pub struct Engine {
    queue: SyncSender<Job>,
    published: watch::Receiver<Published>,
}

impl fmt::Debug for Engine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Engine").finish_non_exhaustive()
    }
}

/// The thread itself.
#[derive(Debug)]
pub struct EngineThread {
    queue: SyncSender<Job>,
    handle: JoinHandle<Result<(), RegistryError>>,
}

impl EngineThread {
    /// Lets it finish what waits in its queue, and close the database.
    pub fn end(self) -> Result<(), EngineError> {
        // to a thread that is gone already nothing can be said
        let _ = self.queue.send(Job::End);
        let closed = self.handle.join().map_err(|_| EngineError::Ended)?;
        Ok(closed?)
    }
}

impl Engine {
    /// Does what time has brought, publishes, and starts the thread. Tokens to be mailed go to `mails`.
    pub fn start(
        registry: Registry,
        publisher: Publisher,
        mails: mpsc::UnboundedSender<TokenMail>,
    ) -> Result<(Self, EngineThread), EngineError> {
        let mut worker = Worker {
            registry,
            publisher,
            mails,
            clock: Clock::new(),
            log: Log::default(),
        };
        let lost = worker.registry.lost();
        let lost = lost.map(|mark| Command::GoOnFrom { mark });
        let first = lost.into_iter().chain([Command::Time]);
        let first = first.map(|command| Request {
            from: Caller::Registry,
            command,
        });
        let first = worker.handle(first.collect());
        first.replies.into_iter().collect::<Result<Vec<_>, _>>()?;
        for notice in first.notices {
            if let Notice::Warning(text) = notice {
                worker.warn(&text);
            }
        }
        let (publish, published) = watch::channel(worker.publication()?);
        let (queue, jobs) = sync_channel(QUEUE);
        let handle = thread::Builder::new()
            .name("registry".into())
            .spawn(move || {
                worker.work(&jobs, &publish);
                worker.registry.close().map_err(RegistryError::from)
            })?;
        let engine = Self {
            queue: queue.clone(),
            published,
        };
        Ok((engine, EngineThread { queue, handle }))
    }

    /// What is published.
    pub fn published(&self) -> watch::Receiver<Published> {
        self.published.clone()
    }

    /// Waits until the thread has ended, for whatever reason.
    pub async fn ended(&self) {
        let mut published = self.published.clone();
        // the thread holds the sender
        while published.changed().await.is_ok() {}
    }

    /// Whether the thread answers, and the disk has taken what it was given last.
    ///
    /// # Errors
    ///
    /// It does not.
    pub async fn health(&self) -> Result<(), Refusal> {
        let (answer, answered) = oneshot::channel();
        self.send(Job::Health { answer })?;
        let waited = time::timeout(HEALTH_PATIENCE, answered).await;
        let slow = Refusal::Unavailable("it takes too long".into());
        waited.map_err(|_| slow)?.unwrap_or_else(|_| Err(ending()))
    }

    /// Asks, and waits until the answer is durable. A certificate comes with its text: never [`Reply::Present`].
    pub async fn ask(&self, caller: Caller, command: Command) -> Result<Reply, Refusal> {
        let (answer, answered) = oneshot::channel();
        self.send(Job::Command {
            caller,
            command: Box::new(command),
            answer,
        })?;
        answered.await.unwrap_or_else(|_| Err(ending()))
    }

    /// Tells of something that needs no answer; if the queue is full, another time will do.
    pub fn tell(&self, caller: Caller, command: Command) {
        let job = Job::Command {
            caller,
            command: Box::new(command),
            answer: oneshot::channel().0,
        };
        self.send(job).ok();
    }

    /// Lines of the audit log behind a number.
    pub async fn audit(&self, after: i64, limit: usize) -> Result<Vec<AuditLine>, Refusal> {
        let (answer, answered) = oneshot::channel();
        self.send(Job::Audit {
            after,
            limit,
            answer,
        })?;
        answered.await.unwrap_or_else(|_| Err(ending()))
    }

    fn send(&self, job: Job) -> Result<(), Refusal> {
        self.queue.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => {
                Refusal::Unavailable("it has more requests than it can answer".into())
            }
            TrySendError::Disconnected(_) => ending(),
        })
    }
}

fn ending() -> Refusal {
    Refusal::Unavailable("it is ending".into())
}

/// What the thread has.
struct Worker {
    registry: Registry,
    publisher: Publisher,
    mails: mpsc::UnboundedSender<TokenMail>,
    clock: Clock,
    log: Log,
}

type Waiting = oneshot::Sender<Result<Reply, Refusal>>;

impl Worker {
    fn work(&mut self, jobs: &Receiver<Job>, publish: &watch::Sender<Published>) {
        // by a clock that nobody sets
        let mut looked = Instant::now();
        loop {
            self.renew_list(publish);
            let mut next = match jobs.recv_timeout(self.sleep()) {
                Ok(job) => Some(job),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let mut requests = Vec::new();
            let mut waiting = Vec::new();
            let deadline = self.registry.next_deadline();
            if looked.elapsed() >= LONGEST_SLEEP
                || deadline.is_some_and(|deadline| deadline <= wall())
            {
                looked = Instant::now();
                requests.push(Request {
                    from: Caller::Registry,
                    command: Command::Time,
                });
                waiting.push(None);
            }
            let mut end = false;
            while let Some(job) = next.take() {
                match job {
                    Job::Command {
                        caller,
                        command,
                        answer,
                    } => {
                        requests.push(Request {
                            from: caller,
                            command: *command,
                        });
                        waiting.push(Some(answer));
                    }
                    Job::Audit {
                        after,
                        limit,
                        answer,
                    } => {
                        let lines = self.registry.audit(after, limit);
                        let lines = lines.map_err(|error| Refusal::Unavailable(error.to_string()));
                        answer.send(lines).ok();
                    }
                    Job::Health { answer } => {
                        answer.send(self.registry.health()).ok();
                    }
                    Job::End => {
                        end = true;
                        break;
                    }
                }
                if requests.len() < BATCH {
                    next = jobs.try_recv().ok();
                }
            }
            self.decide(requests, waiting, publish);
            if end {
                return;
            }
        }
    }

    /// Until there is something to do, unless somebody asks.
    fn sleep(&self) -> Duration {
        let deadline = self.registry.next_deadline();
        let seconds = deadline.map(|deadline| deadline.since(wall()).max(1));
        seconds.map_or(LONGEST_SLEEP, |seconds| {
            Duration::from_secs(seconds).min(LONGEST_SLEEP)
        })
    }

    fn decide(
        &mut self,
        requests: Vec<Request>,
        waiting: Vec<Option<Waiting>>,
        publish: &watch::Sender<Published>,
    ) {
        if requests.is_empty() {
            return;
        }
        let handled = self.handle(requests);
        let mut changed = false;
        for notice in handled.notices {
            match notice {
                Notice::Mail { email, token } => {
                    // without anybody who mails, the rules let nobody ask for it
                    self.mails.send(TokenMail { email, token }).ok();
                }
                Notice::Parameters(_) | Notice::Revocations(_) => changed = true,
                Notice::Warning(text) => self.warn(&text),
            }
        }
        if changed {
            match self.publication() {
                Ok(published) => {
                    publish.send_replace(published);
                }
                Err(error) => {
                    self.warn(&format!("{error}; nodes get what was published before"));
                }
            }
        }
        // whoever hears of a change finds it published
        for (reply, waiting) in handled.replies.into_iter().zip(waiting) {
            let reply = reply.and_then(|reply| self.with_text(reply));
            if let Some(waiting) = waiting {
                // whoever has gone away will ask again
                waiting.send(reply).ok();
            }
        }
    }

    /// Signs the X.509 revocation list again in time, also where nothing changes.
    fn renew_list(&mut self, publish: &watch::Sender<Published>) {
        let renewed = self.publisher.renew_list(wall(), &publish.borrow());
        match renewed {
            Ok(None) => {}
            Ok(Some(list)) => publish.send_modify(|published| published.crl = list),
            Err(error) => self.warn(&format!(
                "the X.509 revocation list is not renewed: {error}"
            )),
        }
    }

    fn warn(&mut self, text: &str) {
        let line = format!("WARNING: {text}");
        self.log.say(self.clock.elapsed(), &line);
    }

    fn handle(&mut self, requests: Vec<Request>) -> Handled {
        self.registry
            .handle(wall(), &mut SystemRandomness, requests)
    }

    fn with_text(&self, reply: Reply) -> Result<Reply, Refusal> {
        let Reply::Present(certificate) = reply else {
            return Ok(reply);
        };
        let missing = || Refusal::Unavailable("the certificate's text is missing".into());
        let prefix = certificate.prefix.parse().map_err(|_| missing())?;
        let pem = self.registry.pem(prefix);
        let pem = pem.map_err(|error| Refusal::Unavailable(error.to_string()))?;
        Ok(Reply::Issued {
            pem: pem.ok_or_else(missing)?.into(),
            certificate,
        })
    }

    fn publication(&mut self) -> Result<Published, EngineError> {
        let ask = |command| Request {
            from: Caller::Registry,
            command,
        };
        let requests = vec![
            ask(Command::FetchParameters),
            ask(Command::FetchRevocations),
        ];
        let mut replies = self.handle(requests).replies.into_iter();
        let (parameters, revocations) = (replies.next(), replies.next());
        match (parameters.transpose()?, revocations.transpose()?) {
            (
                Some(Reply::Parameters { document, mac_keys }),
                Some(Reply::Revocations(revocations)),
            ) => Ok(self
                .publisher
                .publish(wall(), &document, &revocations, &mac_keys)?),
            _ => Err(Refusal::Unavailable("nothing is there to be published".into()).into()),
        }
    }
}
