//! Communities: which part of the prefix space a newcomer's prefix comes from, by where it is.
//!
//! ```text
//! # bits   locations: a country, @ and a continent, or * for all others
//! 00       FR DE @EU
//! 01       @AS
//! 10       *
//! ```

use std::{fmt::Write as _, str::FromStr as _};

use super::tree::{Block, Tree};
use crate::certificate::node_prefix::NodePrefix;

/// The largest text, in octets.
pub const MAXIMUM_SIZE: usize = 64 * 1024;

/// Where somebody is: ISO 3166 country and continent, two letters each.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Location {
    /// The country.
    pub country: Option<String>,
    /// The continent.
    pub continent: Option<String>,
}

impl Location {
    /// Reads `FR,EU`; either half may be empty.
    ///
    /// # Errors
    ///
    /// It is something else: the text says what was expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (country, continent) = text.split_once(',').unwrap_or((text, ""));
        let code = |text: &str| match text {
            "" => Ok(None),
            text if is_code(text) => Ok(Some(text.to_owned())),
            text => Err(format!(
                "{text:?} is no country or continent: a location is COUNTRY,CONTINENT such as FR,EU"
            )),
        };
        Ok(Self {
            country: code(country)?,
            continent: code(continent)?,
        })
    }
}

fn is_code(text: &str) -> bool {
    text.len() == 2 && text.bytes().all(|octet| octet.is_ascii_uppercase())
}

/// The communities, each with its prefix, and the text they were read from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Communities {
    text: String,
    lines: Vec<(NodePrefix, Vec<String>)>,
    default: NodePrefix,
}

/// One for all: the whole prefix space.
impl Default for Communities {
    fn default() -> Self {
        Self {
            text: String::new(),
            lines: Vec::new(),
            default: NodePrefix::ROOT,
        }
    }
}

impl Communities {
    /// Reads lines of bits and locations; what follows a `#` is a comment. No line at all means one community for all.
    ///
    /// # Errors
    ///
    /// The line, what is wrong with it, and what is expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAXIMUM_SIZE {
            return Err(format!(
                "communities have at most {MAXIMUM_SIZE} octets of text"
            ));
        }
        let mut communities = Self {
            text: text.to_owned(),
            ..Self::default()
        };
        let mut default = None;
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.split('#').next().unwrap_or_default();
            let mut words = line.split_ascii_whitespace();
            let Some(bits) = words.next() else {
                continue;
            };
            let (prefix, locations) = communities
                .read_line(bits, words)
                .map_err(|mistake| format!("line {number}: {mistake}"))?;
            if locations.iter().any(|location| location == "*") && default.replace(prefix).is_some()
            {
                return Err(format!(
                    "line {number}: only one community can have *, all other places"
                ));
            }
            communities.lines.push((prefix, locations));
        }
        communities.default = match default {
            Some(prefix) => prefix,
            None if communities.lines.is_empty() => NodePrefix::ROOT,
            None => return Err("no community has *, all other places: add it to one".to_owned()),
        };
        Ok(communities)
    }

    fn read_line<'a>(
        &self,
        bits: &str,
        words: impl Iterator<Item = &'a str>,
    ) -> Result<(NodePrefix, Vec<String>), String> {
        let prefix = NodePrefix::from_str(bits)
            .map_err(|error| format!("{bits:?}: {error}; a line is BITS LOCATION..."))?;
        if let Some((other, _)) = self.lines.iter().find(|(other, _)| other.overlaps(&prefix)) {
            return Err(format!("community {bits} overlaps community {other}"));
        }
        let mut locations = Vec::new();
        for word in words {
            if word != "*" && !is_code(word.strip_prefix('@').unwrap_or(word)) {
                return Err(format!(
                    "{word:?} is no location: give a country such as FR, @ and a continent such as @EU, or *"
                ));
            }
            locations.push(word.to_owned());
        }
        if locations.is_empty() {
            return Err(format!("community {bits} has no location: give some, or *"));
        }
        Ok((prefix, locations))
    }

    /// The text they were read from.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The community of a place: the first that lists the country, else the first that lists the continent, else the
    /// default.
    pub fn choose(&self, location: Option<&Location>) -> NodePrefix {
        let listing = |word: String| {
            self.lines
                .iter()
                .find(|(_, locations)| locations.contains(&word))
                .map(|(prefix, _)| *prefix)
        };
        let by = |code: Option<&String>, mark: &str| {
            code.and_then(|code| listing(format!("{mark}{code}")))
        };
        location
            .and_then(|location| {
                by(location.country.as_ref(), "").or_else(|| by(location.continent.as_ref(), "@"))
            })
            .unwrap_or(self.default)
    }

    /// Checks that every community can be allocated from: no block that is taken lies around it.
    ///
    /// # Errors
    ///
    /// One cannot.
    pub fn check<T: Clone>(&self, tree: &Tree<T>, maximum: u8) -> Result<(), String> {
        let mut mistakes = String::new();
        for (prefix, _) in &self.lines {
            if prefix.length() >= maximum {
                let _ = writeln!(mistakes, "community {prefix} leaves no bits for nodes");
            }
            if let Some((taken, Block::Held(_) | Block::Reserved)) = tree.containing(prefix) {
                let _ = writeln!(
                    mistakes,
                    "community {prefix} lies inside prefix {taken} ({}), which is taken",
                    taken.common_name()
                );
            }
        }
        if mistakes.is_empty() {
            return Ok(());
        }
        Err(mistakes.trim_end().to_owned())
    }

    /// Bits of the longest one.
    pub fn longest(&self) -> u8 {
        self.lines
            .iter()
            .map(|(prefix, _)| prefix.length())
            .max()
            .unwrap_or(0)
    }
}
