//! Lines of the log that repeat: the first are written, then few, which tell how many were left out.

use std::collections::HashMap;

use crate::{
    rate::{Bucket, Rate},
    time::Time,
};

/// Lines that are alike: 4 at once, then one in 5 minutes.
const ALIKE: Rate = Rate {
    count: 4,
    seconds: 1200,
};
/// So many different lines are told apart; of others there may be as many as of one.
const MOST: usize = 1024;

/// What has been written lately.
#[derive(Debug, Default)]
pub struct Log {
    lines: HashMap<String, Line>,
}

#[derive(Debug, Default)]
struct Line {
    bucket: Bucket,
    left_out: u64,
}

impl Log {
    /// Writes a line unless it was written often lately.
    pub fn say(&mut self, now: Time, text: &str) {
        self.say_of(now, text, text);
    }

    /// Writes a line about something unless there were many about that lately: whoever can cause lines that are never the
    /// same, as by its address in them, does so for one subject alone, and takes nobody else's room.
    pub fn say_of(&mut self, now: Time, subject: &str, text: &str) {
        if let Some(text) = self.admit(now, subject, text) {
            eprintln!("{text}");
        }
    }

    /// What is to be written, if anything.
    fn admit(&mut self, now: Time, subject: &str, text: &str) -> Option<String> {
        let mut full = self.lines.len() >= MOST && !self.lines.contains_key(subject);
        if full {
            self.lines.retain(|_, line| !line.bucket.is_idle(now));
            full = self.lines.len() >= MOST;
        }
        let name = if full {
            String::new()
        } else {
            subject.to_owned()
        };
        let line = self.lines.entry(name).or_default();
        if line.bucket.take(ALIKE, now).is_err() {
            line.left_out += 1;
            return None;
        }
        Some(match std::mem::take(&mut line.left_out) {
            0 => text.to_owned(),
            left_out if full => format!("{text} (and {left_out} other lines)"),
            left_out => format!("{text} (and {left_out} times since the last such line)"),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn what_repeats_for_hours_takes_few_lines_and_is_counted() {
        let (mut log, start) = (Log::default(), Time(0));
        let mut lines = Vec::new();
        for second in 0..7200 {
            lines.extend(log.admit(start + SECOND * second, "it", "it is down"));
        }
        assert_eq!(lines.len(), 4 + 23, "{lines:?}");
        assert_eq!(lines[0], "it is down");
        assert_eq!(
            lines[4],
            "it is down (and 296 times since the last such line)"
        );
    }

    #[test]
    fn what_is_rare_is_always_written() {
        let (mut log, start) = (Log::default(), Time(0));
        for hour in 0..100 {
            let line = log.admit(start + SECOND * 3600 * hour, "it", "it is down");
            assert_eq!(line.as_deref(), Some("it is down"));
        }
    }

    #[test]
    fn different_lines_do_not_stand_in_each_others_way() {
        let (mut log, start) = (Log::default(), Time(0));
        for number in 0..1000 {
            let line = format!("route {number}");
            let line = log.admit(start, &line, &line);
            assert!(line.is_some(), "{number}");
        }
    }

    #[test]
    fn different_lines_of_one_subject_share_its_room() {
        let (mut log, start) = (Log::default(), Time(0));
        let moved =
            |log: &mut Log, port| log.admit(start, "peer moved", &format!("moved to {port}"));
        let written = (0..60_000).filter(|port| moved(&mut log, *port).is_some());
        assert_eq!(written.count(), 4);
        assert!(log.admit(start, "another", "another").is_some());
    }

    #[test]
    fn any_number_of_different_lines_is_bounded() {
        let (mut log, start) = (Log::default(), Time(0));
        let mut written = 0;
        for number in 0..100_000 {
            let line = format!("route {number}");
            written += usize::from(log.admit(start, &line, &line).is_some());
        }
        assert!(written <= MOST + ALIKE.count as usize, "{written}");
        assert!(log.lines.len() <= MOST + 1);
        // and they are forgotten
        let later = start + SECOND * ALIKE.seconds;
        let line = log.admit(later, "another", "another");
        assert_eq!(line.as_deref(), Some("another"));
    }
}
