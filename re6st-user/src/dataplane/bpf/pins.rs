//! Where an instance's objects are pinned.
//!
//! ```text
//! DIR/<instance>/FIB, NEXT_HOPS, ..., MANIFEST    maps
//! DIR/<instance>/re6st_xdp, ...                   programs
//! DIR/<instance>/links/xdp-2, ...                 links, by interface index
//! DIR/<instance>/new/                             what a load under way has prepared (bpffs allows no dot in names)
//! ```

use std::{
    fmt,
    path::{Path, PathBuf},
};

use super::error::BpfError;
use crate::io::bpffs;

/// An instance's name: the mesh device's too.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct InstanceName(String);

impl InstanceName {
    /// Bytes. With `-tc` it has to be an interface's name.
    pub const MAXIMUM: usize = 12;
    /// The instance that is meant where none is named. A node's configuration file is called after it.
    pub const DEFAULT: &str = "re6st0";

    /// Checks a name.
    pub fn parse(name: &str) -> Result<Self, String> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if name.is_empty() || name.len() > Self::MAXIMUM || !name.bytes().all(allowed) {
            return Err(format!(
                "an instance's name has 1 to {} letters, digits, `-` or `_`: it names the mesh device and a folder of \
                 the BPF file system",
                Self::MAXIMUM
            ));
        }
        Ok(Self(name.to_owned()))
    }

    /// The mesh device.
    pub fn device(&self) -> &str {
        &self.0
    }

    /// The mesh device's other end.
    pub fn other_end(&self) -> String {
        format!("{}-tc", self.0)
    }
}

impl fmt::Display for InstanceName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The paths of an instance's pins.
#[derive(Clone, Debug)]
pub struct Pins {
    bpffs: PathBuf,
    instance: InstanceName,
}

impl Pins {
    /// In a BPF file system.
    pub fn new(bpffs: &Path, instance: &InstanceName) -> Self {
        Self {
            bpffs: bpffs.to_owned(),
            instance: instance.clone(),
        }
    }

    /// The name of the instance whose pins these are.
    pub const fn instance(&self) -> &InstanceName {
        &self.instance
    }

    /// The BPF file system.
    pub fn bpffs(&self) -> &Path {
        &self.bpffs
    }

    /// The instance's folder.
    pub fn folder(&self) -> PathBuf {
        self.bpffs.join(self.instance.device())
    }

    /// A map or a program in use.
    pub fn object(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }

    /// The folder of links.
    pub fn links(&self) -> PathBuf {
        self.folder().join("links")
    }

    /// A link.
    pub fn link(&self, name: &str) -> PathBuf {
        self.links().join(name)
    }

    /// The folder of what a load under way has prepared.
    pub fn new_folder(&self) -> PathBuf {
        self.folder().join("new")
    }

    /// A map or a program that a load under way has prepared.
    pub fn new_object(&self, name: &str) -> PathBuf {
        self.new_folder().join(name)
    }

    /// All instances in a BPF file system: folders with a manifest, of a finished load or of one under way.
    pub fn all(bpffs: &Path) -> Result<Vec<Self>, BpfError> {
        let mut all = Vec::new();
        for name in bpffs::names(bpffs)? {
            let Ok(name) = InstanceName::parse(&name) else {
                continue;
            };
            let pins = Self::new(bpffs, &name);
            if bpffs::exists(&pins.object(super::MANIFEST))?
                || bpffs::exists(&pins.new_object(super::MANIFEST))?
            {
                all.push(pins);
            }
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instance_names() {
        for (name, good) in [
            ("re6st0", true),
            ("a", true),
            ("a-b_c", true),
            ("twelve-bytes", true),
            ("", false),
            ("thirteen-byte", false),
            ("a.b", false),
            ("a/b", false),
            ("..", false),
        ] {
            assert_eq!(InstanceName::parse(name).is_ok(), good, "{name}");
        }
    }
}
