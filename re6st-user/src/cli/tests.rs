//! The command line as people meet it: help, examples, refusals.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends where it fails"
)]

use clap::{Command, CommandFactory as _, Parser as _, error::ErrorKind};

use super::Arguments;

/// All commands and subcommands, with the words one types.
fn all() -> Vec<(Vec<String>, Command)> {
    fn descend(words: &[String], command: &Command, found: &mut Vec<(Vec<String>, Command)>) {
        found.push((words.to_vec(), command.clone()));
        for sub in command.get_subcommands() {
            if sub.get_name() != "help" {
                let words = [words, &[sub.get_name().to_owned()]].concat();
                descend(&words, sub, found);
            }
        }
    }
    let mut command = Arguments::command();
    command.build();
    let mut found = Vec::new();
    descend(&["re6st-user".to_owned()], &command, &mut found);
    found
}

/// The words of a line of a shell: quotes are the only thing special in examples.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in line.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, ' ') => words.extend(word.take()),
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// Whether a line is one that could be typed, once placeholders are something.
pub fn is_understood(line: &str) -> Result<(), String> {
    let line = line.replace("sha256:HEX", &format!("sha256:{}", "0".repeat(64)));
    // what the shell does with the output is its own business
    let line = line.split(" > ").next().unwrap_or_default();
    let command = Arguments::try_parse_from(words(line));
    command.map(drop).map_err(|error| error.to_string())
}

#[test]
fn every_help_has_examples_that_are_understood() {
    for (path, mut command) in all() {
        let help = command.render_long_help().to_string();
        let (_, examples) = help
            .split_once("Example")
            .unwrap_or_else(|| panic!("{path:?} has no example"));
        let lines: Vec<&str> = examples
            .lines()
            .map(str::trim)
            .filter(|line| line.starts_with("re6st-user "))
            .collect();
        let own = path.join(" ");
        assert!(lines.iter().any(|line| line.starts_with(&own)), "{own}");
        // those of `trace` have a language of their own, whose reader has its tests
        for line in lines.iter().filter(|line| !line.contains(": hex")) {
            if let Err(error) = is_understood(line) {
                panic!("{line}\n{error}");
            }
        }
    }
}

#[test]
fn a_wrong_value_is_answered_with_what_was_expected() {
    let mut refused = 0;
    for (path, command) in all() {
        for argument in command.get_arguments() {
            let Some(option) = argument.get_long() else {
                continue;
            };
            if !argument.get_action().takes_values() || argument.is_hide_set() {
                continue;
            }
            let typed = [&path[..], &[format!("--{option}"), "?".to_owned()]].concat();
            let Err(error) = Arguments::try_parse_from(&typed) else {
                continue;
            };
            let error = error.to_string();
            if !error.contains("invalid value") {
                continue;
            }
            refused += 1;
            let helps = ["expected", "possible values", "such as", "letters, digits"];
            assert!(
                helps.iter().any(|word| error.contains(word)),
                "{typed:?}: {error}"
            );
        }
    }
    assert!(refused > 10, "{refused} options were tried");
}

#[test]
fn common_slips_are_answered_with_an_example() {
    let init = "re6st-user registry init --dir d --network";
    for (line, answer) in [
        (format!("{init} 2001:db8::/48 --listen 443"), "[::]:443"),
        (
            format!("{init} 2001:db8::/48 --listen localhost"),
            "[::]:443",
        ),
        (format!("{init} 10.0.0.0/8"), "2001:db8:42::/48"),
        (format!("{init} 2001:db8::1/48"), "bits behind"),
        (format!("{init} ::/0"), "all of the Internet"),
        (format!("{init} 2000::/3"), "other people's"),
        (format!("{init} fe80::/64"), "link-local"),
        (format!("{init} ff00::/16"), "multicast"),
        (format!("{init} ::ffff:0:0/96"), "IPv4 address"),
        (
            format!("{init} 2001:db8::/48 --ipv4 0.0.0.0/0 --ipv4-subnet-bits 8"),
            "all of the Internet",
        ),
        (
            format!("{init} 2001:db8::/48 --ipv4 127.0.0.0/8 --ipv4-subnet-bits 8"),
            "loopback",
        ),
        (
            format!("{init} 2001:db8::/48 --ipv4 10.42 --ipv4-subnet-bits 8"),
            "10.42.0.0/16",
        ),
        (format!("{init} 2001:db8::/48 --config x"), "no use"),
        (
            "re6st-user conf --registry https://r --fingerprint 12".into(),
            "sha256:",
        ),
        (
            "re6st-user conf --registry https://r --bpffs /sys/fs/bpf".into(),
            "no use",
        ),
        ("re6st-user registry --sockets /run".into(), "no use"),
        ("re6st-user replay x --sockets /run".into(), "no use"),
        (
            "re6st-user load --config x --instance a/b".into(),
            "letters, digits",
        ),
    ] {
        let error = is_understood(&line).expect_err(&line);
        assert!(error.contains(answer), "{line}: {error}");
    }
}

#[test]
fn options_are_offered_only_where_they_mean_something() {
    for (path, mut command) in all() {
        let help = command.render_long_help().to_string();
        let data_plane = path.get(1).is_none_or(|name| {
            [
                "load", "node", "peer", "reload", "unload", "status", "trace",
            ]
            .contains(&&**name)
        });
        assert_eq!(help.contains("--bpffs"), data_plane, "{path:?}");
    }
    let init = all()
        .into_iter()
        .find(|(path, _)| path.ends_with(&["init".to_owned()]));
    let help = init.unwrap().1.render_long_help().to_string();
    assert!(!help.contains("--config <"), "{help}");
}

/// Commands that documents name within their words: `re6st-user status`, `registry ca succeed`.
#[test]
fn what_documents_name_exists() {
    let mut named = 0;
    for document in [
        include_str!("../../../README.md"),
        include_str!("../../../ARCHITECTURE.md"),
        include_str!("../../../docs/operating.md"),
        include_str!("../../../docs/registry.md"),
    ] {
        let mut fenced = false;
        let words = document.lines().filter(|line| {
            fenced ^= line.starts_with("```");
            !fenced && !line.starts_with("```") && !line.starts_with("    ")
        });
        let words = words.collect::<Vec<_>>().join(" ");
        for span in words.split('`').skip(1).step_by(2) {
            let line = match span.split_once(' ') {
                Some(("re6st-user", _)) => span.to_owned(),
                Some(("registry", _)) => format!("re6st-user {span}"),
                _ => continue,
            };
            named += 1;
            let outcome = Arguments::try_parse_from(self::words(&line));
            // what is only named lacks its options
            let incomplete = |error: &clap::Error| {
                matches!(
                    error.kind(),
                    ErrorKind::MissingRequiredArgument
                        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
                )
            };
            if let Err(error) = outcome.map(drop)
                && !incomplete(&error)
            {
                panic!("{line}: {error}");
            }
        }
    }
    assert!(named > 20, "{named}");
}
