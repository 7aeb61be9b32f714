//! A file that one process holds as long as it lives, and that others can see held: a lock of its open file description
//! (fcntl(2)), which the kernel releases when the process ends in whatever way.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, fcntl},
};

/// A held file. It is removed when this is dropped.
#[derive(Debug)]
pub struct Lock {
    path: PathBuf,
    _file: File,
}

/// Who holds a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its process, as it wrote it down.
    pub process: Option<u32>,
}

impl std::fmt::Display for Holder {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.process {
            Some(process) => write!(formatter, "process {process}"),
            None => formatter.write_str("its process is not known"),
        }
    }
}

impl Lock {
    /// Takes hold of a file, and makes it if it is not there; `None` if somebody holds it.
    pub fn take(path: &Path) -> io::Result<Option<Self>> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        loop {
            let mut file = options.mode(0o644).open(path)?;
            match fcntl(&file, FcntlArg::F_OFD_SETLK(&whole(libc::F_WRLCK))) {
                Err(Errno::EAGAIN | Errno::EACCES) => return Ok(None),
                outcome => outcome.map_err(io::Error::from)?,
            };
            // a holder before removed it between our opening and our taking it
            let same = |there: fs::Metadata| Ok(there.ino() == file.metadata()?.ino());
            if !fs::metadata(path).and_then(same).unwrap_or(false) {
                continue;
            }
            file.set_len(0)?;
            writeln!(file, "{}", std::process::id())?;
            return Ok(Some(Self {
                path: path.to_owned(),
                _file: file,
            }));
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // the next holder makes its own
        let _ = fs::remove_file(&self.path);
    }
}

/// Who holds a file; `None` if nobody does.
pub fn holder(path: &Path) -> io::Result<Option<Holder>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let mut lock = whole(libc::F_WRLCK);
    fcntl(&file, FcntlArg::F_OFD_GETLK(&mut lock))?;
    if lock.l_type == libc::F_UNLCK as libc::c_short {
        return Ok(None);
    }
    let text = fs::read_to_string(path).unwrap_or_default();
    let process = text.trim().parse().ok();
    Ok(Some(Holder { process }))
}

const fn whole(kind: libc::c_int) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holds_it_and_all_see_it_until_it_is_dropped() -> io::Result<()> {
        let folder = std::env::temp_dir().join(format!("re6st-lock-{}", std::process::id()));
        let path = folder.join("a.lock");
        assert_eq!(holder(&path)?, None);
        let held = Lock::take(&path)?;
        assert!(held.is_some());
        let process = Some(std::process::id());
        // looking does not take it, and does not let go of it
        for _ in 0..2 {
            assert_eq!(holder(&path)?, Some(Holder { process }));
            assert!(Lock::take(&path)?.is_none());
        }
        drop(held);
        assert_eq!(holder(&path)?, None);
        assert!(Lock::take(&path)?.is_some());
        fs::remove_dir_all(&folder)
    }
}
