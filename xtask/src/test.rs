//! `cargo xtask test`: everything, part by part.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use clap::ValueEnum;

use crate::{
    command::{self, CHECKED, cargo, find_program},
    privilege,
    setup::{self, Purpose},
};

#[derive(clap::Args)]
pub struct Arguments {
    /// Only these parts
    #[arg(value_name = "PART")]
    parts: Vec<Part>,
    /// Only tests whose name contains this
    #[arg(long, value_name = "NAME")]
    filter: Option<String>,
}

/// A part of the tests.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Part {
    /// Formatting, lints, licences of the dependencies
    Style,
    /// Building and installing, by the commands of the README
    Release,
    /// Unit and property tests: no root, no network
    Unit,
    /// The BPF programs, packet by packet (BPF_PROG_TEST_RUN); root
    Programs,
    /// Hosts in network namespaces, real packets; root
    Scenarios,
    /// Virtual machines: other kernels, and Linux's own tunnels as peers; no root
    Machines,
}

/// How a part ended.
struct Outcome {
    part: Part,
    passed: u32,
    failed: u32,
    time: Duration,
}

pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    setup::ensure(&[Purpose::Build, Purpose::Demo, Purpose::Test])?;
    let chosen = |part: &Part| arguments.parts.is_empty() || arguments.parts.contains(part);
    let mut outcomes = Vec::new();
    for part in Part::value_variants().iter().copied().filter(chosen) {
        println!("\n==== {part:?} ====");
        let start = Instant::now();
        let (passed, failed) = part.run(arguments.filter.as_deref())?;
        let time = start.elapsed();
        outcomes.push(Outcome {
            part,
            passed,
            failed,
            time,
        });
    }
    Ok(summarise(&outcomes))
}

fn summarise(outcomes: &[Outcome]) -> ExitCode {
    println!();
    for outcome in outcomes {
        let part = format!("{:?}", outcome.part);
        let (passed, failed) = (outcome.passed, outcome.failed);
        println!(
            "{part:<10} {passed:>5} passed {failed:>4} failed {:>6} s",
            outcome.time.as_secs()
        );
    }
    let passed: u32 = outcomes.iter().map(|outcome| outcome.passed).sum();
    let failed: u32 = outcomes.iter().map(|outcome| outcome.failed).sum();
    println!("\n{passed} passed, {failed} failed");
    // nothing found to run is not a success
    if failed == 0 && passed > 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

impl Part {
    /// The longest a test program of this part may run, not counting compilation.
    const fn limit(self) -> Duration {
        Duration::from_secs(match self {
            Self::Style | Self::Release => 300,
            Self::Unit => 600,
            Self::Programs => 480,
            Self::Scenarios => 900,
            Self::Machines => 720,
        })
    }

    /// Runs it; how many passed and failed.
    fn run(self, filter: Option<&str>) -> Result<(u32, u32)> {
        match self {
            Self::Style => Ok(style()),
            Self::Release => release(),
            Self::Unit => {
                let crates = ["-p", "re6st-common", "-p", "re6st-user", "-p", "xtask"];
                let (passed, failed) = self.cargo_test(&crates, filter)?;
                let (more, less) = self.cargo_test(&["-p", "tests", "--lib"], filter)?;
                Ok((passed + more, failed + less))
            }
            Self::Programs => self.cargo_test(&["-p", "tests", "--test", "programs"], filter),
            Self::Scenarios => self.cargo_test(&["-p", "tests", "--test", "scenarios"], filter),
            Self::Machines => self.cargo_test(&["-p", "tests", "--test", "machines"], filter),
        }
    }

    const fn needs_root(self) -> bool {
        matches!(self, Self::Programs | Self::Scenarios)
    }

    /// `cargo test`: compiled as who we are; run, as root where needed, for a bounded time.
    fn cargo_test(self, what: &[&str], filter: Option<&str>) -> Result<(u32, u32)> {
        // tests run the command itself as well
        command::cargo_build(CHECKED, &["-p", "re6st-user", "--bins"])?;
        let mut build = cargo();
        build
            .args(["test", "--profile", CHECKED, "--no-run"])
            .args(what);
        if let Err(error) = command::visible(&mut build) {
            eprintln!("error: {error:#}");
            return Ok((0, 1));
        }
        let mut run = cargo();
        run.args(["test", "--profile", CHECKED, "--no-fail-fast"])
            .args(["--config", &self.runner()?])
            .args(what)
            .args(filter)
            .stdout(Stdio::piped());
        count(&mut run)
    }

    /// Cargo's setting for what runs a test program: sudo where needed, and a bound on its time. A program that gets
    /// SIGTERM takes back what it made; it has half a minute for that.
    fn runner(self) -> Result<String> {
        let mut words = if self.needs_root() {
            privilege::as_root("this part of the tests")?
        } else {
            Vec::new()
        };
        let limit = self.limit().as_secs().to_string();
        words.extend(["timeout", "--foreground", "--kill-after=30", &limit].map(String::from));
        Ok(format!("target.'cfg(unix)'.runner = {words:?}"))
    }
}

/// Runs a `cargo test`, passing its output on and adding up the counts of its test programs.
fn count(command: &mut Command) -> Result<(u32, u32)> {
    let mut child = command
        .spawn()
        .with_context(|| format!("could not start {}", command::shown(command)))?;
    let (mut passed, mut failed) = (0, 0);
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).lines() {
            let line = line?;
            println!("{line}");
            if let Some((p, f)) = result_line(&line) {
                passed += p;
                failed += f;
            }
        }
    }
    // a test program that was killed, by the time limit for example, prints no counts
    if !child.wait()?.success() && failed == 0 {
        eprintln!("error: {} failed", command::shown(command));
        failed = 1;
    }
    Ok((passed, failed))
}

/// The counts in `test result: ok. 3 passed; 0 failed; ...`.
fn result_line(line: &str) -> Option<(u32, u32)> {
    let counts = line.strip_prefix("test result: ")?;
    let before = |word: &str| -> Option<u32> {
        let (front, _) = counts.split_once(word)?;
        front.rsplit(' ').next()?.parse().ok()
    };
    Some((before(" passed;")?, before(" failed;")?))
}

/// Each check counts as one test.
fn style() -> (u32, u32) {
    let all = ["--workspace", "--exclude", "re6st-ebpf"];
    let mut format = cargo();
    format.args(["fmt", "--all", "--check"]);
    let mut lints = cargo();
    lints
        .args(["clippy", "--profile", CHECKED, "--all-targets"])
        .args(all)
        .args(["--", "-D", "warnings"]);
    let mut checks = vec![format, lints];
    if find_program("cargo-deny").is_some() {
        let mut licences = cargo();
        licences.args(["deny", "check", "licenses", "bans", "sources"]);
        checks.push(licences);
    } else {
        println!("cargo-deny is not installed: licences of the dependencies are not checked");
    }
    let failed = checks
        .iter_mut()
        .map(command::visible)
        .filter_map(Result::err)
        .inspect(|error| eprintln!("error: {error:#}"))
        .count();
    ((checks.len() - failed) as u32, failed as u32)
}

/// The mark of the README's block of commands that build and install.
const INSTALL: &str = "<!-- run: install -->";

/// Types what the README says, with other folders to install to.
fn release() -> Result<(u32, u32)> {
    let readme = fs::read_to_string("README.md").context("README.md")?;
    let script = install_commands(&readme);
    let target = command::built("release", "");
    let root = target.join("installed");
    let folder = |name: &str| format!("{}{name}", root.display());
    let sbin = folder("/usr/local/sbin");
    for name in [
        "/usr/local/sbin",
        "/etc/bash_completion.d",
        "/etc/systemd/system",
    ] {
        let name = folder(name);
        fs::create_dir_all(&name).context(name)?;
    }
    let script = script
        .replace(" /usr/", &format!(" {}/usr/", root.display()))
        .replace(" /etc/", &format!(" {}/etc/", root.display()))
        .replace(" target/release/", &format!(" {}/", target.display()));
    let mut shell = Command::new("sh");
    let path = std::env::var("PATH").unwrap_or_default();
    shell.args(["-euxc", &script]);
    shell.env("PATH", format!("{sbin}:{path}"));
    let mut installed = Command::new(format!("{sbin}/re6st-user"));
    installed.arg("--version");
    let outcome = command::visible(&mut shell)
        .and_then(|()| command::visible(&mut installed))
        .and_then(|()| all_there(&root));
    fs::remove_dir_all(&root).ok();
    Ok(match outcome {
        Ok(()) => (1, 0),
        Err(error) => {
            eprintln!("error: {error:#}");
            (0, 1)
        }
    })
}

/// What the README promises.
fn all_there(root: &Path) -> Result<()> {
    for name in [
        "usr/local/share/man/man8/re6st-user.8",
        "usr/local/share/man/man8/re6st-user-registry-token-add.8",
        "etc/bash_completion.d/re6st-user",
        "etc/systemd/system/re6st-ebpf@.service",
        "etc/systemd/system/re6st-registry.service",
    ] {
        let path = root.join(name);
        let length = path.metadata().map_or(0, |data| data.len());
        ensure!(length > 0, "{} is not there, or empty", path.display());
    }
    Ok(())
}

/// How one builds and installs: the lines of the block.
fn install_commands(readme: &str) -> String {
    let block = readme.lines().skip_while(|line| *line != INSTALL).skip(1);
    let lines = block.map_while(|line| line.strip_prefix("    "));
    lines.map(|line| format!("{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::{install_commands, result_line};

    #[test]
    fn the_readme_says_how_to_install() {
        let commands = install_commands(include_str!("../../README.md"));
        assert!(
            commands.contains("cargo build --release && install "),
            "{commands}"
        );
        assert_eq!(install_commands("    cargo build"), "");
    }

    #[test]
    fn counts_of_a_test_program() {
        let line = "test result: FAILED. 12 passed; 3 failed; 0 ignored; 0 measured; 1 filtered out; finished in 0.1s";
        assert_eq!(result_line(line), Some((12, 3)));
        assert_eq!(result_line("test some::test ... ok"), None);
    }
}
