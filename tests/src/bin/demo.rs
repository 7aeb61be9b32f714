//! `cargo xtask demo`: a small mesh on this machine, with real traffic.
//!
//! Exit status 0 only if everything arrived.

use std::{
    fmt::Display,
    io::{IsTerminal as _, Write as _, stdout},
    net::{IpAddr, UdpSocket},
    process::ExitCode,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::signal::Signal;
use testbed::{
    host::{Host, Testbed},
    internet::{
        Internet,
        IpVersion::{V4, V6},
    },
    link::LinkOptions,
    look_around::Seen,
    node::{
        Encapsulation::{Fou, Gre},
        LanHost, Node, TunnelKind, re6st_user, tunnel,
    },
    process::Process,
    traffic::{UdpStream, ping, traceroute, transfer},
};

/// The testbed's name, by which `--stop` finds what `--keep` left.
const NAME: &str = "demo";
/// Bytes of the TCP transfer, each way.
const TRANSFER: u64 = 64 << 20;
/// Datagrams a second of the UDP stream, and for how long.
const STREAM: (u32, Duration) = (20_000, Duration::from_secs(2));
/// Datagrams a second while a link is cut, and for how long.
const STREAM_OVER_THE_CUT: (u32, Duration) = (1000, Duration::from_secs(6));
/// How long the mesh may take to find its ways, and to find others.
const PATIENCE: Duration = Duration::from_secs(30);
/// Packets of a stranger who guesses keys.
const GUESSES: u64 = 100;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments[..] {
        [] => demonstrate(false),
        ["--keep"] => demonstrate(true),
        ["--stop"] => stop(),
        _ => Err(anyhow::anyhow!("usage: demo [--keep | --stop]")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\n{} {error:#}", red("✗"));
            ExitCode::FAILURE
        }
    }
}

fn stop() -> Result<()> {
    match Testbed::remove_lasting(NAME)? {
        0 => println!("no demo is running"),
        hosts => println!("the demo's {hosts} hosts are gone"),
    }
    Ok(())
}

/// The nodes, each with a tunnel to the next one, the last to the first.
const RING: [(&str, TunnelKind); 6] = [
    ("office", (Fou, V4)),
    ("lyon", (Gre, V6)),
    ("cloud", (Fou, V6)),
    ("tokyo", (Gre, V4)),
    ("quito", (Fou, V4)),
    ("oslo", (Fou, V6)),
];

/// The hosts of the demo.
struct Mesh {
    internet: Internet,
    laptop: LanHost,
    nodes: [Node; 6],
    stranger: Host,
}

fn demonstrate(keep: bool) -> Result<()> {
    if Testbed::remove_lasting(NAME)? > 0 {
        println!("(removed the demo that was still running)");
    }
    picture();
    let mesh = step("hosts, links, an Internet", Mesh::new)?;
    let controllers = step("re6st-user node on six nodes", || mesh.start())?;
    let found = step("Babel has found the ways", || mesh.find_ways());
    println!();
    let result = found
        .and_then(|()| mesh.traffic())
        .and_then(|()| mesh.refusal())
        .and_then(|()| mesh.cut())
        .and_then(|()| mesh.summary());
    if !keep && result.is_err() {
        for controller in &controllers {
            eprintln!("{}", controller.stderr());
        }
    }
    for controller in controllers {
        controller.stop(Signal::SIGTERM)?;
    }
    if keep {
        // also what does not work: one wants to know why
        mesh.keep()?;
        return result;
    }
    result?;
    step("re6st-user unload, everything removed", || mesh.remove())
}

fn picture() {
    println!(
        "
  laptop ─── office ═══════════ lyon ═══════════ cloud
       LAN   node 1   fou/IPv4  node 2  gre/IPv6 node 3
               ║                                   ║
               ║ fou/IPv6                 fou/IPv6 ║
               ║                                   ║
             oslo ════════════ quito ═══════════ tokyo
             node 6  fou/IPv4  node 5  gre/IPv4  node 4
"
    );
}

impl Mesh {
    fn new() -> Result<Self> {
        let testbed = Testbed::lasting(NAME)?;
        let internet = Internet::new(&testbed)?;
        let nodes: Vec<Node> = (1..)
            .zip(RING)
            .map(|(number, (name, _))| Node::new(&testbed, &internet, name, number))
            .collect::<Result<_>>()?;
        let mut nodes: [Node; 6] = nodes.try_into().ok().context("one for each name")?;
        let laptop = nodes[0].lan_host(&testbed, "laptop", "lan0", LinkOptions::default())?;
        let stranger = testbed.host("stranger")?;
        internet.attach(&stranger, "eth0", LinkOptions::default())?;
        for (place, (_, kind)) in RING.into_iter().enumerate() {
            let [node, next] = nodes.get_disjoint_mut([place, (place + 1) % 6])?;
            tunnel(node, next, kind)?;
            node.speak_babel(&[]);
        }
        Ok(Self {
            internet,
            laptop,
            nodes,
            stranger,
        })
    }

    fn start(&self) -> Result<Vec<Process>> {
        self.nodes.iter().map(Node::start_node).collect()
    }

    /// Waits until every node reaches every other, and the laptop the cloud on the short way.
    fn find_ways(&self) -> Result<()> {
        let all = self.nodes.each_ref();
        let reached = |from: &Host, to: IpAddr| {
            ping(from, to, 1, &["-W", "1"]).is_ok_and(|answers| answers.received == 1)
        };
        let begin = Instant::now();
        for (from, to) in all.iter().flat_map(|from| all.map(|to| (from, to))) {
            for version in [V6, V4] {
                while !reached(&from.host, to.address(version)) {
                    ensure!(
                        begin.elapsed() < PATIENCE,
                        "{} does not reach {}",
                        from.host.name(),
                        to.host.name()
                    );
                }
            }
        }
        let [office, lyon, cloud, ..] = all;
        self.wait_for_path(&[office, lyon, cloud]).map(drop)
    }

    /// Waits until packets from the laptop to the cloud take this path; as text.
    fn wait_for_path(&self, nodes: &[&Node]) -> Result<String> {
        let [_, _, cloud, ..] = &self.nodes;
        let expected = nodes.iter().map(|node| Some(node.address(V6)));
        let expected: Vec<_> = expected.collect();
        let begin = Instant::now();
        loop {
            let path = traceroute(&self.laptop.host, cloud.address(V6))?;
            let shown = |hop: &Option<IpAddr>| hop.map_or("*".into(), |hop| hop.to_string());
            let hops: Vec<_> = path.iter().map(shown).collect();
            if path == expected {
                return Ok(format!("{} hops: {}", hops.len(), hops.join(" › ")));
            }
            ensure!(
                begin.elapsed() < PATIENCE,
                "unexpected path: {}",
                hops.join(" ")
            );
        }
    }

    /// Between a host that knows nothing of the mesh and a node three tunnels away.
    fn traffic(&self) -> Result<()> {
        let laptop = &self.laptop.host;
        let [office, lyon, to, ..] = &self.nodes;
        for version in [V6, V4] {
            let cloud = to.address(version);
            show("ping", cloud, || {
                let answers = ping(laptop, cloud, 20, &[])?;
                ensure!(answers.is_perfect(), "not all answered:\n{}", answers.text);
                let average = answers.average.context("no round trip time")?;
                Ok(format!(
                    "{} of {} answered, {average:.3} ms",
                    answers.received, answers.sent
                ))
            })?;
        }
        for version in [V6, V4] {
            let cloud = to.address(version);
            let before = lyon.tunnel("cloud")?.sent_packets;
            self.show_live(&format!("TCP both ways {cloud}"), before, || {
                let done = transfer(laptop, &to.host, cloud, TRANSFER)?;
                let rate = done.bytes as f64 * 8.0 / done.time.as_secs_f64() / 1e9;
                Ok(format!(
                    "2 × {} MB, content identical, {rate:.2} Gbit/s each way",
                    done.bytes >> 20
                ))
            })?;
        }
        let cloud = to.address(V6);
        let (rate, time) = STREAM;
        let before = lyon.tunnel("cloud")?.sent_packets;
        self.show_live(&format!("UDP {rate}/s {cloud}"), before, || {
            let result = UdpStream::run(laptop, &to.host, cloud, 1000, rate, time)?;
            ensure!(result.is_perfect(), "not all arrived: {result:?}");
            Ok(format!(
                "{} datagrams, none lost, none twice",
                result.received
            ))
        })?;
        show("traceroute6", cloud, || {
            self.wait_for_path(&[office, lyon, to])
        })
    }

    /// The Internet no longer carries anything between two nodes, and tells nobody.
    fn cut(&self) -> Result<()> {
        let [office, lyon, to, tokyo, quito, oslo] = &self.nodes;
        let cloud = to.address(V6);
        let (rate, time) = STREAM_OVER_THE_CUT;
        show("lyon to cloud cut, silently, UDP to", cloud, || {
            let stream = UdpStream::start(&self.laptop.host, &to.host, cloud, 100, rate)?;
            thread::sleep(time / 3);
            for version in [V4, V6] {
                let [lyon, cloud] = [lyon, to].map(|node| node.uplink.address(version));
                self.internet.lose(lyon, cloud)?;
            }
            thread::sleep(time * 2 / 3);
            let result = stream.finish()?;
            let outage = Duration::from_secs(1) * result.lost() as u32 / rate;
            ensure!(outage < time / 3, "no other way was found: {result:?}");
            Ok(format!(
                "another way after {} ms ({} of {} datagrams lost)",
                outage.as_millis(),
                result.lost(),
                result.sent
            ))
        })?;
        show("traceroute6", cloud, || {
            self.wait_for_path(&[office, oslo, quito, tokyo, to])
        })
    }

    /// A stranger on the Internet guesses keys.
    fn refusal(&self) -> Result<()> {
        let [_, lyon, ..] = &self.nodes;
        let address = lyon.uplink.address(V4);
        show("a stranger's packets to", address, || {
            let before = lyon.reason("unknown_key")?;
            let socket = self.stranger.enter(|| UdpSocket::bind("0.0.0.0:0"))??;
            for guess in 0..GUESSES {
                // GRE with a key (RFC 2890), IPv6 inside
                let mut packet = vec![0x20, 0, 0x86, 0xdd, 0xff, 0xff, 0xff, guess as u8];
                packet.extend([0x60; 40]);
                socket.send_to(&packet, (address, 4754))?;
            }
            let counted = || lyon.reason("unknown_key");
            let refused = || counted().is_ok_and(|now| now == before + GUESSES);
            let all = testbed::cleanup::wait_until(Duration::from_secs(2), refused);
            ensure!(all, "not all of {GUESSES} packets were refused");
            Ok(format!("{GUESSES} of {GUESSES} dropped: unknown_key"))
        })
    }

    /// Runs something, and shows meanwhile how many packets cross the first relay.
    fn show_live(
        &self,
        what: &str,
        before: u64,
        work: impl FnOnce() -> Result<String> + Send,
    ) -> Result<()> {
        let done = AtomicBool::new(false);
        let result = thread::scope(|scope| {
            let worker = scope.spawn(|| {
                let result = work();
                done.store(true, Ordering::Relaxed);
                result
            });
            while stdout().is_terminal() && !done.load(Ordering::Relaxed) {
                if let Ok(counters) = self.nodes[1].tunnel("cloud") {
                    let packets = counters.sent_packets - before;
                    print!("\r\x1b[2K  … {what:<34} {packets} packets from lyon to cloud");
                    stdout().flush().ok();
                }
                thread::sleep(Duration::from_millis(200));
            }
            worker.join()
        });
        match result {
            Ok(result) => report(what, result),
            Err(_) => bail!("{what}: the worker panicked"),
        }
    }

    fn summary(&self) -> Result<()> {
        println!(
            "\n  {:<8} {:<8} {:>12} {:>12}",
            "node", "tunnel", "received", "sent"
        );
        for node in &self.nodes {
            for tunnel in &node.configuration.tunnels {
                let counters = node.tunnel(&tunnel.name)?;
                println!(
                    "  {:<8} {:<8} {:>12} {:>12}",
                    node.host.name(),
                    tunnel.name,
                    counters.received_packets,
                    counters.sent_packets
                );
            }
        }
        println!("\n  {:<8} packets that were not simply forwarded", "node");
        for node in &self.nodes {
            let status = node.status()?;
            let reasons = status["reasons"]
                .as_array()
                .context("the status has no reasons")?;
            let met = reasons
                .iter()
                .filter(|reason| reason["packets"] != 0 && reason["name"] != "ordinary");
            for reason in met {
                println!(
                    "  {:<8} {:>8} {:<10} {:<14} {}",
                    node.host.name(),
                    reason["packets"].as_u64().unwrap_or(0),
                    text(&reason["fate"]),
                    text(&reason["name"]),
                    text(&reason["description"])
                );
            }
        }
        let [_, lyon, _, tokyo, quito, oslo] = &self.nodes;
        for node in [lyon, oslo, quito, tokyo] {
            let (ipv4, ipv6) = node.host.forwarded_by_kernel()?;
            let name = node.host.name();
            println!(
                "  {name:<8} {:>8} packets forwarded by the kernel: relaying is XDP's",
                ipv4 + ipv6
            );
        }
        println!();
        Ok(())
    }

    fn remove(self) -> Result<()> {
        for node in &self.nodes {
            node.unload()?;
        }
        drop(self);
        ensure!(
            Testbed::remove_lasting(NAME)? == 0,
            "something of the demo was left"
        );
        Ok(())
    }

    fn keep(self) -> Result<()> {
        // controllers that outlive this process; the data plane went on without them for a moment
        let logs = self.nodes.iter().map(Node::leave_running);
        let logs: Vec<_> = logs.collect::<Result<_>>()?;
        let program = re6st_user()?;
        let [_, lyon, cloud, ..] = &self.nodes;
        let lyon = &lyon.host;
        let seen = Seen {
            // who asked sudo for this has to ask again
            sudo: std::env::var_os("SUDO_USER").is_some(),
            program: &program,
            relay: lyon.namespace(),
            bpffs: &lyon.bpffs(),
            sockets: lyon.directory(),
            log: &logs[1],
            sender: self.laptop.host.namespace(),
            receiver: cloud.host.namespace(),
            address: cloud.address(V6),
        };
        println!("  It stays. Look around:\n\n{}", seen.how_to_look());
        println!("\n  Remove it:  cargo xtask demo --stop");
        self.nodes.into_iter().for_each(Node::keep);
        self.laptop.host.keep();
        self.stranger.keep();
        self.internet.keep();
        Ok(())
    }
}

/// Runs something and tells how long it took.
fn step<T>(what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let start = Instant::now();
    let result = work().with_context(|| what.to_owned())?;
    println!(
        "  {} {what} ({:.1} s)",
        green("✓"),
        start.elapsed().as_secs_f64()
    );
    Ok(result)
}

fn show(what: &str, address: IpAddr, work: impl FnOnce() -> Result<String>) -> Result<()> {
    report(&format!("{what} {address}"), work())
}

fn report(what: &str, result: Result<String>) -> Result<()> {
    if stdout().is_terminal() {
        print!("\r\x1b[2K");
    }
    let result = result.with_context(|| what.to_owned())?;
    println!("  {} {what:<34} {result}", green("✓"));
    Ok(())
}

fn text(value: &serde_json::Value) -> &str {
    value.as_str().unwrap_or("?")
}

fn green(text: impl Display) -> String {
    coloured(text, 32)
}

fn red(text: impl Display) -> String {
    coloured(text, 31)
}

fn coloured(text: impl Display, colour: u8) -> String {
    if stdout().is_terminal() {
        format!("\x1b[{colour}m{text}\x1b[0m")
    } else {
        text.to_string()
    }
}
