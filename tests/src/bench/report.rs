//! What was measured: for the terminal, for docs/, and round by round as JSON.

mod babel;
mod chart;
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
            Self::BytesPerSecond => format!("{:.2} kB/s", value / 1e3),
            Self::Share => format!("{:.3} %", value * 100.0),
            Self::Packets => format!("{value:.0} packets"),
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

    /// Writes a section for people, and leaves the other one as it is.
    pub fn write_documents(
        &self,
        section: Section,
        folder: &Path,
        machine: &str,
        command: &str,
    ) -> Result<()> {
        let file = folder.join("benchmark.md");
        let there = fs::read_to_string(&file).unwrap_or_default();
        let (data_plane, babel) = there
            .find(babel::HEADING)
            .map_or((there.as_str(), ""), |at| there.split_at(at));
        let text = match section {
            Section::DataPlane => {
                let data_plane = self.markdown(machine, command);
                let gap = if babel.is_empty() { "" } else { "\n" };
                data_plane + gap + babel
            }
            Section::Babel => {
                let data_plane = data_plane.trim_end();
                format!("{data_plane}\n\n{}", self.babel_markdown(machine, command))
            }
        };
        fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
        match section {
            Section::DataPlane => chart::draw(self, &folder.join("benchmark.svg")),
            Section::Babel => Ok(()),
        }
    }

    fn babel_markdown(&self, machine: &str, command: &str) -> String {
        let mut text = format!("{}\n{}", babel::HEADING, babel::INTRODUCTION);
        let _ = write!(
            text,
            "\nMeasured with `{command} babel` on {machine}.\n\n### Babel's targets\n\n"
        );
        self.write_tables(&mut text, "### All of Babel's numbers");
        text
    }

    fn markdown(&self, machine: &str, command: &str) -> String {
        let mut text = String::from(INTRODUCTION);
        let _ = write!(
            text,
            "\nMeasured with `{command}` on {machine}.\n\n![Packets per second](benchmark.svg)\n\n"
        );
        text.push_str("## Targets\n\n");
        self.write_tables(&mut text, "## All numbers");
        text
    }

    fn write_tables(&self, text: &mut String, numbers: &str) {
        text.push_str("| what | ours | against | theirs | ratio | target | |\n|---|---|---|---|---|---|---|\n");
        for comparison in comparisons(self) {
            let _ = writeln!(text, "{}", comparison.row());
        }
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

const INTRODUCTION: &str = "# Benchmark

What a relay and a tunnel of re6st-ebpf carry, side by side with what one would otherwise run. `cargo xtask bench` measures the data plane again in less than ten minutes and
writes this file, `cargo xtask bench babel` the section on Babel in about five; `cargo xtask bench relay` measures one part (`relay`, `tcp`, `routes`, `latency`, `load`, `memory`, `babel`), `--quick` takes a first look and leaves this file alone, `--floor` leaves out of the relays all but ours and the floor.

## How it is measured

Hosts are network namespaces on one machine with at least two cores, links are veth pairs.

- **Packets per second**: generator, relay, sink. The generator (an XDP program that the kernel's test runner feeds, so that no kernel stack is in the way) has one core. The other is the relay's: it
  receives, forwards, and also empties the far end of its second link, which stands for finishing a network card's transmissions. The rate is raised until packets are lost, and taken where at
  least 98 % arrive at the sink: a flooded relay would also pay for what it loses. What is stated is the number of packets for each second that the relay's threads ran (`schedstat`), so that other work on the machine
  counts less; on a quiet machine they run nearly all of the time, and then it is simply packets per second. The share, and the rates offered and delivered, are in `target/benchmark.json`. The sink counts only frames of the right length with the right mark, and now and then one of them is compared
  byte by byte with what must arrive. Packets come in bursts of 64, so that a relay as fast as the generator does not find its queue with one packet in it, now and then, and both wait for the queue's memory.
- The **floor** is an XDP program that writes a new Ethernet header and redirects, nothing else: the same packets through the same links. **Forwarding** is the kernel's IPv6 forwarding without any tunnel. **VXLAN** is the kernel forwarding
  between two VXLAN devices, **OpenVPN** between two tap devices of OpenVPN processes with `--cipher none --auth none`, which is what re6st runs. Our relay is set up by `re6st-user load`, FOU over IPv4. Packet sizes are those of the inner IPv6 packet.
- **TCP**: one connection between two hosts whose programs have a core each, the veth devices' offloads off (checksums, gathering, segmentation, merging), so that no frame on the link is bigger than its MTU of 1,500 bytes.
  Two other baselines explain the ratio: the link with merging (GRO) on, and the link with an XDP program that does nothing, which also makes a veth device merge, but copies each packet first, which a network card does not.
- **Round trip**: twice the median of the time a packet takes from the generator through an idle relay to the sink.
- Contenders take turns in short rounds. The numbers are medians; a ratio is the median of the rounds' ratios, because a virtual machine is twice as fast in one minute as in the next.
";
