//! One alarm that a descriptor tells of: cheaper than a runtime's timers, which wake a process several times on the way to
//! each.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    time::{Duration, Instant},
};

use nix::sys::{
    time::TimeSpec,
    timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags},
};

/// Readable from the time it was set to on, until it is set again.
#[derive(Debug)]
pub struct Alarm {
    timer: TimerFd,
    /// What it is set to.
    at: Option<Instant>,
}

impl AsFd for Alarm {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.timer.as_fd()
    }
}

impl Alarm {
    /// One that is not set.
    pub fn new() -> io::Result<Self> {
        let flags = TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK;
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?;
        Ok(Self { timer, at: None })
    }

    /// Sets it; what is past is now.
    pub fn set(&mut self, at: Instant, now: Instant) -> io::Result<()> {
        if self.at == Some(at) && at > now {
            return Ok(());
        }
        // zero would switch it off
        let wait = at.duration_since(now).max(Duration::from_micros(1));
        let expiration = Expiration::OneShot(TimeSpec::from_duration(wait));
        self.timer.set(expiration, TimerSetTimeFlags::empty())?;
        self.at = Some(at);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    use super::*;

    /// Whether it goes off within so many milliseconds.
    fn rings(alarm: &Alarm, milliseconds: u16) -> bool {
        let mut waiting = [PollFd::new(alarm.as_fd(), PollFlags::POLLIN)];
        poll(&mut waiting, PollTimeout::from(milliseconds)).is_ok_and(|ready| ready == 1)
    }

    #[test]
    fn it_rings_from_its_time_on_until_it_is_set_again() -> io::Result<()> {
        let now = Instant::now();
        let mut alarm = Alarm::new()?;
        assert!(!rings(&alarm, 0));
        alarm.set(now - Duration::from_secs(1), now)?;
        assert!(rings(&alarm, 1_000), "what is past is now");
        alarm.set(now + Duration::from_secs(100), now)?;
        assert!(!rings(&alarm, 20));
        alarm.set(now + Duration::from_millis(5), now)?;
        assert!(rings(&alarm, 1_000));
        assert!(rings(&alarm, 0), "still");
        Ok(())
    }
}
