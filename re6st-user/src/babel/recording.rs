//! What happened to a speaker, written down so that it can happen again: one JSON value a line. The first says how it
//! started, each other one what happened, or what was then done to the data plane.

use std::io::{BufRead, Write};

use serde::{Deserialize, Serialize};

use super::{
    input::{Input, InterfaceId, Restored},
    message::NextHop,
    output::Output,
    settings::Settings,
    speaker::Speaker,
};
use crate::{route::RouteKey, time::Time};

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

/// Every line but the first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Line {
    /// This happened.
    Input(Time, Input),
    /// This was done then.
    Route(RouteKey, Way),
}

/// What became of a route in the data plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Way {
    Via(InterfaceId, std::net::IpAddr),
    Unreachable,
    Removed,
}

/// What an output does to the data plane.
fn done(output: &Output) -> Option<(RouteKey, Way)> {
    match output {
        Output::Install(route) => {
            let next_hop = match route.next_hop {
                NextHop::Ipv6(address) => address.into(),
                NextHop::Ipv4(address) => address.into(),
            };
            Some((route.route, Way::Via(route.interface, next_hop)))
        }
        Output::Unreachable { route } => Some((*route, Way::Unreachable)),
        Output::Remove { route } => Some((*route, Way::Removed)),
        _ => None,
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
        write_line(&mut self.writer, &Line::Input(now, input.clone()))
    }

    /// After that, with each output.
    ///
    /// # Errors
    /// [`RecordingError::Io`].
    pub fn write_output(&mut self, output: &Output) -> Result<(), RecordingError> {
        match done(output) {
            Some((route, way)) => write_line(&mut self.writer, &Line::Route(route, way)),
            None => Ok(()),
        }
    }

    /// Where it is written to.
    pub const fn writer(&mut self) -> &mut W {
        &mut self.writer
    }
}

fn write_line(writer: &mut impl Write, value: &impl Serialize) -> Result<(), RecordingError> {
    serde_json::to_writer(&mut *writer, value).map_err(std::io::Error::from)?;
    Ok(writer.write_all(b"\n")?)
}

/// What came of a replay.
#[derive(Debug)]
pub struct Replay {
    /// As it was at the end.
    pub speaker: Speaker,
    /// When that was.
    pub end: Time,
    /// How many things happened.
    pub inputs: usize,
    /// How often a route was put into the data plane or taken out of it.
    pub routes: usize,
    /// Routes for which the recorded speaker did something else then.
    pub differences: Vec<(Time, RouteKey)>,
    did: Vec<(RouteKey, Way)>,
    recorded: Vec<(RouteKey, Way)>,
}

impl Replay {
    /// The order within one step may differ.
    fn compare(&mut self) {
        self.did.sort_unstable();
        self.recorded.sort_unstable();
        let missing = |from: &[(RouteKey, Way)], all: &[(RouteKey, Way)]| -> Vec<RouteKey> {
            let without = from.iter().filter(|step| !all.contains(step));
            without.map(|(route, _)| *route).collect()
        };
        let mut different = missing(&self.did, &self.recorded);
        different.extend(missing(&self.recorded, &self.did));
        different.sort_unstable();
        different.dedup();
        self.differences
            .extend(different.into_iter().map(|route| (self.end, route)));
        self.routes += self.did.len();
        self.did.clear();
        self.recorded.clear();
    }
}

/// Lets it happen again; `visit` sees all that is wanted done. A last line that was cut short is left out.
///
/// # Errors
/// Any [`RecordingError`].
pub fn replay(
    mut reader: impl BufRead,
    mut visit: impl FnMut(Time, &Speaker, &Output),
) -> Result<Replay, RecordingError> {
    let mut text = String::new();
    if reader.read_line(&mut text)? == 0 {
        return Err(RecordingError::Empty);
    }
    let start: Start =
        serde_json::from_str(&text).map_err(|source| RecordingError::Line { line: 1, source })?;
    let mut replay = Replay {
        speaker: start.speaker(),
        end: start.now,
        inputs: 0,
        routes: 0,
        differences: Vec::new(),
        did: Vec::new(),
        recorded: Vec::new(),
    };
    let mut outputs = Vec::new();
    for line in 2.. {
        text.clear();
        if reader.read_line(&mut text)? == 0 || !text.ends_with('\n') {
            break;
        }
        match serde_json::from_str(&text).map_err(|source| RecordingError::Line { line, source })? {
            Line::Input(now, input) => {
                replay.compare();
                replay.inputs += 1;
                replay.end = now;
                replay.speaker.handle(now, input, &mut outputs);
                for output in outputs.drain(..) {
                    visit(now, &replay.speaker, &output);
                    replay.did.extend(done(&output));
                }
            }
            Line::Route(route, way) => replay.recorded.push((route, way)),
        }
    }
    // what was done last may not have been written any more
    replay.did.retain(|step| replay.recorded.contains(step));
    replay.compare();
    Ok(replay)
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

        let mut outputs = Vec::new();
        let visit = |_, _: &Speaker, output: &Output| outputs.push(output.clone());
        let replayed = replay(file.as_slice(), visit).expect("as written");

        assert!(
            outputs
                .iter()
                .any(|output| matches!(output, Output::Send { .. }))
        );
        assert_eq!(outputs, expected);
        assert_eq!(replayed.speaker.counters(), live.counters());
    }

    /// Of a live node in a ring of four, whose link in use died.
    const LIVE: &str = include_str!("../../tests/babel/ring-with-a-cut.jsonl");

    #[test]
    fn a_live_node_does_again_what_it_did() {
        let replayed = replay(LIVE.as_bytes(), |_, _, _| {}).expect("a recording");
        assert_eq!(replayed.differences, []);
        assert!(replayed.routes > 6, "{} changes", replayed.routes);
        assert!(replayed.speaker.counters().unresponsive_neighbours > 0);
    }

    #[test]
    fn a_route_that_goes_another_way_is_noticed() {
        let number = LIVE.lines().position(|line| line.contains(r#""via""#));
        let mut lines: Vec<_> = LIVE.lines().map(str::to_owned).collect();
        let line = number
            .and_then(|number| lines.get_mut(number))
            .expect("a route");
        *line = line.replace("fe80:", "fe81:");
        let replayed = replay((lines.join("\n") + "\n").as_bytes(), |_, _, _| {});
        assert_eq!(replayed.expect("a recording").differences.len(), 1);
    }

    #[test]
    fn a_last_line_that_is_cut_short_is_left_out() {
        let cut = &LIVE[..LIVE.len() - 5];
        let replayed = replay(cut.as_bytes(), |_, _, _| {}).expect("a recording");
        assert_eq!(replayed.differences, []);
    }

    #[test]
    fn a_broken_line_is_named() {
        let error = replay("{}\n".as_bytes(), |_, _, _| {}).expect_err("no start");
        assert!(
            error.to_string().starts_with("line 1 of the recording"),
            "{error}"
        );
    }
}
