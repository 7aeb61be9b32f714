//! re6stnet's integers of variable length (`packInteger`): the upper three bits of the first octet tell how many follow.
//! Written so, they have the order of their octets.

use thiserror::Error;

/// What the shortest form of `following + 1` octets stands for: the sum of 32 · 256^i for i below `following`.
const fn bias(following: u32) -> u64 {
    let mut sum = 0;
    let mut power = 0;
    while power < following {
        sum += 32 << (8 * power);
        power += 1;
    }
    sum
}

/// The largest number that can be written.
pub const MAXIMUM: u64 = bias(7) + (1 << 61) - 1;

/// Why octets are not a packed integer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("not a whole packed integer")]
pub struct PackedIntegerError;

/// The octets of a number; none of one beyond [`MAXIMUM`].
pub fn pack(number: u64) -> Option<Vec<u8>> {
    let following = (0..8)
        .rev()
        .find(|following| number >= bias(*following))
        .filter(|_| number <= MAXIMUM)?;
    let value = number - bias(following);
    let octets = (value | u64::from(following) << (5 + 8 * following)).to_be_bytes();
    octets.get(7 - following as usize..).map(<[u8]>::to_vec)
}

/// The number at the start of some octets, and the octets behind it.
///
/// # Errors
///
/// They end too early.
pub fn unpack(octets: &[u8]) -> Result<(u64, &[u8]), PackedIntegerError> {
    let (first, rest) = octets.split_first().ok_or(PackedIntegerError)?;
    let following = usize::from(first >> 5);
    let (digits, rest) = rest.split_at_checked(following).ok_or(PackedIntegerError)?;
    let value = digits.iter().fold(u64::from(first & 31), |value, digit| {
        value << 8 | u64::from(*digit)
    });
    Ok((value + bias(following as u32), rest))
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test ends where it fails")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Seen from re6stnet 0.642.
    const VECTORS: &[(u64, &[u8])] = &[
        (0, &[0]),
        (31, &[0x1f]),
        (32, &[0x20, 0]),
        (8223, &[0x3f, 0xff]),
        (8224, &[0x40, 0, 0]),
        (2_105_375, &[0x5f, 0xff, 0xff]),
        (2_105_376, &[0x60, 0, 0, 0]),
        (0x2020_2020_2020_201f, &[0xff; 8]),
    ];

    #[test]
    fn vectors() {
        for (number, octets) in VECTORS {
            assert_eq!(pack(*number).as_deref(), Some(*octets), "{number}");
            assert_eq!(unpack(octets), Ok((*number, &[][..])), "{number}");
        }
        assert_eq!(MAXIMUM, 0x2020_2020_2020_201f);
        assert_eq!(pack(MAXIMUM + 1), None);
    }

    #[test]
    fn truncated_octets_are_refused() {
        assert_eq!(unpack(&[]), Err(PackedIntegerError));
        assert_eq!(unpack(&[0x40, 0]), Err(PackedIntegerError));
    }

    proptest! {
        #[test]
        fn octets_have_the_order_of_numbers(one in 0..=MAXIMUM, other in 0..=MAXIMUM) {
            prop_assert_eq!(pack(one).cmp(&pack(other)), one.cmp(&other));
        }

        #[test]
        fn what_is_packed_is_unpacked(number in 0..=MAXIMUM, tail in prop::collection::vec(any::<u8>(), 0..4)) {
            let mut octets = pack(number).expect("below the maximum");
            octets.extend(&tail);
            prop_assert_eq!(unpack(&octets), Ok((number, &tail[..])));
        }

        #[test]
        fn whatever_unpacks_packs_to_the_same_octets(octets in prop::collection::vec(any::<u8>(), 0..12)) {
            if let Ok((number, rest)) = unpack(&octets) {
                let packed = pack(number).expect("below the maximum");
                prop_assert_eq!(&octets[..octets.len() - rest.len()], &packed[..]);
            }
        }
    }
}
