//! The registry as a process: opens what the configuration names, serves until it is told to end, and ends without losing
//! anything it has acknowledged.

use std::{
    fs::{self, File},
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use nix::{
    fcntl::{Flock, FlockArg},
    sys::resource::{Resource, getrlimit},
};
use tokio::{
    net::{TcpListener, UnixListener},
    sync::{Mutex, mpsc, watch},
    time,
};
use tokio_rustls::TlsAcceptor;

use super::{
    Registry,
    config::RegistryConfig,
    engine::{Engine, EngineError, EngineThread, TokenMail},
    http::{
        connections::{Bounds, Connections},
        face::Face,
        operator_router, public_router,
        serve::{self, Patience},
    },
    keys::{Keys, KeysError},
    location::{Locations, LocationsError},
    mail::{MailError, Mailer},
    mailing::{self, MailText, Outbox},
    own_certificate::{self, OwnCertificate, ServerCertificate},
    publication::Publisher,
    rules::Settings,
    store::StoreError,
};
use crate::{
    certificate::tls,
    io::{
        clock::{Clock, wall},
        file, supervisor,
    },
};

/// Files that are no connections.
const OTHER_FILES: usize = 64;
/// What peers may take.
pub const PATIENCE: Patience = Patience {
    handshake: Duration::from_secs(10),
    head: Duration::from_secs(30),
    body: Duration::from_secs(10),
    acknowledgment: Duration::from_secs(30),
    end: Duration::from_secs(5),
};

/// Why the registry does not run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A file.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Another process has it.
    #[error(
        "the registry of {} is already open in another process: end that one first, or use its socket",
        .0.display()
    )]
    Locked(PathBuf),
    /// The authority's keys, or the server's.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The rules or the store.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The locations' database.
    #[error("{}: {source}", path.display())]
    Locations {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: LocationsError,
    },
    /// The mail settings.
    #[error("[mail]: {0}")]
    Mail(#[from] MailError),
    /// An address.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the kernel said.
        source: io::Error,
    },
}

impl ServeError {
    /// About a file that cannot be read or written.
    fn file(path: &Path) -> impl Fn(io::Error) -> Self + '_ {
        |source| Self::File {
            path: path.to_owned(),
            source,
        }
    }
}

/// A registry that this process alone has open.
#[derive(Debug)]
pub struct OpenRegistry {
    /// What it answers.
    pub face: Arc<Face>,
    keys: Arc<Keys>,
    thread: EngineThread,
    mails: mpsc::UnboundedReceiver<TokenMail>,
    stop: watch::Sender<bool>,
    _lock: Flock<File>,
}

impl OpenRegistry {
    /// Opens everything the configuration names.
    pub fn open(config: &RegistryConfig) -> Result<Self, ServeError> {
        let lock = lock(&config.database)?;
        let keys = Arc::new(Keys::open(config)?);
        let settings = Settings {
            authorities: keys.named(wall()),
            ..config.settings(keys.all())
        };
        let locations = match &config.locations {
            None => None,
            Some(path) => Some(Locations::open(path).map_err(|source| {
                let path = path.clone();
                ServeError::Locations { path, source }
            })?),
        };
        let issuer = Box::new(Arc::clone(&keys));
        let registry =
            Registry::open(&config.database, settings, issuer).map_err(EngineError::from)?;
        for (prefix, reason) in registry.unreadable() {
            eprintln!(
                "WARNING: the certificate of {} cannot be read ({reason}); its prefix stays taken",
                prefix.common_name()
            );
        }
        let publisher = Publisher::new(Arc::clone(&keys));
        let (mail, mails) = mpsc::unbounded_channel();
        let (engine, thread) = Engine::start(registry, publisher, mail)?;
        let (stop, stopped) = watch::channel(false);
        let face = Face {
            published: engine.published(),
            engine,
            locations,
            grace: config.grace().as_secs(),
            stop: stopped,
            present: Mutex::default(),
            clock: Clock::new(),
            health: Mutex::default(),
        };
        Ok(Self {
            face: Arc::new(face),
            keys,
            thread,
            mails,
            stop,
            _lock: lock,
        })
    }

    /// Finishes what was acknowledged and leaves one file.
    pub fn close(self) -> Result<(), ServeError> {
        self.stop.send_replace(true);
        Ok(self.thread.end()?)
    }
}

/// Keeps every other process off the database, by whatever name it calls it: the lock is the file's own. SQLite's locks are
/// of another kind, which whoever closes the file loses; so this is closed after SQLite has done.
fn lock(database: &Path) -> Result<Flock<File>, ServeError> {
    let opened = file::open(database).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => {
            EngineError::Registry(StoreError::Missing(database.to_owned()).into()).into()
        }
        _ => ServeError::file(database)(source),
    })?;
    Flock::lock(opened, FlockArg::LockExclusiveNonblock)
        .map_err(|_| ServeError::Locked(database.to_owned()))
}

/// Serves until `end` is done, with [`PATIENCE`] unless a test is in a hurry. `ready` is called as soon as requests are answered, with the addresses listened on.
pub async fn serve(
    config: &RegistryConfig,
    patience: Patience,
    ready: impl FnOnce(&[SocketAddr]),
    end: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let mailer = config.mail.as_ref().map(Mailer::new).transpose()?;
    let mut registry = OpenRegistry::open(config)?;
    let waiting = config.database.with_extension("outbox");
    let outbox = Outbox::open(&waiting).map_err(ServeError::file(&waiting))?;
    let stop = registry.stop.subscribe();
    let engine = registry.face.engine.clone();
    let own = OwnCertificate::new(&registry.keys, wall())?;
    let certificate = Arc::new(ServerCertificate::new(own.key.clone()));
    let settings = tls::server(Arc::<ServerCertificate>::clone(&certificate));
    let acceptor = TlsAcceptor::from(Arc::new(settings.map_err(KeysError::from)?));
    let connections = Connections::new(places(config.connections));

    let mut serving = tokio::task::JoinSet::new();
    let mut addresses = Vec::new();
    for address in &config.listen {
        let failed = |source| ServeError::Listen {
            address: *address,
            source,
        };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        addresses.push(listener.local_addr().map_err(failed)?);
        serving.spawn(serve::tls(
            listener,
            acceptor.clone(),
            public_router(&registry.face),
            connections.clone(),
            patience,
            stop.clone(),
        ));
    }
    let listener = listen(&config.socket)?;
    let operator = operator_router(&registry.face);
    serving.spawn(serve::unix(listener, operator, patience, stop));
    let mails = std::mem::replace(&mut registry.mails, mpsc::unbounded_channel().1);
    let text = MailText::new(config, registry.keys.newest());
    // its end comes after that of whoever asks for mails
    let (end_mailing, mailing_ends) = watch::channel(false);
    let mailing = mailing::send_mails(mails, mailer, text, outbox, mailing_ends);
    let mailing = tokio::spawn(mailing);
    ready(&addresses);

    tokio::select! {
        () = end => {}
        () = own_certificate::care(&registry.keys, own, &certificate) => {}
        () = say_alive(&registry.face) => {}
        // without it nothing can be answered: its end is told below
        () = engine.ended() => {}
    }
    registry.stop.send_replace(true);
    while serving.join_next().await.is_some() {}
    end_mailing.send_replace(true);
    let _ = time::timeout(patience.end, mailing).await;
    fs::remove_file(&config.socket).ok();
    registry.close()
}

/// Tells whoever watches that questions are answered, however; for ever.
async fn say_alive(face: &Face) {
    let Some(watch) = supervisor::watch() else {
        return std::future::pending().await;
    };
    loop {
        let _ = face.health().await;
        supervisor::alive();
        time::sleep(watch).await;
    }
}

/// Each connection is a file: as many as the system gives us, and at most half of them for strangers.
fn places(configured: Bounds) -> Bounds {
    let files = getrlimit(Resource::RLIMIT_NOFILE).map_or(1024, |(files, _)| files);
    let files = usize::try_from(files).unwrap_or(usize::MAX);
    let files = files.saturating_sub(OTHER_FILES);
    let strangers = configured.strangers.min(files / 2);
    Bounds {
        strangers,
        nodes: configured.nodes.min(files - strangers),
        ..configured
    }
}

/// The socket of the operator's commands, for the registry's own user and root.
fn listen(path: &Path) -> Result<UnixListener, ServeError> {
    // we hold the lock: whatever is there is left from before
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(ServeError::file(path)(error));
        }
        _ => {}
    }
    // the process's umask keeps everybody else off
    UnixListener::bind(path).map_err(ServeError::file(path))
}
