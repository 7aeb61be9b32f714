//! What is shown, one thing after the other.

use std::{
    net::{IpAddr, UdpSocket},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, ensure};
use testbed::{
    host::Testbed,
    look_around::Seen,
    mesh::{CITIES, Network, Prober},
    node::{INSTANCE, re6st_user},
    traffic::{traceroute, transfer},
};

use super::{AMERICAS, picture::Picture, screen::Screen};

/// How long the mesh may take to find its ways, and to find others. It takes a second; the machine may have much else to do.
const PATIENCE: Duration = Duration::from_secs(60);
/// For so long nothing more must break after what was done.
const CALM: Duration = Duration::from_secs(2);
/// Between two pictures.
const REFRESH: Duration = Duration::from_millis(500);
/// Bytes of the file, each way.
const FILE: u64 = 1 << 20;
/// Packets of a stranger who guesses keys.
const GUESSES: u64 = 100;

pub struct Story<'a> {
    screen: &'a Screen,
    network: Network,
    prober: Prober,
    begin: Instant,
}

impl<'a> Story<'a> {
    pub const fn new(screen: &'a Screen, network: Network, prober: Prober, begin: Instant) -> Self {
        Self {
            screen,
            network,
            prober,
            begin,
        }
    }

    /// All of it. Ends where something did not hold.
    pub fn tell(&mut self) -> Result<()> {
        self.find_each_other()?;
        self.path()?;
        self.file()?;
        self.refusal()?;
        self.kill_registry()?;
        self.cut_link()?;
        self.cut_many()?;
        self.kill_nodes()?;
        self.part()?;
        self.summary()
    }

    fn find_each_other(&self) -> Result<()> {
        let begin = Instant::now();
        let pairs = self.network.pairs();
        self.watch("every node reaches every other", || {
            let reached =
                |(one, other): &(usize, usize)| self.prober.answered_since(*one, *other, begin);
            pairs.iter().all(reached)
        })?;
        let (seconds, count) = (begin.elapsed().as_secs_f64(), pairs.len());
        let result = format!("{count} of {count} pairs answer, {seconds:.1} s after the start");
        self.screen.done("the nodes have found each other", &result);
        self.prober.forget_round_trips();
        self.calm_down(Instant::now())?;
        let picture = self.picture();
        self.screen.done("the mesh", &picture.summary());
        Ok(())
    }

    /// A pair without a tunnel goes by others.
    fn path(&self) -> Result<()> {
        let tunnels = self.network.tunnels();
        let pairs = self.network.pairs();
        let (from, to) = pairs
            .into_iter()
            .rfind(|pair| !tunnels.contains(pair))
            .context("every pair has a tunnel")?;
        let name = |hop: &Option<IpAddr>| {
            let place = self
                .network
                .nodes
                .iter()
                .position(|node| Some(node.address.into()) == *hop);
            place.map_or("*", |place| CITIES[place])
        };
        let [source, target] = [from, to].map(|place| &self.network.nodes[place]);
        let mut path = Vec::new();
        self.watch("traceroute ends where it should", || {
            path = traceroute(&source.host, target.address.into()).unwrap_or_default();
            path.last() == Some(&Some(target.address.into())) && !path.contains(&None)
        })?;
        let hops: Vec<&str> = path.iter().map(name).collect();
        let result = format!("{} › {}", CITIES[from], hops.join(" › "));
        self.screen
            .done("a pair without a tunnel: traceroute6", &result);
        Ok(())
    }

    fn file(&self) -> Result<()> {
        let (from, to) = (0, CITIES.len() - 1);
        let [client, server] = [from, to].map(|place| &self.network.nodes[place]);
        let done = thread::scope(|scope| {
            let worker =
                scope.spawn(|| transfer(&client.host, &server.host, server.address.into(), FILE));
            self.watch("the file", || worker.is_finished())?;
            worker.join().unwrap_or_else(|_| Err(anyhow!("a panic")))
        })?;
        let result = format!(
            "{} to {} and back: {} MB each way in {:.1} s, content identical",
            CITIES[from],
            CITIES[to],
            done.bytes >> 20,
            done.time.as_secs_f64()
        );
        self.screen.done("a file crosses the mesh", &result);
        Ok(())
    }

    /// A stranger on the Internet guesses keys.
    fn refusal(&self) -> Result<()> {
        let counted = || -> Result<u64> {
            let shown =
                self.network.nodes[0].command(&["status", "--instance", INSTANCE, "--json"])?;
            let status: serde_json::Value = serde_json::from_str(&shown)?;
            let mut reasons = status["reasons"].as_array().into_iter().flatten();
            let reason = reasons.find(|reason| reason["name"] == "unknown_key");
            reason
                .and_then(|reason| reason["packets"].as_u64())
                .context("no such counter")
        };
        let before = counted()?;
        let socket = self
            .network
            .stranger
            .enter(|| UdpSocket::bind("0.0.0.0:0"))??;
        for guess in 0..GUESSES {
            // GRE with a key (RFC 2890), IPv6 inside
            let mut packet = vec![0x20, 0, 0x86, 0xdd, 0xff, 0xff, 0xff, guess as u8];
            packet.extend([0x60; 40]);
            socket.send_to(&packet, (self.network.outer(0), 4754))?;
        }
        let refused = || counted().is_ok_and(|now| now >= before + GUESSES);
        self.watch("a stranger's packets are refused", refused)?;
        let result = format!("{GUESSES} of {GUESSES} packets dropped: unknown_key");
        self.screen
            .done(&format!("a stranger guesses {}'s keys", CITIES[0]), &result);
        Ok(())
    }

    fn kill_registry(&mut self) -> Result<()> {
        self.survive("the registry is killed, for good", |network| {
            network.registry = None;
            Ok(())
        })
    }

    /// The Internet no longer carries anything between two nodes that have a tunnel, and tells nobody.
    fn cut_link(&mut self) -> Result<()> {
        let tunnels = self.network.tunnels();
        let (one, other) = tunnels.first().copied().context("there is no tunnel")?;
        let what = format!("{} to {} cut, silently", CITIES[one], CITIES[other]);
        self.survive(&what, |network| {
            network.cut(one, other, true);
            Ok(())
        })
    }

    fn cut_many(&mut self) -> Result<()> {
        let tunnels = self.network.tunnels();
        let every_third: Vec<_> = tunnels.into_iter().step_by(3).collect();
        let what = format!("under {} more tunnels too", every_third.len());
        self.survive(&what, |network| {
            for (one, other) in &every_third {
                network.cut(*one, *other, true);
            }
            Ok(())
        })
    }

    /// Three at once, and they come back.
    fn kill_nodes(&mut self) -> Result<()> {
        let nodes = [1, 5, 9];
        let names = nodes.map(|node| CITIES[node]).join(", ");
        self.survive(&format!("{names}: power cut"), |network| {
            network.power_off(&nodes)
        })?;
        self.survive("they are back, all cables are mended", |network| {
            for (one, other) in (0..CITIES.len()).flat_map(|one| (0..one).map(move |it| (it, one)))
            {
                network.cut(one, other, false);
            }
            network.power_on(&nodes)
        })
    }

    /// The network falls into halves, and grows together again.
    fn part(&mut self) -> Result<()> {
        let cross = |network: &mut Network, cut| {
            for one in 0..AMERICAS {
                (AMERICAS..CITIES.len()).for_each(|other| network.cut(one, other, cut));
            }
            Ok(())
        };
        self.survive("no cable to the Americas: two networks", |network| {
            cross(network, true)
        })?;
        self.survive("mended: one network again", |network| cross(network, false))
    }

    /// Does something bad, or good, and waits until all pairs that have a path answer each other, and go on to.
    fn survive(&mut self, what: &str, act: impl FnOnce(&mut Network) -> Result<()>) -> Result<()> {
        let before = self.network.pairs();
        let since = Instant::now();
        act(&mut self.network)?;
        self.calm_down(Instant::now())
            .with_context(|| what.to_owned())?;
        // who could not reach the other before has nothing to lose
        let pairs = self.network.pairs();
        let kept: Vec<_> = before
            .into_iter()
            .filter(|pair| pairs.contains(pair))
            .collect();
        let outages = kept
            .iter()
            .map(|(one, other)| self.prober.outage_since(*one, *other, since));
        let mut outages: Vec<_> = outages.filter(|outage| !outage.is_zero()).collect();
        outages.sort_unstable();
        let [middle, longest] = [outages.get(outages.len() / 2), outages.last()];
        let shown = match (middle, longest) {
            (Some(middle), Some(longest)) => format!(
                "{} of {} had an outage, median {} ms, longest {} ms",
                outages.len(),
                kept.len(),
                middle.as_millis(),
                longest.as_millis()
            ),
            _ => "none had an outage".to_owned(),
        };
        self.screen.done(
            what,
            &format!("all {} pairs with a path answer; {shown}", pairs.len()),
        );
        Ok(())
    }

    /// Waits until all pairs that have a path answer probes that were sent a while after this.
    fn calm_down(&self, since: Instant) -> Result<()> {
        let pairs = self.network.pairs();
        let missing = || {
            let calm = since + CALM;
            let answered =
                move |(one, other): &(usize, usize)| self.prober.answered_since(*one, *other, calm);
            pairs.iter().filter(move |pair| !answered(pair))
        };
        self.watch("packets arrive", || missing().next().is_none())
            .with_context(|| {
                let names =
                    missing().map(|(one, other)| format!("{} - {}", CITIES[*one], CITIES[*other]));
                format!("no answer: {}", names.collect::<Vec<_>>().join(", "))
            })
    }

    /// Waits until something is so, and shows the mesh meanwhile.
    fn watch(&self, what: &str, mut is_so: impl FnMut() -> bool) -> Result<()> {
        let begin = Instant::now();
        let mut drawn = None;
        while !is_so() {
            ensure!(
                begin.elapsed() < PATIENCE,
                "{what}: not within {} s",
                PATIENCE.as_secs()
            );
            if drawn.is_none_or(|at: Instant| at.elapsed() >= REFRESH) {
                self.draw();
                drawn = Some(Instant::now());
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn picture(&self) -> Picture {
        Picture::take(&self.network, &self.prober)
    }

    fn draw(&self) {
        if self.screen.is_live() {
            let seconds = self.begin.elapsed().as_secs();
            self.screen
                .draw(&self.picture().lines(self.screen, seconds));
        }
    }

    fn summary(&self) -> Result<()> {
        let mut forwarded = 0;
        for node in &self.network.nodes {
            let (ipv4, ipv6) = node.host.forwarded_by_kernel()?;
            forwarded += ipv4 + ipv6;
        }
        self.screen
            .done("the mesh at the end", &self.picture().summary());
        self.screen.done(
            "relayed by XDP",
            &format!("the kernels of all nodes have forwarded {forwarded} packets"),
        );
        for line in self
            .picture()
            .lines(self.screen, self.begin.elapsed().as_secs())
        {
            self.screen.say(&line);
        }
        Ok(())
    }

    /// What the nodes have said, to explain a failure.
    pub fn confess(&self) {
        for node in &self.network.nodes {
            eprintln!("--- {}\n{}", node.host.name(), node.said());
        }
    }

    pub fn remove(self, name: &str) -> Result<()> {
        drop(self);
        ensure!(
            Testbed::remove_lasting(name)? == 0,
            "something of the demo was left"
        );
        Ok(())
    }

    /// Goes on until somebody has had enough.
    pub fn stay(&self) -> Result<()> {
        let program = re6st_user()?;
        let [one, other] = [0, CITIES.len() - 1].map(|place| &self.network.nodes[place]);
        let seen = Seen {
            // who asked sudo for this has to ask again
            sudo: std::env::var_os("SUDO_USER").is_some(),
            program: &program,
            namespace: one.host.namespace(),
            bpffs: &one.host.bpffs(),
            sockets: one.host.directory(),
            other: other.address,
        };
        self.screen.say(&format!(
            "\n  It stays. Look around:\n\n{}",
            seen.how_to_look()
        ));
        self.screen
            .say("  Remove it with Ctrl-C, or:  cargo xtask demo --stop\n");
        while one.host.directory().exists() {
            self.draw();
            thread::sleep(REFRESH);
        }
        Ok(())
    }
}
