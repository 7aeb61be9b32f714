//! Runs a shell script in a virtual machine with one of Debian's kernels, to look at something there by hand:
//! `cargo run -p tests --bin machine -- --kernel 6.1 --script FILE [--file HERE:THERE]...`

use std::{path::Path, process::ExitCode, time::Duration};

use anyhow::{Context as _, Result, bail};
use testbed::machine::{Machine, Options, Series};

const BOUND: Duration = Duration::from_secs(600);

fn main() -> Result<ExitCode> {
    let mut series = Series::LINUX_6_1;
    let mut script = None;
    let mut files = Vec::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(option) = arguments.next() {
        let value = arguments
            .next()
            .with_context(|| format!("{option} needs a value"))?;
        match option.as_str() {
            "--kernel" => series = value.parse()?,
            "--script" => script = Some(value),
            "--file" => files.push(value),
            _ => bail!("`{option}` is none of --kernel SERIES, --script FILE, --file HERE:THERE"),
        }
    }
    let script = script.context("which script? --script FILE")?;
    let script =
        std::fs::read_to_string(&script).with_context(|| format!("cannot read {script}"))?;
    let mut options = Options::new(series).cards();
    for file in &files {
        let (here, there) = file
            .split_once(':')
            .with_context(|| format!("`{file}` is not HERE:THERE"))?;
        options = options.file(Path::new(here), there);
    }
    let output = Machine::boot(&options)?.output(&script, BOUND)?;
    print!("{}", output.text);
    Ok(u8::try_from(output.status).map_or(ExitCode::FAILURE, ExitCode::from))
}
