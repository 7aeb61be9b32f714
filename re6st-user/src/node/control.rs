//! The control socket: one JSON document a connection.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read as _},
    os::unix::{
        fs::PermissionsExt as _,
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Serialize;

use super::{install::InstallCounters, journal::JournalCounters};
use crate::{
    babel::{
        counters::Counters,
        output::{AnnouncementSnapshot, NeighbourSnapshot, RouteSnapshot},
        quantities::SequenceNumber,
    },
    dataplane::{RouteKey, bpf::InstanceName},
    membership,
};

/// Where control sockets are unless said otherwise.
pub const DEFAULT: &str = "/run/re6st-ebpf";
/// How long a controller may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a controller tells of itself.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Report {
    /// Our own, as babeld and BIRD write it.
    pub router_id: String,
    /// Of our own routes.
    pub sequence_number: SequenceNumber,
    /// All neighbours.
    pub neighbours: Vec<NeighbourSnapshot>,
    /// Learned routes.
    pub routes: Vec<RouteSnapshot>,
    /// Our own routes.
    pub announcements: Vec<AnnouncementSnapshot>,
    /// What cannot work as it is, and why.
    pub warnings: Vec<String>,
    /// Routes in use that are not in the data plane or the kernel's table, and why.
    pub not_installed: Vec<NotInstalled>,
    /// Of the protocol.
    pub counters: Counters,
    /// Packets refused before the protocol saw them, by reason.
    pub refused: BTreeMap<String, u64>,
    /// Of routes.
    pub installing: InstallCounters,
    /// Of the file of feasibility distances.
    pub distances: JournalCounters,
    /// Of a member of a managed mesh.
    pub registry: Option<membership::report::Report>,
}

/// A route that is in use and not installed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct NotInstalled {
    /// Destination and source prefix.
    pub route: RouteKey,
    /// Why.
    pub why: String,
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
pub fn ask(path: &Path) -> io::Result<Option<serde_json::Value>> {
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
        Err(error) => return Err(error),
    };
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(Some(serde_json::from_str(&text)?))
}
