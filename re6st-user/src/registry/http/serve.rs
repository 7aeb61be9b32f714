//! Connections: accepted, bounded in number and time, each served by hyper until it ends.

use std::{
    convert::Infallible,
    io,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::{Body, Bytes},
    http::{Request, Response, StatusCode},
    response::IntoResponse as _,
};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use nix::{
    sys::socket::{setsockopt, sockopt::TcpUserTimeout},
    unistd::{Uid, User, getuid},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream},
    net::{TcpListener, TcpStream, UnixListener},
    sync::watch,
    task::JoinSet,
    time,
};
use tokio_rustls::TlsAcceptor;
use tower_service::Service as _;

use super::{
    connections::{Bounds, Connections, Source},
    identity::{Origin, Peer, Shown},
    problem::Problem,
};
use crate::{
    io::{clock::Clock, log::Log},
    registry::api::MAXIMUM_BODY,
};

/// The biggest head of a request, in bytes.
const MAXIMUM_HEAD: usize = 16 << 10;
/// The most fields in the head of a request.
const MAXIMUM_FIELDS: usize = 64;
/// How long to wait when the system is out of file descriptors or memory.
const OUT_OF_RESOURCES: Duration = Duration::from_millis(100);

/// Connections of the operator.
const UNIX: Bounds = Bounds {
    strangers: 64,
    nodes: 0,
    per_source: 64,
};
/// Whom they count for.
const NOBODY: Source = Source::Address(IpAddr::V4(Ipv4Addr::UNSPECIFIED));

/// How long a peer may take for everything it has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// The TLS handshake.
    pub handshake: Duration,
    /// The head of a request; also how long a connection may be idle before one.
    pub head: Duration,
    /// The body of a request.
    pub body: Duration,
    /// Acknowledging what it is sent.
    pub acknowledgment: Duration,
    /// Requests under way when the server ends.
    pub end: Duration,
}

/// Serves TLS on a listener until `stop` is true, and until all requests under way have been answered.
pub async fn tls(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    router: Router,
    connections: Connections,
    patience: Patience,
    mut stop: watch::Receiver<bool>,
) {
    let mut tasks = JoinSet::new();
    let (clock, mut log) = (Clock::new(), Log::default());
    loop {
        let accepted = tokio::select! {
            biased;
            () = stopped(&mut stop) => break,
            Some(_) = tasks.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                give_time(&error, &mut log, clock).await;
                continue;
            }
        };
        let address = address.ip().to_canonical();
        let ticket = Arc::new(connections.admit(Source::of(address), Instant::now()));
        let (acceptor, router, stop) = (acceptor.clone(), router.clone(), stop.clone());
        tasks.spawn(async move {
            let handshake = shake_hands(stream, &acceptor, patience);
            let stream = tokio::select! {
                outcome = handshake => outcome,
                () = ticket.closed() => return,
            };
            // a peer that does not speak TLS, or too slowly, is not worth a line in a log
            let Ok(stream) = stream else { return };
            let shown = stream.get_ref().1.peer_certificates();
            let certificate = shown.and_then(<[_]>::first).cloned();
            let peer = Peer {
                origin: Origin::Internet(address),
                certificate: certificate.map(|certificate| Shown::new(certificate.into_owned())),
                ticket,
            };
            connection(stream, peer, router, patience, stop).await;
        });
    }
    drop(listener);
    end(tasks, patience).await;
}

/// Serves the operator's commands on a Unix socket, as [`tls`] does.
pub async fn unix(
    listener: UnixListener,
    router: Router,
    patience: Patience,
    mut stop: watch::Receiver<bool>,
) {
    let connections = Connections::new(UNIX);
    let mut tasks = JoinSet::new();
    let (clock, mut log) = (Clock::new(), Log::default());
    loop {
        let accepted = tokio::select! {
            biased;
            () = stopped(&mut stop) => break,
            Some(_) = tasks.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let uid = stream.peer_cred().ok().map(|peer| peer.uid());
                let peer = Peer {
                    origin: Origin::Host(user_name(uid)),
                    certificate: None,
                    ticket: Arc::new(connections.admit(NOBODY, Instant::now())),
                };
                let (router, stop) = (router.clone(), stop.clone());
                tasks.spawn(connection(stream, peer, router, patience, stop));
            }
            Err(error) => give_time(&error, &mut log, clock).await,
        }
    }
    end(tasks, patience).await;
}

/// Serves one connection within this process.
pub async fn in_process(stream: DuplexStream, router: Router, patience: Patience) {
    let connections = Connections::new(UNIX);
    let peer = Peer {
        origin: Origin::Host(user_name(Some(getuid().as_raw()))),
        certificate: None,
        ticket: Arc::new(connections.admit(NOBODY, Instant::now())),
    };
    let (_sender, stop) = watch::channel(false);
    connection(stream, peer, router, patience, stop).await;
}

/// For the audit log.
fn user_name(uid: Option<u32>) -> String {
    let Some(uid) = uid else {
        return "unknown".into();
    };
    let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
    user.map_or_else(|| format!("uid {uid}"), |user| user.name)
}

/// Until the server is told to end.
pub async fn stopped(stop: &mut watch::Receiver<bool>) {
    // whoever could say so is gone: that is an end as well
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn end(mut tasks: JoinSet<()>, patience: Patience) {
    let all = async { while tasks.join_next().await.is_some() {} };
    let _ = time::timeout(patience.end, all).await;
    tasks.shutdown().await;
}

/// A connection that failed before it was accepted is its peer's business; anything else needs time to get better.
async fn give_time(error: &io::Error, log: &mut Log, clock: Clock) {
    if !matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    ) {
        let line = format!("WARNING: cannot accept connections: {error}; trying again");
        log.say(clock.elapsed(), &line);
        time::sleep(OUT_OF_RESOURCES).await;
    }
}

async fn shake_hands(
    stream: TcpStream,
    acceptor: &TlsAcceptor,
    patience: Patience,
) -> io::Result<tokio_rustls::server::TlsStream<TcpStream>> {
    stream.set_nodelay(true)?;
    // a peer that stops reading is noticed by the kernel
    let milliseconds = u32::try_from(patience.acknowledgment.as_millis()).unwrap_or(u32::MAX);
    setsockopt(&stream, TcpUserTimeout, &milliseconds)?;
    match time::timeout(patience.handshake, acceptor.accept(stream)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// Serves one connection until it ends, has to make room, or the server ends.
async fn connection<S>(
    stream: S,
    peer: Peer,
    router: Router,
    patience: Patience,
    mut stop: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let ticket = Arc::clone(&peer.ticket);
    let service =
        service_fn(move |request| answer(request, peer.clone(), router.clone(), patience));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(patience.head)
        .max_buf_size(MAXIMUM_HEAD)
        .max_headers(MAXIMUM_FIELDS)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    tokio::select! {
        // whatever ended it, there is nobody left to tell
        _ = connection.as_mut() => return,
        () = ticket.closed() => return,
        () = stopped(&mut stop) => connection.as_mut().graceful_shutdown(),
    }
    let _ = time::timeout(patience.end, connection).await;
}

/// Reads the whole request before anything is done for it.
async fn answer(
    request: Request<Incoming>,
    peer: Peer,
    mut router: Router,
    patience: Patience,
) -> Result<Response<Body>, Infallible> {
    let (head, body) = request.into_parts();
    let body = match whole(body, patience).await {
        Ok(body) => body,
        Err(problem) => return Ok(problem.into_response()),
    };
    let ticket = Arc::clone(&peer.ticket);
    ticket.set_answering(true, Instant::now());
    let mut request = Request::from_parts(head, Body::from(body));
    request.extensions_mut().insert(peer);
    let response = router.call(request).await;
    ticket.set_answering(false, Instant::now());
    response
}

async fn whole(body: Incoming, patience: Patience) -> Result<Bytes, Problem> {
    let read = Limited::new(body, MAXIMUM_BODY).collect();
    match time::timeout(patience.body, read).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too-large",
            format!("the body is bigger than {MAXIMUM_BODY} bytes"),
        )),
        Ok(Err(_)) => Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "bad-request",
            "the body ended too early or is not HTTP",
        )),
        Err(_) => Err(Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "timeout",
            "the body did not arrive in time",
        )),
    }
}
