//! Names of interfaces, and lists of names in errors.

use super::{mistake::Wrong, raw::Text};

/// The most names an error lists.
const NAMES_SHOWN: usize = 10;

/// Names Linux accepts (`dev_valid_name`), each once.
pub fn interface_names(key: &str, raw: &[Text]) -> Result<Vec<String>, Wrong> {
    let mut names = Vec::with_capacity(raw.len());
    for text in raw {
        let name = text.get_ref();
        let forbidden = |byte: u8| byte == b'/' || byte == b':' || !byte.is_ascii_graphic();
        let special = name == "." || name == "..";
        if name.is_empty() || name.len() > 15 || name.bytes().any(forbidden) || special {
            let problem = "expected the name of a network interface, 1 to 15 characters, as `ip link` shows it";
            return Err(Wrong::value(key, text, problem));
        }
        if names.contains(name) {
            return Err(Wrong::value(key, text, "it is there twice; remove one"));
        }
        names.push(name.clone());
    }
    Ok(names)
}

/// Names that another key must have too.
pub fn some_of(
    key: &str,
    raw: &[Text],
    (whole, interfaces): (&str, &[String]),
) -> Result<Vec<String>, Wrong> {
    let names = interface_names(key, raw)?;
    match raw.iter().find(|text| !interfaces.contains(text.get_ref())) {
        Some(text) => {
            let problem = format!(
                "it is not one of {whole} ({}); add it there too",
                listed(interfaces.iter().cloned())
            );
            Err(Wrong::value(key, text, problem))
        }
        None => Ok(names),
    }
}

/// The first few of a list of names, for an error.
pub fn listed(names: impl ExactSizeIterator<Item = String>) -> String {
    let more = names.len().saturating_sub(NAMES_SHOWN);
    let shown: Vec<String> = names.take(NAMES_SHOWN).collect();
    match (shown.is_empty(), more) {
        (true, _) => "none".to_owned(),
        (false, 0) => shown.join(", "),
        (false, more) => format!("{} and {more} more", shown.join(", ")),
    }
}
