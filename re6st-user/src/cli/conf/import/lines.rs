//! The lines of a file of options, as re6stnet reads it: an option a line, without its dashes, and then its values as a shell
//! would split them. A line that begins with `@` names another such file.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use re6st_user::io::file;

use super::options::{Known, known};

/// Octets of a file, at most.
const LONGEST_FILE: u64 = 1 << 20;
/// Files in all, at most: the first one and those that others name.
const MOST_FILES: usize = 16;
/// Lines in all, at most.
const MOST_LINES: usize = 1_000;

/// A line that says something.
#[derive(Debug, PartialEq, Eq)]
pub struct Line {
    /// Of which file.
    pub file: PathBuf,
    /// From 1 on.
    pub number: usize,
    /// The words of it.
    pub text: String,
    /// What option it is, and its values; none if re6stnet would not know it either.
    pub option: Option<(&'static Known, Vec<String>)>,
}

/// All lines of a file, and of those that it names.
///
/// # Errors
/// One of them cannot be read, or they are too many.
pub fn read(path: &Path) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    // the next one is the last
    let mut waiting = vec![path.to_owned()];
    let mut files = 0;
    while let Some(path) = waiting.pop() {
        files += 1;
        if files > MOST_FILES {
            bail!(
                "{}: more than {MOST_FILES} files name each other",
                path.display()
            );
        }
        let octets = file::read(&path, LONGEST_FILE).with_context(|| path.display().to_string())?;
        // as what cannot be read is told of with its line
        let text = String::from_utf8_lossy(&octets);
        let (own, others) = parse(&path, &text);
        lines.extend(own);
        if lines.len() > MOST_LINES {
            bail!("{}: more than {MOST_LINES} lines", path.display());
        }
        waiting.extend(others.into_iter().rev());
    }
    Ok(lines)
}

/// The lines of a text, and the files that it names.
pub fn parse(path: &Path, text: &str) -> (Vec<Line>, Vec<PathBuf>) {
    let folder = path.parent().unwrap_or_else(|| Path::new(""));
    let (mut lines, mut others) = (Vec::new(), Vec::new());
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(other) = line.strip_prefix('@') {
            others.push(folder.join(other));
            continue;
        }
        lines.push(Line {
            file: path.to_owned(),
            number: index + 1,
            text: line.to_owned(),
            option: option(line),
        });
    }
    (lines, others)
}

/// The option of a line, and as many values as it has to have.
fn option(line: &str) -> Option<(&'static Known, Vec<String>)> {
    let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let mut values = shlex::split(rest)?;
    let found = match known(|known| known.long == name) {
        Some(found) => found,
        None => {
            // `O--verb` is `-O--verb`
            let mut letters = name.chars();
            let short = letters.next();
            let found = known(|known| known.short.is_some() && known.short == short)?;
            let attached = letters.as_str();
            if !attached.is_empty() {
                values.insert(0, attached.to_owned());
            }
            found
        }
    };
    (values.len() == found.values).then_some((found, values))
}
