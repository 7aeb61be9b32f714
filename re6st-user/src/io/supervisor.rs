//! Whoever runs this process, if that is systemd: it is told how the process is (sd_notify(3)). Without it there is nobody to
//! tell, so what fails does not matter.

use std::time::Duration;

use sd_notify::NotifyState;

/// It does what it is for.
pub fn ready() {
    say(&[NotifyState::Ready]);
}

/// It takes up another configuration; [`ready`] follows.
pub fn reloading() {
    if let Ok(now) = NotifyState::monotonic_usec_now() {
        say(&[NotifyState::Reloading, now]);
    }
}

/// It ends.
pub fn stopping() {
    say(&[NotifyState::Stopping]);
}

/// It is not stuck: to be said once in each [`watch`].
pub fn alive() {
    say(&[NotifyState::Watchdog]);
}

/// How often it is to say that it is [`alive`], if anybody watches (`WatchdogSec=`): twice as often as is necessary.
pub fn watch() -> Option<Duration> {
    let limit = sd_notify::watchdog_enabled()?;
    Some(limit / 2).filter(|watch| !watch.is_zero())
}

fn say(state: &[NotifyState<'_>]) {
    sd_notify::notify(state).ok();
}
