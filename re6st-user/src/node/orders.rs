//! What is wanted of a running node: a report, its end, or that it takes up what its network has changed.
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
};

use nix::sys::eventfd::{EfdFlags, EventFd};
use tokio::{
    io::AsyncWriteExt as _,
    net,
    signal::unix::{Signal, SignalKind, signal},
    sync::{oneshot, watch},
};

use crate::membership::shell::Standing;

/// What is wanted.
#[derive(Debug)]
pub enum Order {
    /// A report, as text.
    Report(oneshot::Sender<Vec<u8>>),
    /// That it looks at the network's parameters.
    Parameters,
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
    bell: Arc<EventFd>,
}

impl AsFd for Orders {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
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
            .build()?;
        let context = runtime.enter();
        listener.set_nonblocking(true)?;
        let listener = net::UnixListener::from_std(listener)?;
        let terminate = signal(SignalKind::terminate())?;
        let interrupt = signal(SignalKind::interrupt())?;
        let hangup = signal(SignalKind::hangup())?;
        drop(context);
        let (giver, given) = mpsc::channel();
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let bell = Arc::new(EventFd::from_value_and_flags(0, flags)?);
        let attendant = Attendant {
            giver,
            bell: Arc::clone(&bell),
        };
        thread::Builder::new()
            .name("orders".into())
            .spawn(move || {
                let signals = [terminate, interrupt, hangup];
                runtime.block_on(attendant.attend(listener, signals, &mut membership));
            })?;
        Ok(Self { given, bell })
    }

    /// Those given since the last time.
    pub fn take(&self) -> impl Iterator<Item = Order> + '_ {
        // what is given from here on rings again
        let _ = self.bell.read();
        self.given.try_iter()
    }
}

/// Who waits.
struct Attendant {
    giver: mpsc::Sender<Order>,
    bell: Arc<EventFd>,
}

impl Attendant {
    async fn attend(
        self,
        listener: net::UnixListener,
        [mut terminate, mut interrupt, mut hangup]: [Signal; 3],
        membership: &mut Option<watch::Receiver<Standing>>,
    ) {
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
                _ = hangup.recv() => eprintln!(
                    "SIGHUP: ignored. The log goes to standard error, so there is no file to open again; another \
                     configuration is taken up by a restart"
                ),
            }
        }
    }

    fn answer(&self, mut stream: net::UnixStream) {
        let (asked, report) = oneshot::channel();
        self.give(Order::Report(asked));
        tokio::spawn(async move {
            if let Ok(report) = report.await {
                // who asked may have gone
                let _ = stream.write_all(&report).await;
            }
        });
    }

    /// The node may have ended meanwhile; then so does the process.
    fn give(&self, order: Order) {
        let _ = self.giver.send(order);
        let _ = self.bell.write(1);
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
    use std::{io::Read as _, os::unix::net::UnixStream, time::Duration};

    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    use super::*;

    #[test]
    fn whoever_connects_is_given_a_report() -> io::Result<()> {
        let path = std::env::temp_dir().join(format!("re6st-orders-{}.sock", std::process::id()));
        // of a test before that was killed
        let _ = std::fs::remove_file(&path);
        let orders = Orders::begin(UnixListener::bind(&path)?, None)?;
        let mut asking = UnixStream::connect(&path)?;
        std::fs::remove_file(&path)?;
        asking.set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut ring = [PollFd::new(orders.as_fd(), PollFlags::POLLIN)];
        poll(&mut ring, PollTimeout::from(10_000_u16))?;
        let mut reports = orders.take().filter_map(|order| match order {
            Order::Report(asked) => Some(asked),
            Order::Parameters | Order::End(_) => None,
        });
        let asked = reports.next().expect("it is asked for a report");
        asked.send(b"{}".to_vec()).expect("somebody waits");
        let mut report = String::new();
        asking.read_to_string(&mut report)?;
        assert_eq!(report, "{}");
        let mut ring = [PollFd::new(orders.as_fd(), PollFlags::POLLIN)];
        assert_eq!(poll(&mut ring, PollTimeout::ZERO)?, 0, "no order is left");
        Ok(())
    }
}
