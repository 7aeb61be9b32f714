//! `re6st-user replay`: what a recorded node did, again.

use std::{fs::File, io::BufReader, path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result};
use clap::Args;
use re6st_user::babel::{output::Output, recording, speaker::Speaker};
use re6st_user::time::Time;

use crate::cli::{table::counted, values::NoDataPlane};

/// Options of `replay`.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Example:
  re6st-user replay /tmp/babel.recording")]
pub struct ReplayArguments {
    #[command(flatten)]
    no_data_plane: NoDataPlane,
    /// What `re6st-user node --record` wrote.
    #[arg(value_name = "FILE")]
    recording: PathBuf,
}

/// Shows events and routes as they came, then neighbours. Fails if anything goes otherwise than it did.
pub fn run(arguments: &ReplayArguments) -> Result<ExitCode> {
    let path = arguments.recording.display();
    let file = File::open(&arguments.recording).with_context(|| format!("open {path}"))?;
    let mut start = None;
    let replay = recording::replay(BufReader::new(file), |now, speaker, output| {
        let since = now.since(*start.get_or_insert(now));
        if let Some(text) = text(speaker, output) {
            println!("{:>12.6}  {text}", since.as_secs_f64());
        }
    })
    .with_context(|| format!("replay {path}"))?;
    for neighbour in replay.speaker.neighbours() {
        println!(
            "neighbour {} on {}: cost {}, {}",
            neighbour.address,
            neighbour.interface_name,
            neighbour.cost,
            counted(neighbour.routes, "route", "routes")
        );
    }
    println!(
        "{}, {}",
        counted(replay.inputs, "input", "inputs"),
        counted(replay.routes, "change of routes", "changes of routes")
    );
    for (now, route) in &replay.differences {
        let Time(microseconds) = now;
        println!("different at {microseconds} us: {}", route.to());
    }
    Ok(match replay.differences.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

fn text(speaker: &Speaker, output: &Output) -> Option<String> {
    match output {
        Output::Install(route) => Some(format!(
            "{} via {} on {}",
            route.route.to(),
            route.next_hop,
            speaker.place(route.interface)
        )),
        Output::Unreachable { route } => Some(format!("{} unreachable", route.to())),
        Output::Remove { route } => Some(format!("{} removed", route.to())),
        Output::Event(event) => Some(speaker.describe(event)),
        _ => None,
    }
}
