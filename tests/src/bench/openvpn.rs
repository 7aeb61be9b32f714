//! OpenVPN without encryption and authentication: what re6st runs for each tunnel.
//!
//! Real peers at both ends make the connections; then the generator sends data packets of the connection itself, with
//! the header it has seen in a real one.

use std::{
    fs,
    net::Ipv4Addr,
    os::fd::AsRawFd as _,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use nix::{
    errno::Errno,
    sys::{
        socket::{
            AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, setsockopt, socket,
            sockopt,
        },
        time::{TimeVal, TimeValLike as _},
    },
};

use super::{
    chain::{self, Chain, FIRST, SECOND, mac},
    contender::Setup,
    core::{CORE_OF_OTHERS, CORE_OF_RELAY},
    frames::{self, ETHERNET, ETHERTYPE_IPV6, Frame, Hop, IPV4, NETWORK, UDP},
};
use crate::{cleanup::wait_until, host::Host, process::Process};

/// UDP port of both ends.
const PORT: u16 = 1194;
/// P_DATA_V2 in the upper five bits of the first byte; the lower three are the key's number.
const DATA: u8 = 9;
/// First byte, peer number, packet number.
const HEADER: usize = 1 + 3 + 4;
/// The generator's packet numbers begin far behind those of the real peer.
const FIRST_PACKET: u32 = 1 << 20;
/// How long a connection may take to come up.
const PATIENCE: Duration = Duration::from_secs(30);

/// Says how to get OpenVPN if it is not there.
pub fn available() -> Result<()> {
    match Command::new("openvpn").arg("--version").output() {
        Ok(_) => Ok(()),
        Err(_) => bail!(
            "openvpn is not installed: `apt-get install openvpn openssl` (or `cargo xtask setup`)"
        ),
    }
}

/// A tunnel between two hosts.
pub struct Tunnel {
    /// First host's process, then the second's.
    pub processes: [Process; 2],
}

/// One end of a tunnel.
pub struct End<'a> {
    /// The host.
    pub host: &'a Host,
    /// Its outer address.
    pub outer: Ipv4Addr,
    /// The tap device it gets.
    pub device: &'a str,
    /// The tap device's Ethernet address.
    pub ethernet: [u8; 6],
    /// The tap device's IPv6 address, with prefix length.
    pub address: &'a str,
    /// Where the process runs.
    pub core: usize,
}

/// Connects two hosts and waits until the tunnel works.
pub fn connect(server: &End<'_>, client: &End<'_>) -> Result<Tunnel> {
    let fingerprint = make_certificate(server.host)?;
    for file in ["key.pem", "certificate.pem"] {
        fs::copy(
            server.host.directory().join(file),
            client.host.directory().join(file),
        )?;
    }
    let processes = [
        start(server, client, "--tls-server", &fingerprint)?,
        start(client, server, "--tls-client", &fingerprint)?,
    ];
    for process in &processes {
        let up = wait_until(PATIENCE, || {
            process
                .stdout()
                .contains("Initialization Sequence Completed")
        });
        ensure!(
            up,
            "OpenVPN made no connection:\n{}{}",
            process.stdout(),
            process.stderr()
        );
    }
    for end in [server, client] {
        let (device, ethernet, address) = (end.device, mac(&end.ethernet), end.address);
        end.host.ip_batch(&format!(
            "link set {device} address {ethernet} up\naddress add {address} dev {device}"
        ))?;
    }
    Ok(Tunnel { processes })
}

/// One certificate serves both ends: each checks the other's fingerprint.
fn make_certificate(host: &Host) -> Result<String> {
    let directory = host.directory();
    let path = |name: &str| directory.join(name).to_string_lossy().into_owned();
    let (key, certificate) = (path("key.pem"), path("certificate.pem"));
    let openssl = |arguments: String| {
        let arguments: Vec<&str> = arguments.split_whitespace().collect();
        host.run("openssl", &arguments)
    };
    openssl(format!(
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=bench \
         -keyout {key} -out {certificate}"
    ))?;
    let text = openssl(format!(
        "x509 -in {certificate} -noout -fingerprint -sha256"
    ))?;
    let (_, fingerprint) = text.trim().split_once('=').context("no fingerprint")?;
    Ok(fingerprint.into())
}

fn start(end: &End<'_>, peer: &End<'_>, role: &str, fingerprint: &str) -> Result<Process> {
    let directory = end.host.directory();
    let (core, device, own, remote) = (end.core, end.device, end.outer, peer.outer);
    // new keys would change the header
    let arguments = format!(
        "--cpu-list {core} openvpn {role} --dev-type tap --dev {device} --proto udp4 --local {own} --remote {remote} \
         --port {PORT} --dh none --data-ciphers none --cipher none --auth none --reneg-sec 0 --reneg-bytes 0 --reneg-pkts 0 \
         --peer-fingerprint {fingerprint} --verb 3"
    );
    let mut command = Command::new("taskset");
    command
        .args(arguments.split(' '))
        .arg("--key")
        .arg(directory.join("key.pem"))
        .arg("--cert")
        .arg(directory.join("certificate.pem"));
    end.host.spawn(&mut command)
}

/// Sets up the relay of a chain and the peers at its ends.
pub fn relay(chain: &Chain, inner: &[u8]) -> Result<Setup> {
    available()?;
    let overlay_first = Hop {
        from: [2, 0, 0, 0, 5, 1],
        to: [2, 0, 0, 0, 5, 2],
        ..FIRST
    };
    let overlay_second = Hop {
        from: [2, 0, 0, 0, 6, 1],
        to: [2, 0, 0, 0, 6, 2],
        ..SECOND
    };
    let relay_first = End {
        host: &chain.relay,
        outer: FIRST.destination,
        device: "first",
        ethernet: overlay_first.to,
        address: "fd00:5::2/64",
        core: CORE_OF_RELAY,
    };
    let relay_second = End {
        outer: SECOND.source,
        device: "second",
        ethernet: overlay_second.from,
        address: "fd00:6::1/64",
        ..relay_first
    };
    let generator = End {
        host: &chain.generator,
        outer: FIRST.source,
        device: "overlay",
        ethernet: overlay_first.from,
        address: "fd00:5::1/64",
        core: CORE_OF_OTHERS,
    };
    let sink = End {
        host: &chain.sink,
        outer: SECOND.destination,
        device: "overlay",
        ethernet: overlay_second.to,
        address: "fd00:6::2/64",
        core: CORE_OF_OTHERS,
    };
    let first = connect(&relay_first, &generator)?.processes;
    let second = connect(&relay_second, &sink)?.processes;
    chain
        .relay
        .set_sysctl("net.ipv6.conf.all.forwarding", "1")?;
    chain::neighbour((&chain.relay, "second"), "fd00:6::2", &overlay_second.to)?;
    chain
        .relay
        .ip(&["route", "add", &format!("{NETWORK}/48"), "via", "fd00:6::2"])?;

    let header = see_header(&chain.generator, "fd00:5::2")?;
    let encapsulate = |outer: &Hop, header: &[u8], overlay: &Hop| {
        let ethernet = frames::ethernet(overlay, ETHERTYPE_IPV6);
        let mut front = frames::ipv4_udp(outer, PORT, HEADER + ethernet.len() + inner.len());
        front.extend(header);
        front.extend(ethernet);
        Frame::new(front, inner)
    };
    let openvpn = ETHERNET + IPV4 + UDP;
    let mut frame = encapsulate(&FIRST, &header, &overlay_first);
    frame.sequence = Some((openvpn + 4, FIRST_PACKET));
    // identification, don't fragment, checksums; the second connection's peer and packet numbers
    let free = vec![
        ETHERNET + 4..ETHERNET + 8,
        ETHERNET + 10..ETHERNET + 12,
        ETHERNET + IPV4 + 6..ETHERNET + IPV4 + 8,
        openvpn + 1..openvpn + HEADER,
    ];
    let arrives = encapsulate(&SECOND, &header, &overlay_second);
    let mut setup = Setup::new(frame, arrives, free);
    setup.threads = vec![first[0].id(), second[0].id()];
    setup.processes = first.into_iter().chain(second).collect();
    Ok(setup)
}

/// The header of a data packet that the host's OpenVPN process sends when the host pings its peer.
fn see_header(host: &Host, peer: &str) -> Result<[u8; HEADER]> {
    let listener = host.enter(|| {
        socket(
            AddressFamily::Packet,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::EthAll,
        )
    })??;
    setsockopt(
        &listener,
        sockopt::ReceiveTimeout,
        &TimeVal::milliseconds(200),
    )?;
    let deadline = Instant::now() + PATIENCE;
    let mut buffer = [0; 2048];
    while Instant::now() < deadline {
        // the ping may come too early; another one is made then
        let ping = host.output("ping", &["-c", "1", "-W", "1", peer])?;
        while ping.status.success() {
            let length = match recv(listener.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                Ok(length) => length,
                Err(Errno::EAGAIN) => break,
                Err(error) => return Err(error).context("listening to OpenVPN"),
            };
            if let Some(header) = data_header(&buffer[..length]) {
                return Ok(header);
            }
        }
        thread::sleep(Duration::from_millis(100));
    }
    bail!("OpenVPN carries no ping")
}

/// The OpenVPN header of a frame with a data packet to the tunnel's port.
fn data_header(frame: &[u8]) -> Option<[u8; HEADER]> {
    let port = frame.get(ETHERNET + IPV4 + 2..ETHERNET + IPV4 + 4)?;
    let is_to_relay = frame.get(..6)? == FIRST.to && port == PORT.to_be_bytes();
    let header: [u8; HEADER] = frame
        .get(ETHERNET + IPV4 + UDP..ETHERNET + IPV4 + UDP + HEADER)?
        .try_into()
        .ok()?;
    (is_to_relay && header[0] >> 3 == DATA).then_some(header)
}
