//! What is said in logs: not the same thing a thousand times.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// The same line is said again after this.
const AGAIN: Duration = Duration::from_secs(60);
/// So many different lines are remembered.
const REMEMBERED: usize = 64;

/// Lines that may come with every request.
#[derive(Debug, Default)]
pub struct Repeated {
    said: HashMap<String, (Instant, u64)>,
}

impl Repeated {
    /// What is to be said: nothing, if the same was within a minute.
    pub fn line(&mut self, text: String, now: Instant) -> Option<String> {
        if let Some((last, more)) = self.said.get_mut(&text) {
            if now.saturating_duration_since(*last) < AGAIN {
                *more += 1;
                return None;
            }
            let line = match *more {
                0 => text,
                more => format!("{text} ({more} times more since it was last said)"),
            };
            (*last, *more) = (now, 0);
            return Some(line);
        }
        if self.said.len() >= REMEMBERED {
            self.said
                .retain(|_, (last, _)| now.saturating_duration_since(*last) < AGAIN);
        }
        // beyond, what is new is not remembered
        if self.said.len() < REMEMBERED {
            self.said.insert(text.clone(), (now, 0));
        }
        Some(text)
    }

    /// Says it, if it is to be said.
    pub fn warn(&mut self, text: String) {
        if let Some(line) = self.line(text, Instant::now()) {
            eprintln!("WARNING: {line}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_line_is_said_once_a_minute() {
        let mut repeated = Repeated::default();
        let start = Instant::now();
        let mut said = Vec::new();
        for request in 0..10_000 {
            let now = start + Duration::from_millis(request * 10);
            said.extend(repeated.line("disk full".to_owned(), now));
            if request == 5_000 {
                said.extend(repeated.line("another".to_owned(), now));
            }
        }
        assert_eq!(
            said,
            [
                "disk full",
                "another",
                "disk full (5999 times more since it was last said)"
            ]
        );
    }

    #[test]
    fn memory_is_bounded() {
        let mut repeated = Repeated::default();
        let start = Instant::now();
        for number in 0..1_000 {
            repeated.line(number.to_string(), start);
        }
        assert_eq!(repeated.said.len(), REMEMBERED);
        repeated.line("later".to_owned(), start + AGAIN);
        assert_eq!(repeated.said.len(), 1);
    }
}
