//! Files that are read whole.

use std::{
    fs::OpenOptions,
    io::{self, Read as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

/// Octets of a certificate, a key, a password, a file of our own making, at most.
pub const SMALL: u64 = 4 << 20;

/// The whole of a regular file of at most so many octets. Anything else (a FIFO, a device) is an error and waits for nobody.
pub fn read(path: &Path, maximum: u64) -> io::Result<Vec<u8>> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use std::{fs, io, path::Path};

    use nix::{sys::stat::Mode, unistd::mkfifo};

    use super::{SMALL, read, read_text};

    #[test]
    fn what_is_no_file_is_refused_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let fifo = directory.path().join("fifo");
        mkfifo(&fifo, Mode::S_IRWXU).unwrap();
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(&fifo, &link).unwrap();

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
}
