//! `cargo xtask bench`: measures the data plane, Babel, the registry, the secure channel and the mesh beside everything a user would otherwise run.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use testbed::{
    bench::{
        parts::{Effort, Part},
        report::{Report, Section},
    },
    host::Testbed,
};

const COMMAND: &str = "cargo xtask bench";

/// Measures the data plane, Babel, the registry, the secure channel and the mesh beside everything a user would otherwise run.
#[derive(Parser)]
#[command(name = COMMAND)]
struct Arguments {
    /// What to measure; the whole data plane if nothing is named
    parts: Vec<Part>,
    /// How often each thing is measured; the result is the median
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// A first look: short rounds, and docs/ is left alone
    #[arg(long)]
    quick: bool,
    /// Of the relays, only ours and the floor: for work on the programs
    #[arg(long)]
    floor: bool,
    /// Measures nothing: writes docs/ from the raw rounds of the last run
    #[arg(long, conflicts_with_all = ["parts", "quick", "rounds", "floor"])]
    redraw: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    ensure!(arguments.rounds > 0, "--rounds: at least one is needed");
    let cores = std::thread::available_parallelism()?.get();
    ensure!(
        cores >= 2,
        "two cores are needed: one for the generator, one for the relay"
    );
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("no workspace")?;
    let docs = workspace.join("docs");
    let parts = match arguments.parts.as_slice() {
        [] => Part::DATA_PLANE.to_vec(),
        parts => parts.to_vec(),
    };
    for (section, file) in [
        (Section::DataPlane, "benchmark.json"),
        (Section::Babel, "benchmark-babel.json"),
        (Section::Registry, "benchmark-registry.json"),
        (Section::Channel, "benchmark-channel.json"),
        (Section::Mesh, "benchmark-mesh.json"),
    ] {
        let raw = workspace.join("target").join(file);
        if arguments.redraw {
            if raw.exists() {
                let report = Report::read_json(&raw)?;
                report.write_documents(section, &docs, &machine(cores), COMMAND)?;
            }
            continue;
        }
        let parts = Part::of_section(&parts, section);
        if parts.is_empty() {
            continue;
        }
        let report = measure(&arguments, &parts)?;
        println!("{}\n{}", report.text(), report.targets());
        report.write_json(&raw)?;
        println!("all rounds: {}", raw.display());
        if parts == Part::whole(section) && !arguments.quick && !arguments.floor {
            fs::create_dir_all(&docs)?;
            report.write_documents(section, &docs, &machine(cores), COMMAND)?;
            println!("written: {}/benchmark.md", docs.display());
        }
    }
    Ok(())
}

fn measure(arguments: &Arguments, parts: &[Part]) -> Result<Report> {
    let (most_rounds, window) = match arguments.quick {
        true => (3, 400),
        false => (usize::MAX, 1200),
    };
    let effort = Effort {
        rounds: arguments.rounds.min(most_rounds),
        window: Duration::from_millis(window),
        floor_only: arguments.floor,
        quick: arguments.quick,
    };
    let testbed = Testbed::new()?;
    let mut report = Report::default();
    for part in parts {
        part.run(&testbed, effort, &mut report)
            .with_context(|| format!("the part `{part:?}` failed"))?;
    }
    report.progress("");
    Ok(report)
}

/// The machine in general words.
fn machine(cores: usize) -> String {
    let information = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        information
            .lines()
            .find_map(|line| line.strip_prefix(name)?.split_once(':'))
            .map(|(_, value)| value.trim().to_owned())
    };
    let model = field("model name").unwrap_or_else(|| std::env::consts::ARCH.into());
    let virtual_machine =
        field("flags").is_some_and(|flags| flags.split(' ').any(|flag| flag == "hypervisor"));
    let kind = if virtual_machine {
        "a virtual machine"
    } else {
        "a machine"
    };
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    // what follows the version is the builder's business
    let kernel: String = kernel
        .chars()
        .take_while(|character| character.is_ascii_digit() || *character == '.')
        .collect();
    format!("{kind} with {cores} cores ({model}), Linux {kernel}")
}
