//! Wrong keys: nothing is learned, and `status` says why.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use testbed::{
    configuration::{Mac, MacAlgorithm::*},
    daemon::{Babeld, Bird, Daemon, Features},
    host::Testbed,
    internet::IpVersion::*,
};

use super::pair::{INTERVALS, Lan, OURS, PATIENCE, Pair, THEIRS, address, mac};

/// With the right key the first route is there within a few Hellos.
const ENOUGH: u64 = 8;

fn learns_nothing(daemon: &'static dyn Daemon, theirs: Option<&Mac>, reason: &str) -> Result<()> {
    let testbed = Testbed::new()?;
    let ours = mac(HmacSha256, 0x5c);
    let with = |key| Features {
        mac: key,
        ..Features::default()
    };
    let mut pair = Pair::new(&testbed, daemon, Lan::default())?;
    pair.configure(with(Some(&ours)));
    let running = pair.start(with(theirs))?;
    let begin = Instant::now();

    let status = loop {
        // until it has loaded there is none
        let status = pair.ours.status().unwrap_or_default();
        let refused = status["controller"]["refused"][reason].as_u64();
        if refused.is_some_and(|count| count >= ENOUGH) && begin.elapsed() > 8 * INTERVALS.hello {
            break status;
        }
        if begin.elapsed() > PATIENCE {
            bail!("{reason:?} was not counted:\n{}", running.explain()?);
        }
        thread::sleep(Duration::from_millis(100));
    };

    for what in ["neighbours", "routes"] {
        assert_eq!(status["controller"][what], 0, "{status:#}");
    }
    let text = pair.ours.re6st_user(&["status"])?.success()?.stdout;
    assert!(
        text.contains("Babel refused") && text.contains(reason),
        "{text}"
    );
    for (host, other) in [(&pair.ours.host, THEIRS), (&pair.theirs, OURS)] {
        let other = address(other, V6).to_string();
        let routes = host.ip(&["-6", "route", "show", "proto", "babel"])?;
        assert!(!routes.contains(&other), "{routes}");
    }
    Ok(())
}

#[test]
fn babeld_with_another_key() -> Result<()> {
    learns_nothing(&Babeld, Some(&mac(HmacSha256, 0x5d)), "wrong MAC")
}

#[test]
fn bird_with_another_algorithm() -> Result<()> {
    learns_nothing(&Bird, Some(&mac(Blake2s128, 0x5c)), "wrong MAC")
}

#[test]
fn babeld_without_a_key() -> Result<()> {
    learns_nothing(&Babeld, None, "no MAC")
}

#[test]
fn bird_without_a_key() -> Result<()> {
    learns_nothing(&Bird, None, "no MAC")
}
