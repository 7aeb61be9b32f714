//! Our node and another router on one LAN.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use testbed::{
    configuration::{Mac, MacAlgorithm},
    daemon::{Daemon, Features, Intervals, Re6st, Role},
    emulator::{Emulator, Wire},
    host::{Host, Testbed},
    internet::{Internet, IpVersion, IpVersion::*},
    link::{LinkOptions, add_addresses, link},
    node::{Node, mesh_ipv4, mesh_ipv6},
    process::Process,
    traffic::ping,
};

/// Short, so that tests are.
pub const INTERVALS: Intervals = Intervals {
    hello: Duration::from_millis(500),
    update: Duration::from_secs(2),
};
/// How long routes may take to be found.
pub const PATIENCE: Duration = Duration::from_secs(25);
/// The LAN's interface, on both sides.
pub const LAN: &str = "lan0";
/// The numbers of our node and of the other.
pub const OURS: u8 = 1;
/// See [`OURS`].
pub const THEIRS: u8 = 2;

/// What the LAN is like: a cable, unless told.
#[derive(Clone, Copy, Default)]
pub struct Lan {
    /// Both have IPv4 addresses on it.
    pub ipv4: bool,
    /// A longer way.
    pub wire: Option<Wire>,
}

/// Our node and another router on one LAN.
pub struct Pair {
    // gone before its ends
    _wire: Option<Emulator>,
    _internet: Internet,
    pub ours: Node,
    pub theirs: Host,
    pub daemon: &'static dyn Daemon,
}

/// Both of them, as long as this lives.
pub struct Running<'a> {
    pub pair: &'a Pair,
    pub our_process: Process,
    their_process: Process,
}

impl Pair {
    /// Nothing runs yet.
    pub fn new(testbed: &Testbed, daemon: &'static dyn Daemon, lan: Lan) -> Result<Self> {
        let internet = Internet::new(testbed)?;
        let ours = Node::new(testbed, &internet, "ours", OURS)?;
        let theirs = testbed.host("theirs")?;
        let ends = ((&ours.host, LAN), (&theirs, LAN));
        let wire = match lan.wire {
            Some(wire) => Some(Emulator::link(ends.0, ends.1, wire)?),
            None => link(ends.0, ends.1, LinkOptions::default()).map(|()| None)?,
        };
        if lan.ipv4 {
            add_addresses(&ours.host, LAN, &["192.168.7.1/24"])?;
            add_addresses(&theirs, LAN, &["192.168.7.2/24"])?;
        }
        Ok(Self {
            _wire: wire,
            _internet: internet,
            ours,
            theirs,
            daemon,
        })
    }

    /// What our node does.
    pub fn configure(&mut self, features: Features<'_>) {
        let role = role(OURS, features);
        let state_directory = self.ours.host.directory().join("state");
        self.ours.configuration = Re6st::configuration(&role, &state_directory);
    }

    /// Starts both; what our node does was [configured](Self::configure).
    pub fn start(&self, their_features: Features<'_>) -> Result<Running<'_>> {
        Ok(Running {
            our_process: self.ours.start_node()?,
            their_process: self
                .daemon
                .start(&self.theirs, role(THEIRS, their_features))?,
            pair: self,
        })
    }

    /// One that does the same on both sides.
    pub fn start_alike(&mut self, features: Features<'_>) -> Result<Running<'_>> {
        self.configure(features);
        self.start(features)
    }
}

const fn role(number: u8, features: Features<'_>) -> Role<'_> {
    Role {
        number,
        interfaces: &[LAN],
        intervals: INTERVALS,
        features,
    }
}

impl Running<'_> {
    /// Waits until pings from mesh address to mesh address arrive, both ways; and then none may be lost.
    pub fn reach_each_other(&self, version: IpVersion) -> Result<()> {
        let (ours, theirs) = (address(OURS, version), address(THEIRS, version));
        let begin = Instant::now();
        for (host, from, to) in [
            (&self.pair.ours.host, ours, theirs),
            (&self.pair.theirs, theirs, ours),
        ] {
            self.wait_for(host, from, to)?;
            println!(
                "{} has a way to {to} after {:?}",
                host.name(),
                begin.elapsed()
            );
            let answers = ping(host, to, 10, &["-I", &from.to_string()])?;
            assert!(answers.is_perfect(), "{}", answers.text);
        }
        Ok(())
    }

    /// Waits until a ping arrives.
    pub fn wait_for(&self, host: &Host, from: IpAddr, to: IpAddr) -> Result<()> {
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            // without any route ping does not even begin
            let answers = ping(host, to, 1, &["-I", &from.to_string(), "-W", "0.2"]);
            if answers.is_ok_and(|answers| answers.received == 1) {
                return Ok(());
            }
        }
        bail!("no way from {from} to {to}:\n{}", self.explain()?)
    }

    /// What both sides know, to explain a failure.
    pub fn explain(&self) -> Result<String> {
        Ok(format!(
            "{}\n{}\n--- {}\n{}\n{}\n--- kernels\n{}{}",
            self.our_process.stderr(),
            self.pair.ours.re6st_user(&["status", "routes"])?.stdout,
            self.pair.daemon.name(),
            self.their_process.stderr(),
            self.pair.daemon.tables(&self.pair.theirs)?,
            self.pair.ours.host.ip(&["-6", "route"])?,
            self.pair.theirs.ip(&["-6", "route"])?,
        ))
    }
}

/// The mesh address of a router.
pub fn address(number: u8, version: IpVersion) -> IpAddr {
    match version {
        V4 => mesh_ipv4(number).into(),
        V6 => mesh_ipv6(number).into(),
    }
}

/// A key: the same octet over and over.
pub fn mac(algorithm: MacAlgorithm, octet: u8) -> Mac {
    Mac {
        algorithm,
        key: format!("{octet:02x}").repeat(32),
        accept_only: false,
    }
}
