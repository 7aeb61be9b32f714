//! Writes down what happens to the speaker, as long as there is room for it.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufWriter, Write},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use crate::{
    babel::{
        input::Input,
        output::Output,
        recording::{Recording, RecordingError, Start},
    },
    time::Time,
};

/// Octets of the longest recording.
const LONGEST: u64 = 256 << 20;

/// A file that counts what is written to it.
#[derive(Debug)]
struct Counting {
    file: BufWriter<File>,
    octets: u64,
}

impl Write for Counting {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let count = self.file.write(octets)?;
        self.octets += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// A recording of a running node.
#[derive(Debug)]
pub struct Recorder {
    path: PathBuf,
    recording: Option<Recording<Counting>>,
}

/// The file of a recording that is about to begin.
#[derive(Debug)]
pub struct Empty {
    path: PathBuf,
    file: File,
}

impl Empty {
    /// Opens it. Nobody else may read it, since it tells all routes.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        Ok(Self {
            path: path.to_owned(),
            file: options.open(path)?,
        })
    }
}

impl Recorder {
    /// Begins.
    pub fn begin(empty: Empty, start: &Start) -> Self {
        let counting = Counting {
            file: BufWriter::new(empty.file),
            octets: 0,
        };
        let recording = Recording::begin(counting, start);
        let recording = recording.inspect_err(|error| {
            eprintln!("{}: nothing is recorded: {error}", empty.path.display())
        });
        Self {
            path: empty.path,
            recording: recording.ok(),
        }
    }

    /// Before the speaker handles it.
    pub fn input(&mut self, now: Time, input: &Input) {
        let Some(recording) = &mut self.recording else {
            return;
        };
        let outcome = recording.write(now, input);
        let full = recording.writer().octets >= LONGEST;
        self.go_on(outcome, full);
    }

    /// What the speaker wants done then.
    pub fn output(&mut self, output: &Output) {
        if let Some(recording) = &mut self.recording {
            let outcome = recording.write_output(output);
            self.go_on(outcome, false);
        }
    }

    /// A second later, and at the end: what was written is in the file.
    pub fn flush(&mut self) {
        if let Some(recording) = &mut self.recording {
            let outcome = recording.writer().flush().map_err(RecordingError::from);
            self.go_on(outcome, false);
        }
    }

    fn go_on(&mut self, outcome: Result<(), RecordingError>, full: bool) {
        let path = self.path.display();
        match outcome {
            Ok(()) if !full => return,
            Ok(()) => eprintln!("{path}: the recording is {LONGEST} bytes long and ends here"),
            Err(error) => eprintln!("{path}: the recording ends here: {error}"),
        }
        if let Some(mut recording) = self.recording.take() {
            // it ends either way
            let _ = recording.writer().flush();
        }
    }
}
