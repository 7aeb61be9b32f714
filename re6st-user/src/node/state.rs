//! What must survive a restart, in a file.

use std::{
    collections::BTreeMap,
    fs::{self, DirBuilder, OpenOptions, Permissions},
    io::{self, Write as _},
    net::Ipv6Addr,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
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
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700).create(directory)?;
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
        let mut options = OpenOptions::new();
        options.create(true).write(true).truncate(true).mode(0o600);
        let mut file = options.open(&scratch)?;
        // what a killed controller left may have other permissions
        file.set_permissions(Permissions::from_mode(0o600))?;
        file.write_all(&serde_json::to_vec(&self.kept)?)?;
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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test says what it wants by stopping")]
mod tests {
    use super::*;

    #[test]
    fn it_is_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("state");
        State::open(&directory).unwrap().save().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&directory), 0o700);
        assert_eq!(mode(&directory.join("babel.json")), 0o600);
    }
}
