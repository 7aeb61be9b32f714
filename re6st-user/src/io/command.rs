//! Programs of others that run beside this one.

use std::{
    io,
    os::unix::process::CommandExt as _,
    process::{Child, Command, Stdio},
};

use nix::sys::{prctl, signal::Signal};

/// Where programs are looked for.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Starts one, in a process group of its own. It has this environment and `PATH` alone, nothing to read, and our standard error
/// to write to. If the thread that started it ends, as it does when this process is killed, it gets SIGTERM.
///
/// # Errors
/// What the operating system says.
pub fn spawn(
    program: &str,
    arguments: &[String],
    environment: &[(&str, String)],
) -> io::Result<Child> {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .env("PATH", PATH)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(io::stderr())
        .process_group(0);
    let die_with_us = || Ok(prctl::set_pdeathsig(Signal::SIGTERM)?);
    // SAFETY: between fork and exec it makes one system call, and allocates nothing
    unsafe { command.pre_exec(die_with_us) };
    command.spawn()
}
