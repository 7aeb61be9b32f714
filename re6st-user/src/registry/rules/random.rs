//! Where secrets come from: an argument, so that the rules decide the same twice for the same input.

/// A source of random octets. The server gives the operating system's; tests give a seeded one.
pub trait Randomness {
    /// Fills the buffer with octets nobody can guess.
    fn fill(&mut self, buffer: &mut [u8]);
}
