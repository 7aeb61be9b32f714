//! Which counters have come: a window that slides with the highest (RFC 6479).

/// Counters that are so far or further behind the highest are too old.
pub(super) const WINDOW: u64 = 8_192;
const WORD: u64 = 64;
/// One word more than the window has, so that a whole word can be emptied whenever the window enters it.
const WORDS: usize = (WINDOW / WORD) as usize + 1;

/// Why a counter is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Refusal {
    /// It has come already.
    Replayed,
    /// Whether it has come is no longer known.
    TooOld,
}

/// Which of the last 8,192 counters have come.
pub(super) struct Window {
    /// Bit `counter % 64` of word `counter / 64 % WORDS`.
    words: Box<[u64; WORDS]>,
    /// The highest that has come, plus one; 0 if none has.
    end: u64,
    received: u64,
}

impl Window {
    pub fn new() -> Self {
        Self {
            words: Box::new([0; WORDS]),
            end: 0,
            received: 0,
        }
    }

    /// The highest counter that has come.
    pub const fn highest(&self) -> Option<u64> {
        self.end.checked_sub(1)
    }

    /// How many have come.
    pub const fn received(&self) -> u64 {
        self.received
    }

    fn word(&mut self, number: u64) -> Option<&mut u64> {
        self.words.get_mut((number % WORDS as u64) as usize)
    }

    /// Whether a packet with this counter is new, as far as is known. Cheap: to be asked before the packet is opened.
    pub fn check(&self, counter: u64) -> Result<(), Refusal> {
        if counter >= self.end {
            return Ok(());
        }
        if self.end - counter > WINDOW {
            return Err(Refusal::TooOld);
        }
        let word = self.words.get((counter / WORD % WORDS as u64) as usize);
        match word {
            Some(word) if word >> (counter % WORD) & 1 == 0 => Ok(()),
            _ => Err(Refusal::Replayed),
        }
    }

    /// Notes that a packet with this counter has come. It was checked, and opened.
    pub fn note(&mut self, counter: u64) {
        if let Some(latest) = self.highest().map(|highest| highest / WORD) {
            // the words between are another round's
            let fresh = (counter / WORD).saturating_sub(latest).min(WORDS as u64);
            for number in (counter / WORD).saturating_sub(fresh)..counter / WORD {
                if let Some(word) = self.word(number + 1) {
                    *word = 0;
                }
            }
        }
        if let Some(word) = self.word(counter / WORD) {
            *word |= 1 << (counter % WORD);
        }
        self.end = self.end.max(counter.saturating_add(1));
        self.received += 1;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::{Refusal, WINDOW, Window};

    /// Checks, and notes if it is new.
    fn take(window: &mut Window, counter: u64) -> Result<(), Refusal> {
        window.check(counter)?;
        window.note(counter);
        Ok(())
    }

    #[test]
    fn exactly_8192_counters_are_remembered() {
        let mut window = Window::new();
        assert_eq!(take(&mut window, 10_000), Ok(()));
        assert_eq!(take(&mut window, 10_001 - WINDOW), Ok(()));
        assert_eq!(take(&mut window, 10_000 - WINDOW), Err(Refusal::TooOld));
        assert_eq!(take(&mut window, 10_001 - WINDOW), Err(Refusal::Replayed));
        assert_eq!(window.received(), 2);
        assert_eq!(window.highest(), Some(10_000));
    }

    proptest! {
        /// Against a set of all that has come: with reordering within and beyond the window, with jumps of any length.
        #[test]
        fn the_window_is_a_set_of_the_last_counters(
            steps in prop::collection::vec((prop_oneof![0..3_u64, 0..9_000_u64, 0..100_000_u64], any::<bool>()), 1..300),
        ) {
            let mut window = Window::new();
            let mut come = BTreeSet::new();
            let mut at = 0_u64;
            for (distance, forward) in steps {
                at = if forward { at + distance } else { at.saturating_sub(distance) };
                let highest = come.last().copied().unwrap_or_default();
                let expected = if at + WINDOW <= highest {
                    Err(Refusal::TooOld)
                } else if come.contains(&at) {
                    Err(Refusal::Replayed)
                } else {
                    Ok(())
                };
                prop_assert_eq!(take(&mut window, at), expected, "{} after {}", at, highest);
                if expected.is_ok() {
                    come.insert(at);
                }
            }
            prop_assert_eq!(window.received(), come.len() as u64);
        }
    }
}
