//! Commands run in a host: bounded in time, their output captured, killed when nobody needs them any more.

use std::{
    io::{BufRead as _, BufReader, Read},
    os::unix::process::CommandExt as _,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};

use crate::cleanup::{Guard, Resource};

/// What a command that has ended said.
#[derive(Debug, Clone)]
pub struct Output {
    /// The command line.
    pub command: String,
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Output {
    /// Itself if the command succeeded, else an error that shows all it said.
    pub fn success(self) -> Result<Self> {
        if !self.status.success() {
            bail!(
                "`{}` failed ({}):\n{}{}",
                self.command,
                self.status,
                self.stdout,
                self.stderr
            );
        }
        Ok(self)
    }

    /// The error message of a command that had to fail; an error if it succeeded.
    pub fn failure(self) -> Result<String> {
        if self.status.success() {
            bail!(
                "`{}` succeeded:\n{}{}",
                self.command,
                self.stdout,
                self.stderr
            );
        }
        Ok(self.stderr)
    }
}

/// A command that is running, in a process group of its own. Killed with its children when dropped.
#[derive(Debug)]
pub struct Process {
    command: String,
    child: Child,
    stdout: Capture,
    stderr: Capture,
    // after `child`: removing the group is all that dropping has to do
    guard: Guard,
}

impl Process {
    /// Starts a command, in the network namespace of the calling thread.
    pub fn spawn(command: &mut Command) -> Result<Self> {
        let line = shown(command);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .with_context(|| format!("could not start `{line}`"))?;
        let guard = Guard::new(Resource::ProcessGroup(Pid::from_raw(
            child.id().cast_signed(),
        )));
        let stdout = Capture::start(child.stdout.take());
        let stderr = Capture::start(child.stderr.take());
        Ok(Self {
            command: line,
            child,
            stdout,
            stderr,
            guard,
        })
    }

    /// Waits for its end. Kills it, and fails, if that takes longer than `limit`.
    pub fn wait(mut self, limit: Duration) -> Result<Output> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return self.finish(status);
            }
            if Instant::now() >= deadline {
                let command = self.command.clone();
                let output = self.stop(Signal::SIGKILL)?;
                bail!(
                    "`{command}` took longer than {limit:?}:\n{}{}",
                    output.stdout,
                    output.stderr
                );
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Sends a signal, and SIGKILL if that does not end it within five seconds; what it had said.
    pub fn stop(mut self, signal: Signal) -> Result<Output> {
        let group = Pid::from_raw(self.child.id().cast_signed());
        // it may have ended by itself; it has not been waited for, so the number is still its own
        killpg(group, signal).ok();
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            if let Some(status) = self.child.try_wait()? {
                return self.finish(status);
            }
            if Instant::now() >= deadline {
                killpg(group, Signal::SIGKILL).ok();
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Its process identifier.
    pub fn id(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    /// What it has said so far on its standard output.
    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// What it has said so far on its standard error.
    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    fn finish(self, status: ExitStatus) -> Result<Output> {
        // children left behind would keep the pipes open
        drop(self.guard);
        Ok(Output {
            command: self.command,
            status,
            stdout: self.stdout.finish(),
            stderr: self.stderr.finish(),
        })
    }
}

/// Collects what comes out of a pipe.
#[derive(Debug)]
struct Capture {
    text: Arc<Mutex<String>>,
    thread: Option<JoinHandle<()>>,
}

impl Capture {
    fn start(pipe: Option<impl Read + Send + 'static>) -> Self {
        let text = Arc::new(Mutex::new(String::new()));
        let thread = pipe.map(|pipe| {
            let text = Arc::clone(&text);
            thread::spawn(move || {
                let mut reader = BufReader::new(pipe);
                let mut line = Vec::new();
                while reader
                    .read_until(b'\n', &mut line)
                    .is_ok_and(|length| length > 0)
                {
                    let decoded = String::from_utf8_lossy(&line);
                    text.lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push_str(&decoded);
                    line.clear();
                }
            })
        });
        Self { text, thread }
    }

    fn text(&self) -> String {
        self.text
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn finish(mut self) -> String {
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
        self.text()
    }
}

/// A command line for messages.
fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    words.join(" ")
}
