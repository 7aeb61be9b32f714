//! re6stnet itself, from PyPI, to compare our registry with.

use std::process::Command;

use anyhow::Result;

use crate::command::{step, workspace};

/// The versions of its libraries are the last ones it works with.
const PACKAGES: [&str; 3] = [
    "re6stnet==0.642",
    "pyOpenSSL==24.2.1",
    "cryptography==43.0.3",
];

/// Installs it in a virtual environment of its own, `target/re6stnet`, if it is not there.
pub fn ensure() -> Result<()> {
    let environment = workspace().join("target/re6stnet");
    let program = environment.join("bin/re6st-registry");
    if program.exists() {
        return Ok(());
    }
    let title = format!("Making a Python environment in {}", environment.display());
    step(
        &title,
        Command::new("python3")
            .args(["-m", "venv"])
            .arg(&environment),
    )?;
    let title = format!("Installing {}", PACKAGES[0]);
    step(
        &title,
        Command::new(environment.join("bin/pip"))
            .args(["install", "--quiet", "--disable-pip-version-check"])
            .args(PACKAGES),
    )
}
