//! Keys of Babel's MAC (RFC 8967) that all nodes share, and their replacement in three steps that each leave every node
//! able to hear every other:
//!
//! ```text
//! slot      0     1     2
//!          old    -     -    sign old
//!   ─►     old   new    -    sign old, accept new     (wait until all nodes know)
//!   ─►      -    new   old   sign new, accept old     (wait until all nodes know)
//!   ─►     new    -     -    sign new
//!
//!           -     -     -    a network without keys
//!   ─►      -    new  empty  sign new, accept anything
//!   ─►     new    -     -    sign new
//! ```
//!
//! The first slot that is in use signs, the second one is accepted too.

use std::fmt;

use super::random::Randomness;

/// Octets of a key that is made here; BLAKE2s-128 takes up to 32.
const LENGTH: usize = 16;

/// A secret key; empty in a slot that accepts anything.
#[derive(Clone, PartialEq, Eq)]
pub struct MacKey(Box<[u8]>);

impl MacKey {
    /// A new one.
    pub fn generate(random: &mut dyn Randomness) -> Self {
        let mut octets = [0; LENGTH];
        random.fill(&mut octets);
        Self(octets.into())
    }

    /// As the store has it.
    pub(in crate::registry) fn stored(octets: Vec<u8>) -> Self {
        Self(octets.into())
    }

    /// The octets, for nodes alone.
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for MacKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "MacKey({} octets)", self.0.len())
    }
}

/// The three slots of re6stnet's database (`babel_hmac0` to `babel_hmac2`).
pub type Slots = [Option<MacKey>; 3];

/// What nodes do with the keys.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct MacKeys {
    /// Packets are signed with it; none: they are not signed.
    pub sign: Option<MacKey>,
    /// Packets signed with it are accepted too.
    pub accept: Option<MacKey>,
    /// Packets with wrong signatures, or none, are accepted too.
    pub accept_anything: bool,
}

impl MacKeys {
    /// What the slots mean.
    pub fn of(slots: &Slots) -> Self {
        let mut keys = slots.iter().flatten();
        let (sign, accept) = (keys.next().cloned(), keys.next().cloned());
        let accept_anything = accept.as_ref().is_some_and(|key| key.0.is_empty());
        Self {
            sign,
            accept: accept.filter(|_| !accept_anything),
            accept_anything,
        }
    }

    /// Says where the replacement of the key stands.
    pub fn describe(&self) -> &'static str {
        match (&self.sign, &self.accept, self.accept_anything) {
            (None, ..) => "no keys",
            (Some(_), _, true) => "signing with the first key, accepting anything",
            (Some(_), Some(_), _) => "between two keys",
            (Some(_), None, _) => "one key",
        }
    }
}

/// The next step. From any other use of the slots than above, the key that signs is kept alone.
pub fn next_step(slots: &Slots, random: &mut dyn Randomness) -> Slots {
    match slots {
        [Some(old), None, None] => [Some(old.clone()), Some(MacKey::generate(random)), None],
        [Some(old), Some(new), None] => [None, Some(new.clone()), Some(old.clone())],
        [None, None, None] => [
            None,
            Some(MacKey::generate(random)),
            Some(MacKey(Box::new([]))),
        ],
        other => [other.iter().flatten().next().cloned(), None, None],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counting(u8);

    impl Randomness for Counting {
        fn fill(&mut self, buffer: &mut [u8]) {
            buffer.fill(self.0);
            self.0 += 1;
        }
    }

    fn key(octet: u8) -> Option<MacKey> {
        Some(MacKey::stored(vec![octet; LENGTH]))
    }

    /// Every two successive states understand each other: that is what makes the steps safe.
    fn assert_understand_each_other(before: &Slots, after: &Slots) {
        let (before, after) = (MacKeys::of(before), MacKeys::of(after));
        for (speaker, listener) in [(&before, &after), (&after, &before)] {
            assert!(
                listener.accept_anything
                    || listener.sign.is_none()
                    || speaker.sign == listener.sign
                    || speaker.sign == listener.accept,
                "{speaker:?} is not understood by {listener:?}"
            );
        }
    }

    #[test]
    fn three_steps_to_another_key() {
        let mut random = Counting(2);
        let mut slots = [key(1), None, None];
        for expected in [
            [key(1), key(2), None],
            [None, key(2), key(1)],
            [key(2), None, None],
        ] {
            let next = next_step(&slots, &mut random);
            assert_eq!(next, expected);
            assert_understand_each_other(&slots, &next);
            slots = next;
        }
    }

    #[test]
    fn two_steps_from_none() {
        let mut random = Counting(1);
        let first = next_step(&[None, None, None], &mut random);
        assert!(MacKeys::of(&first).accept_anything);
        assert_eq!(MacKeys::of(&first).sign, key(1));
        let second = next_step(&first, &mut random);
        assert_eq!(second, [key(1), None, None]);
        assert_understand_each_other(&first, &second);
    }

    #[test]
    fn odd_slots_keep_the_key_that_signs() {
        let slots = [key(1), key(2), key(3)];
        assert_eq!(next_step(&slots, &mut Counting(9)), [key(1), None, None]);
        assert_eq!(
            next_step(&[None, None, key(3)], &mut Counting(9)),
            [key(3), None, None]
        );
    }

    #[test]
    fn keys_are_not_shown() {
        assert_eq!(format!("{:?}", key(65)), "Some(MacKey(16 octets))");
    }
}
