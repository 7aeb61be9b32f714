//! Running other programs: with progress for people, with an end in sight, and with errors that name the command.

use std::{
    io::{BufRead as _, BufReader, IsTerminal as _, Write as _, stdout},
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    sync::mpsc::{RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

/// The Cargo profile of the demo and the tests: optimised, with all assertions.
pub const CHECKED: &str = "checked";

/// How many of the last lines of a failed command are shown.
const LINES_SHOWN: usize = 30;
/// How often a log hears that something still goes on.
const SIGN_OF_LIFE: Duration = Duration::from_secs(30);

/// The folder of the workspace.
pub fn workspace() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}

/// The cargo that runs us.
pub fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Where a binary of a profile ends up. A relative CARGO_TARGET_DIR is relative to the workspace, where we are.
pub fn built(profile: &str, name: &str) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    let directory = if profile == "dev" { "debug" } else { profile };
    workspace().join(target).join(directory).join(name)
}

/// `cargo build` of something, with cargo's own progress.
pub fn cargo_build(profile: &str, what: &[&str]) -> Result<()> {
    let mut command = cargo();
    command.args(["build", "--profile", profile]).args(what);
    visible(&mut command)
}

/// Runs a command that talks to the terminal itself; fails if it does.
pub fn visible(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("could not start {}", shown(command)))?;
    if !status.success() {
        bail!("{} failed ({status})", shown(command));
    }
    Ok(())
}

/// Runs a command quietly under a title, with the time it takes; shows its last lines if it fails.
pub fn step(title: &str, command: &mut Command) -> Result<()> {
    let lively = stdout().is_terminal();
    let start = Instant::now();
    if !lively {
        println!("{title} ...");
    }
    let mut said = start;
    let (status, lines) = collect(command, |lines| {
        let seconds = start.elapsed().as_secs();
        let progress = progress(lines);
        if lively {
            print!("\r\x1b[2K{title} ... {seconds} s  \x1b[2m{progress}\x1b[0m");
            stdout().flush().ok();
        } else if said.elapsed() >= SIGN_OF_LIFE {
            said = Instant::now();
            println!("{title} ... {seconds} s  {progress}");
        }
    })?;
    let seconds = start.elapsed().as_secs();
    if lively {
        print!("\r\x1b[2K");
    }
    if status.success() {
        println!("{title}: done ({seconds} s)");
        return Ok(());
    }
    println!("{title}: failed");
    for line in &lines[lines.len().saturating_sub(LINES_SHOWN)..] {
        eprintln!("    {line}");
    }
    bail!("{} failed ({status})", shown(command))
}

/// The latest line; of cargo also how many crates it has begun.
fn progress(lines: &[String]) -> String {
    let last = lines.last().map_or("", String::as_str).trim();
    let last: String = last.chars().take(60).collect();
    let compiled = lines
        .iter()
        .filter(|line| line.trim().starts_with("Compiling "))
        .count();
    match compiled {
        0 => last,
        compiled => format!("{compiled} crates: {last}"),
    }
}

/// Runs a command, calls back with its lines so far every now and then, returns all lines of both outputs.
fn collect(
    command: &mut Command,
    mut tick: impl FnMut(&[String]),
) -> Result<(ExitStatus, Vec<String>)> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("could not start {}", shown(command)))?;
    let (sender, receiver) = channel();
    let readers = [
        child
            .stdout
            .take()
            .map(|pipe| Box::new(pipe) as Box<dyn std::io::Read + Send>),
        child.stderr.take().map(|pipe| Box::new(pipe) as _),
    ];
    for pipe in readers.into_iter().flatten() {
        let sender = sender.clone();
        thread::spawn(move || {
            for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
                if sender
                    .send(String::from_utf8_lossy(&line).into_owned())
                    .is_err()
                {
                    break;
                }
            }
        });
    }
    drop(sender);
    let mut lines: Vec<String> = Vec::new();
    loop {
        match receiver.recv_timeout(Duration::from_millis(500)) {
            Ok(line) => lines.push(line),
            Err(RecvTimeoutError::Timeout) => tick(&lines),
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    Ok((child.wait()?, lines))
}

/// A command line as one would type it.
pub fn shown(command: &Command) -> String {
    let mut text = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        let argument = argument.to_string_lossy();
        if argument.contains([' ', '\'', '"', '$', '[']) {
            text += &format!(" '{argument}'");
        } else {
            text += &format!(" {argument}");
        }
    }
    text
}

/// Where a program is, on PATH or where administrators' programs and cargo's are.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let cargo_bin = cargo_home().map(|home| home.join("bin"));
    std::env::split_paths(&path)
        .chain(cargo_bin)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|directory| directory.join(name))
        .find(|candidate| candidate.is_file())
}

/// Where cargo installs programs.
fn cargo_home() -> Option<PathBuf> {
    std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| {
            let home = std::env::var_os("HOME")?;
            Some(Path::new(&home).join(".cargo"))
        })
}

#[cfg(test)]
mod tests {
    use super::progress;

    #[test]
    fn progress_is_the_latest_line_and_how_many_crates() {
        let lines = [
            "    Updating crates.io index",
            "   Compiling libc v0.2",
            "   Compiling gimli v0.34",
        ];
        let lines = lines.map(str::to_owned);

        assert_eq!(progress(&lines[..1]), "Updating crates.io index");
        assert_eq!(progress(&lines), "2 crates: Compiling gimli v0.34");
        assert_eq!(progress(&[]), "");
    }
}
