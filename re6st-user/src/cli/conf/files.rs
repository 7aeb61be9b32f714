//! Files that are there as a whole or not at all.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use re6st_user::io::file;

/// The text of a file, if it is there.
pub fn existing(path: &Path) -> Result<Option<String>> {
    match file::read_text(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| path.display().to_string()),
    }
}

/// Makes a folder, unless it is there.
pub fn directory(path: &Path) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| path.display().to_string())
}

/// A file that can be written, under another name until it is. Gone when dropped before.
#[derive(Debug)]
pub struct Pending {
    path: PathBuf,
    temporary: PathBuf,
    file: File,
}

impl Pending {
    /// Makes it, empty.
    pub fn create(path: &Path, mode: u32) -> Result<Self> {
        let mut temporary = path.to_owned().into_os_string();
        temporary.push(".new");
        let temporary = PathBuf::from(temporary);
        // left by somebody who was killed
        fs::remove_file(&temporary).ok();
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&temporary)
            .with_context(|| path.display().to_string())?;
        Ok(Self {
            path: path.to_owned(),
            temporary,
            file,
        })
    }

    /// Writes all of it, and gives it its name when it is safe on the disk.
    pub fn write(mut self, content: &[u8]) -> Result<()> {
        self.finish(content)
            .with_context(|| self.path.display().to_string())
    }

    fn finish(&mut self, content: &[u8]) -> io::Result<()> {
        self.file.write_all(content)?;
        self.file.sync_all()?;
        fs::rename(&self.temporary, &self.path)?;
        let folder = self.path.parent();
        let folder = folder.filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or_else(|| Path::new(".")))?.sync_all()
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        // not there any more under this name if it was written
        fs::remove_file(&self.temporary).ok();
    }
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::{Pending, existing};

    #[test]
    fn a_file_is_there_as_a_whole_or_as_it_was() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        assert_eq!(existing(&path).unwrap(), None);

        Pending::create(&path, 0o600)
            .unwrap()
            .write(b"one")
            .unwrap();
        drop(Pending::create(&path, 0o600).unwrap());

        assert_eq!(existing(&path).unwrap().as_deref(), Some("one"));
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
