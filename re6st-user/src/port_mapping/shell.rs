//! The thread that asks the router. The controller says what it wants, and is rung when it has come to something else.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    panic::AssertUnwindSafe,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::eventfd::{EfdFlags, EventFd},
};
use tokio::{runtime::Runtime, sync::watch, time};

use super::{
    Mapping, Protocol, Standing, Wanted,
    answer::{renewal, retry},
    protocol::{self, Given, Outcome},
};
use crate::{io::panics::contain, printable::printable};

/// Renewals in a row that fail before a mapping counts as lost: the first one is half of its life before its end.
const MISSED: u32 = 3;

/// The thread, as the controller sees it. Readable when there is news.
#[derive(Debug)]
pub struct PortMapper {
    wanted: watch::Sender<Option<Wanted>>,
    standing: watch::Receiver<Standing>,
    bell: Arc<EventFd>,
}

impl AsFd for PortMapper {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}

impl PortMapper {
    /// Starts the thread, which ends with the process. Nothing is wanted yet.
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub fn start() -> io::Result<Self> {
        let (wanted, wishes) = watch::channel(None);
        let (teller, standing) = watch::channel(Standing::None);
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let bell = Arc::new(EventFd::from_value_and_flags(0, flags)?);
        let keeper = Keeper {
            wanted: None,
            held: None,
            failures: 0,
            teller,
            bell: Arc::clone(&bell),
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?,
        };
        thread::Builder::new()
            .name("port mapping".to_owned())
            .spawn(move || keeper.run(wishes))?;
        Ok(Self {
            wanted,
            standing,
            bell,
        })
    }

    /// What is wanted from now on.
    pub fn want(&self, wanted: Option<Wanted>) {
        self.wanted.send_if_modified(|before| {
            let is_another = *before != wanted;
            *before = wanted;
            is_another
        });
    }

    /// What has come of it.
    pub fn standing(&self) -> Standing {
        // what comes from here on rings again
        let _ = self.bell.read();
        self.standing.borrow().clone()
    }

    /// Gives the mapping back, and waits for that, but not longer than told.
    pub fn end(&self, patience: Duration) {
        self.want(None);
        let end = Instant::now() + patience;
        while self.standing() != Standing::None {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            let mut ring = [PollFd::new(self.as_fd(), PollFlags::POLLIN)];
            // interrupted: looked at again
            let _ = poll(&mut ring, left);
        }
    }
}

/// Who asks the router.
struct Keeper {
    wanted: Option<Wanted>,
    held: Option<Mapping>,
    failures: u32,
    teller: watch::Sender<Standing>,
    bell: Arc<EventFd>,
    runtime: Runtime,
}

impl Keeper {
    fn run(mut self, mut wishes: watch::Receiver<Option<Wanted>>) {
        loop {
            let wanted = *wishes.borrow_and_update();
            let wait = self.turn(wanted).unwrap_or(Duration::MAX);
            let changed = async { time::timeout(wait, wishes.changed()).await };
            if matches!(self.runtime.block_on(changed), Ok(Err(_))) {
                // nobody wants to know any more
                self.turn(None);
                return;
            }
        }
    }

    /// Asks for what is wanted, or renews it; how long nothing is to be done then.
    fn turn(&mut self, wanted: Option<Wanted>) -> Option<Duration> {
        if self.wanted != wanted {
            if let Some(held) = self.held.take() {
                // a router that is not there any more forgets it by itself
                let _ = self.carefully(protocol::end(&held));
            }
            (self.wanted, self.failures) = (wanted, 0);
            self.tell(match wanted {
                Some(_) => Standing::Asking,
                None => Standing::None,
            });
        }
        let wanted = wanted?;
        match self.ask(&wanted) {
            Ok((mapping, lifetime)) => {
                self.failures = 0;
                self.held = Some(mapping);
                self.tell(Standing::Mapped(mapping));
                Some(renewal(lifetime))
            }
            Err(why) => {
                self.failures = self.failures.saturating_add(1);
                if self.held.is_none() || self.failures >= MISSED {
                    self.held = None;
                    self.tell(Standing::Refused(why));
                }
                Some(retry(self.failures))
            }
        }
    }

    /// By what the router knew before, else by the newest protocol first.
    fn ask(&self, wanted: &Wanted) -> Result<Given, String> {
        let all = [Protocol::Pcp, Protocol::NatPmp, Protocol::Upnp];
        let before = self.held.map(|held| held.protocol);
        let others = all.into_iter().filter(|protocol| Some(*protocol) != before);
        let mut refusals = Vec::new();
        for protocol in before.into_iter().chain(others) {
            match self.carefully(protocol::ask(wanted, protocol)) {
                Ok(given) => return Ok(given),
                Err(error) => refusals.push(format!("{protocol}: {}", printable(&error))),
            }
        }
        Err(refusals.join("; "))
    }

    /// What others have written takes what anybody answers.
    fn carefully<T>(&self, question: impl Future<Output = Outcome<T>>) -> Result<T, String> {
        match contain(AssertUnwindSafe(|| self.runtime.block_on(question))) {
            Ok(outcome) => outcome.map_err(|error| error.to_string()),
            Err(_) => Err("an answer that is not understood".to_owned()),
        }
    }

    fn tell(&self, standing: Standing) {
        let is_news = self.teller.send_if_modified(|before| {
            let is_another = *before != standing;
            *before = standing;
            is_another
        });
        if is_news {
            let _ = self.bell.write(1);
        }
    }
}
