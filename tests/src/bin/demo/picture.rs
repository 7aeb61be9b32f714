//! The mesh at a glance: who has a tunnel with whom, and how long packets take beside the direct way.

use testbed::mesh::{CITIES, Network, Prober};

use super::screen::{Colour, Screen};

/// What is shown of one pair of nodes.
#[derive(Clone, Copy)]
struct Sight {
    has_tunnel: bool,
    /// None if one of them does not run.
    is_up: Option<bool>,
    /// Milliseconds there and back.
    round_trip: Option<f64>,
    /// Of the direct way.
    ratio: Option<f64>,
}

/// The mesh as it is now.
pub struct Picture {
    sights: Vec<Vec<Sight>>,
    registry: bool,
    tunnels: usize,
}

impl Picture {
    pub fn take(network: &Network, prober: &Prober) -> Self {
        let tunnels = network.tunnels();
        let runs = |node: usize| network.nodes[node].is_running();
        let sight = |one: usize, other: usize| {
            let direct = network.direct(one, other);
            let round_trip = prober.round_trip(one, other);
            Sight {
                has_tunnel: tunnels.contains(&(one.min(other), one.max(other))),
                is_up: (runs(one) && runs(other)).then(|| prober.is_up(one, other, direct)),
                round_trip: round_trip.map(|time| time.as_secs_f64() * 1e3),
                ratio: round_trip.map(|time| time.as_secs_f64() / direct.as_secs_f64()),
            }
        };
        let all = 0..network.nodes.len();
        let sights = all
            .clone()
            .map(|one| all.clone().map(|other| sight(one, other)).collect());
        Self {
            sights: sights.collect(),
            registry: network.registry.is_some(),
            tunnels: tunnels.len(),
        }
    }

    fn pairs(&self) -> impl Iterator<Item = Sight> {
        let rows = self.sights.iter().enumerate();
        rows.flat_map(|(one, row)| row.iter().skip(one + 1).copied())
    }

    /// In one line.
    pub fn summary(&self) -> String {
        let running = self.pairs().filter_map(|pair| pair.is_up);
        let (up, all) = running.fold((0, 0), |(up, all), is| (up + usize::from(is), all + 1));
        let up_pairs = self.pairs().filter(|pair| pair.is_up == Some(true));
        let mut ratios: Vec<f64> = up_pairs.filter_map(|pair| pair.ratio).collect();
        ratios.sort_by(f64::total_cmp);
        let of = |share: usize| {
            ratios
                .get(ratios.len() * share / 100)
                .copied()
                .unwrap_or(f64::NAN)
        };
        format!(
            "{up} of {all} pairs answer, {} tunnels; mesh / direct: median {:.2}, nine of ten below {:.2}",
            self.tunnels,
            of(50),
            of(90)
        )
    }

    /// As a table, a line each.
    pub fn lines(&self, screen: &Screen, seconds: u64) -> Vec<String> {
        let short = |city: &str| format!(" {:>4}", city.get(..4).unwrap_or(city));
        let heads: String = CITIES.iter().map(|city| short(city)).collect();
        let mut lines = vec![String::new(), format!("  {:13}{heads}", "")];
        for (one, (city, row)) in CITIES.iter().zip(&self.sights).enumerate() {
            let cells = row.iter().enumerate();
            let cells = cells.map(|(other, sight)| sight.cell(screen, one, other));
            lines.push(format!("  {city:13}{}", cells.collect::<String>()));
        }
        let registry = match self.registry {
            true => screen.colour("serves", Colour::Green),
            false => screen.colour("killed", Colour::Red),
        };
        lines.extend([
            String::new(),
            "  above: milliseconds over the mesh, ● with a tunnel; below: how many times the direct way".into(),
            format!("  {}", self.summary()),
            format!("  {seconds} s, the registry {registry}"),
        ]);
        lines
    }
}

impl Sight {
    /// Five columns.
    fn cell(self, screen: &Screen, one: usize, other: usize) -> String {
        let colour = match self.ratio {
            Some(ratio) if ratio < 1.05 => Colour::Green,
            Some(ratio) if ratio < 1.5 => Colour::Yellow,
            _ => Colour::Red,
        };
        let text = match (self.is_up, self.round_trip, self.ratio) {
            _ if one == other => return screen.colour("    ·", Colour::Grey),
            (None, ..) => return screen.colour("    -", Colour::Grey),
            (Some(false), ..) | (_, None, _) | (_, _, None) => {
                return screen.colour("    ✗", Colour::Red);
            }
            (Some(true), Some(_), Some(ratio)) if one > other => format!(" {ratio:4.2}"),
            (Some(true), Some(time), Some(_)) => {
                format!("{time:4.0}{}", if self.has_tunnel { "●" } else { " " })
            }
        };
        screen.colour(text, colour)
    }
}
