//! Why the data plane in the kernel could not be changed or read.

use std::io;

use aya::{EbpfError, maps::MapError, programs::ProgramError};
use thiserror::Error;

use crate::{
    dataplane::DataPlaneError,
    io::{bpffs::BpffsError, host::HostError, netlink::NetlinkError},
};

/// Why the data plane in the kernel could not be changed or read.
#[derive(Debug, Error)]
pub enum BpfError {
    /// The host or this process's privileges do not allow it.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The BPF file system.
    #[error(transparent)]
    Bpffs(#[from] BpffsError),
    /// Something on this host contradicts what was asked. Says what, and how to mend it.
    #[error("{0}")]
    Conflict(String),
    /// The maps do not take it.
    #[error(transparent)]
    DataPlane(#[from] DataPlaneError),
    /// What was to be repaired is not there any more.
    #[error("the instance {0} has been unloaded by somebody else")]
    Unloaded(String),
    /// The kernel refused a netlink request.
    #[error("{what}: {source}")]
    Netlink {
        /// What was tried, on what.
        what: String,
        /// The kernel's answer.
        source: NetlinkError,
    },
    /// The kernel refused a system call.
    #[error("{what}: {source}")]
    Call {
        /// What was tried, on what.
        what: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A map could not be made, opened, read or written.
    #[error("{what}: {}", chain(.source.as_ref()))]
    Map {
        /// What was tried, on what.
        what: String,
        /// aya's error.
        source: Box<MapError>,
    },
    /// A program could not be loaded or attached.
    #[error("{what}: {}", chain(.source.as_ref()))]
    Program {
        /// What was tried, on what.
        what: String,
        /// aya's error.
        source: Box<ProgramError>,
    },
    /// The BPF object as a whole could not be loaded.
    #[error("{what}: {}", chain(.source.as_ref()))]
    Object {
        /// What was tried.
        what: String,
        /// aya's error.
        source: Box<EbpfError>,
    },
}

/// An error and what caused it, in one line. Some errors tell their cause themselves, others leave it to the reader.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let cause = error.to_string();
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
        source = error.source();
    }
    text
}

/// Says what was tried when something failed.
pub trait During<T> {
    /// `what` is the deed and its object: "add address 10.1.2.3 to re6st0".
    fn during(self, what: impl FnOnce() -> String) -> Result<T, BpfError>;
}

macro_rules! during {
    ($($error:ty => $variant:ident),+ $(,)?) => {$(
        impl<T> During<T> for Result<T, $error> {
            fn during(self, what: impl FnOnce() -> String) -> Result<T, BpfError> {
                self.map_err(|source| BpfError::$variant { what: what(), source: source.into() })
            }
        }
    )+};
}
during!(
    NetlinkError => Netlink, io::Error => Call, MapError => Map, ProgramError => Program, EbpfError => Object,
);

impl BpfError {
    /// Whether the kernel said that BPF is not permitted.
    pub fn is_not_permitted(&self) -> bool {
        let mut source: Option<&dyn std::error::Error> = Some(self);
        while let Some(error) = source {
            if let Some(error) = error.downcast_ref::<io::Error>()
                && error.raw_os_error() == Some(libc::EPERM)
            {
                return true;
            }
            source = error.source();
        }
        false
    }
}
