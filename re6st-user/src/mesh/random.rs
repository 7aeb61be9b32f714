//! Draws.

use std::{collections::BTreeSet, time::Duration};

use super::Random;

/// 64 bits.
pub fn bits(random: Random<'_>) -> u64 {
    let mut octets = [0; 8];
    random(&mut octets);
    u64::from_le_bytes(octets)
}

/// A number below `limit`, each as likely as the others but for less than 2^-32; 0 if there is none.
pub fn below(limit: usize, random: Random<'_>) -> usize {
    let wide = u128::from(bits(random)) * limit as u128;
    (wide >> 64) as usize
}

/// A moment within the second half of a duration: for what should not happen to all nodes at a time.
pub fn jittered(duration: Duration, random: Random<'_>) -> Duration {
    let half = duration / 2;
    let microseconds = usize::try_from(half.as_micros()).unwrap_or(usize::MAX);
    half + Duration::from_micros(below(microseconds.saturating_add(1), random) as u64)
}

/// Different numbers below `limit`: all of them if that is not more than `most`, else so many; in random order.
pub fn distinct(limit: usize, most: usize, random: Random<'_>) -> Vec<usize> {
    if limit <= most.saturating_mul(2) {
        let mut all: Vec<usize> = (0..limit).collect();
        shuffle(&mut all, random);
        all.truncate(most);
        return all;
    }
    // less than half of them: hardly ever more than a few draws too many
    let mut seen = BTreeSet::new();
    let mut drawn = Vec::with_capacity(most);
    while drawn.len() < most {
        let index = below(limit, &mut *random);
        if seen.insert(index) {
            drawn.push(index);
        }
    }
    drawn
}

/// Numbers below `limit`: all of them, in random order, if that is not more than `most`, else so many, perhaps one twice.
pub fn several(limit: usize, most: usize, random: Random<'_>) -> impl Iterator<Item = usize> {
    let mut all = Vec::new();
    if limit <= most {
        all.extend(0..limit);
        shuffle(&mut all, &mut *random);
    }
    let draws = if limit <= most { 0 } else { most };
    let drawn = (0..draws).map(move |_| below(limit, &mut *random));
    all.into_iter().chain(drawn)
}

/// Any order is as likely as any other (Fisher and Yates).
pub fn shuffle<T>(items: &mut [T], random: Random<'_>) {
    for last in (1..items.len()).rev() {
        items.swap(last, below(last + 1, &mut *random));
    }
}
