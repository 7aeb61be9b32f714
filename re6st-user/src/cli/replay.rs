//! `re6st-user replay`: what a recorded node did, again.

use std::{fs::File, io::BufReader, path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result};
use clap::Args;
use re6st_user::babel::{output::Output, recording, time::Time};

/// Options of `replay`.
#[derive(Debug, Args)]
pub struct ReplayArguments {
    /// What `re6st-user node --record` wrote.
    #[arg(value_name = "FILE")]
    recording: PathBuf,
}

/// Shows events and routes as they came, then neighbours. Fails if anything goes otherwise than it did.
pub fn run(arguments: &ReplayArguments) -> Result<ExitCode> {
    let path = arguments.recording.display();
    let file = File::open(&arguments.recording).with_context(|| format!("open {path}"))?;
    let mut start = None;
    let replay = recording::replay(BufReader::new(file), |now, output| {
        let since = now.since(*start.get_or_insert(now));
        if let Some(text) = text(output) {
            println!("{:>12.6}  {text}", since.as_secs_f64());
        }
    })
    .with_context(|| format!("replay {path}"))?;
    for neighbour in replay.speaker.neighbours(replay.end) {
        println!(
            "neighbour {} on {}: cost {}, {} routes",
            neighbour.address, neighbour.interface_name, neighbour.cost, neighbour.routes
        );
    }
    println!(
        "{} inputs, {} changes of routes",
        replay.inputs, replay.routes
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

fn text(output: &Output) -> Option<String> {
    match output {
        Output::Install(route) => Some(format!(
            "{} via {:?} on interface {}",
            route.route.to(),
            route.next_hop,
            route.interface.0
        )),
        Output::Unreachable { route } => Some(format!("{} unreachable", route.to())),
        Output::Remove { route } => Some(format!("{} removed", route.to())),
        Output::Event(event) => Some(event.to_string()),
        _ => None,
    }
}
