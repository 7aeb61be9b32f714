//! The one source of random octets: for secrets, seeds and addresses.

/// Fills with octets that nobody can guess. There is no error: a secret that somebody can guess is worse than no process.
pub fn fill(octets: &mut [u8]) {
    if aws_lc_rs::rand::fill(octets).is_err() {
        std::process::abort();
    }
}

/// A number of 64 random bits.
pub fn number() -> u64 {
    let mut octets = [0; 8];
    fill(&mut octets);
    u64::from_ne_bytes(octets)
}
