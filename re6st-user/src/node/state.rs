//! What must survive a restart, in a file.

use std::{
    collections::BTreeMap,
    fs, io,
    net::Ipv6Addr,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    babel::quantities::{RouterId, SequenceNumber},
    io::file,
    port_mapping::Nonce,
};

/// The file, and what is in it.
#[derive(Debug)]
pub struct State {
    directory: PathBuf,
    /// As last saved, unless that failed.
    pub kept: Kept,
    /// Why it could not be saved.
    failure: Option<String>,
}

/// What is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Kept {
    /// Our own, so that a restarted node is believed at once (RFC 8966 section 3.2.1).
    pub sequence_number: Option<SequenceNumber>,
    /// Our own, unless configured.
    pub router_id: Option<RouterId>,
    /// The neighbour at the other end of each tunnel that routes go through, by the tunnel's name.
    pub neighbours: BTreeMap<String, Ipv6Addr>,
    /// By which a router knows that it gave a port to us.
    pub port_mapping_nonce: Option<Nonce>,
}

impl State {
    /// Reads it. A file that cannot be understood is as good as none.
    pub fn open(directory: &Path) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        let kept = match file::read(&directory.join("babel.json"), file::SMALL) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Kept::default(),
            Err(error) => return Err(error),
        };
        Ok(Self {
            directory: directory.to_owned(),
            kept,
            failure: None,
        })
    }

    /// Where it is, and what else is kept.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Writes it, at once and whole.
    ///
    /// # Errors
    /// It is still as it was.
    pub fn save(&mut self) -> io::Result<()> {
        let outcome = self.write();
        self.failure = outcome.as_ref().err().map(ToString::to_string);
        outcome
    }

    fn write(&self) -> io::Result<()> {
        let scratch = self.directory.join("babel.json.new");
        fs::write(&scratch, serde_json::to_vec(&self.kept)?)?;
        fs::rename(scratch, self.directory.join("babel.json"))
    }

    /// What people should know, if it could not be saved.
    pub fn warning(&self) -> Option<String> {
        let why = self.failure.as_ref()?;
        Some(format!(
            "state: nothing can be written in {}: {why}; neighbours will not know this node at once when it is started again",
            self.directory.display()
        ))
    }
}
