//! The files of a member: its own, and what it keeps of the network's documents.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown},
    path::{Path, PathBuf},
};

use super::{held::Kept, member::Keep};
use crate::{certificate::document::MAX_DOCUMENT_SIZE, config::Registry, io::file};

/// Octets of a file, at most.
const MAXIMUM: u64 = MAX_DOCUMENT_SIZE as u64;

/// Where they are.
#[derive(Clone, Debug)]
pub struct Files {
    registry: Registry,
    state: PathBuf,
}

impl Files {
    /// Those of the section `[registry]`, and the state directory, which is there.
    pub fn new(registry: &Registry, state: &Path) -> Self {
        Self {
            registry: registry.clone(),
            state: state.to_owned(),
        }
    }

    /// What was kept, and what of it cannot be read.
    pub fn kept(&self) -> (Kept, Vec<String>) {
        let mut problems = Vec::new();
        let mut read = |name: &str| {
            let path = self.state.join(name);
            match file::read(&path, MAXIMUM) {
                Ok(octets) => Some(octets),
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(error) => {
                    problems.push(format!("{}: {error}", path.display()));
                    None
                }
            }
        };
        let kept = Kept {
            parameters: read(PARAMETERS),
            revocations: read(REVOCATIONS),
            mac_keys: read(MAC_KEYS),
        };
        (kept, problems)
    }

    /// Keeps something, whole or not at all.
    pub fn keep(&self, keep: &Keep) -> Result<(), String> {
        let state = |name| self.state.join(name);
        let (path, octets) = match keep {
            Keep::Parameters(envelope) => (state(PARAMETERS), envelope.as_slice()),
            Keep::Revocations(envelope) => (state(REVOCATIONS), envelope.as_slice()),
            Keep::MacKeys(keys) => (state(MAC_KEYS), keys.as_slice()),
            Keep::Certificate(pem) => (self.registry.certificate.clone(), pem.as_bytes()),
            Keep::Authorities(pem) => (self.registry.ca.clone(), pem.as_bytes()),
        };
        replace(&path, octets).map_err(|error| format!("{}: {error}", path.display()))
    }
}

const PARAMETERS: &str = "parameters.json";
const REVOCATIONS: &str = "revocations.json";
const MAC_KEYS: &str = "mac-keys.json";

/// Writes a file beside it and puts that in its place. Owner and permissions stay; a new file is for its owner alone. Whoever
/// reads, also after a power failure, finds the old one or the new one.
pub fn replace(path: &Path, octets: &[u8]) -> io::Result<()> {
    // a link stays a link
    let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let scratch = PathBuf::from(name);
    // what a killed controller left may have other permissions
    match fs::remove_file(&scratch) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&scratch)?;
    let written = write(&mut file, path, octets).and_then(|()| fs::rename(&scratch, path));
    if written.is_err() {
        // nothing is lost by it
        let _ = fs::remove_file(&scratch);
    }
    written?;
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

fn write(file: &mut File, path: &Path, octets: &[u8]) -> io::Result<()> {
    file.write_all(octets)?;
    match fs::metadata(path) {
        Ok(old) => {
            fchown(&*file, Some(old.uid()), Some(old.gid()))?;
            file.set_permissions(fs::Permissions::from_mode(old.mode() & 0o7777))?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    file.sync_all()
}
