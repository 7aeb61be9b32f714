//! QEMU: the process, its console and the line to the agent.

use std::{
    io::{Read, Write},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, bail};

use super::{Card, Output};

/// Memory of a machine.
const MEMORY: &str = "768M";
/// How often the keeper looks whether QEMU has ended.
const TICK: Duration = Duration::from_millis(100);
/// How much longer than a script's own bound an answer may take.
const GRACE: Duration = Duration::from_secs(20);
/// How much of the console an error shows, in bytes.
const CONSOLE_SHOWN: usize = 4000;

/// A running QEMU. Dropping it kills it; so does the end of this process.
#[derive(Debug)]
pub struct Emulator {
    input: ChildStdin,
    answers: Answers,
    console: Arc<Mutex<Vec<u8>>>,
    keeper: Option<Keeper>,
}

#[derive(Debug)]
struct Keeper {
    stop: Sender<()>,
    thread: thread::JoinHandle<()>,
}

impl Emulator {
    /// Starts a machine that is killed after its lifetime.
    pub fn start(
        kernel: &Path,
        initramfs: &Path,
        cards: &[Card],
        lifetime: Duration,
    ) -> Result<Self> {
        let command = command(kernel, initramfs, cards);
        let (started, start) = mpsc::channel();
        let (stop, stopped) = mpsc::channel();
        // The kernel kills QEMU when the thread that started it ends. That may not be a test's thread, which ends before
        // the other tests that use the machine.
        let thread = thread::spawn(move || keep(command, lifetime, &started, &stopped));
        let keeper = Some(Keeper { stop, thread });
        let mut child = start
            .recv()
            .context("the keeper of the machine is gone")?
            .context("cannot run qemu-system-x86_64 (Debian package qemu-system-x86)")?;
        let console = Arc::new(Mutex::new(Vec::new()));
        let input = child.input.take().context("QEMU has no input")?;
        let output = child.output.take().context("QEMU has no output")?;
        let errors = child.errors.take().context("QEMU has no console")?;
        collect(errors, Arc::clone(&console));
        Ok(Self {
            input,
            answers: Answers::new(output),
            console,
            keeper,
        })
    }

    /// Waits until the agent says that it is ready.
    pub fn wait_ready(&mut self, bound: Duration) -> Result<()> {
        let line = self
            .answers
            .line(Instant::now() + bound)
            .map_err(|error| self.explain(&error))?;
        if line != "ready" {
            bail!("the machine says: {line}{}", self.console_end());
        }
        Ok(())
    }

    /// Runs a script; the machine itself ends it after the bound.
    pub fn run(&mut self, script: &str, bound: Duration) -> Result<Output> {
        let seconds = bound.as_secs().max(1);
        let request = format!("{seconds} {}\n{script}", script.len());
        self.input
            .write_all(request.as_bytes())
            .and_then(|()| self.input.flush())
            .map_err(|error| self.explain(&anyhow!(error)))?;
        self.answers
            .output(Instant::now() + bound + GRACE)
            .map_err(|error| self.explain(&error))
    }

    fn explain(&self, error: &anyhow::Error) -> anyhow::Error {
        anyhow!(
            "the machine does not answer: {error:#}{}",
            self.console_end()
        )
    }

    fn console_end(&self) -> String {
        let console = self.console.lock().unwrap_or_else(PoisonError::into_inner);
        let start = console.len().saturating_sub(CONSOLE_SHOWN);
        format!(
            "\n--- the end of its console:\n{}",
            String::from_utf8_lossy(&console[start..])
        )
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        if let Some(keeper) = self.keeper.take() {
            // if the keeper is gone, so is QEMU
            let _ = keeper.stop.send(());
            let _ = keeper.thread.join();
        }
    }
}

/// What the keeper hands over of the process it keeps.
struct Streams {
    input: Option<ChildStdin>,
    output: Option<std::process::ChildStdout>,
    errors: Option<std::process::ChildStderr>,
}

fn keep(
    mut command: Command,
    lifetime: Duration,
    started: &Sender<std::io::Result<Streams>>,
    stopped: &Receiver<()>,
) {
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            // nobody waits: nothing to tell
            let _ = started.send(Err(error));
            return;
        }
    };
    let streams = Streams {
        input: child.stdin.take(),
        output: child.stdout.take(),
        errors: child.stderr.take(),
    };
    let end = Instant::now() + lifetime;
    if started.send(Ok(streams)).is_ok() {
        while Instant::now() < end
            && matches!(child.try_wait(), Ok(None))
            && stopped.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout)
        {}
    }
    kill(&mut child);
}

fn kill(child: &mut Child) {
    // it fails only if the process has ended already
    let _ = child.kill();
    let _ = child.wait();
}

fn command(kernel: &Path, initramfs: &Path, cards: &[Card]) -> Command {
    // The console is QEMU's standard error, so that it also holds what QEMU itself complains about; the line to the agent
    // is standard input and output.
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", "qemu-system-x86_64"])
        .args([
            "-machine", "q35", "-accel", "tcg", "-cpu", "max", "-m", MEMORY,
        ])
        .args([
            "-nodefaults",
            "-no-user-config",
            "-display",
            "none",
            "-no-reboot",
        ])
        .arg("-kernel")
        .arg(kernel)
        .arg("-initrd")
        .arg(initramfs)
        .args(["-append", "console=ttyS0 quiet panic=-1 mitigations=off"])
        .args(["-chardev", "file,id=console,path=/dev/stderr"])
        .args(["-serial", "chardev:console"])
        .args(["-chardev", "stdio,id=agent,signal=off"])
        .args(["-device", "virtio-serial-pci"])
        .args(["-device", "virtserialport,chardev=agent,name=agent"]);
    for (number, card) in cards.iter().enumerate() {
        let cable = format!("hubport,id=card{number},hubid={}", card.cable);
        let device = format!("{},netdev=card{number},mac={}", card.device, card.address);
        command.args(["-netdev", &cable, "-device", &device]);
    }
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Keeps what comes, in a thread that ends with the stream.
fn collect(mut stream: impl Read + Send + 'static, into: Arc<Mutex<Vec<u8>>>) {
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = stream.read(&mut buffer) {
            into.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .extend_from_slice(&buffer[..length]);
        }
    });
}

/// What the agent says, read with a time limit.
#[derive(Debug)]
struct Answers {
    chunks: Receiver<Vec<u8>>,
    pending: Vec<u8>,
}

impl Answers {
    fn new(mut stream: impl Read + Send + 'static) -> Self {
        let (sender, chunks) = mpsc::channel();
        thread::spawn(move || {
            let mut buffer = [0; 65536];
            while let Ok(length @ 1..) = stream.read(&mut buffer) {
                if sender.send(buffer[..length].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self {
            chunks,
            pending: Vec::new(),
        }
    }

    fn more(&mut self, deadline: Instant) -> Result<()> {
        let left = deadline.saturating_duration_since(Instant::now());
        match self.chunks.recv_timeout(left) {
            Ok(chunk) => self.pending.extend_from_slice(&chunk),
            Err(RecvTimeoutError::Timeout) => bail!("it takes too long"),
            Err(RecvTimeoutError::Disconnected) => bail!("QEMU has ended"),
        }
        Ok(())
    }

    fn line(&mut self, deadline: Instant) -> Result<String> {
        loop {
            if let Some(end) = self.pending.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.pending.drain(..=end).collect();
                return Ok(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            self.more(deadline)?;
        }
    }

    fn output(&mut self, deadline: Instant) -> Result<Output> {
        let line = self.line(deadline)?;
        let (status, size) = line
            .split_once(' ')
            .and_then(|(status, size)| Some((status.parse().ok()?, size.parse::<usize>().ok()?)))
            .with_context(|| format!("the agent answered `{line}`"))?;
        while self.pending.len() < size {
            self.more(deadline)?;
        }
        let text: Vec<u8> = self.pending.drain(..size).collect();
        Ok(Output {
            status,
            text: String::from_utf8_lossy(&text).into_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop")]

    use std::time::{Duration, Instant};

    use super::Answers;

    #[test]
    fn answers_are_cut_where_their_size_says() {
        let mut answers = Answers::new(&b"ready\n0 6\na\n1 2\n137 0\nrest"[..]);
        let deadline = Instant::now() + Duration::from_secs(10);

        assert_eq!(answers.line(deadline).unwrap(), "ready");
        assert_eq!(answers.output(deadline).unwrap().text, "a\n1 2\n");
        assert_eq!(answers.output(deadline).unwrap().status, 137);
        let error = answers.line(deadline).unwrap_err();
        assert_eq!(error.to_string(), "QEMU has ended");
    }
}
