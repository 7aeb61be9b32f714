//! What the loaded programs would do with a packet: they are run on it (`BPF_PROG_TEST_RUN`), and the same packet logic
//! decides once more on the host, over the same maps, to say why. The two must agree, byte by byte.

use re6st_common::{
    apply::{self, Verdict},
    encapsulation::{LinkHeader, OuterHeaders},
    maps::Tunnel,
    packet::Frame,
    reason::Reason,
    tables::Tables as _,
};
use serde::Serialize;

use crate::{
    dataplane::bpf::{BpfError, HANDOVER, Manifest, Pins, SEND, maps::text, xdp_program},
    description::{
        Content, Description, FrameError, Ip, Outer, Place, frame,
        headers::{Header, headers},
    },
    io::host,
};

mod program;
mod replay;
mod tables;

use program::Answer;
use replay::{Replay, differences, verdict_name};
use tables::PinnedTables;

/// The Ethernet address described frames come from: locally administered, nobody's.
const SENDER: [u8; 6] = [0x02, 0, 0, 0, 0, 0x01];
/// Bytes of the longest frame that a driver, and a test run, can give a program in one piece: a page of 4,096 less the room
/// XDP guarantees in front and the 320 bytes the kernel keeps at the end (`struct skb_shared_info`).
const ONE_PIECE: usize = 4096 - Frame::HEADROOM - 320;

/// Why a packet could not be traced.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The maps or programs.
    #[error(transparent)]
    Bpf(#[from] BpfError),
    /// The description.
    #[error("packet description: {0}")]
    Frame(#[from] FrameError),
    /// What the description names is not there.
    #[error("{what} {name:?} is not of instance {instance}; there are: {known}")]
    Unknown {
        /// Which kind of thing.
        what: &'static str,
        /// Its name.
        name: String,
        /// The instance.
        instance: String,
        /// The names there are.
        known: String,
    },
    /// A frame that cannot arrive: the instance is loaded for frames in one piece.
    #[error(
        "a frame of {length} bytes: the instance's interfaces take at most {maximum}, for their MTU is that of frames in one \
         piece of memory; give a smaller length"
    )]
    TooBig {
        /// Bytes of the frame.
        length: usize,
        /// The most there can be.
        maximum: usize,
    },
    /// The instance is not one that can be traced from here.
    #[error("{0}")]
    Instance(String),
}

/// What becomes of a packet.
#[derive(Clone, Debug, Serialize)]
pub struct Trace {
    /// The packet, as it was understood.
    pub description: String,
    /// The program that got it.
    pub program: &'static str,
    /// What the program answered the kernel, by its name there.
    pub verdict: String,
    /// What that means.
    pub outcome: Outcome,
    /// Why, unless it is simply forwarded.
    pub reason: Option<ReasonOf>,
    /// The tunnel it came through.
    pub from_tunnel: Option<String>,
    /// The tunnel it leaves through.
    pub to_tunnel: Option<Hop>,
    /// The network interface it leaves through.
    pub interface: Option<String>,
    /// The next instance on the interface, which gets the packet instead.
    pub next_instance: Option<String>,
    /// The headers of what arrived.
    pub before: Vec<Header>,
    /// The headers of what the programs made of it; empty if it was dropped.
    pub after: Vec<Header>,
    /// Where the programs and the host's replay of their logic differ: a bug, or maps that changed meanwhile.
    pub disagreements: Vec<String>,
}

/// What a verdict means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It is gone.
    Dropped,
    /// The kernel gets it as it came.
    Untouched,
    /// It arrives on the mesh device, freed of its outer headers.
    MeshDevice,
    /// It leaves at once.
    Sent,
    /// It leaves by way of our TC program: the driver takes no frames from XDP, or the kernel has to find the neighbour.
    SentByTc,
    /// The next instance on the interface gets it.
    NextInstance,
}

/// A reason with what it means.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ReasonOf {
    /// The counter's name.
    pub name: &'static str,
    /// One line for people.
    pub description: &'static str,
}

/// A tunnel to send through.
#[derive(Clone, Debug, Serialize)]
pub struct Hop {
    /// The next hop's number.
    pub number: u32,
    /// The tunnel's name.
    pub name: String,
}

/// Runs the instance's programs on a packet. They count it as they count any other.
///
/// # Errors
/// If there is no such instance, interface or tunnel, or the kernel does not run the programs. That programs and replay
/// disagree is no error: see [`Trace::disagreements`].
pub fn trace(pins: &Pins, description: &Description) -> Result<Trace, TraceError> {
    let manifest = manifest(pins)?;
    let tables = PinnedTables::open(pins, &manifest)?;
    let (arrival, frame) = prepare(pins, &tables, &manifest, description)?;
    let is_send = description.place == Place::Send;
    if !is_send && !manifest.frags && frame.len() > ONE_PIECE {
        return Err(TraceError::TooBig {
            length: frame.len(),
            maximum: ONE_PIECE,
        });
    }
    let answer = match is_send {
        true => program::tc(&pins.object(SEND), &frame)?,
        false => program::xdp(&pins.object(xdp_program(manifest.frags)), &frame, arrival)?,
    };
    let replay = || match is_send {
        true => replay::send(&tables, &frame),
        false => replay::receive(&tables, &frame, arrival, manifest.frags),
    };
    let mut replayed = replay();
    let mut disagreements = differences(&answer, &replayed);
    // what this command cannot see: whether the packet was one by which the kernel shall confirm a neighbour, whether the
    // programs got no answer from the kernel's table, because the neighbour is not known there, and whether so many initiations
    // of handshakes came that this one had to show a cookie
    for otherwise in [
        PinnedTables::let_kernel_confirm,
        PinnedTables::forget_kernel_routes,
        PinnedTables::spend_tokens,
    ] {
        if disagreements.is_empty() {
            break;
        }
        otherwise(&tables);
        let again = replay();
        if differences(&answer, &again).is_empty() {
            disagreements.clear();
            replayed = again;
        }
    }
    tables.check()?;
    let mut trace = report(&tables, &manifest, description, &frame, &answer, &replayed);
    trace.next_instance = next_instance(pins, &manifest, &replayed)?;
    if trace.next_instance.is_some() {
        // it was that instance's program which answered
        trace.outcome = Outcome::NextInstance;
        disagreements.clear();
    }
    if trace.outcome == Outcome::MeshDevice || trace.outcome == Outcome::SentByTc && !is_send {
        disagreements.extend(hand_over(pins, &answer.frame)?);
    }
    trace.disagreements = disagreements;
    Ok(trace)
}

fn manifest(pins: &Pins) -> Result<Manifest, TraceError> {
    let instance = pins.instance();
    let Some(manifest) = Manifest::of(pins)? else {
        return Err(TraceError::Instance(format!(
            "{instance} is not loaded (nothing in {})",
            pins.folder().display()
        )));
    };
    let here = host::network_namespace().map_err(|source| BpfError::Call {
        what: "ask which network namespace this is".to_owned(),
        source,
    })?;
    if manifest.network_namespace != here {
        return Err(TraceError::Instance(format!(
            "{instance} is loaded in another network namespace: run this there, with `nsenter --net=...` (`ip netns \
             exec` would hide the BPF file system)"
        )));
    }
    Ok(manifest)
}

/// The interface a described packet arrives on, and its frame.
fn prepare(
    pins: &Pins,
    tables: &PinnedTables,
    manifest: &Manifest,
    description: &Description,
) -> Result<(u32, Vec<u8>), TraceError> {
    let unknown = |what, name: &str, known: Vec<String>| TraceError::Unknown {
        what,
        name: name.to_owned(),
        instance: pins.instance().to_string(),
        known: if known.is_empty() {
            "none".to_owned()
        } else {
            known.join(", ")
        },
    };
    let mut content = description.content.clone();
    let (arrival, vlan) = match &description.place {
        Place::Send => (manifest.settings.device, None),
        Place::Interface { name, vlan } => {
            // by the name it has now, or any of its alternative names
            let index = nix::net::if_::if_nametoindex(name.as_str()).ok();
            let Some(index) = index.filter(|index| tables.interface(*index).is_some()) else {
                let indexes = tables.interfaces().keys();
                let known = indexes.map(|index| interface_name(tables, *index));
                return Err(unknown("interface", name, known.collect()));
            };
            (index, *vlan)
        }
        Place::Tunnel(name) => {
            let found = tables
                .tunnels()
                .find(|(_, next_hop, _)| text(&next_hop.name) == *name);
            let found = found
                .and_then(|(_, next_hop, tunnel)| Some((tunnel?, OuterHeaders::read(next_hop)?)));
            let Some((tunnel, ours)) = found else {
                let known = tables
                    .tunnels()
                    .map(|(_, next_hop, _)| text(&next_hop.name));
                return Err(unknown("tunnel", name, known.collect()));
            };
            if let Content::Packet { outer, .. } = &mut content {
                *outer = Some(outer_of(tunnel, &ours));
            }
            (
                tunnel.interface,
                Some(tunnel.vlan).filter(|vlan| *vlan != 0),
            )
        }
    };
    let destination = match description.place {
        Place::Send => manifest.settings.device_address,
        _ => tables
            .interface(arrival)
            .map_or([0; 6], |entry| entry.address),
    };
    let link = LinkHeader {
        destination,
        source: SENDER,
        vlan: vlan.unwrap_or(0),
    };
    Ok((arrival, frame(&content, &link)?))
}

/// The outer headers with which the peer of a tunnel sends: ours the other way round, with its key.
fn outer_of(tunnel: &Tunnel, ours: &OuterHeaders) -> Outer {
    Outer {
        ip: Ip {
            source: ours.remote,
            destination: ours.local,
            hop_limit: Ip::HOP_LIMIT,
            class: 0,
            length: None,
            options: false,
            fragment: false,
        },
        port: ours.udp.map(|ports| ports.destination),
        key: Some(tunnel.key),
    }
}

fn report(
    tables: &PinnedTables,
    manifest: &Manifest,
    description: &Description,
    frame: &[u8],
    answer: &Answer,
    replay: &Replay,
) -> Trace {
    let port = manifest.settings.port;
    let handed_over = match replay.verdict {
        Verdict::Pass => apply::handed_over(&Frame::new(&answer.frame), tables),
        _ => None,
    };
    let (outcome, interface) = match (replay.verdict, handed_over) {
        (Verdict::Drop, _) => (Outcome::Dropped, None),
        (Verdict::Redirect(index), _) if replay.program == SEND => (Outcome::SentByTc, Some(index)),
        (Verdict::Redirect(index), _) => (Outcome::Sent, Some(index)),
        (Verdict::Pass, None) => (Outcome::Untouched, None),
        (Verdict::Pass, Some(0)) => (Outcome::MeshDevice, None),
        (Verdict::Pass, Some(index)) => (Outcome::SentByTc, Some(index)),
    };
    let tunnel = |id: u32| {
        tables
            .next_hop(id)
            .map_or_else(String::new, |next_hop| text(&next_hop.name))
    };
    Trace {
        description: description.to_string(),
        program: replay.program,
        verdict: verdict_name(replay.program, answer.code),
        outcome,
        reason: replay.reason.map(|reason| ReasonOf {
            name: reason.name(),
            description: reason.description(),
        }),
        from_tunnel: replay.from_tunnel.map(tunnel),
        to_tunnel: replay.to_tunnel.map(|number| Hop {
            number,
            name: tunnel(number),
        }),
        interface: interface.map(|index| interface_name(tables, index)),
        next_instance: None,
        before: headers(frame, port),
        after: after(outcome, &answer.frame, port),
        disagreements: Vec::new(),
    }
}

/// The headers of what the programs made of a packet. The Ethernet header is none of them where it only tells our own TC
/// program what to do, or the kernel will write another one.
fn after(outcome: Outcome, frame: &[u8], port: u16) -> Vec<Header> {
    let mut headers = match outcome {
        Outcome::Dropped => Vec::new(),
        _ => headers(frame, port),
    };
    if let Outcome::MeshDevice | Outcome::SentByTc = outcome {
        headers.retain(|header| !matches!(header, Header::Ethernet { .. }));
    }
    headers
}

/// The name an interface has now, or had if it is gone.
fn interface_name(tables: &PinnedTables, index: u32) -> String {
    let now = nix::net::if_::if_indextoname(index).ok();
    now.and_then(|name| name.into_string().ok())
        .or_else(|| tables.interface(index).map(|entry| text(&entry.name)))
        .unwrap_or_else(|| format!("interface {index}"))
}

/// Runs the TC program on what XDP handed over to it.
fn hand_over(pins: &Pins, frame: &[u8]) -> Result<Option<String>, TraceError> {
    const REDIRECT: u32 = 7;
    let answer = program::tc(&pins.object(HANDOVER), frame)?;
    Ok((answer.code != REDIRECT).then(|| {
        format!(
            "{HANDOVER} answered {} to what XDP handed over, and should redirect it",
            answer.code as i32
        )
    }))
}

/// The instance whose program gets what this one knows nothing of.
fn next_instance(
    pins: &Pins,
    manifest: &Manifest,
    replay: &Replay,
) -> Result<Option<String>, TraceError> {
    if !matches!(replay.reason, Some(Reason::Ordinary | Reason::UnknownKey)) {
        return Ok(None);
    }
    let mut next: Option<Manifest> = None;
    for other in Pins::all(pins.bpffs())? {
        let Some(other) = Manifest::of(&other)? else {
            continue;
        };
        let follows = other.network_namespace == manifest.network_namespace
            && other.order > manifest.order
            && other
                .interfaces
                .iter()
                .any(|record| record.index == replay.arrival);
        if follows && next.as_ref().is_none_or(|next| other.order < next.order) {
            next = Some(other);
        }
    }
    Ok(next.map(|manifest| manifest.instance))
}
