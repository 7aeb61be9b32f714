//! Files that are read and written whole.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown},
    path::{Path, PathBuf},
};

/// Octets of a certificate, a key, a password, a file of our own making, at most.
pub const SMALL: u64 = 4 << 20;

/// Opens a regular file to read it. Anything else (a FIFO, a device) is an error and waits for nobody.
pub fn open(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    Ok(file)
}

/// The whole of a regular file of at most so many octets.
pub fn read(path: &Path, maximum: u64) -> io::Result<Vec<u8>> {
    let file = open(path)?;
    let mut octets = Vec::new();
    file.take(maximum.saturating_add(1))
        .read_to_end(&mut octets)?;
    if octets.len() as u64 > maximum {
        return Err(io::Error::other(format!("more than {} MiB", maximum >> 20)));
    }
    Ok(octets)
}

/// As [`read`], a small file of text.
pub fn read_text(path: &Path) -> io::Result<String> {
    String::from_utf8(read(path, SMALL)?).map_err(io::Error::other)
}

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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use std::{
        fs, io,
        os::unix::fs::{PermissionsExt as _, symlink},
        path::Path,
    };

    use nix::{sys::stat::Mode, unistd::mkfifo};

    use super::{SMALL, read, read_text, replace};

    #[test]
    fn what_is_no_file_is_refused_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let fifo = directory.path().join("fifo");
        mkfifo(&fifo, Mode::S_IRWXU).unwrap();
        let link = directory.path().join("link");
        symlink(&fifo, &link).unwrap();

        for path in [&fifo, &link, directory.path(), Path::new("/dev/zero")] {
            let refused = read(path, SMALL).unwrap_err();
            assert!(
                refused.to_string().contains("regular"),
                "{path:?}: {refused}"
            );
        }
        let missing = read(&directory.path().join("none"), SMALL).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_file_is_read_whole_or_not_at_all() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::write(&path, "text").unwrap();

        assert_eq!(read_text(&path).unwrap(), "text");
        assert_eq!(read(&path, 4).unwrap(), b"text");
        assert!(read(&path, 3).is_err());
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn permissions_stay_and_new_files_are_for_the_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cert.crt");

        replace(&path, b"one").unwrap();
        assert_eq!(mode(&path), 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        // left by a controller that was killed
        fs::write(folder.path().join("cert.crt.new"), b"half").unwrap();
        replace(&path, b"two").unwrap();

        assert_eq!(
            (fs::read(&path).unwrap(), mode(&path)),
            (b"two".to_vec(), 0o640)
        );
        assert!(!folder.path().join("cert.crt.new").exists());
    }

    #[test]
    fn a_link_stays_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("target"), folder.path().join("link"));
        fs::write(&path, b"one").unwrap();
        symlink(&path, &link).unwrap();

        replace(&link, b"two").unwrap();

        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&path).unwrap(), b"two");
    }
}
