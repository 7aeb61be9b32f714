//! What was promised, and whether it was kept.

use super::{super::median, Report, Unit};

/// A measurement against another, or against a limit.
#[derive(Clone, Debug)]
pub struct Comparison {
    what: String,
    ours: f64,
    unit: Unit,
    against: String,
    theirs: f64,
    ratio: f64,
    target: Target,
}

/// What the ratio of ours to theirs must be.
#[derive(Clone, Copy, Debug)]
enum Target {
    AtLeast(f64),
    AtMost(f64),
    /// Nothing was promised: it explains another comparison.
    None,
}

impl Target {
    fn is_met(self, ratio: f64) -> bool {
        match self {
            Self::AtLeast(limit) => ratio >= limit,
            Self::AtMost(limit) => ratio <= limit,
            Self::None => true,
        }
    }

    fn shown(self) -> String {
        match self {
            Self::AtLeast(limit) => format!("at least {limit}"),
            Self::AtMost(limit) => format!("at most {limit}"),
            Self::None => "none".into(),
        }
    }
}

impl Comparison {
    /// Ours in units of theirs: the median of the rounds' own ratios. A machine that is twice as fast in one minute as in
    /// the next changes both sides of a round alike.
    pub const fn ratio(&self) -> f64 {
        self.ratio
    }

    /// Whether the target is met.
    pub fn is_met(&self) -> bool {
        self.target.is_met(self.ratio())
    }

    fn verdict(&self) -> &'static str {
        match self.target {
            Target::None => "-",
            _ if self.is_met() => "met",
            _ => "missed",
        }
    }

    /// For the terminal.
    pub fn line(&self) -> String {
        format!(
            "{:44} {:>12} / {:>12} = {:6.2}  ({}: {})",
            format!("{} vs {}", self.what, self.against),
            self.unit.shown(self.ours),
            self.unit.shown(self.theirs),
            self.ratio(),
            self.target.shown(),
            self.verdict()
        )
    }

    /// For a table.
    pub fn row(&self) -> String {
        format!(
            "| {} | {} | {} | {} | {:.2} | {} | {} |",
            self.what,
            self.unit.shown(self.ours),
            self.against,
            self.unit.shown(self.theirs),
            self.ratio(),
            self.target.shown(),
            self.verdict()
        )
    }
}

/// Share of a core of a router with a large table, and one neighbour.
const STEADY_CPU: &str = "steady-cpu";
/// The same, with two neighbours.
const STEADY_CPU_HUB: &str = "steady-cpu-hub";
/// Bytes between the two.
const STEADY_TRAFFIC: &str = "steady-traffic";

/// All comparisons both sides of which were measured.
pub fn comparisons(report: &Report) -> Vec<Comparison> {
    let mut all = Vec::new();
    let mut compare = |what: &str, ours: &str, against: &str, theirs: Theirs<'_>, target| {
        let theirs = match theirs {
            Theirs::Measured(name) => report.measurement(name).map(|seen| seen.rounds.clone()),
            Theirs::Limit(value) => Some(vec![value]),
        };
        if let (Some(measurement), Some(theirs)) = (report.measurement(ours), theirs) {
            // a limit stands against all rounds
            let rounds = measurement.rounds.iter().zip(theirs.iter().cycle());
            all.push(Comparison {
                what: what.into(),
                ours: measurement.median(),
                unit: measurement.unit,
                against: against.into(),
                ratio: median(rounds.map(|(ours, theirs)| ours / theirs)),
                theirs: median(theirs),
                target,
            });
        }
    };
    for length in [64, 1400] {
        for (name, against, target) in [
            ("floor", "bare XDP redirect", 0.75),
            ("forwarding", "kernel IPv6 forwarding", 2.0),
            ("vxlan", "kernel VXLAN", 3.0),
            ("openvpn", "OpenVPN", 25.0),
        ] {
            compare(
                &format!("relay, {length} bytes"),
                &format!("relay-{length}-re6st"),
                against,
                Theirs::Measured(&format!("relay-{length}-{name}")),
                Target::AtLeast(target),
            );
        }
    }
    for (theirs, against, target) in [
        ("tcp-link", "bare link, offloads off", Target::AtLeast(0.9)),
        (
            "tcp-link-xdp",
            "bare link, XDP program that does nothing",
            Target::None,
        ),
        ("tcp-link-gro", "bare link, GRO on", Target::None),
        ("tcp-openvpn", "OpenVPN", Target::AtLeast(5.0)),
    ] {
        compare(
            "one TCP connection",
            "tcp-re6st",
            against,
            Theirs::Measured(theirs),
            target,
        );
    }
    // 1.1 times the cost is 1 / 1.1 of the rate
    compare(
        "relay with 65,536 routes",
        "routes-65536",
        "with 10 routes",
        Theirs::Measured("routes-10"),
        Target::AtLeast(0.91),
    );
    compare(
        "round trip through a relay",
        "latency-re6st",
        "kernel IPv6 forwarding",
        Theirs::Measured("latency-forwarding"),
        Target::AtMost(1.0),
    );
    compare(
        "load 65,536 routes",
        "load-65536",
        "limit",
        Theirs::Limit(2e9),
        Target::AtMost(1.0),
    );
    compare(
        "memory of all maps, default",
        "memory-10",
        "limit",
        Theirs::Limit((16 << 20) as f64),
        Target::AtMost(1.0),
    );
    babel(&mut compare);
    mixed(&mut compare);
    registry(&mut compare);
    all
}

/// Our Babel's, against what was promised and against the others.
fn babel(compare: &mut impl FnMut(&str, &str, &str, Theirs<'_>, Target)) {
    let limits = [
        ("outage, silent cut", "silent-cut-re6st", 1e9),
        ("outage, carrier loss", "carrier-loss-re6st", 0.3e9),
        ("one new route across three hops", "new-route-re6st", 0.2e9),
        ("learn 10,000 routes of 10,000 routers", "learn-re6st", 3e9),
        ("learn 50,000 routes of 4 neighbours", "huge-re6st", 20e9),
        ("CPU with these", "huge-cpu-re6st", 0.05),
    ];
    for (what, ours, limit) in limits {
        let ours = format!("babel-{ours}");
        compare(
            what,
            &ours,
            "limit",
            Theirs::Limit(limit),
            Target::AtMost(1.0),
        );
    }
    let others = [
        ("outage, silent cut", "silent-cut"),
        ("outage, carrier loss", "carrier-loss"),
        ("one new route across three hops", "new-route"),
        ("learn 10,000 routes of 10,000 routers", "learn"),
        ("CPU with 10,000 routes", STEADY_CPU),
        ("the same, with two neighbours", STEADY_CPU_HUB),
        ("traffic with 10,000 routes", STEADY_TRAFFIC),
    ];
    for (what, name) in others {
        for (other, against) in [("babeld", "babeld"), ("bird", "BIRD")] {
            compare(
                what,
                &format!("babel-{name}-re6st"),
                against,
                Theirs::Measured(&format!("babel-{name}-{other}")),
                target_beside(name, other),
            );
        }
    }
}

/// What was promised of us beside the others: no more time than either, no more traffic than BIRD.
fn target_beside(name: &str, other: &str) -> Target {
    match (name, other) {
        (STEADY_CPU | STEADY_CPU_HUB, _) | (STEADY_TRAFFIC, "bird") => Target::AtMost(1.0),
        _ => Target::None,
    }
}

/// Ours beside a neighbour of another kind, against that one beside its own.
fn mixed(compare: &mut impl FnMut(&str, &str, &str, Theirs<'_>, Target)) {
    for (other, against) in [("babeld", "babeld"), ("bird", "BIRD")] {
        for (what, name, ours) in [
            (
                "CPU, 10,000 routes announced by it",
                STEADY_CPU,
                format!("re6st-of-{other}"),
            ),
            (
                "CPU, 10,000 routes announced to it",
                STEADY_CPU_HUB,
                format!("{other}-of-re6st"),
            ),
            (
                "traffic, 10,000 routes announced by it",
                STEADY_TRAFFIC,
                format!("re6st-of-{other}"),
            ),
            (
                "traffic, 10,000 routes announced to it",
                STEADY_TRAFFIC,
                format!("{other}-of-re6st"),
            ),
        ] {
            let of_two = format!("{against} beside {against}");
            compare(
                what,
                &format!("babel-{name}-{ours}"),
                &of_two,
                Theirs::Measured(&format!("babel-{name}-{other}")),
                target_beside(name, other),
            );
        }
    }
}

/// Our registry's, against what was promised and against re6stnet's.
fn registry(compare: &mut impl FnMut(&str, &str, &str, Theirs<'_>, Target)) {
    for (what, ours, against, theirs, target) in [
        (
            "enrolments, 10 certificates in the database",
            "enrol-10-re6st",
            "re6stnet",
            Theirs::Measured("registry-enrol-10-python"),
            Target::AtLeast(10.0),
        ),
        (
            "enrolments, 50,000 certificates in the database",
            "enrol-50000-re6st",
            "with 10",
            Theirs::Measured("registry-enrol-10-re6st"),
            Target::AtLeast(0.8),
        ),
        (
            "fetches of the parameters",
            "parameters-re6st",
            "re6stnet",
            Theirs::Measured("registry-parameters-python"),
            Target::AtLeast(50.0),
        ),
        (
            "latency among 1,000 slow connections",
            "latency-among-slow-re6st",
            "without them",
            Theirs::Measured("registry-latency-alone-re6st"),
            Target::AtMost(2.0),
        ),
        (
            "memory with 50,000 certificates",
            "memory-50000-re6st",
            "limit",
            Theirs::Limit(100e6),
            Target::AtMost(1.0),
        ),
    ] {
        compare(what, &format!("registry-{ours}"), against, theirs, target);
    }
}

enum Theirs<'a> {
    Measured(&'a str),
    Limit(f64),
}
