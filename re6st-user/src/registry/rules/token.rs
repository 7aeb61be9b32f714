//! Tokens: the right to one certificate.

use std::fmt;

use data_encoding::{BASE32_NOPAD, HEXLOWER_PERMISSIVE};
use serde::{Serialize, Serializer};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::{random::Randomness, refusal::Refusal};
use crate::{certificate::node_prefix::NodePrefix, time::Timestamp};

/// Bits an operator's own token must have at least, as [`Token::bits`] guesses.
const LEAST_BITS: u32 = 80;

/// A secret word that gives the right to one certificate. Shown by nobody but its maker.
#[derive(Clone, Eq)]
pub struct Token(Box<str>);

impl Token {
    /// The longest one, in octets.
    pub const MAXIMUM_LENGTH: usize = 128;

    /// Reads what somebody shows: printable ASCII without spaces.
    ///
    /// # Errors
    ///
    /// It is empty, too long, or holds other characters.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let printable = text.bytes().all(|octet| octet.is_ascii_graphic());
        if text.is_empty() || text.len() > Self::MAXIMUM_LENGTH || !printable {
            return Err(Refusal::Invalid(format!(
                "a token is 1 to {} printable ASCII characters without spaces",
                Self::MAXIMUM_LENGTH
            )));
        }
        Ok(Self(text.into()))
    }

    /// As the store has it, whatever re6stnet's operators gave.
    pub(in crate::registry) fn stored(text: String) -> Self {
        Self(text.into())
    }

    /// A new one of 128 random bits: 26 digits of RFC 4648 section 6, small.
    pub fn generate(random: &mut dyn Randomness) -> Self {
        let mut octets = [0; 16];
        random.fill(&mut octets);
        let text = BASE32_NOPAD.encode(&octets).to_ascii_lowercase();
        Self(text.into())
    }

    /// The word itself, for the newcomer's mail or the operator's terminal.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What names it in lists and logs.
    pub fn digest(&self) -> TokenDigest {
        let hash = Sha256::digest(self.0.as_bytes());
        let mut digest = [0; 8];
        digest.copy_from_slice(hash.get(..8).unwrap_or(&[0; 8]));
        TokenDigest(digest)
    }

    /// How many bits somebody has to guess at most: as many digits, of as many different ones.
    fn bits(&self) -> u32 {
        let mut seen = [false; 128];
        for octet in self.0.bytes() {
            if let Some(entry) = seen.get_mut(usize::from(octet)) {
                *entry = true;
            }
        }
        let different = seen.iter().filter(|entry| **entry).count();
        let length = self.0.len() as f64;
        (length * (different.max(1) as f64).log2()) as u32
    }

    /// Whether an operator may give this one.
    pub(super) fn check_strength(&self) -> Result<(), Refusal> {
        if self.bits() < LEAST_BITS {
            return Err(Refusal::Invalid(
                "the token is too easy to guess: give 20 random letters and digits or more, or none to have one made"
                    .to_owned(),
            ));
        }
        Ok(())
    }
}

/// In constant time.
impl PartialEq for Token {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Token({})", self.digest())
    }
}

/// The first 64 bits of a token's SHA-256: names a token without telling it. Tokens are looked up by it, so that the time
/// a wrong one takes says nothing, and then compared whole.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenDigest([u8; 8]);

impl TokenDigest {
    /// Reads the 16 hexadecimal digits of [`fmt::Display`].
    ///
    /// # Errors
    ///
    /// It is something else.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let octets = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok();
        octets
            .and_then(|octets| Some(Self(octets.try_into().ok()?)))
            .ok_or_else(|| Refusal::Invalid("a token's id is 16 hexadecimal digits".to_owned()))
    }
}

impl fmt::Display for TokenDigest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:016x}", u64::from_be_bytes(self.0))
    }
}

impl fmt::Debug for TokenDigest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl Serialize for TokenDigest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A token that waits to be used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TokenEntry {
    /// The word.
    pub token: Token,
    /// Who gets it.
    pub email: Email,
    /// Bits of the prefix it gives.
    pub prefix_length: u8,
    /// When it was made.
    pub created: Timestamp,
    /// The node whose next certificate it gives, for another key; none: a newcomer's.
    pub node: Option<NodePrefix>,
}

/// A mail address, roughly: the mail server knows better.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(transparent)]
pub struct Email(Box<str>);

impl Email {
    /// The longest one, in octets (RFC 5321 section 4.5.3.1.3).
    pub const MAXIMUM_LENGTH: usize = 254;

    /// Reads an address.
    ///
    /// # Errors
    ///
    /// It is too long, has no `@` with something on both sides, or holds white space or control characters, with which
    /// headers of a mail could be forged.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let sides = text
            .rsplit_once('@')
            .is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty());
        let odd = |character: char| {
            character.is_whitespace()
                || character.is_control()
                || "<>,;:\"()[]\\".contains(character)
        };
        if !sides || text.len() > Self::MAXIMUM_LENGTH || text.contains(odd) {
            return Err(Refusal::Invalid(format!(
                "a mail address is NAME@DOMAIN of at most {} octets, without spaces",
                Self::MAXIMUM_LENGTH
            )));
        }
        Ok(Self(text.into()))
    }

    /// As the store has it, whatever re6stnet took.
    pub(in crate::registry) fn stored(text: String) -> Self {
        Self(text.into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test ends where it fails")]
mod tests {
    use super::*;

    #[test]
    fn a_made_token_has_26_digits_and_is_not_shown() {
        struct Counting(u8);
        impl Randomness for Counting {
            fn fill(&mut self, buffer: &mut [u8]) {
                buffer.fill(self.0);
                self.0 += 1;
            }
        }

        let token = Token::generate(&mut Counting(7));

        assert_eq!(token.reveal().len(), 26);
        assert!(!format!("{token:?}").contains(token.reveal()));
        assert!(token.check_strength().is_err(), "few different digits");
        assert_eq!(
            TokenDigest::parse(&token.digest().to_string()),
            Ok(token.digest())
        );
    }

    #[test]
    fn an_operators_token_has_to_be_hard_to_guess() {
        for (text, good) in [
            ("abcdefgh", false),
            ("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false),
            ("correcthorsebatterystaple", true),
            ("k3v9x2m7q1z8w4t6y5p0", true),
        ] {
            let token = Token::parse(text).expect("a token");
            assert_eq!(token.check_strength().is_ok(), good, "{text}");
        }
    }

    #[test]
    fn odd_tokens_and_addresses_are_refused() {
        for text in ["", "a b", "ä", "a\n", &"a".repeat(129)] {
            assert!(Token::parse(text).is_err(), "{text:?}");
        }
        for text in [
            "",
            "a",
            "@b",
            "a@",
            "a@b\r\nBcc: c@d",
            "a b@c",
            "<a@b>",
            &format!("a@{}", "b".repeat(254)),
        ] {
            assert!(Email::parse(text).is_err(), "{text:?}");
        }
        assert_eq!(
            Email::parse("a.b+c@example.com")
                .expect("an address")
                .as_str(),
            "a.b+c@example.com"
        );
    }
}
