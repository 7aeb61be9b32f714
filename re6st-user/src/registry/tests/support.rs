//! A registry to ask, and clients of every kind.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use rustls::{
    ClientConfig,
    pki_types::{CertificateDer, ServerName},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::{oneshot, watch},
    task::JoinHandle,
    time,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{
    certificate::{
        authority::Authority,
        digest::Fingerprint,
        key::{KeyAlgorithm, PrivateKey},
        node::{NodeCertificate, REGISTRY_NAME},
        request::CertificateRequest,
        subject::Subject,
        testing::{NETWORK, authority_between},
        tls::Trust,
        verify::Authorities,
    },
    io::clock::wall,
    registry::{
        api::MadeToken,
        client::{Client, ClientError},
        config::RegistryConfig,
        http::serve::Patience,
        server::{self, PATIENCE, ServeError},
        store::Store,
    },
    time::DAY,
};

/// A running registry of 2001:db8:42::/48. Ends when dropped.
pub struct TestRegistry {
    pub directory: TempDir,
    pub address: SocketAddr,
    pub authorities: Authorities,
    end: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<(), ServeError>>,
}

/// A node that has enrolled.
pub struct TestNode {
    pub key: PrivateKey,
    pub certificate: NodeCertificate,
}

/// An authority for the network of the tests.
pub fn authority() -> Authority {
    let now = wall();
    authority_between(NETWORK, now.minus(1000 * DAY), now.plus(1000 * DAY))
}

/// A key and a request for it.
pub fn newcomer() -> (PrivateKey, CertificateRequest) {
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let request = CertificateRequest::make(&key, None, &Subject::default()).unwrap();
    (key, request)
}

/// Writes what `registry init` would, with more lines in the configuration.
pub fn files(directory: &TempDir, authority: &Authority, more: &str) -> PathBuf {
    let path = |name: &str| directory.path().join(name);
    std::fs::write(path("ca.crt"), authority.certificate().to_pem()).unwrap();
    std::fs::write(path("ca.key"), authority.key().to_pem().as_bytes()).unwrap();
    let text = format!(
        "listen = \"127.0.0.1:0\"\nca = \"ca.crt\"\nca-key = \"ca.key\"\n\
         database = \"registry.db\"\nsocket = \"registry.sock\"\n{more}"
    );
    std::fs::write(path("registry.toml"), text).unwrap();
    Store::create(&path("registry.db")).unwrap();
    path("registry.toml")
}

impl TestRegistry {
    /// Open to anonymous newcomers.
    pub async fn start() -> Self {
        Self::with("anonymous-prefix-length = 16\n", PATIENCE).await
    }

    /// With other lines in its configuration, and its own patience.
    pub async fn with(more: &str, patience: Patience) -> Self {
        Self::of(&authority(), more, patience).await
    }

    /// Of this authority.
    pub async fn of(authority: &Authority, more: &str, patience: Patience) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = files(&directory, authority, more);
        let authorities = Authorities::new(authority.certificate().clone());
        Self::serve(directory, config, authorities, patience).await
    }

    pub async fn serve(
        directory: TempDir,
        config: PathBuf,
        authorities: Authorities,
        patience: Patience,
    ) -> Self {
        let config = RegistryConfig::from_path(&config).unwrap();
        let (end, ended) = oneshot::channel::<()>();
        let (tell, mut told) = watch::channel(None);
        let task = tokio::spawn(async move {
            let ready = move |addresses: &[SocketAddr]| {
                tell.send_replace(addresses.first().copied());
            };
            let end = async {
                ended.await.ok();
            };
            server::serve(&config, patience, ready, end).await
        });
        let address = match told.wait_for(Option::is_some).await {
            Ok(address) => address.unwrap(),
            Err(_) => panic!("{:?}", task.await),
        };
        Self {
            directory,
            address,
            authorities,
            end: Some(end),
            task,
        }
    }

    /// Ends it as SIGTERM does.
    pub async fn end(mut self) -> TempDir {
        self.end.take();
        self.task.await.unwrap().unwrap();
        self.directory
    }

    /// Ends it and starts it again, on another port.
    pub async fn restart(self) -> Self {
        let authorities = self.authorities.clone();
        let directory = self.end().await;
        let config = directory.path().join("registry.toml");
        Self::serve(directory, config, authorities, PATIENCE).await
    }

    pub fn url(&self) -> String {
        format!("https://{}/", self.address)
    }

    pub fn fingerprint(&self) -> Fingerprint {
        self.authorities.iter().next().unwrap().fingerprint()
    }

    /// A newcomer that knows whom to trust.
    pub fn client(&self) -> Client {
        let trust = Trust::Authorities(self.authorities.clone());
        Client::newcomer(&self.url(), trust).unwrap()
    }

    pub fn operator(&self) -> Client {
        Client::operator(self.directory.path().join("registry.sock"))
    }

    /// A node's client.
    pub fn as_node(&self, node: &TestNode) -> Client {
        Client::node(&self.url(), &self.authorities, &node.certificate, &node.key).unwrap()
    }

    /// Enrols anonymously.
    pub async fn enrol(&self) -> TestNode {
        let (key, request) = newcomer();
        let issued = self.client().enrol(&request, None, None).await.unwrap();
        let certificate = NodeCertificate::from_pem(&issued.certificate).unwrap();
        TestNode { key, certificate }
    }

    /// A token by the operator.
    pub async fn token(&self) -> String {
        let new = serde_json::json!({"email": "user@example.com"});
        let made: MadeToken = self
            .operator()
            .post("/v1/admin/tokens", &new)
            .await
            .unwrap();
        made.token
    }

    /// A TLS connection without the help of our client.
    pub async fn connect(&self) -> TlsStream<TcpStream> {
        let mut roots = rustls::RootCertStore::empty();
        for authority in self.authorities.iter() {
            roots
                .add(CertificateDer::from(authority.der().to_vec()))
                .unwrap();
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let stream = TcpStream::connect(self.address).await.unwrap();
        let name = ServerName::try_from(REGISTRY_NAME).unwrap();
        TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
            .unwrap()
    }

    /// Sends octets as they are, and gives what comes back until the server closes or is silent for a second.
    pub async fn raw(&self, request: &[u8]) -> String {
        let mut stream = self.connect().await;
        stream.write_all(request).await.unwrap();
        read_all(&mut stream, Duration::from_secs(1)).await
    }
}

/// What comes until the other side closes or is silent for so long.
pub async fn read_all(stream: &mut TlsStream<TcpStream>, silence: Duration) -> String {
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(Ok(length @ 1..)) = time::timeout(silence, stream.read(&mut buffer)).await {
        answer.extend(&buffer[..length]);
    }
    String::from_utf8_lossy(&answer).into_owned()
}

/// The status and the code of a refusal.
pub fn refused<T: std::fmt::Debug>(outcome: Result<T, ClientError>) -> (u16, String) {
    match outcome {
        Err(ClientError::Refused { status, code, .. }) => (status.as_u16(), code),
        other => panic!("not refused: {other:?}"),
    }
}
