//! Several addresses of one registry: Happy Eyeballs (RFC 8305), simple and bounded.

use std::{collections::VecDeque, future::Future, net::SocketAddr, time::Duration};

use tokio::{task::JoinSet, time};

/// How long an attempt is alone before the next one begins: between the 100 ms and 2 s of section 5. On the long side, because
/// attempts end with the TLS handshake: an address where somebody accepts and says nothing does not hold us up either.
const ALONE: Duration = Duration::from_secs(1);
/// Addresses tried, at most: all have begun before connecting is given up.
const MAXIMUM: usize = 8;

/// In the order in which they are tried: the two families in turns, beginning with the one the resolver prefers (section 4).
pub fn in_turns(addresses: impl IntoIterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let mut addresses: VecDeque<SocketAddr> = addresses.into_iter().collect();
    let mut ordered: Vec<SocketAddr> = addresses.pop_front().into_iter().collect();
    while let Some(last) = ordered.last()
        && ordered.len() < MAXIMUM
    {
        let other = |address: &SocketAddr| address.is_ipv4() != last.is_ipv4();
        let next = addresses.iter().position(other).unwrap_or(0);
        match addresses.remove(next) {
            Some(next) => ordered.push(next),
            None => break,
        }
    }
    ordered
}

/// The first attempt that succeeds. Each begins when the one before has failed, or has been alone for long enough; those that
/// lose are given up. If none succeeds, what was wrong with each.
pub async fn first<T, E, F>(
    addresses: Vec<SocketAddr>,
    attempt: impl Fn(SocketAddr) -> F,
) -> Result<T, Vec<E>>
where
    T: Send + 'static,
    E: Send + 'static,
    F: Future<Output = Result<T, E>> + Send + 'static,
{
    let mut waiting = addresses.into_iter();
    let mut attempts = JoinSet::new();
    let mut failures = Vec::new();
    loop {
        if let Some(address) = waiting.next() {
            attempts.spawn(attempt(address));
        }
        let outcome = tokio::select! {
            outcome = attempts.join_next() => outcome,
            () = time::sleep(ALONE), if waiting.len() > 0 => continue,
        };
        match outcome {
            Some(Ok(Ok(connected))) => return Ok(connected),
            Some(Ok(Err(failure))) => failures.push(failure),
            // it is given up with all others alone
            Some(Err(_)) => {}
            None => return Err(failures),
        }
    }
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]
mod tests {
    use std::{
        future,
        net::SocketAddr,
        os::fd::AsRawFd as _,
        sync::atomic::{AtomicUsize, Ordering},
        time::{Duration, Instant},
    };

    use nix::sys::socket::{
        AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, bind, listen, socket,
    };
    use tokio::{
        net::{TcpListener, TcpStream},
        time,
    };

    use super::{MAXIMUM, first, in_turns};

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn families_take_turns_and_none_is_left_out() {
        let (a, b, c) = ("[2001:db8::1]:1", "[2001:db8::2]:1", "[2001:db8::3]:1");
        let (x, y) = ("192.0.2.1:1", "192.0.2.2:1");
        for (resolved, tried) in [
            (vec![], vec![]),
            (vec![a], vec![a]),
            (vec![a, b, c], vec![a, b, c]),
            (vec![a, b, c, x, y], vec![a, x, b, y, c]),
            (vec![x, a, b], vec![x, a, b]),
        ] {
            assert_eq!(in_turns(addresses(&resolved)), addresses(&tried));
        }
        let many = (1..100).map(|port| SocketAddr::from(([192, 0, 2, 1], port)));
        assert_eq!(in_turns(many).len(), MAXIMUM);
    }

    /// Port 1 does not answer, port 2 refuses, port 3 is right.
    async fn outcome(ports: &[u16]) -> Result<u16, Vec<u16>> {
        let addresses = ports.iter().map(|port| ([192, 0, 2, 1], *port).into());
        first(addresses.collect(), |address| async move {
            match address.port() {
                1 => future::pending().await,
                2 => Err(2),
                port => Ok(port),
            }
        })
        .await
    }

    #[tokio::test]
    async fn whoever_answers_first_wins_whatever_the_others_do() {
        assert_eq!(outcome(&[3]).await, Ok(3));
        assert_eq!(outcome(&[2, 3]).await, Ok(3));
        assert_eq!(outcome(&[1, 3]).await, Ok(3));
        assert_eq!(outcome(&[1, 2, 3]).await, Ok(3));
        assert_eq!(outcome(&[2, 2]).await, Err(vec![2, 2]));
        assert_eq!(outcome(&[]).await, Err(vec![]));
    }

    /// A queue of connections that nobody accepts, and that is full: the kernel drops what would begin another one.
    #[tokio::test]
    async fn an_address_that_drops_packets_does_not_hold_up_the_other_one() {
        let silent = socket(
            AddressFamily::Inet,
            SockType::Stream,
            SockFlag::SOCK_CLOEXEC,
            None,
        );
        let silent = silent.unwrap();
        bind(silent.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 0)).unwrap();
        listen(&silent, Backlog::new(0).unwrap()).unwrap();
        let silent = std::net::TcpListener::from(silent);
        let drops = silent.local_addr().unwrap();
        let _fills = std::net::TcpStream::connect(drops).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let answers = listener.local_addr().unwrap();
        let alone = time::timeout(Duration::from_millis(300), TcpStream::connect(drops));
        assert!(alone.await.is_err(), "it does not drop");

        let connecting = first(vec![drops, answers], TcpStream::connect);
        let stream = time::timeout(Duration::from_secs(60), connecting).await;

        assert_eq!(stream.unwrap().unwrap().peer_addr().unwrap(), answers);
    }

    #[tokio::test]
    async fn an_address_is_not_tried_while_the_one_before_may_still_answer() {
        static TRIED: AtomicUsize = AtomicUsize::new(0);
        let begin = Instant::now();
        let both = addresses(&["192.0.2.1:1", "192.0.2.1:2"]);
        let won = first(both, |address| {
            TRIED.fetch_add(1, Ordering::Relaxed);
            future::ready(Ok::<_, ()>(address.port()))
        });
        assert_eq!(won.await, Ok(1));
        // a machine that stands still for a second lets the second one begin
        assert!(TRIED.load(Ordering::Relaxed) == 1 || begin.elapsed() > super::ALONE);
    }
}
