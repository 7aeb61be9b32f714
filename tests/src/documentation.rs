//! The documents' blocks of code, each with a mark of what is done with it: a comment of HTML on the line before,
//!
//! ```text
//! <!-- run: STORY HOST, HOST -->      commands, typed on these hosts, line after line
//! <!-- file: STORY HOST -->           a file, whose first line names it: # /etc/name ...
//! <!-- not run: REASON -->
//! ```
//!
//! A story is a set of hosts that somebody makes: see [`STORIES`].

use std::fmt;

use anyhow::{Context as _, Result, bail, ensure};

/// The documents, with their texts.
pub const DOCUMENTS: [(&str, &str); 3] = [
    ("README.md", include_str!("../../README.md")),
    ("docs/operating.md", include_str!("../../docs/operating.md")),
    ("docs/registry.md", include_str!("../../docs/registry.md")),
];

/// The stories, and who tells them.
pub const STORIES: [(&str, &str); 5] = [
    ("static", "scenarios::documentation"),
    ("lan", "scenarios::documentation"),
    ("managed", "scenarios::documentation"),
    ("plain-peer", "machines::documented_peer"),
    ("install", "cargo xtask test release"),
];

/// What is done with a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Commands are typed.
    Run(Place),
    /// A file is written.
    File(Place),
    /// Nothing, for a reason.
    NotRun(String),
}

/// Where something is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its story.
    pub story: String,
    /// The hosts' names.
    pub hosts: Vec<String>,
}

/// A block of code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The document.
    pub document: &'static str,
    /// Its first line, from 1 on.
    pub line: usize,
    /// What is done with it.
    pub mark: Mark,
    /// Without fences and indentation.
    pub text: String,
}

impl fmt::Display for Block {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.document, self.line)
    }
}

impl Block {
    /// The lines to type; a line that ends in a backslash goes on.
    pub fn commands(&self) -> Vec<String> {
        let joined = self.text.replace("\\\n", " ");
        let lines = joined.lines().map(str::trim);
        let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        lines.map(str::to_owned).collect()
    }

    /// The name of the file it is.
    pub fn file_name(&self) -> Result<&str> {
        let first = self
            .text
            .lines()
            .next()
            .and_then(|line| line.strip_prefix("# "));
        let name = first.and_then(|line| line.split_whitespace().next());
        name.filter(|name| name.starts_with('/'))
            .with_context(|| format!("{self}: its first line is no comment with the file's name"))
    }
}

/// All blocks of a document.
///
/// # Errors
/// One has no mark, or one that is not understood.
pub fn blocks(document: &'static str, text: &str) -> Result<Vec<Block>> {
    let lines: Vec<&str> = text.lines().collect();
    let mut blocks = Vec::new();
    let mut at = 0;
    while let Some(line) = lines.get(at) {
        let length = if line.starts_with("```") {
            let end = lines[at + 1..]
                .iter()
                .position(|line| line.starts_with("```"));
            end.with_context(|| format!("{document}:{}: no end", at + 1))? + 2
        } else if line.starts_with("    ")
            && (at == 0 || lines[at - 1].is_empty() || is_mark(lines[at - 1]))
        {
            // an empty line in it does not end it
            let inside = |line: &&&str| line.starts_with("    ") || line.is_empty();
            lines[at..].iter().take_while(inside).count()
        } else {
            at += 1;
            continue;
        };
        let whole = &lines[at..at + length];
        let inner = match line.strip_prefix("```") {
            Some(_) => whole[1..length - 1].join("\n"),
            None => {
                let unindented = whole.iter().map(|line| line.get(4..).unwrap_or_default());
                unindented.collect::<Vec<_>>().join("\n")
            }
        };
        let before = lines[..at]
            .iter()
            .rev()
            .find(|line| !line.trim().is_empty());
        let mark = before
            .filter(|line| is_mark(line))
            .with_context(|| {
                format!(
                    "{document}:{}: a block without a mark of what is done with it",
                    at + 1
                )
            })
            .and_then(|line| mark(line).with_context(|| format!("{document}:{}", at + 1)))?;
        blocks.push(Block {
            document,
            line: at + 1,
            mark,
            text: inner.trim_end().to_owned(),
        });
        at += length;
    }
    Ok(blocks)
}

fn is_mark(line: &str) -> bool {
    line.starts_with("<!-- ") && line.ends_with(" -->")
}

fn mark(line: &str) -> Result<Mark> {
    let inner = line.trim_start_matches("<!-- ").trim_end_matches(" -->");
    let (kind, rest) = inner.split_once(": ").context("a mark without a colon")?;
    let place = || {
        let (story, hosts) = rest.split_once(' ').unwrap_or((rest, ""));
        ensure!(
            STORIES.iter().any(|(known, _)| *known == story),
            "nobody tells the story {story:?}"
        );
        Ok(Place {
            story: story.to_owned(),
            hosts: hosts.split(", ").map(str::to_owned).collect(),
        })
    };
    match kind {
        "run" => Ok(Mark::Run(place()?)),
        "file" => Ok(Mark::File(place()?)),
        "not run" => {
            ensure!(rest.contains(' '), "{rest:?} is no reason");
            Ok(Mark::NotRun(rest.to_owned()))
        }
        _ => bail!("expected `run`, `file` or `not run`, not {kind:?}"),
    }
}

/// The blocks of a document that belong to a story, in order.
pub fn story(document: &str, name: &str) -> Result<Vec<Block>> {
    let found = DOCUMENTS.iter().find(|(known, _)| *known == document);
    let (document, text) = found.with_context(|| format!("no document {document}"))?;
    let mut blocks = blocks(document, text)?;
    blocks.retain(|block| match &block.mark {
        Mark::Run(place) | Mark::File(place) => place.story == name,
        Mark::NotRun(_) => false,
    });
    ensure!(!blocks.is_empty(), "{document} has no block of {name}");
    Ok(blocks)
}

/// Commands within the words of a document that begin with this one, in order.
pub fn inline(document: &str, program: &str) -> Vec<String> {
    commands(&outside_blocks(document).join(" "), program)
}

/// The same of the first columns of its tables.
pub fn tabulated(document: &str, program: &str) -> Vec<String> {
    let cells = outside_blocks(document)
        .into_iter()
        .filter_map(|line| line.strip_prefix("| ")?.split(" |").next());
    cells.flat_map(|cell| commands(cell, program)).collect()
}

fn outside_blocks(document: &str) -> Vec<&'static str> {
    let found = DOCUMENTS.iter().find(|(known, _)| *known == document);
    let mut fenced = false;
    let lines = found.map_or("", |(_, text)| text).lines();
    lines
        .filter(|line| {
            fenced ^= line.starts_with("```");
            !fenced && !line.starts_with("```") && !line.starts_with("    ")
        })
        .collect()
}

fn commands(text: &str, program: &str) -> Vec<String> {
    // every other piece is between backquotes
    let spans = text.split('`').skip(1).step_by(2);
    let spans = spans.filter(|span| span.split(' ').next() == Some(program) && span.contains(' '));
    spans.map(str::to_owned).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends where it fails")]
mod tests {
    use super::*;

    #[test]
    fn every_block_of_the_documents_is_run_or_has_a_reason() {
        for (document, text) in DOCUMENTS {
            let found = blocks(document, text).unwrap();
            assert!(!found.is_empty(), "{document}");
        }
        let told = |story: &str| {
            DOCUMENTS
                .iter()
                .any(|(document, _)| self::story(document, story).is_ok())
        };
        for (name, teller) in STORIES {
            assert!(told(name), "{teller} has nothing to tell of {name}");
        }
    }

    #[test]
    fn blocks_are_found_with_their_marks() {
        let text = "\
words

<!-- run: static a, b -->
    one \\
      more   # why
    # nothing

    two

<!-- file: static a -->
```toml
# /etc/file of a
x = 1
```
words
<!-- not run: a picture -->
```
+--+
```
";
        let found = blocks("x", text).unwrap();

        assert_eq!(found.len(), 3, "{found:#?}");
        let commands = found[0].commands();
        assert_eq!(commands, ["one    more   # why", "two"]);
        let hosts = vec!["a".to_owned(), "b".to_owned()];
        let story = "static".to_owned();
        assert_eq!(found[0].mark, Mark::Run(Place { story, hosts }));
        assert_eq!(found[1].file_name().unwrap(), "/etc/file");
        assert_eq!(found[2].mark, Mark::NotRun("a picture".to_owned()));
    }

    #[test]
    fn commands_within_words_are_found() {
        let found = commands("see `ip link` and `ip`, then\n`ethtool -K x`", "ip");
        assert_eq!(found, ["ip link"]);
        let table = tabulated("docs/registry.md", "registry");
        assert!(
            table.contains(&"registry cert list".to_owned()),
            "{table:?}"
        );
        assert!(!inline("README.md", "re6st-user").is_empty());
    }

    #[test]
    fn what_is_not_marked_or_not_understood_is_refused() {
        for text in [
            "words\n\n    command\n",
            "```\ncommand\n```\n",
            "<!-- run: nobody a -->\n    command\n",
            "<!-- not run: so -->\n    command\n",
            "<!-- perhaps: it works -->\n    command\n",
        ] {
            assert!(blocks("x", text).is_err(), "{text}");
        }
    }
}
