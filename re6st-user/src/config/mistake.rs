//! What is wrong with a configuration file, where, and how to mend it.

use std::{
    fmt,
    io::{self, Read as _},
    ops::Range,
    path::{Path, PathBuf},
};

use toml::Spanned;

use super::MAXIMUM_SIZE;
use crate::io::file;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("configuration file {}: {source}; it must be there, readable, and text in UTF-8", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The file is bigger than [`MAXIMUM_SIZE`].
    #[error(
        "configuration file {}: more than {MAXIMUM_SIZE} bytes; that is no configuration file, or it has far more routes than a node can hold",
        path.display()
    )]
    TooBig {
        /// The file.
        path: PathBuf,
    },
    /// The text is wrong.
    #[error(transparent)]
    Mistake(#[from] Mistake),
}

impl ConfigError {
    /// Says in which file it is.
    pub(crate) fn in_file(mut self, file: &Path) -> Self {
        if let Self::Mistake(mistake) = &mut self {
            mistake.path = Some(file.to_owned());
        }
        self
    }
}

/// One wrong place. Shown as `FILE:LINE:COLUMN: KEY = VALUE: what is wrong; how to mend it`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The file, if it was one.
    pub path: Option<PathBuf>,
    /// Line and column in characters, from 1 on; `None` where the whole file is meant.
    pub position: Option<(usize, usize)>,
    /// The text without the place.
    pub message: String,
}

impl std::error::Error for Mistake {}

impl fmt::Display for Mistake {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.path, self.position) {
            (Some(path), Some((line, column))) => {
                write!(formatter, "{}:{line}:{column}: ", path.display())?;
            }
            (Some(path), None) => write!(formatter, "{}: ", path.display())?,
            (None, Some((line, column))) => write!(formatter, "line {line}, column {column}: ")?,
            (None, None) => {}
        }
        formatter.write_str(&self.message)
    }
}

impl Mistake {
    /// What the TOML reader found, in the words a configuration file has: keys, not fields.
    pub(crate) fn from_toml(error: &toml::de::Error, text: &str) -> Self {
        let unquoted = error.span().and_then(|span| unquoted(text, span.start));
        if let Some(word) = unquoted {
            return Self {
                path: None,
                position: error.span().map(|span| position(text, span.start)),
                message: format!("{word}: text stands in quotes: \"{word}\""),
            };
        }
        let single = error.span().filter(|_| {
            ["invalid type: map, expected a sequence", "duplicate key"].contains(&error.message())
        });
        if let Some(name) = single.and_then(|span| single_table(text, span.start)) {
            return Self {
                path: None,
                position: error.span().map(|span| position(text, span.start)),
                message: format!("[{name}]: there may be several, so each begins with [[{name}]]"),
            };
        }
        let message = error
            .message()
            .replace("unknown field", "unknown key")
            .replace("missing field", "missing key")
            .replace("duplicate field", "duplicate key");
        Self {
            path: None,
            position: error.span().map(|span| position(text, span.start)),
            message,
        }
    }
}

/// A mistake before its line is known: only the first one has to be looked for.
#[derive(Debug)]
pub struct Wrong {
    span: Range<usize>,
    message: String,
}

impl Wrong {
    /// A wrong value. `key` is the path of the key, as in `tunnel "b": mtu`.
    pub fn value<T: fmt::Debug>(
        key: impl fmt::Display,
        value: &Spanned<T>,
        problem: impl fmt::Display,
    ) -> Self {
        Self {
            span: value.span(),
            message: format!("{key} = {:?}: {problem}", value.get_ref()),
        }
    }

    /// As [`Self::value`] where the value is long or a secret: it is not shown.
    pub fn hidden<T>(
        key: impl fmt::Display,
        value: &Spanned<T>,
        problem: impl fmt::Display,
    ) -> Self {
        Self {
            span: value.span(),
            message: format!("{key}: {problem}"),
        }
    }

    /// Looks the place up.
    pub fn locate(self, text: &str) -> Mistake {
        Mistake {
            path: None,
            position: Some(position(text, self.span.start)),
            message: self.message,
        }
    }
}

/// The word at an offset, if it stands where a value has to and is none of TOML's.
fn unquoted(text: &str, offset: usize) -> Option<&str> {
    let of_a_word = |c: char| c.is_alphanumeric() || "_.:/-".contains(c);
    let before = text.get(..offset)?;
    let start = before.trim_end_matches(of_a_word).len();
    let rest = text.get(start..)?;
    let end = rest.find(|c: char| !of_a_word(c)).unwrap_or(rest.len());
    let word = rest.get(..end)?;
    let line = before.get(..start)?.rsplit('\n').next()?;
    let is_value = line.trim_end().ends_with(['=', '[', ',']) && line.contains('=');
    let is_text =
        word.starts_with(char::is_alphabetic) && !["true", "false", "inf", "nan"].contains(&word);
    // a key in an inline table stands behind a comma too
    let is_key = rest.get(end..)?.trim_start().starts_with('=');
    (is_value && is_text && !is_key).then_some(word)
}

/// The name of a table of which there may be several, if its line at an offset has single brackets.
fn single_table(text: &str, offset: usize) -> Option<&str> {
    let start = text
        .get(..offset)?
        .rfind('\n')
        .map_or(0, |newline| newline + 1);
    let line = text.get(start..)?.lines().next()?;
    let (name, _) = line.trim_start().strip_prefix('[')?.split_once(']')?;
    let name = name.trim();
    ["tunnel", "route", "peer"].contains(&name).then_some(name)
}

/// Line and column of a byte offset, both from 1 on.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = before.matches('\n').count() + 1;
    (line, before[line_start..].chars().count() + 1)
}

/// The whole of a file of bounded size.
pub fn read(path: &Path) -> Result<String, ConfigError> {
    let failed = |source| ConfigError::Read {
        path: path.to_owned(),
        source,
    };
    let file = file::open(path).map_err(failed)?;
    let mut text = String::new();
    file.take(MAXIMUM_SIZE + 1)
        .read_to_string(&mut text)
        .map_err(failed)?;
    if text.len() as u64 > MAXIMUM_SIZE {
        return Err(ConfigError::TooBig {
            path: path.to_owned(),
        });
    }
    Ok(text)
}
