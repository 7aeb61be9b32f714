//! Scenarios that are run with many seeds.

fn number_from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Tells how to repeat what failed.
struct Replay(u64);

impl Drop for Replay {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("to repeat this: RE6ST_SEED={} and the test's name", self.0);
        }
    }
}

/// Runs a scenario with so many seeds, or as many as RE6ST_SEEDS says, or with the one of RE6ST_SEED.
pub fn with_seeds(count: u64, scenario: impl Fn(u64)) {
    let seeds = match number_from_environment("RE6ST_SEED") {
        Some(seed) => seed..seed + 1,
        None => 1..1 + number_from_environment("RE6ST_SEEDS").unwrap_or(count),
    };
    for seed in seeds {
        let _replay = Replay(seed);
        scenario(seed);
    }
}
