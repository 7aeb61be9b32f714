//! A writer of cpio archives ("newc"), the format of an initramfs: Linux Documentation,
//! `driver-api/early-userspace/buffer-format.rst`.

use std::io::{self, Write};

use anyhow::{Context as _, Result};

/// File type and permissions.
const DIRECTORY: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
/// The name that ends an archive.
const TRAILER: &str = "TRAILER!!!";

/// An archive being written.
pub struct Archive<W> {
    output: W,
    inode: u32,
}

impl<W: Write> Archive<W> {
    /// An empty archive.
    pub fn new(output: W) -> Self {
        Self { output, inode: 0 }
    }

    /// Adds a directory. The name has no leading slash, like all names in an archive.
    pub fn directory(&mut self, name: &str) -> Result<()> {
        self.entry(name, DIRECTORY, &[])
    }

    /// Adds a file, executable for all.
    pub fn file(&mut self, name: &str, content: &[u8]) -> Result<()> {
        self.entry(name, PROGRAM, content)
    }

    /// Ends the archive.
    pub fn finish(mut self) -> Result<W> {
        self.entry(TRAILER, 0, &[])?;
        self.output.flush()?;
        Ok(self.output)
    }

    fn entry(&mut self, name: &str, mode: u32, content: &[u8]) -> Result<()> {
        self.inode += 1;
        let size = u32::try_from(content.len())
            .with_context(|| format!("{name} is too big for a cpio archive (4 GB)"))?;
        let name_size = u32::try_from(name.len() + 1).context("the name is too long")?;
        let links = 1;
        let fields = [
            self.inode, mode, 0, 0, links, 0, size, 0, 0, 0, 0, name_size, 0,
        ];
        let mut header = String::from("070701");
        for field in fields {
            header.push_str(&format!("{field:08x}"));
        }
        self.output.write_all(header.as_bytes())?;
        self.output.write_all(name.as_bytes())?;
        self.output.write_all(&[0])?;
        self.pad(header.len() + name.len() + 1)?;
        self.output.write_all(content)?;
        self.pad(content.len())?;
        Ok(())
    }

    /// Names and contents each end on a multiple of four.
    fn pad(&mut self, written: usize) -> io::Result<()> {
        let rest = written.next_multiple_of(4) - written;
        self.output.write_all(&[0; 4][..rest])
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop")]

    use super::Archive;

    #[test]
    fn archive_of_one_file_is_laid_out_as_newc() {
        let mut archive = Archive::new(Vec::new());
        archive.file("a", b"hello").unwrap();

        let bytes = archive.finish().unwrap();

        // magic, then inode, mode, ids, links, time, size, four device numbers, length of the name, checksum
        let header = "07070100000001000081ed00000000000000000000000100000000\
                      0000000500000000000000000000000000000000000000020000\
                      0000";
        assert_eq!(&bytes[..110], header.as_bytes());
        assert_eq!(&bytes[110..120], b"a\0hello\0\0\0");
        assert_eq!(&bytes[120..126], b"070701");
        assert_eq!(bytes.len() % 4, 0);
    }
}
