//! Commands beside a node: `up` once, when it is up, and then the daemons, which are started again when they end. All of them
//! end with the node.

use std::{
    collections::BTreeMap,
    io,
    os::unix::process::ExitStatusExt as _,
    process::ExitStatus,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use nix::{
    sys::{
        signal::{Signal, killpg},
        wait::{Id, WaitPidFlag, waitid},
    },
    unistd::Pid,
};

use super::{
    controller::Controller,
    orders::{Giver, Order},
};
use crate::{
    config::{Command, Commands},
    io::command::spawn,
};

/// Until a daemon that has ended is started again, doubled each time.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// But at the latest after so long; and one that ran for so long has a new count.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// For commands to end after SIGTERM.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is run beside the node.
#[derive(Debug)]
pub struct Beside {
    running: Arc<Running>,
    thread: JoinHandle<()>,
}

impl Beside {
    /// Begins to run them. What goes wrong is given as [`Order::Doubt`].
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub fn begin(
        commands: &Commands,
        environment: Vec<(&'static str, String)>,
        giver: Giver,
    ) -> io::Result<Self> {
        let running = Arc::new(Running {
            environment,
            giver,
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let (own, commands) = (Arc::clone(&running), commands.clone());
        let thread = thread::Builder::new()
            .name("commands".into())
            .spawn(move || own.run(commands))?;
        Ok(Self { running, thread })
    }

    /// Ends all of them, which takes some seconds at most.
    pub fn end(self) {
        self.running.end();
        // a panic there has ended the process
        drop(self.thread.join());
    }
}

#[derive(Debug, Default)]
struct State {
    /// Nothing is started any more.
    ending: bool,
    /// Processes that have not been waited for, by the names of their commands.
    processes: BTreeMap<String, Pid>,
}

#[derive(Debug)]
struct Running {
    environment: Vec<(&'static str, String)>,
    giver: Giver,
    state: Mutex<State>,
    changed: Condvar,
}

impl Running {
    fn state(&self) -> MutexGuard<'_, State> {
        // whatever panicked has ended the process
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, commands: Commands) {
        if let Some(up) = &commands.up {
            let name = format!("up ({})", up.program);
            let ended = self.run_once(&name, up);
            let why = ended.filter(|how| how != "it has ended");
            self.doubt(&name, why);
        }
        thread::scope(|scope| {
            for (number, daemon) in commands.daemons.iter().enumerate() {
                let name = format!("daemon {} ({})", number + 1, daemon.program);
                scope.spawn(move || self.keep(&name, daemon));
            }
        });
    }

    /// Runs a daemon until all end.
    fn keep(&self, name: &str, daemon: &Command) {
        let mut wait = FIRST_WAIT;
        loop {
            let begin = Instant::now();
            let Some(how) = self.run_once(name, daemon) else {
                return;
            };
            if begin.elapsed() > LONGEST_WAIT {
                wait = FIRST_WAIT;
            }
            let seconds = wait.as_secs();
            self.doubt(
                name,
                Some(format!("{how}; it is started again in {seconds} s")),
            );
            let state = self.state();
            let waited = self
                .changed
                .wait_timeout_while(state, wait, |state| !state.ending);
            if waited.is_ok_and(|(state, _)| state.ending) {
                return;
            }
            self.doubt(name, None);
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    /// Runs a command to its end: how it ended; none if it was ended, or not begun.
    fn run_once(&self, name: &str, command: &Command) -> Option<String> {
        let mut child = {
            let mut state = self.state();
            if state.ending {
                return None;
            }
            match spawn(&command.program, &command.arguments, &self.environment) {
                Ok(child) => {
                    let process = Pid::from_raw(child.id().cast_signed());
                    state.processes.insert(name.to_owned(), process);
                    child
                }
                Err(error) => return Some(format!("it cannot be started: {error}")),
            }
        };
        let process = Pid::from_raw(child.id().cast_signed());
        // it keeps its number until it is taken out of the list
        let ended = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
        while waitid(Id::Pid(process), ended) == Err(nix::errno::Errno::EINTR) {}
        let mut state = self.state();
        state.processes.remove(name);
        let how = child.wait();
        self.changed.notify_all();
        (!state.ending).then(|| how.map_or_else(|error| error.to_string(), words))
    }

    fn end(&self) {
        let mut state = self.state();
        state.ending = true;
        self.changed.notify_all();
        signal_all(&state, Signal::SIGTERM);
        let some = |state: &mut State| !state.processes.is_empty();
        let waited = self.changed.wait_timeout_while(state, PATIENCE, some);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        signal_all(&state, Signal::SIGKILL);
    }

    fn doubt(&self, name: &str, why: Option<String>) {
        self.giver.give(Order::Doubt {
            about: name.to_owned(),
            text: why.map(|why| format!("{name}: {why}")),
        });
    }
}

fn signal_all(state: &State, signal: Signal) {
    for process in state.processes.values() {
        // it may have ended
        killpg(*process, signal).ok();
    }
}

/// How a process has ended.
fn words(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(0), _) => "it has ended".to_owned(),
        (Some(code), _) => format!("it has ended with exit status {code}"),
        (None, Some(signal)) => format!("it was ended by signal {signal}"),
        (None, None) => "it has ended".to_owned(),
    }
}

impl Controller {
    /// Runs what the file says is to be run beside the node.
    pub(super) fn begin_commands(&mut self) {
        let commands = &self.config.commands;
        if *commands == Commands::default() {
            return;
        }
        let ipv6 =
            |prefixes: &[ipnet::IpNet]| prefixes.iter().find(|it| it.addr().is_ipv6()).copied();
        let address = ipv6(&self.config.addresses);
        let network = ipv6(&self.config.networks);
        let environment = [
            ("re6stnet_ip", address.map(|it| it.addr().to_string())),
            (
                "re6stnet_iface",
                Some(self.instance.pins.instance().device().to_owned()),
            ),
            ("re6stnet_subnet", address.map(|it| it.trunc().to_string())),
            ("re6stnet_network", network.map(|it| it.to_string())),
        ];
        let environment = environment.into_iter();
        let environment = environment.filter_map(|(name, value)| Some((name, value?)));
        match Beside::begin(commands, environment.collect(), self.orders.giver()) {
            Ok(beside) => self.beside = Some(beside),
            Err(error) => self.say(&format!("WARNING: up and daemon are not run: {error}")),
        }
    }
}

#[cfg(test)]
#[expect(clippy::expect_used, clippy::panic, reason = "a test may end there")]
mod tests {
    use std::{fs, path::Path, sync::mpsc};

    use super::*;

    fn shell(script: &str) -> Command {
        Command {
            program: "sh".to_owned(),
            arguments: vec!["-c".to_owned(), script.to_owned()],
        }
    }

    fn begin(up: Option<Command>, daemons: Vec<Command>) -> (Beside, mpsc::Receiver<Order>) {
        let (giver, given) = Giver::new().expect("an event");
        let environment = vec![("re6stnet_ip", "2001:db8::1".to_owned())];
        let commands = Commands { up, daemons };
        let beside = Beside::begin(&commands, environment, giver).expect("a thread");
        (beside, given)
    }

    /// The next thing that is told, and of what.
    fn told(given: &mpsc::Receiver<Order>) -> (String, Option<String>) {
        let order = given.recv_timeout(Duration::from_secs(30));
        match order.expect("something is told") {
            Order::Doubt { about, text } => (about, text),
            other => panic!("{other:?}"),
        }
    }

    fn wait_for_lines(file: &Path, lines: usize) -> String {
        let begin = Instant::now();
        loop {
            let text = fs::read_to_string(file).unwrap_or_default();
            if text.lines().count() >= lines {
                return text;
            }
            assert!(begin.elapsed() < Duration::from_secs(30), "{text:?}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    #[test]
    fn up_runs_first_without_our_environment_and_daemons_are_ended_with_all_they_started() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("file");
        let path = file.display();
        let up = shell(&format!(
            "echo up $re6stnet_ip $CARGO_MANIFEST_DIR >> {path}"
        ));
        let daemon = shell(&format!("(sleep 1000) & echo $! >> {path}; wait"));
        let (beside, given) = begin(Some(up), vec![daemon]);
        assert_eq!(told(&given), ("up (sh)".to_owned(), None));
        let text = wait_for_lines(&file, 2);

        beside.end();

        let lines = Vec::from_iter(text.lines());
        assert_eq!(lines.first(), Some(&"up 2001:db8::1"));
        let grandchild = Path::new("/proc").join(lines.last().expect("a process"));
        let state = || fs::read_to_string(grandchild.join("stat")).unwrap_or_default();
        let begin = Instant::now();
        // its new parent may not have waited for it yet
        while !state().is_empty() && !state().contains(") Z ") {
            assert!(begin.elapsed() < Duration::from_secs(30), "{}", state());
        }
    }

    #[test]
    fn what_fails_is_told_and_a_daemon_is_started_again() {
        let missing = Command {
            program: "/nowhere/program".to_owned(),
            arguments: Vec::new(),
        };
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("file");
        let daemon = shell(&format!("echo begun >> {}; exit 3", file.display()));
        let (beside, given) = begin(Some(missing), vec![daemon]);

        let (about, text) = told(&given);
        assert_eq!(about, "up (/nowhere/program)");
        let text = text.expect("it failed");
        assert!(
            text.contains("it cannot be started: No such file"),
            "{text}"
        );
        let (about, text) = told(&given);
        assert_eq!(about, "daemon 1 (sh)");
        let text = text.expect("it failed");
        let expected = "it has ended with exit status 3; it is started again in 1 s";
        assert!(text.ends_with(expected), "{text}");
        wait_for_lines(&file, 2);
        beside.end();
    }
}
