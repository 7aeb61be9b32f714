//! A panic anywhere ends the process: one whose threads or tasks go on without one of them serves nobody, and nobody
//! hears of it. Whoever starts processes (systemd) then starts another.

use std::{
    cell::Cell,
    panic::{self, UnwindSafe},
    process, thread,
};

/// The exit status after a panic: what Rust has for one of the main thread.
pub const EXIT_STATUS: i32 = 101;

thread_local! {
    /// How many [`contain`] this thread is in.
    static CONTAINED: Cell<usize> = const { Cell::new(0) };
}

/// From now on a panic in any thread or task ends the process, with a line in the log and [`EXIT_STATUS`], but for
/// those in [`contain`]. No core is dumped: it would hold keys.
pub fn end_the_process() {
    let say = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        say(info);
        if CONTAINED.get() == 0 {
            eprintln!(
                "error: this is a bug, please report it with the lines above; the process ends"
            );
            process::exit(EXIT_STATUS);
        }
    }));
}

/// Runs what may panic on what others send, so that it costs the sender an error and nobody else anything: the last line
/// behind checks, around a library that asserts. Nothing half-changed may be left outside of `function`.
///
/// # Errors
/// What it panicked with.
pub fn contain<T>(function: impl FnOnce() -> T + UnwindSafe) -> thread::Result<T> {
    CONTAINED.set(CONTAINED.get() + 1);
    let outcome = panic::catch_unwind(function);
    CONTAINED.set(CONTAINED.get() - 1);
    outcome
}

#[cfg(test)]
#[expect(clippy::expect_used, clippy::panic, reason = "a test may end there")]
mod tests {
    use std::{process::Command, time::Duration};

    use super::*;

    /// How the process below is to panic.
    const HOW: &str = "RE6ST_TEST_PANIC";

    /// What a process does that has this panic: its exit status, and what it says.
    fn outcome(how: &str) -> (Option<i32>, String) {
        let output = Command::new(std::env::current_exe().expect("this test's file"))
            .args(["--exact", "io::panics::tests::victim", "--ignored"])
            .arg("--nocapture")
            .env(HOW, how)
            .output()
            .expect("it starts");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), said)
    }

    #[test]
    fn a_panic_in_any_thread_or_task_ends_the_process() {
        for how in ["thread", "task", "blocking", "after contain"] {
            let (status, said) = outcome(how);
            assert_eq!(status, Some(EXIT_STATUS), "{how}: {said}");
            assert!(said.contains("panicked") && said.contains("the process ends"));
        }
    }

    #[test]
    fn a_contained_panic_costs_nothing_but_itself() {
        let (status, said) = outcome("contained");
        assert_eq!(status, Some(0), "{said}");
        assert!(said.contains("panicked") && !said.contains("the process ends"));
    }

    #[test]
    #[ignore = "a process of its own, started by the tests above"]
    fn victim() {
        let how = std::env::var(HOW).unwrap_or_default();
        end_the_process();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        match how.as_str() {
            "thread" => drop(thread::spawn(|| panic!("as wanted"))),
            "task" => runtime.block_on(async {
                drop(tokio::spawn(async { panic!("as wanted") }).await);
            }),
            "blocking" => runtime.block_on(async {
                drop(tokio::task::spawn_blocking(|| panic!("as wanted")).await);
            }),
            "contained" | "after contain" => {
                contain(|| panic!("as wanted")).expect_err("it panicked");
                if how == "after contain" {
                    drop(thread::spawn(|| panic!("as wanted")));
                }
            }
            _ => return,
        }
        // long enough for another thread to end the process
        if how != "contained" {
            thread::sleep(Duration::from_secs(60));
        }
    }
}
