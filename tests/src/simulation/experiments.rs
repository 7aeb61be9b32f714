//! What is asked of the mesh, and the answers as tables.

use std::{fmt::Write as _, time::Duration};

use anyhow::{Context as _, Result};

use super::{
    baseline::Baseline,
    generator::Generator,
    graph::{Components, Neighbours},
    measure::{Ratios, degrees, diameter, formula, full_mesh, ratios},
    options::{Lies, Options},
    underlay::Underlay,
    world::World,
};

const SECOND: Duration = Duration::from_secs(1);
const ROUND: Duration = Duration::from_secs(300);
/// Cities.
pub const CITIES: usize = 213;
/// Rounds of re6stnet until little changes any more.
const RE6ST_ROUNDS: usize = 100;
/// A network that has not become one by then does not.
const PATIENCE: u32 = 600;

/// From nothing: all nodes start within ten seconds, and know nobody but the registry.
#[derive(Clone, Copy, Debug)]
pub struct ColdStart {
    /// Seconds until all are one network.
    pub one_network: Option<u32>,
    /// Seconds until each node has as many tunnels as it wants, but for one in a hundred.
    pub all_tunnels: Option<u32>,
}

/// Lets a world begin, and looks every second.
pub fn cold_start(world: &mut World) -> ColdStart {
    let mut found = ColdStart {
        one_network: None,
        all_tunnels: None,
    };
    let wanted = world
        .options
        .settings
        .client_count
        .min(world.nodes.len() - 1);
    for second in 1..=PATIENCE {
        world.pass(SECOND);
        if found.one_network.is_none() && world.components().members.len() == 1 {
            found.one_network = Some(second);
        }
        let enough = world.graph().iter().filter(|all| all.len() >= wanted);
        if found.all_tunnels.is_none() && enough.count() * 100 >= world.nodes.len() * 99 {
            found.all_tunnels = Some(second);
        }
        if found.one_network.is_some() && found.all_tunnels.is_some() {
            break;
        }
    }
    found
}

/// A share of the nodes dies at random, many times: how often the others are one network at once, without opening anything, and how many
/// are outside of its largest part on average.
pub fn sudden_death(
    graph: &Neighbours,
    dead: f64,
    trials: usize,
    random: &mut Generator,
) -> (f64, f64) {
    let (mut whole, mut outside) = (0, 0);
    let count = (graph.len() as f64 * dead) as usize;
    for _ in 0..trials {
        let mut alive = vec![true; graph.len()];
        for node in random.some(count, graph.len()) {
            alive[node] = false;
        }
        let components = Components::new(graph, &alive);
        whole += usize::from(components.members.len() == 1);
        outside += components.outside();
    }
    let trials = trials as f64;
    (whole as f64 / trials, outside as f64 / trials)
}

/// The half of all nodes that is nearest to a node dies, for each of many nodes: how often the others are one network.
pub fn dead_regions(graph: &Neighbours, underlay: &Underlay, centres: &[usize]) -> f64 {
    let whole = centres.iter().filter(|centre| {
        let mut alive = vec![true; graph.len()];
        let near = underlay.by_distance(**centre);
        near.iter()
            .take(graph.len() / 2)
            .for_each(|node| alive[*node] = false);
        Components::new(graph, &alive).members.len() == 1
    });
    whole.count() as f64 / centres.len() as f64
}

/// A share of the nodes really dies, and the registry with them: seconds until the others are one network.
pub fn recovery(world: &mut World, dead: f64, random: &mut Generator) -> Option<u32> {
    let count = (world.nodes.len() as f64 * dead) as usize;
    world.registry = false;
    world.kill(random.some(count, world.nodes.len()));
    (0..=PATIENCE).find(|_| {
        let whole = world.components().members.len() == 1;
        if !whole {
            world.pass(SECOND);
        }
        whole
    })
}

fn row(table: &mut String, name: &str, ratios: Option<Ratios>) -> Result<()> {
    let Ratios {
        mean,
        median,
        p90,
        better,
        worse,
    } = ratios.context("no ways")?;
    let (better, worse) = (better * 100.0, worse * 100.0);
    writeln!(
        table,
        "| {name} | {mean:.3} | {median:.3} | {p90:.3} | {better:.0} % | {worse:.0} % |"
    )?;
    Ok(())
}

/// Ways over the mesh beside the direct ones, over the 213 cities.
pub fn latency(rounds: u32, seeds: u64) -> Result<String> {
    let mut table = String::from(
        "| 213 cities, 10 tunnels a node; mesh / direct | mean | median | p90 | better than direct | > 10 % worse |\n|---|---|---|---|---|---|\n",
    );
    let sources: Vec<usize> = (0..CITIES).collect();
    let mut random = Generator::new(1);
    let underlay = Underlay::new(CITIES, 0, &mut random)?;
    let of = |graph: &Neighbours| ratios(graph, &underlay, &sources);
    row(
        &mut table,
        "full mesh: the best there is",
        of(&full_mesh(&underlay)),
    )?;
    let mut baseline = Baseline::random(&underlay, 10, 20, &mut random);
    row(&mut table, "10 random tunnels", of(&baseline.graph()))?;
    for _ in 0..RE6ST_ROUNDS {
        baseline.scored_removal(&mut random);
    }
    let name = format!("re6stnet's scored removal, {RE6ST_ROUNDS} rounds");
    let re6st = baseline.graph();
    row(&mut table, &name, of(&re6st))?;
    let mut last = String::new();
    for seed in 1..=seeds {
        let mut world = World::new(Options::of(CITIES), seed)?;
        cold_start(&mut world);
        for round in 1..=rounds {
            world.pass(ROUND);
            let is_last = round == rounds;
            if is_last || seed == 1 && (round == 5 || round == 20) {
                let name = format!("this mesh, {round} rounds, seed {seed}");
                row(&mut table, &name, of(world.graph()))?;
            }
        }
        if seed == seeds {
            last = survival_rows(&world, &re6st, &mut random)?;
        }
    }
    Ok(table + "\n" + &last)
}

/// What half of the nodes' death does to the mesh when it has been optimised.
fn survival_rows(world: &World, re6st: &Neighbours, random: &mut Generator) -> Result<String> {
    let mut table = String::from(
        "| 213 cities, one network at once after | 50 % died | 70 % died | a region of half died |\n|---|---|---|---|\n",
    );
    let centres: Vec<usize> = (0..world.nodes.len()).collect();
    for (name, graph) in [
        ("this mesh", world.graph()),
        ("re6stnet's scored removal", re6st),
    ] {
        let (half, _) = sudden_death(graph, 0.5, 300, random);
        let (more, _) = sudden_death(graph, 0.7, 300, random);
        let region = dead_regions(graph, &world.underlay, &centres);
        writeln!(table, "| {name} | {half:.3} | {more:.3} | {region:.3} |")?;
    }
    let of = |dead| formula(world.nodes.len(), 10, dead).1;
    writeln!(
        table,
        "| formula, 10 random tunnels | {:.3} | {:.3} | |",
        of(0.5),
        of(0.7)
    )?;
    Ok(table)
}

/// Some nodes from which the ways of a large network are looked at.
fn some(nodes: usize) -> Vec<usize> {
    let step = nodes.div_ceil(100).max(1);
    (0..nodes).step_by(step).collect()
}

/// A network from its start to the death of half of it.
pub fn life(nodes: usize, rounds: u32, seed: u64) -> Result<String> {
    let mut text = String::new();
    let mut world = World::new(Options::of(nodes), seed)?;
    let start = cold_start(&mut world);
    let seconds = |found: Option<u32>| found.map_or("never".to_owned(), |it| format!("{it} s"));
    writeln!(
        text,
        "{nodes} nodes, seed {seed}: one network {} after all started within 10 s, 99 % have all tunnels after {}",
        seconds(start.one_network),
        seconds(start.all_tunnels)
    )?;
    let sources = some(nodes);
    let at_start = ratios(world.graph(), &world.underlay, &sources);
    let before = world.sent;
    for _ in 0..rounds {
        world.pass(ROUND);
    }
    let (degree, most) = degrees(world.graph());
    writeln!(
        text,
        "tunnels of a node: {degree:.1}, at most {most}; longest of the shortest ways: {} tunnels",
        diameter(world.graph(), &sources[..sources.len().min(20)])
    )?;
    if rounds > 0 {
        let hours = f64::from(rounds) * ROUND.as_secs_f64() / 3_600.0;
        let each = |sent: u64| sent as f64 / nodes as f64 / hours;
        writeln!(
            text,
            "the mesh's own messages, a node and hour: {:.0}, {:.0} kB ({:.0} octets a second)",
            each(world.sent.messages - before.messages),
            each(world.sent.octets - before.octets) / 1_000.0,
            each(world.sent.octets - before.octets) / 3_600.0
        )?;
    }
    let mut table = String::from(
        "\n| mesh / direct | mean | median | p90 | better than direct | > 10 % worse |\n|---|---|---|---|---|---|\n",
    );
    row(&mut table, "after the start", at_start)?;
    let now = ratios(world.graph(), &world.underlay, &sources);
    row(&mut table, &format!("after {rounds} rounds"), now)?;
    writeln!(text, "{table}")?;
    writeln!(text, "{}", deaths(world, seed)?)?;
    Ok(text)
}

fn deaths(mut world: World, seed: u64) -> Result<String> {
    let nodes = world.nodes.len();
    let mut random = Generator::new(seed);
    let trials = (200_000 / nodes).clamp(20, 400);
    let mut table = String::from(
        "| died at once | one network at once | formula | outside, mean | formula |\n|---|---|---|---|---|\n",
    );
    for dead in [0.1, 0.3, 0.5, 0.7] {
        let (whole, outside) = sudden_death(world.graph(), dead, trials, &mut random);
        let (isolated, likely) = formula(nodes, 10, dead);
        writeln!(
            table,
            "| {:.0} % | {whole:.3} | {likely:.4} | {outside:.3} | {isolated:.4} |",
            dead * 100.0
        )?;
    }
    let region = dead_regions(world.graph(), &world.underlay, &some(nodes));
    writeln!(table, "| a region of half | {region:.3} | | | |")?;
    let again = recovery(&mut world, 0.5, &mut random);
    let again = again.map_or("never".to_owned(), |it| format!("after {it} s"));
    writeln!(
        table,
        "\nHalf of all nodes and the registry die: the others are one network {again}."
    )?;
    Ok(table)
}

/// What an attacker with a tenth of the certificates does to the tunnels of the others.
pub fn attack(nodes: usize, rounds: u32, seed: u64) -> Result<String> {
    let mut table = String::from(
        "| the attacker's nodes, a tenth | hostile: random | by gain | served | fewest honest tunnels of a node | surrounded | not believed |\n|---|---|---|---|---|---|---|\n",
    );
    for (name, lies) in [
        ("open hundreds of tunnels", Lies::None),
        ("and lie when asked", Lies::Answers),
        ("and announce it", Lies::AnswersAndRoutes),
    ] {
        let options = Options {
            hostile: nodes / 10,
            lies,
            ..Options::of(nodes)
        };
        let mut world = World::new(options, seed)?;
        cold_start(&mut world);
        for _ in 0..rounds {
            world.pass(ROUND);
        }
        writeln!(table, "| {name} {}", Attacked::of(&world).columns())?;
    }
    Ok(table)
}

/// Tunnels of honest nodes.
#[derive(Clone, Debug, Default)]
pub struct Attacked {
    /// Random, optimised, served: all and hostile ones.
    pub kinds: [(usize, usize); 3],
    /// The fewest tunnels with honest nodes that a node has.
    pub fewest_honest: usize,
    /// Nodes whose tunnels are all with hostile ones.
    pub surrounded: usize,
    /// Promises that were broken.
    pub broken_promises: u64,
}

impl Attacked {
    /// Of a world.
    pub fn of(world: &World) -> Self {
        let is_hostile = |node: usize| world.options.is_hostile(node);
        let mut found = Self {
            fewest_honest: usize::MAX,
            ..Self::default()
        };
        for node in (0..world.nodes.len()).filter(|node| !is_hostile(*node)) {
            let mut honest = 0;
            for (peer, kind) in world.kinds(node) {
                let (all, hostile) = &mut found.kinds[kind];
                *all += 1;
                *hostile += usize::from(is_hostile(peer));
                honest += usize::from(!is_hostile(peer));
            }
            found.fewest_honest = found.fewest_honest.min(honest);
            found.surrounded += usize::from(honest == 0);
            found.broken_promises += world.nodes[node].counters().broken_promises;
        }
        found
    }

    fn columns(&self) -> String {
        let share = |(all, hostile): (usize, usize)| 100.0 * hostile as f64 / all.max(1) as f64;
        let [random, optimised, served] = self.kinds.map(share);
        format!(
            "| {random:.1} % | {optimised:.1} % | {served:.1} % | {} | {} | {} |",
            self.fewest_honest, self.surrounded, self.broken_promises
        )
    }
}
