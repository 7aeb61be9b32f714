//! What happened to a speaker, written down so that it can happen again: one JSON value a line, the first says how it
//! started.

use std::io::{BufRead, Write};

use serde::{Deserialize, Serialize};

use super::{
    input::{Input, Restored},
    output::Output,
    settings::Settings,
    speaker::Speaker,
    time::Time,
};

/// How a recorded speaker started.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Start {
    /// When.
    pub now: Time,
    /// As given to [`Speaker::new`].
    pub settings: Settings,
    /// As given to [`Speaker::new`].
    pub restored: Restored,
    /// As given to [`Speaker::new`].
    pub seed: u64,
}

impl Start {
    /// Such a speaker.
    pub fn speaker(&self) -> Speaker {
        Speaker::new(self.now, self.settings.clone(), &self.restored, self.seed)
    }
}

/// Why a recording cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// The file.
    #[error("the recording cannot be read or written: {0}")]
    Io(#[from] std::io::Error),
    /// Its text.
    #[error("line {line} of the recording is not what was expected: {source}")]
    Line {
        /// From 1.
        line: usize,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// Not even how it started.
    #[error("the recording is empty")]
    Empty,
}

/// Writes down what happens.
#[derive(Debug)]
pub struct Recording<W> {
    writer: W,
}

impl<W: Write> Recording<W> {
    /// Begins with how the speaker starts.
    ///
    /// # Errors
    /// [`RecordingError::Io`].
    pub fn begin(mut writer: W, start: &Start) -> Result<Self, RecordingError> {
        write_line(&mut writer, start)?;
        Ok(Self { writer })
    }

    /// Before [`Speaker::handle`] is called with the same.
    ///
    /// # Errors
    /// [`RecordingError::Io`].
    pub fn write(&mut self, now: Time, input: &Input) -> Result<(), RecordingError> {
        write_line(&mut self.writer, &(now, input))
    }
}

fn write_line(writer: &mut impl Write, value: &impl Serialize) -> Result<(), RecordingError> {
    serde_json::to_writer(&mut *writer, value).map_err(std::io::Error::from)?;
    Ok(writer.write_all(b"\n")?)
}

/// Lets it happen again: gives the speaker as it was at the end, and all it wanted done.
///
/// # Errors
/// Any [`RecordingError`].
pub fn replay(reader: impl BufRead) -> Result<(Speaker, Vec<Output>), RecordingError> {
    let mut lines = reader.lines().enumerate();
    let (_, first) = lines.next().ok_or(RecordingError::Empty)?;
    let parse = |line: usize| {
        move |source| RecordingError::Line {
            line: line + 1,
            source,
        }
    };
    let start: Start = serde_json::from_str(&first?).map_err(parse(0))?;
    let mut speaker = start.speaker();
    let mut outputs = Vec::new();
    for (number, line) in lines {
        let (now, input): (Time, Input) = serde_json::from_str(&line?).map_err(parse(number))?;
        speaker.handle(now, input, &mut outputs);
    }
    Ok((speaker, outputs))
}

#[cfg(test)]
#[expect(clippy::expect_used, reason = "a test may end there")]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;
    use crate::babel::{
        input::InterfaceId,
        quantities::RouterId,
        settings::{InterfaceKind, InterfaceSettings},
    };

    #[test]
    fn what_is_replayed_ends_as_it_did() {
        let start = Start {
            now: Time(5),
            settings: Settings::new(RouterId::new([1; 8]).expect("not reserved")),
            restored: Restored::default(),
            seed: 7,
        };
        let link_local = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
        let settings = InterfaceSettings::new(InterfaceKind::Lan, link_local);
        let inputs = [
            Input::Interface {
                interface: InterfaceId(1),
                settings: Box::new(settings),
            },
            Input::Time,
            Input::Received {
                interface: InterfaceId(1),
                source: Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2),
                destination: crate::babel::output::GROUP,
                bytes: vec![42, 2, 0, 0],
                received_at: Time(9),
            },
            Input::Time,
        ];
        let mut file = Vec::new();
        let mut recording = Recording::begin(&mut file, &start).expect("memory has room");
        let mut live = start.speaker();
        let mut expected = Vec::new();
        for (step, input) in inputs.into_iter().enumerate() {
            let now = Time(10_000 * step as u64);
            recording.write(now, &input).expect("memory has room");
            live.handle(now, input, &mut expected);
        }

        let (replayed, outputs) = replay(file.as_slice()).expect("as written");

        assert!(
            outputs
                .iter()
                .any(|output| matches!(output, Output::Send { .. }))
        );
        assert_eq!(outputs, expected);
        assert_eq!(replayed.counters(), live.counters());
    }

    #[test]
    fn a_broken_line_is_named() {
        let error = replay("{}\n".as_bytes()).expect_err("no start");
        assert!(
            error.to_string().starts_with("line 1 of the recording"),
            "{error}"
        );
    }
}
