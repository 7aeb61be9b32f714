//! Our registry, and load made by its own client.

use std::{
    fs,
    path::PathBuf,
    process::Command,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, ensure};
use nix::sys::signal::Signal;
use re6st_user::{
    certificate::{
        key::{KeyAlgorithm, PrivateKey},
        node::NodeCertificate,
        request::CertificateRequest,
        static_key::StaticKey,
        subject::Subject,
        tls::Trust,
        verify::Authorities,
    },
    registry::client::Client,
};
use tokio::runtime::{Builder, Runtime};

use super::Rate;
use crate::{
    bench::resident_memory, cleanup::wait_until, host::Host, node::re6st_user, process::Process,
};

/// TCP port of the registry.
pub const PORT: u16 = 4443;
/// How long the start may take.
const START: Duration = Duration::from_secs(20);
/// Newcomers are not slowed down: that is what is measured.
const WITHOUT_LIMITS: &str = "
[limits]
enrolments = { count = 1000000, seconds = 1 }
all-enrolments = { count = 1000000, seconds = 1 }
";

/// A running `re6st-user registry`.
pub struct Ours<'a> {
    host: &'a Host,
    directory: PathBuf,
    registry: Option<Process>,
    authorities: Authorities,
}

impl<'a> Ours<'a> {
    /// Starts one for a new network whose nodes need no token.
    pub fn start(host: &'a Host) -> Result<Self> {
        let directory = host.directory().join("registry");
        let mut init = Command::new(re6st_user()?);
        init.args(["registry", "init", "--network", "2001:db8:42::/48"])
            .args(["--listen", &format!("127.0.0.1:{PORT}")])
            .args(["--anonymous-prefix-length", "16", "--dir"])
            .arg(&directory);
        host.spawn(&mut init)?.wait(START)?.success()?;
        let file = directory.join("registry.toml");
        let text = fs::read_to_string(&file)?;
        fs::write(&file, text + WITHOUT_LIMITS)?;
        let mut serve = Command::new(re6st_user()?);
        serve.args(["registry", "--config"]).arg(&file);
        let authorities = Authorities::from_pem(&fs::read_to_string(directory.join("ca.crt"))?)?;
        let started = Self {
            registry: Some(host.spawn(&mut serve)?),
            host,
            directory,
            authorities,
        };
        let answers = wait_until(START, || started.answers());
        ensure!(answers, "the registry does not answer:\n{}", started.said());
        Ok(started)
    }

    fn said(&self) -> String {
        self.registry
            .as_ref()
            .map_or_else(String::new, Process::stderr)
    }

    fn url() -> String {
        format!("https://127.0.0.1:{PORT}/")
    }

    fn trust(&self) -> Trust {
        Trust::Authorities(self.authorities.clone())
    }

    fn answers(&self) -> bool {
        let authority = self.run(async || {
            let client = Client::newcomer(&Self::url(), self.trust())?;
            Ok(client.authority().await?)
        });
        authority.is_ok()
    }

    /// Runs something on a runtime whose threads are on the host.
    fn run<T: Send>(&self, work: impl AsyncFnOnce() -> Result<T> + Send) -> Result<T> {
        self.host.enter(|| runtime()?.block_on(work()))?
    }

    /// Newcomers without a token, some at a time, each on a connection of its own.
    pub fn enrol(&self, count: usize, clients: usize) -> Result<Rate> {
        // what newcomers do at home, at their leisure
        let requests: Vec<_> = (0..count)
            .map(|_| newcomer().map(|(_, request)| request))
            .collect::<Result<_>>()?;
        let waiting = Arc::new(Mutex::new(requests));
        let trust = self.trust();
        let time = self.run(async move || {
            let begin = Instant::now();
            let clients: Vec<_> = (0..clients)
                .map(|_| tokio::spawn(enrol_all(Arc::clone(&waiting), trust.clone())))
                .collect();
            for client in clients {
                client.await??;
            }
            Ok(begin.elapsed())
        })?;
        Ok(Rate(count as f64 / time.as_secs_f64()))
    }

    /// A node on a kept connection.
    async fn node(&self) -> Result<Client> {
        let (key, request) = newcomer()?;
        let client = Client::newcomer(&Self::url(), self.trust())?;
        let answer = client.enrol(&request, None, None).await?;
        let certificate = NodeCertificate::from_pem(&answer.certificate)?;
        Ok(Client::node(
            &Self::url(),
            &self.authorities,
            &certificate,
            &key,
        )?)
    }

    /// A node fetches the parameters over and over.
    pub fn fetch(&self, time: Duration) -> Result<Rate> {
        let latencies = self.latencies(time)?;
        let all: Duration = latencies.iter().sum();
        Ok(Rate(latencies.len() as f64 / all.as_secs_f64()))
    }

    /// What half of these fetches take at most.
    pub fn median_latency(&self, time: Duration) -> Result<Duration> {
        let mut latencies = self.latencies(time)?;
        latencies.sort();
        let middle = latencies.get(latencies.len() / 2);
        middle.copied().context("no fetch at all")
    }

    fn latencies(&self, time: Duration) -> Result<Vec<Duration>> {
        self.run(async || {
            let client = self.node().await?;
            let mut latencies = Vec::new();
            let end = Instant::now() + time;
            while Instant::now() < end {
                let begin = Instant::now();
                let document = client.parameters(None, Duration::ZERO).await?;
                latencies.push(begin.elapsed());
                ensure!(document.is_some(), "no parameters");
            }
            Ok(latencies)
        })
    }

    /// Resident memory of the process, in bytes.
    pub fn memory(&self) -> Result<u64> {
        let registry = self.registry.as_ref().context("it has ended")?;
        resident_memory(&registry.id().to_string())
    }
}

impl Drop for Ours<'_> {
    fn drop(&mut self) {
        if let Some(registry) = self.registry.take() {
            registry.stop(Signal::SIGTERM).ok();
        }
        fs::remove_dir_all(&self.directory).ok();
    }
}

fn runtime() -> Result<Runtime> {
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    runtime.map_err(|error| anyhow!("no runtime: {error}"))
}

fn newcomer() -> Result<(PrivateKey, CertificateRequest)> {
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256)?;
    let static_key = StaticKey::generate()?.public_key();
    let request = CertificateRequest::make(&key, Some(static_key), &Subject::default())?;
    Ok((key, request))
}

async fn enrol_all(waiting: Arc<Mutex<Vec<CertificateRequest>>>, trust: Trust) -> Result<()> {
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).pop();
    while let Some(request) = next() {
        let client = Client::newcomer(&Ours::url(), trust.clone())?;
        let answer = client.enrol(&request, None, None).await?;
        ensure!(
            answer.certificate.starts_with("-----BEGIN CERTIFICATE"),
            "no certificate"
        );
    }
    Ok(())
}
