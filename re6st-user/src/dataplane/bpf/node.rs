//! Whether a node runs on an instance: it holds a lock as long as it lives.

use std::path::{Path, PathBuf};

use super::{
    error::{BpfError, During as _},
    pins::InstanceName,
};
use crate::io::lock::{self, Holder};

/// The file that a running node holds.
pub fn lock(directory: &Path, instance: &InstanceName) -> PathBuf {
    directory.join(format!("{instance}.lock"))
}

/// The node that runs, if one does.
///
/// # Errors
/// The file cannot be looked at.
pub fn holder(lock: &Path) -> Result<Option<Holder>, BpfError> {
    lock::holder(lock).during(|| format!("look whether a node holds {}", lock.display()))
}
