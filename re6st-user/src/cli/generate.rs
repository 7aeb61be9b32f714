//! `re6st-user generate`: what a system keeps beside a program.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result};
use clap::{Args, Command, CommandFactory as _, Subcommand};
use clap_complete::Shell;
use clap_mangen::Man;

use super::{Arguments, values::NoDataPlane};

/// The section of administrators' commands.
const SECTION: &str = "8";

/// Options of `generate`.
#[derive(Debug, Args)]
pub struct GenerateArguments {
    #[command(flatten)]
    no_data_plane: NoDataPlane,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Write a manual page for each subcommand, of section 8.
    #[command(after_long_help = "\
Example:
  re6st-user generate man /usr/local/share/man/man8
  man re6st-user-node")]
    Man {
        /// The folder they go to; it is made if it is not there.
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
    /// Print what completes the command line in a shell.
    #[command(after_long_help = "\
Examples:
  re6st-user generate completions bash > /etc/bash_completion.d/re6st-user
  re6st-user generate completions zsh > /usr/local/share/zsh/site-functions/_re6st-user
  re6st-user generate completions fish > /etc/fish/completions/re6st-user.fish")]
    Completions {
        /// Which one.
        shell: Shell,
    },
}

/// Generates.
pub fn run(arguments: &GenerateArguments) -> Result<ExitCode> {
    let mut command = Arguments::command();
    match &arguments.what {
        What::Man { folder } => {
            command.build();
            fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
            pages(&command, folder)?;
        }
        What::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(*shell, &mut command, "re6st-user", &mut text);
            io::stdout().write_all(&text)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A page for a command, and for each of its subcommands.
fn pages(command: &Command, folder: &Path) -> Result<()> {
    // `re6st-user registry token add` has the page re6st-user-registry-token-add(8)
    let name = command.get_bin_name().unwrap_or("re6st-user");
    let name = name.replace(' ', "-");
    let path = folder.join(format!("{name}.{SECTION}"));
    let page = Man::new(command.clone().display_name(name))
        .section(SECTION)
        .source(concat!("re6st-user ", env!("CARGO_PKG_VERSION")));
    let mut text = Vec::new();
    page.render(&mut text)?;
    fs::write(&path, text).with_context(|| path.display().to_string())?;
    // what `help` would say is in the pages
    let others = command
        .get_subcommands()
        .filter(|sub| sub.get_name() != "help");
    for subcommand in others {
        pages(subcommand, folder)?;
    }
    Ok(())
}
