//! `cargo xtask demo`: twelve nodes around the world find each other, and stay together whatever dies.
//!
//! Exit status 0 only if all of it held.

mod picture;
mod screen;
mod story;

use std::{process::ExitCode, time::Instant};

use anyhow::{Context as _, Result};
use testbed::{
    host::Testbed,
    mesh::{CITIES, Network, Prober},
};

use self::{screen::Screen, story::Story};

/// The testbed's name, by which `--stop` finds what `--keep` left.
const NAME: &str = "demo";
/// So many of them, the first ones, are in the Americas.
const AMERICAS: usize = 4;
/// Lines of their section `[mesh]`: few tunnels, so that many pairs have none and need others, and rounds that come fast, because nobody
/// wants to wait here.
const SETTINGS: &str = "client-count = 3\nmax-clients = 4\ntunnel-refresh = 5\n";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let screen = Screen::new();
    let result = match arguments[..] {
        [] => demonstrate(&screen, false),
        ["--keep"] => demonstrate(&screen, true),
        ["--stop"] => stop(&screen),
        _ => Err(anyhow::anyhow!("usage: demo [--keep | --stop]")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            screen.fail(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn stop(screen: &Screen) -> Result<()> {
    match Testbed::remove_lasting(NAME)? {
        0 => screen.say("no demo is running"),
        hosts => screen.say(&format!("the demo's {hosts} hosts are gone")),
    }
    Ok(())
}

fn demonstrate(screen: &Screen, keep: bool) -> Result<()> {
    if Testbed::remove_lasting(NAME)? > 0 {
        screen.say("(removed the demo that was still running)");
    }
    screen.say(&format!(
        "\n  {} cities, as far from each other as they really are. Some links lose packets. The nodes know a registry, not each other.\n",
        CITIES.len()
    ));
    let begin = Instant::now();
    let testbed = Testbed::lasting(NAME)?;
    let network = || Network::new(&testbed, &CITIES, SETTINGS);
    let mut network = step(screen, "a registry, and twelve nodes that enrol", network)?;
    step(screen, "re6st-user node on all of them", || network.start())?;
    let prober = Prober::start(&network.nodes)?;
    let mut story = Story::new(screen, network, prober, begin);
    let result = story.tell();
    if keep {
        // also what does not work: one wants to know why
        result
            .as_ref()
            .err()
            .into_iter()
            .for_each(|error| screen.fail(&format!("{error:#}")));
        story.stay()?;
        return result;
    }
    if result.is_err() {
        story.confess();
    }
    result?;
    step(screen, "everything removed", || story.remove(NAME))
}

/// Does something and tells how long it took.
fn step<T>(screen: &Screen, what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let start = Instant::now();
    let result = work().with_context(|| what.to_owned())?;
    screen.done(what, &format!("{:.1} s", start.elapsed().as_secs_f64()));
    Ok(result)
}
