//! Explicit Congestion Notification through tunnels (RFC 6040).

/// The ECN field of a traffic class.
pub const MASK: u8 = 0b11;
const NOT_ECT: u8 = 0b00;
const ECT_0: u8 = 0b10;
const ECT_1: u8 = 0b01;
const CE: u8 = 0b11;

/// The inner traffic class after decapsulation: RFC 6040 section 4.2, figure 4. `None` where congestion was marked outside,
/// but the inner packet does not know of it.
#[inline(always)]
pub const fn decapsulate(outer_ecn: u8, inner_class: u8) -> Option<u8> {
    match (outer_ecn, inner_class & MASK) {
        (CE, NOT_ECT) => None,
        (CE, _) => Some(inner_class | CE),
        (ECT_1, ECT_0) => Some(inner_class & !MASK | ECT_1),
        _ => Some(inner_class),
    }
}
