//! The Internet checksum: one's complement sums of 16-bit words (RFC 1071), updated in place (RFC 1624).

/// Folds a sum of 16-bit words to 16 bits.
#[inline(always)]
pub const fn fold(sum: u32) -> u16 {
    let sum = (sum & 0xffff) + (sum >> 16);
    ((sum & 0xffff) + (sum >> 16)) as u16
}

/// The sum, not folded, of an even number of bytes. At most 128 KiB, so that it cannot overflow.
pub const fn sum(bytes: &[u8]) -> u32 {
    let mut sum = 0;
    let mut index = 0;
    while index + 1 < bytes.len() {
        sum += u16::from_be_bytes([bytes[index], bytes[index + 1]]) as u32;
        index += 2;
    }
    sum
}

/// The checksum after one word of the data changed: `HC' = ~(~HC + ~m + m')`, equation 3 of RFC 1624.
#[inline(always)]
pub const fn update(checksum: u16, old: u16, new: u16) -> u16 {
    !fold(!checksum as u32 + !old as u32 + new as u32)
}
