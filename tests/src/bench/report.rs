//! What was measured: for the terminal, for docs/, and round by round as JSON.

mod babel;
mod channel;
mod chart;
mod data_plane;
mod mesh;
mod registry;
mod targets;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    io::{IsTerminal as _, Write as _, stderr},
    path::Path,
};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

pub use self::targets::{Comparison, comparisons};
use super::throughput::{BUSY, Throughput};

/// What a value counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Packets per second.
    PacketsPerSecond,
    /// Bits per second.
    BitsPerSecond,
    /// Nanoseconds.
    Nanoseconds,
    /// Bytes.
    Bytes,
    /// Bytes per second.
    BytesPerSecond,
    /// Part of a core's time.
    Share,
    /// Packets.
    Packets,
    /// Of anything, a second.
    PerSecond,
    /// To a peer and back.
    RoundTrips,
}

impl Unit {
    /// A value for people.
    pub fn shown(self, value: f64) -> String {
        match self {
            Self::PacketsPerSecond => format!("{:.3} Mpps", value / 1e6),
            Self::BitsPerSecond => format!("{:.2} Gbit/s", value / 1e9),
            Self::Nanoseconds if value >= 1e8 => format!("{:.2} s", value / 1e9),
            Self::Nanoseconds if value >= 1e6 => format!("{:.1} ms", value / 1e6),
            Self::Nanoseconds => format!("{:.2} us", value / 1e3),
            Self::Bytes => format!("{:.2} MiB", value / (1 << 20) as f64),
            Self::BytesPerSecond if value < 1e3 => format!("{value:.1} B/s"),
            Self::BytesPerSecond => format!("{:.2} kB/s", value / 1e3),
            Self::Share => format!("{:.3} %", value * 100.0),
            Self::Packets => format!("{value:.0} packets"),
            Self::PerSecond if value < 10.0 => format!("{value:.2} /s"),
            Self::PerSecond => format!("{value:.0} /s"),
            Self::RoundTrips => format!("{value:.1} round trips"),
        }
    }
}

/// One thing that was measured, several times.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Measurement {
    /// What its values count.
    pub unit: Unit,
    /// One a round.
    pub rounds: Vec<f64>,
    /// Details of each round, where there are any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<Throughput>,
}

impl Measurement {
    /// The value in the middle.
    pub fn median(&self) -> f64 {
        super::median(self.rounds.iter().copied())
    }
}

/// What is reported apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Section {
    /// Packets.
    DataPlane,
    /// Routes.
    Babel,
    /// Certificates.
    Registry,
    /// Handshakes.
    Channel,
    /// Nodes that find each other.
    Mesh,
}

impl Section {
    /// In the order of the document.
    pub const ALL: [Self; 5] = [
        Self::DataPlane,
        Self::Babel,
        Self::Registry,
        Self::Channel,
        Self::Mesh,
    ];

    /// The line it begins with.
    const fn heading(self) -> &'static str {
        match self {
            Self::DataPlane => "# Benchmark\n",
            Self::Babel => "## Babel\n",
            Self::Registry => "## Registry\n",
            Self::Channel => "## Secure channel\n",
            Self::Mesh => "## The mesh\n",
        }
    }

    /// What is measured, and how.
    const fn introduction(self) -> &'static str {
        match self {
            Self::DataPlane => data_plane::INTRODUCTION,
            Self::Babel => babel::INTRODUCTION,
            Self::Registry => registry::INTRODUCTION,
            Self::Channel => channel::INTRODUCTION,
            Self::Mesh => mesh::INTRODUCTION,
        }
    }

    /// The headings of its tables: targets, and all numbers.
    const fn tables(self) -> [&'static str; 2] {
        match self {
            Self::DataPlane => ["## Targets", "## All numbers"],
            Self::Babel => ["### Babel's targets", "### All of Babel's numbers"],
            Self::Registry => [
                "### The registry's targets",
                "### All of the registry's numbers",
            ],
            Self::Channel => [
                "### The channel's targets",
                "### All of the channel's numbers",
            ],
            Self::Mesh => ["### The mesh's targets", "### All of the mesh's numbers"],
        }
    }

    /// What comes after the command, to measure it whole.
    const fn argument(self) -> &'static str {
        match self {
            Self::DataPlane => "",
            Self::Babel => " babel",
            Self::Registry => " registry",
            Self::Channel => " channel",
            Self::Mesh => " mesh",
        }
    }

    /// Its text in a document; none if it is not there.
    fn find(self, document: &str) -> Option<&str> {
        let begin = start_of(document, self.heading())?;
        let rest = &document[begin..];
        let end = Self::ALL
            .iter()
            .filter(|other| **other != self)
            .filter_map(|other| start_of(rest, other.heading()))
            .min();
        Some(rest[..end.unwrap_or(rest.len())].trim_end())
    }
}

/// Where a line is.
fn start_of(document: &str, line: &str) -> Option<usize> {
    if document.starts_with(line) {
        return Some(0);
    }
    document
        .match_indices(line)
        .map(|(at, _)| at)
        .find(|at| document[..*at].ends_with('\n'))
}

/// Everything that was measured in one run.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    measurements: BTreeMap<String, Measurement>,
    disturbed: BTreeSet<String>,
    remarks: Vec<String>,
}

impl Report {
    /// Adds a round.
    pub fn add(&mut self, name: &str, unit: Unit, value: f64, details: Option<Throughput>) {
        let measurement = self
            .measurements
            .entry(name.into())
            .or_insert_with(|| Measurement {
                unit,
                rounds: Vec::new(),
                details: Vec::new(),
            });
        measurement.rounds.push(value);
        measurement.details.extend(details);
    }

    /// One measurement, if it was made.
    pub fn measurement(&self, name: &str) -> Option<&Measurement> {
        self.measurements.get(name)
    }

    /// Says what is missing, at once and in the report.
    pub fn missing(&mut self, what: &str) {
        self.remark(&format!("missing: {what}"));
    }

    /// Something the reader of the numbers should know.
    pub fn remark(&mut self, text: &str) {
        if !self.remarks.iter().any(|remark| remark == text) {
            self.remarks.push(text.into());
        }
    }

    /// Says that in a round of a measurement the relay did not have its core most of the time.
    pub fn disturbed(&mut self, name: &str) {
        self.disturbed.insert(name.into());
    }

    fn all_remarks(&self) -> Vec<String> {
        let mut remarks = self.remarks.clone();
        if !self.disturbed.is_empty() {
            let names: Vec<_> = self.disturbed.iter().map(String::as_str).collect();
            remarks.push(format!(
                "In at least one round the relay ran less than {:.0} % of the time (somebody else used the machine, \
                 the generator was the limit, or the relay loses packets before its core is busy): {}.",
                BUSY * 100.0,
                names.join(", ")
            ));
        }
        remarks
    }

    /// Shows what is being done, on a line that the next one takes the place of.
    pub fn progress(&self, text: &str) {
        if stderr().is_terminal() {
            eprint!("\r\x1b[K{text}");
            stderr().flush().ok();
        }
    }

    /// All of it as text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (name, measurement) in &self.measurements {
            let spread = |pick: fn(f64, f64) -> f64| {
                let value = measurement.rounds.iter().copied().reduce(pick);
                measurement.unit.shown(value.unwrap_or(f64::NAN))
            };
            let busy = match measurement.details.as_slice() {
                [] => String::new(),
                details => {
                    let busy = super::median(details.iter().map(|seen| seen.busy));
                    format!(", relay busy {:.0} %", busy * 100.0)
                }
            };
            let _ = writeln!(
                text,
                "{name:24} {:>14}   ({} to {}{busy})",
                measurement.unit.shown(measurement.median()),
                spread(f64::min),
                spread(f64::max),
            );
        }
        let comparisons = comparisons(self);
        if !comparisons.is_empty() {
            text.push('\n');
        }
        for comparison in &comparisons {
            let _ = writeln!(text, "{}", comparison.line());
        }
        for remark in self.all_remarks() {
            let _ = writeln!(text, "\n{remark}");
        }
        text
    }

    /// Reads the raw rounds of an earlier run.
    pub fn read_json(path: &Path) -> Result<Self> {
        let text =
            fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("understanding {}", path.display()))
    }

    /// Writes the raw rounds.
    pub fn write_json(&self, path: &Path) -> Result<()> {
        fs::write(path, serde_json::to_string_pretty(self)?)
            .with_context(|| format!("writing {}", path.display()))
    }

    /// Writes a section for people, and leaves the others as they are.
    pub fn write_documents(
        &self,
        section: Section,
        folder: &Path,
        machine: &str,
        command: &str,
    ) -> Result<()> {
        let file = folder.join("benchmark.md");
        let there = fs::read_to_string(&file).unwrap_or_default();
        let new = self.markdown(section, machine, command);
        let sections: Vec<_> = Section::ALL
            .iter()
            .filter_map(|other| match *other == section {
                true => Some(new.trim_end()),
                false => other.find(&there),
            })
            .collect();
        let text = sections.join("\n\n") + "\n";
        fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
        match section {
            Section::DataPlane => chart::draw(self, &folder.join("benchmark.svg")),
            Section::Babel | Section::Registry | Section::Channel | Section::Mesh => Ok(()),
        }
    }

    fn markdown(&self, section: Section, machine: &str, command: &str) -> String {
        let mut text = format!("{}\n{}", section.heading(), section.introduction());
        let argument = section.argument();
        let _ = write!(
            text,
            "\nMeasured with `{command}{argument}` on {machine}.\n\n"
        );
        if section == Section::DataPlane {
            text.push_str("![Packets per second](benchmark.svg)\n\n");
        }
        self.write_tables(&mut text, section.tables());
        text
    }

    /// The table of what was promised, as documents have it.
    pub fn targets(&self) -> String {
        let mut text = String::from(
            "| what | ours | against | theirs | ratio | target | |\n|---|---|---|---|---|---|---|\n",
        );
        for comparison in comparisons(self) {
            let _ = writeln!(text, "{}", comparison.row());
        }
        text
    }

    fn write_tables(&self, text: &mut String, [targets, numbers]: [&str; 2]) {
        let _ = write!(text, "{targets}\n\n{}", self.targets());
        let _ = write!(
            text,
            "\n{numbers}\n\nMedians, with the lowest and the highest round.\n\n| what | median | lowest | highest |\n|---|---|---|---|\n"
        );
        for (name, measurement) in &self.measurements {
            let shown = |value: Option<f64>| measurement.unit.shown(value.unwrap_or(f64::NAN));
            let _ = writeln!(
                text,
                "| {name} | {} | {} | {} |",
                shown(Some(measurement.median())),
                shown(measurement.rounds.iter().copied().reduce(f64::min)),
                shown(measurement.rounds.iter().copied().reduce(f64::max)),
            );
        }
        for remark in self.all_remarks() {
            let _ = write!(text, "\n{remark}\n");
        }
    }
}
