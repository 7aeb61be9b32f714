//! One request at a time over a kept connection: HTTP/1.1 over TLS, or over the Unix socket of a registry on this host.

use std::{
    fmt, io,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    body::Bytes,
    http::{HeaderMap, Method, Request, StatusCode, Uri, header},
};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::{CertificateError, pki_types::ServerName, sign::CertifiedKey};
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpSocket, TcpStream, UnixStream, lookup_host},
    time,
};
use tokio_rustls::TlsConnector;

use super::race;
use crate::certificate::{
    authority::AuthorityCertificate,
    node::REGISTRY_NAME,
    tls::{self, RegistryVerifier, Trust},
};

/// How long connecting may take, with the TLS handshake, to all addresses together.
const CONNECT: Duration = Duration::from_secs(10);
/// Octets of TCP in a packet, at most, either way: every path of IPv6 carries them (1,280, less its header and TCP's).
const SEGMENT: u32 = 1_220;
/// The biggest response, in bytes: what is revoked in a network of many nodes.
const MAXIMUM_RESPONSE: usize = 32 << 20;

/// Why a registry did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The address is none.
    #[error("{0:?} is no registry's address; expected one such as https://registry.example/")]
    Url(String),
    /// It is away, or the way to it is. Worth trying again.
    #[error("the registry {registry} cannot be reached: {problem}")]
    Unreachable {
        /// Where it should be.
        registry: String,
        /// What happened.
        problem: String,
    },
    /// Somebody else answered.
    #[error("{registry} is not the network's registry: {why}")]
    NotTrusted {
        /// Where it should be.
        registry: String,
        /// How that is known.
        why: String,
    },
    /// It says no.
    #[error("the registry refuses: {message}")]
    Refused {
        /// The status of the HTTP response.
        status: StatusCode,
        /// For programs: [`crate::registry::rules::Refusal::code`], or one of the server's own.
        code: String,
        /// For people.
        message: String,
        /// When it is worth trying again, if the registry says so.
        retry_after: Option<Duration>,
    },
    /// It answers something that makes no sense.
    #[error("the registry's answer makes no sense: {0}; are both of one version?")]
    Unintelligible(String),
    /// Our own key cannot be used.
    #[error("the private key cannot be used for TLS: {0}")]
    Key(String),
}

impl ClientError {
    /// Whether the same request may be answered later.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Refused {
                status,
                retry_after,
                ..
            } => retry_after.is_some() || status.is_server_error(),
            _ => false,
        }
    }
}

/// Connects by small segments: the way may be narrow, and what says so may be filtered (RFC 2923, section 2.1).
async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    SockRef::from(&socket).set_tcp_mss(SEGMENT)?;
    socket.set_nodelay(true)?;
    socket.connect(address).await
}

/// Where a registry is, and how it is spoken to.
pub struct Connection {
    place: Place,
    tls: Option<(TlsConnector, Arc<RegistryVerifier>)>,
    idle: Mutex<Option<SendRequest<Full<Bytes>>>>,
}

#[derive(Clone, Debug)]
enum Place {
    Network {
        host: String,
        port: u16,
        base: String,
    },
    Socket(PathBuf),
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network { host, port, base } if host.contains(':') => {
                write!(formatter, "https://[{host}]:{port}{base}/")
            }
            Self::Network { host, port, base } => write!(formatter, "https://{host}:{port}{base}/"),
            Self::Socket(path) => path.display().fmt(formatter),
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Connection to {}", self.place)
    }
}

/// What a registry answered.
#[derive(Debug)]
pub struct Answer {
    /// The status of the HTTP response.
    pub status: StatusCode,
    /// The fields of the head.
    pub headers: HeaderMap,
    /// The whole body, at most 32 MiB.
    pub body: Bytes,
}

impl Connection {
    /// To `https://...`. Nothing is connected to yet. `identity` is what we show in the TLS handshake, if anything.
    pub fn network(
        url: &str,
        trust: Trust,
        identity: Option<CertifiedKey>,
    ) -> Result<Self, ClientError> {
        let (config, verifier) = tls::client(trust, identity)
            .map_err(|error| ClientError::Unintelligible(error.to_string()))?;
        Ok(Self {
            place: place(url).ok_or_else(|| ClientError::Url(url.to_owned()))?,
            tls: Some((TlsConnector::from(Arc::new(config)), verifier)),
            idle: Mutex::default(),
        })
    }

    /// To the Unix socket of a registry on this host.
    pub fn socket(path: PathBuf) -> Self {
        Self {
            place: Place::Socket(path),
            tls: None,
            idle: Mutex::default(),
        }
    }

    /// Over a stream that is open already.
    pub async fn stream<S>(stream: S) -> Result<Self, ClientError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let connection = Self::socket(PathBuf::from("this process"));
        let sender = connection.shake_hands(stream).await?;
        connection.keep(sender);
        Ok(connection)
    }

    /// The certificate of the authority whose registry answered last.
    pub fn authority(&self) -> Option<AuthorityCertificate> {
        self.tls.as_ref().and_then(|(_, verifier)| verifier.seen())
    }

    /// Connects, if there is no connection.
    pub async fn connect(&self) -> Result<(), ClientError> {
        let sender = self.sender().await?;
        self.keep(sender);
        Ok(())
    }

    /// Sends a request and waits for the whole answer, for so long.
    pub async fn send(
        &self,
        method: &Method,
        path: &str,
        body: Option<Bytes>,
        patience: Duration,
    ) -> Result<Answer, ClientError> {
        let exchange = async {
            let mut body = body;
            // a kept connection may have been closed by the other side
            for _ in 0..2 {
                let kept = self.kept();
                let repeatable = kept.is_some();
                let mut sender = match kept {
                    Some(sender) => sender,
                    None => self.open().await?,
                };
                match sender
                    .try_send_request(self.request(method, path, body.take())?)
                    .await
                {
                    Ok(response) => {
                        let answer = self.read(response).await?;
                        self.keep(sender);
                        return Ok(answer);
                    }
                    Err(mut error) => match error.take_message() {
                        // it was never sent
                        Some(unsent) if repeatable => {
                            let sent = unsent.into_body().collect().await;
                            body = sent.ok().map(http_body_util::Collected::to_bytes);
                        }
                        None if repeatable && *method == Method::GET => {}
                        _ => return Err(self.unreachable(error.error())),
                    },
                }
            }
            Err(self.unreachable("it closes every connection"))
        };
        match time::timeout(patience, exchange).await {
            Ok(outcome) => outcome,
            Err(_) => Err(self.unreachable(format!("no answer in {} s", patience.as_secs()))),
        }
    }

    fn request(
        &self,
        method: &Method,
        path: &str,
        body: Option<Bytes>,
    ) -> Result<Request<Full<Bytes>>, ClientError> {
        let (base, host) = match &self.place {
            Place::Network { host, port, base } if host.contains(':') => {
                (base.as_str(), format!("[{host}]:{port}"))
            }
            Place::Network { host, port, base } => (base.as_str(), format!("{host}:{port}")),
            Place::Socket(_) => ("", "localhost".to_owned()),
        };
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{base}{path}"))
            .header(header::HOST, host)
            .header(
                header::USER_AGENT,
                concat!("re6st-user/", env!("CARGO_PKG_VERSION")),
            );
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        request
            .body(Full::new(body.unwrap_or_default()))
            .map_err(|error| ClientError::Unintelligible(error.to_string()))
    }

    async fn read(
        &self,
        response: hyper::Response<hyper::body::Incoming>,
    ) -> Result<Answer, ClientError> {
        let (head, body) = response.into_parts();
        let body = Limited::new(body, MAXIMUM_RESPONSE).collect().await;
        let body = body.map_err(|error| self.unreachable(error))?.to_bytes();
        Ok(Answer {
            status: head.status,
            headers: head.headers,
            body,
        })
    }

    fn kept(&self) -> Option<SendRequest<Full<Bytes>>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.take().filter(|sender| !sender.is_closed())
    }

    fn keep(&self, sender: SendRequest<Full<Bytes>>) {
        *self.idle.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
    }

    async fn sender(&self) -> Result<SendRequest<Full<Bytes>>, ClientError> {
        match self.kept() {
            Some(sender) => Ok(sender),
            None => self.open().await,
        }
    }

    async fn open(&self) -> Result<SendRequest<Full<Bytes>>, ClientError> {
        let opening = async {
            match (&self.place, &self.tls) {
                (Place::Network { host, port, .. }, Some((connector, _))) => {
                    let addresses = lookup_host((host.as_str(), *port)).await;
                    let addresses = addresses.map_err(|error| self.unreachable(error))?;
                    let name = ServerName::try_from(REGISTRY_NAME)
                        .map_err(|error| ClientError::Unintelligible(error.to_string()))?;
                    let attempt = |address| {
                        let (connector, name) = (connector.clone(), name.clone());
                        async move {
                            let stream = connect(address).await?;
                            connector.connect(name, stream).await
                        }
                    };
                    let stream = race::first(race::in_turns(addresses), attempt).await;
                    let stream = stream.map_err(|failures| self.no_address(failures))?;
                    self.shake_hands(stream).await
                }
                (Place::Socket(path), _) => {
                    let stream = UnixStream::connect(path).await;
                    self.shake_hands(stream.map_err(|error| self.unreachable(error))?)
                        .await
                }
                (Place::Network { .. }, None) => Err(self.unreachable("no TLS")),
            }
        };
        match time::timeout(CONNECT, opening).await {
            Ok(outcome) => outcome,
            Err(_) => Err(self.unreachable(format!("no answer in {} s", CONNECT.as_secs()))),
        }
    }

    async fn shake_hands<S>(&self, stream: S) -> Result<SendRequest<Full<Bytes>>, ClientError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| self.unreachable(error))?;
        // ends with the sender, whatever the other side does
        tokio::spawn(async move { connection.await.ok() });
        Ok(sender)
    }

    fn unreachable(&self, problem: impl fmt::Display) -> ClientError {
        ClientError::Unreachable {
            registry: self.place.to_string(),
            problem: problem.to_string(),
        }
    }

    /// Of the addresses, one where somebody else answers tells most.
    fn no_address(&self, failures: Vec<io::Error>) -> ClientError {
        let mut errors: Vec<_> = failures
            .into_iter()
            .map(|failure| self.refused_handshake(failure))
            .collect();
        let telling = errors
            .iter()
            .position(|error| matches!(error, ClientError::NotTrusted { .. }));
        match (telling, errors.is_empty()) {
            (_, true) => self.unreachable("its name has no address"),
            (index, false) => errors.swap_remove(index.unwrap_or(0)),
        }
    }

    fn refused_handshake(&self, error: io::Error) -> ClientError {
        let inner = error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<rustls::Error>());
        let why = match inner {
            Some(rustls::Error::InvalidCertificate(certificate)) => match certificate {
                CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                    "its certificate was not issued by this network's authority: the address leads to another registry, somebody is in between, the fingerprint is mistyped, or another authority has taken over".to_owned()
                }
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                    "its certificate, or its authority's, is not valid yet: is the clock of this host right?".to_owned()
                }
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                    "its certificate, or the authority's we know, has expired: is the clock of this host right?".to_owned()
                }
                CertificateError::NotValidForName
                | CertificateError::NotValidForNameContext { .. } => {
                    "it shows the certificate of something that is no registry".to_owned()
                }
                other => format!("its certificate: {other}"),
            },
            _ => return self.unreachable(error),
        };
        ClientError::NotTrusted {
            registry: self.place.to_string(),
            why,
        }
    }
}

/// Reads `https://HOST[:PORT][/BASE]`.
fn place(url: &str) -> Option<Place> {
    let uri: Uri = url.parse().ok()?;
    let https = uri.scheme_str() == Some("https") && uri.query().is_none();
    let authority = uri
        .authority()
        .filter(|authority| !authority.as_str().contains('@'))?;
    let host = authority.host();
    let host = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    (https && !host.is_empty()).then(|| Place::Network {
        host: host.to_owned(),
        port: authority.port_u16().unwrap_or(443),
        base: uri.path().trim_end_matches('/').to_owned(),
    })
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]
mod tests {
    use super::place;

    #[test]
    fn reads_urls() {
        for (url, shown) in [
            ("https://registry.example", "https://registry.example:443/"),
            ("https://registry.example/", "https://registry.example:443/"),
            (
                "https://registry.example:8443/base/",
                "https://registry.example:8443/base/",
            ),
            ("https://192.0.2.1:1/", "https://192.0.2.1:1/"),
            ("https://[2001:db8::1]", "https://[2001:db8::1]:443/"),
        ] {
            let place = place(url).map(|place| place.to_string());
            assert_eq!(place.as_deref(), Some(shown), "{url}");
        }
    }

    #[test]
    fn refuses_urls_that_are_not_of_a_registry() {
        for url in [
            "",
            "registry.example",
            "http://registry.example/",
            "https://",
            "https://user:secret@registry.example/",
            "https://registry.example/?token=x",
            "https:///path",
        ] {
            assert!(place(url).is_none(), "{url}");
        }
    }
}
