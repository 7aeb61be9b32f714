//! The control socket: one question and one answer a connection, both JSON.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read as _},
    net::{Shutdown, SocketAddr},
    os::unix::{
        fs::PermissionsExt as _,
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    time::Duration,
};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{install::InstallCounters, journal::JournalCounters, mesh::MappedPort};
use crate::{
    babel::output::{Page, RouteSnapshot},
    channel::{self, PeerReport},
    dataplane::bpf::InstanceName,
    membership, mesh, routing,
};

/// Where control sockets are unless said otherwise.
pub const DEFAULT: &str = "/run/re6st-ebpf";
/// How long a controller may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The most bytes of a question.
pub const LONGEST_QUESTION: u64 = 4096;

/// What is asked of a controller, or that it does something. No answer is long: whoever wants all of a table asks for one part after another, so that
/// the controller's neighbours never wait.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "show")]
pub enum Question {
    /// A [`Summary`].
    Summary,
    /// A [`Page`] of [`NeighbourSnapshot`]s.
    ///
    /// [`NeighbourSnapshot`]: crate::babel::output::NeighbourSnapshot
    Neighbours {
        /// Where the page begins.
        from: u32,
    },
    /// A [`Page`] of [`PeerEntry`]s.
    Peers {
        /// Where the page begins.
        from: u32,
    },
    /// Makes a new handshake with a peer: [`Reconnected`].
    Reconnect {
        /// The name in its certificate.
        peer: String,
    },
    /// Takes up its configuration anew: [`Reloaded`].
    Reload,
    /// A [`Page`] of [`RouteReport`]s.
    Routes {
        /// Where the page begins.
        from: u32,
        /// Only routes to prefixes that lie in it, or in which it lies.
        near: Option<IpNet>,
    },
}

impl Question {
    /// The same about another page.
    #[must_use]
    pub fn continued(mut self, at: u32) -> Self {
        match &mut self {
            Self::Summary | Self::Reload | Self::Reconnect { .. } => {}
            Self::Neighbours { from } | Self::Peers { from } | Self::Routes { from, .. } => {
                *from = at;
            }
        }
        self
    }
}

/// What a controller tells of itself.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Summary {
    /// What the routing protocol tells, if there is one.
    #[serde(flatten)]
    pub protocol: Option<routing::Summary>,
    /// How many routes in use are not in the data plane or the kernel's table.
    pub not_installed: usize,
    /// What cannot work as it is, and why.
    pub warnings: Vec<String>,
    /// Packets refused before the protocol saw them, by reason.
    pub refused: BTreeMap<String, u64>,
    /// Of channels to peers; none if there can be none.
    pub channels: Option<channel::Counters>,
    /// Of the mesh, if the node finds others by itself.
    pub mesh: Option<MeshReport>,
    /// Of routes.
    pub installing: InstallCounters,
    /// Of the file of feasibility distances.
    pub distances: JournalCounters,
    /// Of a member of a managed mesh.
    pub registry: Option<membership::report::Report>,
}

/// The mesh as a node sees it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct MeshReport {
    /// Other nodes that routes lead to.
    pub reachable: usize,
    /// Tunnels that this node opens and keeps, by the file or the network.
    pub client_count: usize,
    /// Tunnels that others may have to it, likewise.
    pub max_clients: usize,
    /// Its tunnels, those that have ended, and the rest of what it decides by.
    #[serde(flatten)]
    pub seen: mesh::Report,
    /// Where others are told that this node is.
    pub addresses: Vec<SocketAddr>,
    /// Where a router passes packets on to it.
    pub mapped_port: Option<MappedPort>,
    /// How often what happened.
    #[serde(flatten)]
    pub counters: mesh::Counters,
}

/// What came of [`Question::Reload`].
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reloaded {
    /// What has changed, a line each.
    Changes(Vec<String>),
    /// Why nothing has.
    Refused(String),
}

/// What came of [`Question::Reconnect`].
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reconnected {
    /// A handshake has begun.
    Begun,
    /// Why not.
    Refused(String),
}

/// A peer of a managed mesh.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct PeerEntry {
    /// Its channel.
    #[serde(flatten)]
    pub channel: PeerReport,
    /// What its tunnel has carried, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tunnel: Option<TunnelTraffic>,
}

/// What a tunnel has carried.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct TunnelTraffic {
    /// To the peer.
    pub sent_packets: u64,
    /// Of inner packets.
    pub sent_bytes: u64,
    /// From the peer.
    pub received_packets: u64,
    /// Of inner packets.
    pub received_bytes: u64,
}

/// A route.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct RouteReport {
    /// What Babel knows of it.
    #[serde(flatten)]
    pub route: RouteSnapshot,
    /// Why it is not in the data plane or the kernel's table, though it is in use.
    pub not_installed: Option<String>,
}

/// The path of an instance's control socket.
pub fn path(directory: &Path, instance: &InstanceName) -> PathBuf {
    directory.join(format!("{instance}.sock"))
}

/// The path of a control socket, which is removed when this is dropped: the next controller makes its own.
#[derive(Debug)]
pub struct Place(PathBuf);

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Listens, for root alone.
pub fn listen(path: &Path) -> io::Result<(UnixListener, Place)> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    let place = Place(path.to_owned());
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok((listener, place))
}

/// Asks a running controller; `None` if there is none.
///
/// # Errors
/// It does not answer, or not as it should.
pub fn ask(path: &Path, question: &Question) -> io::Result<Option<serde_json::Value>> {
    let mut stream = match UnixStream::connect(path) {
        Ok(stream) => stream,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
            ) =>
        {
            return Ok(None);
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let advice = format!("{error}: run this as root, as the controller is");
            return Err(io::Error::new(error.kind(), advice));
        }
        Err(error) => return Err(error),
    };
    stream.set_read_timeout(Some(PATIENCE))?;
    serde_json::to_writer(&mut stream, question)?;
    stream.shutdown(Shutdown::Write)?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(Some(serde_json::from_str(&text)?))
}

/// All that a question about a table asks for, page after page; nothing if there is no controller.
pub fn ask_for_all(
    path: &Path,
    question: Question,
) -> impl Iterator<Item = io::Result<serde_json::Value>> {
    let mut question = Some(question);
    let pages = std::iter::from_fn(move || {
        let asked = question.take()?;
        let page = ask(path, &asked).and_then(|answer| match answer {
            Some(page) => Ok(serde_json::from_value::<Page<_>>(page)?),
            None => Ok(Page::default()),
        });
        question = page
            .as_ref()
            .ok()
            .and_then(|page| page.next)
            .map(|next| asked.continued(next));
        Some(page)
    });
    pages.flat_map(|page| match page {
        Ok(page) => page.items.into_iter().map(Ok).collect(),
        Err(error) => vec![Err(error)],
    })
}
