//! `cargo xtask sim`: simulates the random mesh, and prints tables.

use std::time::Instant;

use anyhow::{Result, ensure};
use clap::{Parser, ValueEnum};
use testbed::simulation::experiments;

/// Simulates the random mesh: many nodes on a virtual clock, over the round trips of the real Internet.
#[derive(Parser)]
#[command(name = "cargo xtask sim")]
struct Arguments {
    /// What to simulate; everything if nothing is named
    parts: Vec<Part>,
    /// Nodes of the networks whose life and whose attack are simulated
    #[arg(long, default_value_t = 1_000)]
    nodes: usize,
    /// How many times, with another seed each
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// Rounds of five minutes; by default 40 over the cities, 12 of a life, 6 of an attack
    #[arg(long)]
    rounds: Option<u32>,
    /// A first look: fewer rounds, and at most 300 nodes
    #[arg(long)]
    quick: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Ways over the mesh beside the direct ones and re6stnet's, over 213 cities
    Latency,
    /// A network from its start to the death of half of it
    Life,
    /// An attacker with a tenth of the certificates
    Attack,
}

fn main() -> Result<()> {
    let mut arguments = Arguments::parse();
    ensure!(
        (20..=50_000).contains(&arguments.nodes),
        "--nodes: from 20 to 50000"
    );
    ensure!(arguments.seeds > 0, "--seeds: at least one is needed");
    if arguments.quick {
        arguments.nodes = arguments.nodes.min(300);
    }
    let rounds = |usual: u32| match arguments.quick {
        true => arguments.rounds.unwrap_or(usual / 4),
        false => arguments.rounds.unwrap_or(usual),
    };
    let is_wanted = |part| arguments.parts.is_empty() || arguments.parts.contains(&part);
    let start = Instant::now();
    if is_wanted(Part::Latency) {
        println!("{}", experiments::latency(rounds(40), arguments.seeds)?);
    }
    for seed in 1..=arguments.seeds {
        if is_wanted(Part::Life) {
            println!("{}", experiments::life(arguments.nodes, rounds(12), seed)?);
        }
        if is_wanted(Part::Attack) {
            println!("{}", experiments::attack(arguments.nodes, rounds(6), seed)?);
        }
    }
    println!("{} s", start.elapsed().as_secs());
    Ok(())
}
