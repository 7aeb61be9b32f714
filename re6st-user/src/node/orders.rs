//! What is wanted of a running node: an answer, its end, or that it takes up what its network has changed.
//!
//! A thread of its own waits for them, so that the node's loop waits for packets and for time alone: what it touches each
//! time it wakes is most of what it costs while all is calm.

use std::{
    io,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixListener,
    },
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use nix::sys::eventfd::{EfdFlags, EventFd};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net,
    signal::unix::{Signal, SignalKind, signal},
    sync::{oneshot, watch},
    time::Interval,
};

use super::control::{self, Question};
use crate::{io::supervisor, membership::shell::Standing};

/// For somebody to ask, and to take the answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is wanted.
#[derive(Debug)]
pub enum Order {
    /// An answer, as JSON.
    Answer(Question, oneshot::Sender<Vec<u8>>),
    /// That it looks at the network's parameters.
    Parameters,
    /// SIGHUP: that it takes up its configuration anew.
    Reload,
    /// That it says it is not stuck.
    Alive,
    /// That people know what does not work, or that it does by now.
    Doubt {
        /// What.
        about: String,
        /// Why, for people.
        text: Option<String>,
    },
    /// That it ends.
    End(Ending),
}

/// Why a node ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// SIGTERM: it is started again soon, perhaps.
    ForNow,
    /// SIGINT.
    ForGood,
}

/// Orders as they come. Readable when there are some.
#[derive(Debug)]
pub struct Orders {
    given: mpsc::Receiver<Order>,
    giver: Giver,
}

impl AsFd for Orders {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.giver.bell.as_fd()
    }
}

/// Who gives orders to a node.
#[derive(Clone, Debug)]
pub struct Giver {
    orders: mpsc::Sender<Order>,
    bell: Arc<EventFd>,
}

impl Giver {
    /// Whose orders come out at the other end.
    ///
    /// # Errors
    /// The operating system gives no event.
    pub fn new() -> io::Result<(Self, mpsc::Receiver<Order>)> {
        let (orders, given) = mpsc::channel();
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let bell = Arc::new(EventFd::from_value_and_flags(0, flags)?);
        Ok((Self { orders, bell }, given))
    }

    /// Gives one. The node may have ended meanwhile; then so does the process.
    pub fn give(&self, order: Order) {
        let _ = self.orders.send(order);
        let _ = self.bell.write(1);
    }
}

impl Orders {
    /// Begins to wait for signals, for connections to the control socket, and for news of the network.
    ///
    /// # Errors
    /// What keeps the thread from running.
    pub fn begin(
        listener: UnixListener,
        mut membership: Option<watch::Receiver<Standing>>,
    ) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()?;
        let context = runtime.enter();
        listener.set_nonblocking(true)?;
        let listener = net::UnixListener::from_std(listener)?;
        let terminate = signal(SignalKind::terminate())?;
        let interrupt = signal(SignalKind::interrupt())?;
        let hangup = signal(SignalKind::hangup())?;
        // the log is standard error: there is none to open again, and it is no reason to end
        let reopen = signal(SignalKind::user_defined1())?;
        drop(context);
        let (giver, given) = Giver::new()?;
        let attendant = giver.clone();
        thread::Builder::new()
            .name("orders".into())
            .spawn(move || {
                let signals = [terminate, interrupt, hangup, reopen];
                runtime.block_on(attendant.attend(listener, signals, &mut membership));
            })?;
        Ok(Self { given, giver })
    }

    /// Those given since the last time.
    pub fn take(&self) -> impl Iterator<Item = Order> + '_ {
        // what is given from here on rings again
        let _ = self.giver.bell.read();
        self.given.try_iter()
    }

    /// For others who have orders to give.
    pub fn giver(&self) -> Giver {
        self.giver.clone()
    }
}

impl Giver {
    async fn attend(
        self,
        listener: net::UnixListener,
        [mut terminate, mut interrupt, mut hangup, _reopen]: [Signal; 4],
        membership: &mut Option<watch::Receiver<Standing>>,
    ) {
        let mut watch = supervisor::watch().map(tokio::time::interval);
        loop {
            tokio::select! {
                connection = listener.accept() => {
                    if let Ok((stream, _)) = connection {
                        self.answer(stream);
                    }
                }
                () = news(membership) => self.give(Order::Parameters),
                _ = terminate.recv() => self.give(Order::End(Ending::ForNow)),
                _ = interrupt.recv() => self.give(Order::End(Ending::ForGood)),
                _ = hangup.recv() => self.give(Order::Reload),
                () = tick(&mut watch) => self.give(Order::Alive),
            }
        }
    }

    /// Who is slow to ask, asks for what does not exist, or has gone meanwhile, costs the node nothing.
    fn answer(&self, mut stream: net::UnixStream) {
        let giver = self.clone();
        tokio::spawn(async move {
            let mut text = Vec::new();
            let mut question = (&mut stream).take(control::LONGEST_QUESTION);
            let reading = question.read_to_end(&mut text);
            let Ok(Ok(_)) = tokio::time::timeout(PATIENCE, reading).await else {
                return;
            };
            let answer = match serde_json::from_slice(&text) {
                Ok(question) => {
                    let (asked, answer) = oneshot::channel();
                    giver.give(Order::Answer(question, asked));
                    answer.await.unwrap_or_default()
                }
                Err(error) => {
                    json!({ "error": format!("the question is not understood: {error}") })
                        .to_string()
                        .into_bytes()
                }
            };
            let _ = tokio::time::timeout(PATIENCE, stream.write_all(&answer)).await;
        });
    }
}

/// Waits until the node is to say that it is not stuck; for ever if nobody watches.
async fn tick(watch: &mut Option<Interval>) {
    match watch {
        Some(watch) => drop(watch.tick().await),
        None => std::future::pending().await,
    }
}

/// Waits until the membership has something new; for ever if there is none, or if its thread has ended.
async fn news(membership: &mut Option<watch::Receiver<Standing>>) {
    if let Some(standing) = membership
        && standing.changed().await.is_ok()
    {
        return;
    }
    std::future::pending().await
}

#[cfg(test)]
#[expect(clippy::expect_used, reason = "a test may end there")]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        os::unix::net::UnixStream,
    };

    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    use super::*;

    /// A connection to orders of one's own, named by the test.
    fn connect(name: &str) -> io::Result<(Orders, UnixStream)> {
        let path = format!("re6st-orders-{name}-{}.sock", std::process::id());
        let path = std::env::temp_dir().join(path);
        // of a test before that was killed
        let _ = std::fs::remove_file(&path);
        let orders = Orders::begin(UnixListener::bind(&path)?, None)?;
        let asking = UnixStream::connect(&path)?;
        std::fs::remove_file(&path)?;
        asking.set_read_timeout(Some(Duration::from_secs(10)))?;
        Ok((orders, asking))
    }

    fn is_ringing(orders: &Orders, wait: u16) -> io::Result<bool> {
        let mut ring = [PollFd::new(orders.as_fd(), PollFlags::POLLIN)];
        Ok(poll(&mut ring, PollTimeout::from(wait))? > 0)
    }

    #[test]
    fn whoever_asks_is_given_an_answer() -> io::Result<()> {
        let (orders, mut asking) = connect("asked")?;
        asking.write_all(br#"{"show":"routes","from":7,"near":"2001:db8::/32"}"#)?;
        asking.shutdown(std::net::Shutdown::Write)?;
        assert!(is_ringing(&orders, 10_000)?);
        let mut answers = orders.take().filter_map(|order| match order {
            Order::Answer(question, asked) => Some((question, asked)),
            _ => None,
        });
        let (question, asked) = answers.next().expect("it is asked");
        let near = "2001:db8::/32".parse().ok();
        assert_eq!(question, Question::Routes { from: 7, near });
        asked.send(b"{}".to_vec()).expect("somebody waits");
        let mut answer = String::new();
        asking.read_to_string(&mut answer)?;
        assert_eq!(answer, "{}");
        assert!(!is_ringing(&orders, 0)?, "no order is left");
        Ok(())
    }

    #[test]
    fn what_is_no_question_never_reaches_the_node() -> io::Result<()> {
        let long = vec![b' '; 2 * control::LONGEST_QUESTION as usize];
        for (name, text) in [
            ("empty", &b""[..]),
            ("unknown", br#"{"show":"secrets"}"#),
            ("negative", br#"{"show":"routes","from":-1}"#),
            ("long", &long),
        ] {
            let (orders, mut asking) = connect(name)?;
            // the other end may have closed before all of a long one is written
            let _ = asking.write_all(text);
            let _ = asking.shutdown(std::net::Shutdown::Write);
            let mut answer = String::new();
            let _ = asking.read_to_string(&mut answer);
            assert!(
                name == "long" || answer.contains("not understood"),
                "{name}: {answer}"
            );
            assert!(!is_ringing(&orders, 0)?, "{name}");
        }
        Ok(())
    }
}
