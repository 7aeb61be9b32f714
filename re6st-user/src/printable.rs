//! What others say, before it is shown or written to a log, and what is shown in one way everywhere.

/// Characters, at most.
const MAXIMUM: usize = 500;

/// An Ethernet address.
pub fn ethernet(address: [u8; 6]) -> String {
    address.map(|byte| format!("{byte:02x}")).join(":")
}

/// A text in which nothing acts on a terminal or begins a line of its own: control characters, and those that change the
/// direction of writing, are written as escapes; a long text is cut.
pub fn printable(text: &str) -> String {
    let mut shown = String::new();
    let mut characters = text.chars();
    for character in characters.by_ref().take(MAXIMUM) {
        if acts(character) {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    if characters.next().is_some() {
        shown += "...";
    }
    shown
}

/// Control characters, ends of lines and paragraphs, and bidirectional formatting (Unicode Standard Annex #9, section 2).
fn acts(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{61c}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{MAXIMUM, acts, printable};

    #[test]
    fn what_acts_is_written_as_an_escape() {
        assert_eq!(
            printable("\x1b[2J a\r\nregistry: all is well\u{9b}1m\u{202e}"),
            "\\u{1b}[2J a\\r\\nregistry: all is well\\u{9b}1m\\u{202e}"
        );
        assert_eq!(printable("Größe: 5 µs, 路由"), "Größe: 5 µs, 路由");
    }

    proptest! {
        #[test]
        fn nothing_acts_and_nothing_is_long(text in any::<String>().prop_map(|text| text.repeat(40))) {
            let shown = printable(&text);
            prop_assert!(!shown.chars().any(acts));
            prop_assert!(shown.len() <= 10 * MAXIMUM);
        }
    }
}
