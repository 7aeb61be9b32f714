//! The testbed's own promises, without which no other scenario means anything.

use std::{path::Path, time::Duration};

use anyhow::Result;
use testbed::{
    emulator::{Emulator, Wire},
    host::{Host, Testbed},
    internet::Internet,
    link::{LinkOptions, add_addresses},
    traffic::{UdpStream, ping, transfer},
};

fn two_hosts(testbed: &Testbed) -> Result<(Internet, Host, Host)> {
    let internet = Internet::new(testbed)?;
    let (a, b) = (testbed.host("a")?, testbed.host("b")?);
    internet.attach(&a, "eth0", LinkOptions::default())?;
    internet.attach(&b, "eth0", LinkOptions::default())?;
    Ok((internet, a, b))
}

#[test]
fn hosts_reach_each_other_over_the_internet() -> Result<()> {
    let testbed = Testbed::new()?;
    let (_internet, a, b) = two_hosts(&testbed)?;
    for address in ["203.0.113.10", "2001:db8:ffff:2::2"].map(|text| text.parse().unwrap()) {
        let answers = ping(&a, address, 5, &[])?;
        assert!(answers.is_perfect(), "{}", answers.text);

        transfer(&a, &b, address, 1 << 20)?;

        let stream = UdpStream::run(&a, &b, address, 1000, 5000, Duration::from_millis(300))?;
        assert!(stream.is_perfect(), "{stream:?}");
        assert!(stream.sent > 100, "{stream:?}");
    }
    Ok(())
}

#[test]
fn loss_is_noticed() -> Result<()> {
    let testbed = Testbed::new()?;
    let (internet, a, b) = two_hosts(&testbed)?;
    let address = "203.0.113.10".parse()?;
    let stream = UdpStream::start(&a, &b, address, 100, 2000)?;
    std::thread::sleep(Duration::from_millis(100));
    internet.router().ip(&["link", "set", "b2", "down"])?;
    std::thread::sleep(Duration::from_millis(100));

    let result = stream.finish()?;

    assert!(result.received > 50 && result.lost() > 50, "{result:?}");
    assert!(!ping(&a, address, 2, &[])?.is_perfect());
    assert!(transfer(&a, &b, address, 1000).is_err());
    Ok(())
}

#[test]
fn nothing_is_left_of_a_host() -> Result<()> {
    let testbed = Testbed::new()?;
    let host = testbed.host("a")?;
    let namespace = Path::new("/run/netns").join(host.namespace());
    let directory = host.directory().to_owned();
    let sleeper = host.spawn(std::process::Command::new("sleep").arg("1000"))?;
    assert!(namespace.exists() && directory.exists());

    drop(sleeper);
    drop(host);

    assert!(!namespace.exists() && !directory.exists());
    let mounts = std::fs::read_to_string("/proc/self/mounts")?;
    assert!(!mounts.contains(directory.to_str().unwrap()));
    Ok(())
}

#[test]
fn the_emulated_wire_delays_and_loses() -> Result<()> {
    let testbed = Testbed::new()?;
    let (a, b) = (testbed.host("a")?, testbed.host("b")?);
    let wire = Wire {
        delay: Duration::from_millis(20),
        lost_of_1000: 100,
    };
    let emulator = Emulator::link((&a, "tap0"), (&b, "tap0"), wire)?;
    add_addresses(&a, "tap0", &["192.0.2.1/24"])?;
    add_addresses(&b, "tap0", &["192.0.2.2/24"])?;
    let address = "192.0.2.2".parse()?;

    let answers = ping(&a, address, 100, &[])?;
    transfer(&a, &b, address, 1 << 20)?;

    let average = answers.average.unwrap();
    // a busy machine is late, and never early
    assert!((40.0..400.0).contains(&average), "{average} ms");
    // each way a tenth: 81 of 100 come back, give or take
    assert!((60..=95).contains(&answers.received), "{}", answers.text);
    assert!(emulator.lost() > 10);
    Ok(())
}
