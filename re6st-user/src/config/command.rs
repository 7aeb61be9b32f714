//! Checks the commands that are run beside a node: `up` and `daemon`.

use toml::Spanned;

use super::{
    Command, Commands, MAXIMUM_DAEMONS,
    mistake::Wrong,
    raw::{self, Text},
};

/// Words of a command, at most.
const MOST_WORDS: usize = 256;

/// All of them.
pub fn commands(raw: &raw::Config) -> Result<Commands, Wrong> {
    if let Some(excess) = raw.daemon.get(MAXIMUM_DAEMONS) {
        let problem = format!("more than {MAXIMUM_DAEMONS} commands");
        return Err(Wrong::hidden("daemon", excess, problem));
    }
    let daemons = raw.daemon.iter();
    Ok(Commands {
        up: raw.up.as_ref().map(|up| command("up", up)).transpose()?,
        daemons: daemons
            .map(|daemon| command("daemon", daemon))
            .collect::<Result<_, _>>()?,
    })
}

fn command(key: &str, words: &Spanned<Vec<Text>>) -> Result<Command, Wrong> {
    let all = words.get_ref();
    if let Some(excess) = all.get(MOST_WORDS) {
        return Err(Wrong::hidden(
            key,
            excess,
            format!("more than {MOST_WORDS} words"),
        ));
    }
    if let Some(nul) = all.iter().find(|word| word.get_ref().contains('\0')) {
        return Err(Wrong::hidden(
            key,
            nul,
            "no program can be given a zero octet",
        ));
    }
    let mut own = all.iter().map(|word| word.get_ref().clone());
    let program = own.next().filter(|program| !program.is_empty());
    let Some(program) = program else {
        let problem = "expected a program and its arguments, such as [\"/usr/bin/logger\", \"the mesh is up\"]; no shell reads them";
        return Err(Wrong::hidden(key, words, problem));
    };
    Ok(Command {
        program,
        arguments: own.collect(),
    })
}
