//! A mark beside the database of what the registry has given away: so a database that is older than the mark is known as one,
//! and no serial number is given twice.
//!
//! It is written after the database, and not forced to the disk: what was lost with the power was not in use for long, and
//! the database, which is forced, knows better.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _},
    os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _, fchown},
    path::Path,
};

use super::rules::Mark;

/// The open file, and what is written in it.
#[derive(Debug)]
pub struct HighWater {
    file: File,
    mark: Mark,
}

impl HighWater {
    /// Opens it, or makes one, which belongs to whom the database belongs.
    ///
    /// # Errors
    ///
    /// It cannot be opened, or is something else.
    pub fn open(path: &Path, database: &Path) -> io::Result<Self> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(nix::libc::O_NONBLOCK)
            .open(path)?;
        let mut text = String::new();
        file.by_ref().take(256).read_to_string(&mut text)?;
        let mark = if text.is_empty() {
            let owner = fs::metadata(database)?;
            // who may not do that is the owner
            let _ = fchown(&file, Some(owner.uid()), Some(owner.gid()));
            Mark::default()
        } else {
            read(&text)
                .ok_or_else(|| io::Error::other("this is no mark of a registry: remove it"))?
        };
        Ok(Self { file, mark })
    }

    /// The highest numbers that were noted down.
    pub const fn mark(&self) -> Mark {
        self.mark
    }

    /// Notes down what has been given away.
    ///
    /// # Errors
    ///
    /// It cannot be written; the next try writes all.
    pub fn raise(&mut self, mark: Mark) -> io::Result<()> {
        let higher = Mark {
            serial: self.mark.serial.max(mark.serial),
            number: self.mark.number.max(mark.number),
        };
        if higher == self.mark {
            return Ok(());
        }
        // always as long: nothing is left of the line before
        let line = format!(
            "serial {:020} number {:020}\n",
            higher.serial, higher.number
        );
        self.file.write_all_at(line.as_bytes(), 0)?;
        self.mark = higher;
        Ok(())
    }
}

fn read(text: &str) -> Option<Mark> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let ["serial", serial, "number", number] = words[..] else {
        return None;
    };
    Some(Mark {
        serial: serial.parse().ok()?,
        number: number.parse().ok()?,
    })
}
