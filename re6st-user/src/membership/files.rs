//! The files of a member: its own, and what it keeps of the network's documents.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::{held::Kept, messages::Keep};
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
            node_keys: read(PEERS),
            successions: read(SUCCESSIONS),
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
            Keep::NodeKeys(keys) => (state(PEERS), keys.as_slice()),
            Keep::Successions(statements) => (state(SUCCESSIONS), statements.as_slice()),
            Keep::Certificate(pem) => (self.registry.certificate.clone(), pem.as_bytes()),
            Keep::Authorities(pem) => (self.registry.ca.clone(), pem.as_bytes()),
        };
        file::replace(&path, octets).map_err(|error| format!("{}: {error}", path.display()))
    }
}

const PARAMETERS: &str = "parameters.json";
const REVOCATIONS: &str = "revocations.json";
const MAC_KEYS: &str = "mac-keys.json";
const PEERS: &str = "peers.json";
const SUCCESSIONS: &str = "successions.json";
