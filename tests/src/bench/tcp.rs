//! One TCP connection between two hosts with one link between them.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};

use super::{
    channel,
    core::{self, CORE_OF_OTHERS, CORE_OF_RELAY, THIS_THREAD},
    kernel::Pass,
    openvpn::{self, End},
    relay_node::{PORT, load_configuration},
};
use crate::{
    host::{Host, Testbed},
    link::{LinkOptions, add_addresses, link},
    node::{Configuration, Encapsulation, Keys, Route, Tunnel},
    process::Process,
};

/// What carries the connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Carrier {
    /// The link itself, its offloads off.
    Link,
    /// The same, but the kernel merges received packets (GRO), which a veth device only does when asked to or while it
    /// has an XDP program.
    LinkWithGro,
    /// The same with an XDP program that does nothing at both ends: on a veth device that alone costs a copy of each
    /// packet, which it would not on a network card.
    LinkWithXdp,
    /// Our tunnel.
    Re6st,
    /// Our tunnel, which a channel has opened.
    Channel,
    /// An OpenVPN tunnel.
    Openvpn,
}

/// Two hosts.
pub struct Pair {
    /// What carries the connection.
    pub carrier: Carrier,
    target: IpAddr,
    // the processes end before the hosts go
    _processes: Vec<Process>,
    _programs: Vec<Pass>,
    sender: Host,
    receiver: Host,
}

const OUTER: [&str; 2] = ["10.0.1.1", "10.0.1.2"];
const MESH: [&str; 2] = ["2001:db8:42:1::1", "2001:db8:42:2::1"];
/// Bytes written and read at a time.
const BLOCK: usize = 128 * 1024;
/// A frame of the link's MTU.
const LONGEST_FRAME: u64 = 1514;

impl Pair {
    /// Sets them up. The programs that send and receive have a core each; packets are received where the kernel likes to.
    pub fn new(testbed: &Testbed, carrier: Carrier) -> Result<Self> {
        let tag = match carrier {
            Carrier::Link => 'l',
            Carrier::LinkWithGro => 'g',
            Carrier::LinkWithXdp => 'x',
            Carrier::Re6st => 'e',
            Carrier::Channel => 'n',
            Carrier::Openvpn => 'p',
        };
        let sender = testbed.host(&format!("tcp-{tag}-sender"))?;
        let receiver = testbed.host(&format!("tcp-{tag}-receiver"))?;
        // kernel threads are named after interfaces, so these names are no other's
        let names = ['a', 'b'].map(|end| format!("{tag}{end}{}", std::process::id()));
        let ends = [(&sender, names[0].as_str()), (&receiver, names[1].as_str())];
        let options = LinkOptions {
            receive_offload: carrier != Carrier::Link,
            ..LinkOptions::default()
        };
        link(ends[0], ends[1], options)?;
        for ((host, name), outer) in ends.into_iter().zip(OUTER) {
            host.run("ethtool", &["-K", name, "gso", "off", "sg", "off"])?;
            add_addresses(host, name, &[&format!("{outer}/24")])?;
        }
        sender.run("ping", &["-c", "1", "-W", "2", OUTER[1]])?;
        let (mut processes, mut programs) = (Vec::new(), Vec::new());
        let target = match carrier {
            Carrier::Link | Carrier::LinkWithGro => OUTER[1].to_owned(),
            Carrier::LinkWithXdp => {
                for (host, interface) in ends {
                    programs.push(host.enter(|| Pass::attach(interface))??);
                }
                OUTER[1].into()
            }
            Carrier::Re6st => {
                for (index, (host, interface)) in ends.into_iter().enumerate() {
                    load_configuration(host, &configuration(index, interface))?;
                }
                MESH[1].into()
            }
            Carrier::Channel => {
                let (running, target) = channel::pair(ends, OUTER)?;
                processes.extend(running);
                target
            }
            Carrier::Openvpn => {
                processes.extend(connect(&sender, &receiver)?);
                "fd00:5::2".into()
            }
        };
        Ok(Self {
            carrier,
            target: target.parse()?,
            _processes: processes,
            _programs: programs,
            sender,
            receiver,
        })
    }

    /// Bits per second.
    pub fn measure(&self, warm_up: Duration, window: Duration) -> Result<f64> {
        let listener = self
            .receiver
            .enter(|| TcpListener::bind(SocketAddr::new(self.target, 0)))?
            .with_context(|| format!("listening on {}", self.target))?;
        let address = listener.local_addr()?;
        let stop = AtomicBool::new(false);
        let received = AtomicU64::new(0);
        thread::scope(|scope| {
            let sender = scope.spawn(|| {
                core::pin(THIS_THREAD, CORE_OF_OTHERS)?;
                let connection = self
                    .sender
                    .enter(|| TcpStream::connect_timeout(&address, Duration::from_secs(5)))??;
                send(connection, &stop)
            });
            let receiver = scope.spawn(|| {
                core::pin(THIS_THREAD, CORE_OF_RELAY)?;
                let (connection, _) = accept(&listener)?;
                receive(connection, &received)
            });
            thread::sleep(warm_up);
            let frames = self.frames()?;
            let start = Instant::now();
            let before = received.load(Ordering::Relaxed);
            thread::sleep(window);
            let bytes = received.load(Ordering::Relaxed) - before;
            let seconds = start.elapsed().as_secs_f64();
            let (packets_after, bytes_after) = self.frames()?;
            stop.store(true, Ordering::Relaxed);
            for thread in [sender, receiver] {
                match thread.join() {
                    Ok(result) => result?,
                    Err(_) => bail!("a thread of the TCP connection panicked"),
                }
            }
            let longest = (bytes_after - frames.1) / (packets_after - frames.0).max(1);
            ensure!(
                bytes > 0 && longest <= LONGEST_FRAME,
                "frames of {longest} bytes on the link: it does not behave like a network card"
            );
            Ok(bytes as f64 * 8.0 / seconds)
        })
    }

    /// Packets and bytes that arrived at the receiver's end of the link.
    fn frames(&self) -> Result<(u64, u64)> {
        let links = self.receiver.ip_json(&["link", "show", "type", "veth"])?;
        let link = links
            .as_array()
            .and_then(|links| links.iter().find(|link| link["link_netnsid"].is_number()))
            .and_then(|link| link["ifname"].as_str())
            .context("the receiver has no link")?;
        let counters = self.receiver.interface_counters(link)?;
        Ok((counters.received_packets, counters.received_bytes))
    }
}

fn accept(listener: &TcpListener) -> Result<(TcpStream, SocketAddr)> {
    listener.set_nonblocking(true)?;
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        match listener.accept() {
            Err(error) if error.kind() == ErrorKind::WouldBlock && Instant::now() < deadline => {
                thread::sleep(Duration::from_millis(5));
            }
            accepted => return accepted.context("no TCP connection came"),
        }
    }
}

fn send(mut connection: TcpStream, stop: &AtomicBool) -> Result<()> {
    connection.set_write_timeout(Some(Duration::from_secs(10)))?;
    let block = vec![0x5a; BLOCK];
    while !stop.load(Ordering::Relaxed) {
        connection.write_all(&block).context("sending")?;
    }
    Ok(())
}

fn receive(mut connection: TcpStream, received: &AtomicU64) -> Result<()> {
    connection.set_nonblocking(false)?;
    connection.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut block = vec![0; BLOCK];
    loop {
        match connection.read(&mut block).context("receiving")? {
            0 => return Ok(()),
            length => {
                ensure!(
                    block[0] == 0x5a && block[length - 1] == 0x5a,
                    "other bytes arrived than were sent"
                );
                received.fetch_add(length as u64, Ordering::Relaxed);
            }
        }
    }
}

fn configuration(index: usize, interface: &str) -> Configuration {
    let (own, peer) = (index, 1 - index);
    let keys = [0x5ec0_0001, 0x5ec0_0002];
    Configuration {
        addresses: vec![format!("{}/64", MESH[own])],
        interfaces: vec![interface.into()],
        networks: vec!["2001:db8:42::/48".into()],
        forward: false,
        port: Some(PORT),
        tunnels: vec![Tunnel {
            name: "peer".into(),
            remote: if own == 0 {
                [10, 0, 1, 2]
            } else {
                [10, 0, 1, 1]
            }
            .into(),
            local: None,
            encap: Encapsulation::Fou,
            port: Some(PORT),
            mtu: None,
            key: Keys {
                local: keys[own],
                remote: keys[peer],
            },
        }],
        routes: vec![Route::new(format!("2001:db8:42:{}::/64", peer + 1), "peer")],
        ..Configuration::default()
    }
}

fn connect(sender: &Host, receiver: &Host) -> Result<[Process; 2]> {
    openvpn::available()?;
    let first = End {
        host: sender,
        outer: [10, 0, 1, 1].into(),
        device: "overlay",
        ethernet: [2, 0, 0, 0, 5, 1],
        address: "fd00:5::1/64",
        core: CORE_OF_OTHERS,
    };
    let second = End {
        host: receiver,
        outer: [10, 0, 1, 2].into(),
        device: "overlay",
        ethernet: [2, 0, 0, 0, 5, 2],
        address: "fd00:5::2/64",
        core: CORE_OF_RELAY,
    };
    Ok(openvpn::connect(&first, &second)?.processes)
}
