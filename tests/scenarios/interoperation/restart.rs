//! Our node between babeld and BIRD is killed and started again while it forwards for them.
//!
//! The data plane loses nothing, but the two take the new count of Hellos for a new router, and find it usable after the
//! second Hello only.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow};
use nix::sys::signal::Signal;
use testbed::{
    daemon::{Babeld, Bird, Daemon, Features, Re6st, Role},
    host::{Host, Testbed},
    internet::IpVersion::V6,
    link::{LinkOptions, link},
    process::Process,
    traffic::ping,
};

use super::pair::{INTERVALS, PATIENCE, address};

fn start(daemon: &dyn Daemon, host: &Host, number: u8, interfaces: &[&str]) -> Result<Process> {
    let role = Role {
        number,
        interfaces,
        intervals: INTERVALS,
        features: Features::default(),
    };
    daemon.start(host, role)
}

#[test]
fn a_killed_controller_of_ours_is_soon_in_use_again() -> Result<()> {
    let testbed = Testbed::new()?;
    let host = |name| testbed.host(name);
    let (babeld, ours, bird) = (host("babeld")?, host("ours")?, host("bird")?);
    link((&babeld, "lan0"), (&ours, "left"), LinkOptions::default())?;
    link((&ours, "right"), (&bird, "lan0"), LinkOptions::default())?;
    let interfaces = ["left", "right"];
    let _babeld = start(&Babeld, &babeld, 2, &["lan0"])?;
    let _bird = start(&Bird, &bird, 3, &["lan0"])?;
    let controller = start(&Re6st, &ours, 1, &interfaces)?;
    let from = address(2, V6).to_string();
    let arrives = || ping(&babeld, address(3, V6), 3, &["-I", &from]);
    let begin = Instant::now();
    while !arrives().is_ok_and(|answers| answers.is_perfect()) {
        assert!(begin.elapsed() < PATIENCE, "{}", Re6st.tables(&ours)?);
    }

    // twenty pings a second, for five seconds
    let (answers, controller) = thread::scope(|scope| {
        let pinging = scope.spawn(|| ping(&babeld, address(3, V6), 100, &["-I", &from]));
        thread::sleep(Duration::from_millis(500));
        controller.stop(Signal::SIGKILL)?;
        let controller = start(&Re6st, &ours, 1, &interfaces)?;
        let answers = pinging.join().map_err(|_| anyhow!("a panic"))??;
        anyhow::Ok((answers, controller))
    })?;

    println!("{} of {} pings answered", answers.received, answers.sent);
    let lost = answers.sent - answers.received;
    assert!(lost < 20, "{}\n{}", answers.text, controller.stderr());
    assert!(arrives()?.is_perfect(), "{}", controller.stderr());
    Ok(())
}

#[test]
fn a_node_that_lost_its_state_is_believed_in_seconds() -> Result<()> {
    let testbed = Testbed::new()?;
    let host = |name| testbed.host(name);
    let (babeld, ours, bird) = (host("babeld")?, host("ours")?, host("bird")?);
    link((&babeld, "lan0"), (&ours, "left"), LinkOptions::default())?;
    link((&ours, "right"), (&bird, "lan0"), LinkOptions::default())?;
    let _babeld = start(&Babeld, &babeld, 2, &["lan0"])?;
    let _bird = start(&Bird, &bird, 3, &["lan0"])?;
    let reached = |from: &Host, number| {
        let from_address = address(number, V6).to_string();
        let answers = ping(from, address(1, V6), 1, &["-I", &from_address, "-W", "0.2"]);
        answers.is_ok_and(|answers| answers.received == 1)
    };
    let wait = |wanted: bool, process: Option<&Process>| -> Result<Duration> {
        let begin = Instant::now();
        while reached(&babeld, 2) != wanted || reached(&bird, 3) != wanted {
            let said = process.map(Process::stderr).unwrap_or_default();
            assert!(begin.elapsed() < PATIENCE, "reached: {wanted}\n{said}");
        }
        Ok(begin.elapsed())
    };
    let begin = || start(&Re6st, &ours, 1, &["left", "right"]);
    let mut controller = begin()?;
    wait(true, Some(&controller))?;

    // every other sequence number is older than the one both remember, for minutes
    for _ in 0..3 {
        controller.stop(Signal::SIGINT)?;
        wait(false, None)?;
        fs::remove_dir_all(ours.directory().join("state"))?;
        controller = begin()?;
        println!("believed after {:?}", wait(true, Some(&controller))?);
    }
    Ok(())
}
