//! The terminal: lines that stay, and below them a picture that is drawn anew. Without a terminal there are only the lines.

use std::{
    cell::Cell,
    fmt::Display,
    io::{IsTerminal as _, Write as _, stdout},
};

/// Where it all is shown.
pub struct Screen {
    is_terminal: bool,
    /// Lines of the picture.
    drawn: Cell<usize>,
}

/// A colour of the terminal (ECMA-48, SGR).
#[derive(Clone, Copy)]
pub enum Colour {
    Red = 31,
    Green = 32,
    Yellow = 33,
    Grey = 90,
}

impl Screen {
    pub fn new() -> Self {
        Self {
            is_terminal: stdout().is_terminal(),
            drawn: Cell::new(0),
        }
    }

    /// Whether pictures are shown.
    pub const fn is_live(&self) -> bool {
        self.is_terminal
    }

    /// A line that stays.
    pub fn say(&self, line: &str) {
        self.erase();
        println!("{line}");
    }

    /// Something that has come true.
    pub fn done(&self, what: &str, result: &str) {
        self.say(&format!(
            "  {} {what:<46} {result}",
            self.colour("✓", Colour::Green)
        ));
    }

    /// Why it ends here.
    pub fn fail(&self, why: &str) {
        self.erase();
        eprintln!("\n{} {why}", self.colour("✗", Colour::Red));
    }

    /// Draws a picture in the place of the last one.
    pub fn draw(&self, lines: &[String]) {
        if !self.is_terminal {
            return;
        }
        self.erase();
        println!("{}", lines.join("\n"));
        self.drawn.set(lines.len());
    }

    pub fn colour(&self, text: impl Display, colour: Colour) -> String {
        match self.is_terminal {
            true => format!("\x1b[{}m{text}\x1b[0m", colour as u8),
            false => text.to_string(),
        }
    }

    fn erase(&self) {
        let lines = self.drawn.replace(0);
        if lines > 0 {
            // up so many lines, and away with all that follows
            print!("\x1b[{lines}A\x1b[J");
            stdout().flush().ok();
        }
    }
}
