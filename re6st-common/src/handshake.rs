//! The first packet of the secure channel, as far as it can be judged without a private key: its head, the keyed MAC that
//! shows that the sender knows us, and the cookie that shows that it is where it says. XDP and userspace judge alike.
//!
//! ```text
//!  0 type (0x01) | 1 format version (1) | 2 zero (2) | 4 initiator's session index (4)
//!  8 cookie (8) | 16 MAC (8) | 24 ephemeral key (32) | 56 ... the rest of Noise's first message
//! ```
//!
//! Whoever does not know our static public key cannot make the MAC, and gets no answer. Under load, whoever has no valid
//! cookie gets one, in a packet of [`COOKIE_REPLY_SIZE`] octets that is smaller than what it answers, and comes again with it.

use crate::address::Address;

/// First octet of an initiation.
pub const INITIATION: u8 = 0x01;
/// First octet of a response.
pub const RESPONSE: u8 = 0x02;
/// First octet of a cookie reply.
pub const COOKIE_REPLY: u8 = 0x03;
/// First octet of a transport packet.
pub const TRANSPORT: u8 = 0x04;
/// The version of the format of initiation, response and cookie reply.
pub const FORMAT_VERSION: u8 = 1;
/// Octets of an initiation that [`judge`] looks at.
pub const HEAD_SIZE: usize = 56;
/// Octets of a cookie reply.
pub const COOKIE_REPLY_SIZE: usize = 24;
/// Octets of a cookie, and of the MAC.
pub const TAG_SIZE: usize = 8;

/// A key of SipHash, as the two words it is used as. 16 bytes, the same in a BPF map.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub struct SipKey {
    low: u64,
    high: u64,
}

impl SipKey {
    /// From 16 octets.
    #[inline(always)]
    pub const fn new(octets: [u8; 16]) -> Self {
        let number = u128::from_le_bytes(octets);
        Self {
            low: number as u64,
            high: (number >> 64) as u64,
        }
    }
}

impl core::fmt::Debug for SipKey {
    /// Shows nothing of the key.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("SipKey(..)")
    }
}

/// The state of SipHash-2-4 (Aumasson and Bernstein, 2012), for messages whose length is known when this is compiled.
struct SipHash {
    v0: u64,
    v1: u64,
    v2: u64,
    v3: u64,
}

impl SipHash {
    #[inline(always)]
    const fn new(key: SipKey) -> Self {
        Self {
            v0: key.low ^ 0x736f_6d65_7073_6575,
            v1: key.high ^ 0x646f_7261_6e64_6f6d,
            v2: key.low ^ 0x6c79_6765_6e65_7261,
            v3: key.high ^ 0x7465_6462_7974_6573,
        }
    }

    #[inline(always)]
    const fn round(&mut self) {
        self.v0 = self.v0.wrapping_add(self.v1);
        self.v2 = self.v2.wrapping_add(self.v3);
        self.v1 = self.v1.rotate_left(13) ^ self.v0;
        self.v3 = self.v3.rotate_left(16) ^ self.v2;
        self.v0 = self.v0.rotate_left(32);
        self.v2 = self.v2.wrapping_add(self.v1);
        self.v0 = self.v0.wrapping_add(self.v3);
        self.v1 = self.v1.rotate_left(17) ^ self.v2;
        self.v3 = self.v3.rotate_left(21) ^ self.v0;
        self.v2 = self.v2.rotate_left(32);
    }

    /// Eight octets of the message, little-endian.
    #[inline(always)]
    const fn word(&mut self, word: u64) {
        self.v3 ^= word;
        self.round();
        self.round();
        self.v0 ^= word;
    }

    /// The last octets of the message, fewer than eight, and its whole length modulo 256.
    #[inline(always)]
    const fn end(mut self, rest: u64, length: u64) -> u64 {
        self.word(rest | length << 56);
        self.v2 ^= 0xff;
        self.round();
        self.round();
        self.round();
        self.round();
        self.v0 ^ self.v1 ^ self.v2 ^ self.v3
    }
}

/// The head of an initiation.
pub type Head = [u8; HEAD_SIZE];

/// Eight octets of a head, little-endian. `AT` is constant, so the bound is checked when this is compiled.
#[inline(always)]
const fn word<const AT: usize>(head: &Head) -> u64 {
    const { assert!(AT + 8 <= HEAD_SIZE) }
    u64::from_le_bytes([
        head[AT],
        head[AT + 1],
        head[AT + 2],
        head[AT + 3],
        head[AT + 4],
        head[AT + 5],
        head[AT + 6],
        head[AT + 7],
    ])
}

/// The MAC of an initiation: over octets 0 to 8 and 24 to 56, so not over the cookie.
#[inline(always)]
pub const fn mac(key: SipKey, head: &Head) -> [u8; TAG_SIZE] {
    let mut hash = SipHash::new(key);
    hash.word(word::<0>(head));
    hash.word(word::<24>(head));
    hash.word(word::<32>(head));
    hash.word(word::<40>(head));
    hash.word(word::<48>(head));
    hash.end(0, 40).to_le_bytes()
}

/// The MAC that an initiation shows.
#[inline(always)]
pub const fn shown_mac(head: &Head) -> [u8; TAG_SIZE] {
    word::<16>(head).to_le_bytes()
}

/// The cookie of who sends from this address and port in this minute (a counter that may begin anywhere and wrap): SipHash
/// over the address (16 octets, IPv4 mapped), the port and the minute, both big-endian.
#[inline(always)]
pub const fn cookie(secret: SipKey, source: Address, port: u16, minute: u32) -> [u8; TAG_SIZE] {
    let mut hash = SipHash::new(secret);
    hash.word(source.high().swap_bytes());
    hash.word(source.low().swap_bytes());
    let rest = port.swap_bytes() as u64 | (minute.swap_bytes() as u64) << 16;
    hash.end(rest, 22).to_le_bytes()
}

/// What the head of an initiation is worth.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// No initiation, or one with a session index of zero or with something where zeros belong.
    Malformed,
    /// An initiation in another version of the format.
    UnknownVersion,
    /// The MAC is wrong: the sender does not know our static public key. No answer.
    WrongMac,
    /// The sender knows us, and is where it says.
    GoodCookie,
    /// The sender knows us. It may not be where it says: under load it is answered with this cookie, and not listened to.
    NoCookie([u8; TAG_SIZE]),
}

/// Judges the head of an initiation that came from this address and port. Cookies of this minute and of the one before are
/// good; new ones are of this minute.
#[inline(always)]
pub fn judge(
    mac_key: SipKey,
    cookie_secret: SipKey,
    head: &Head,
    source: Address,
    port: u16,
    minute: u32,
) -> Verdict {
    // octets 0 to 8 as one word: type, version, zeros, index
    let first = word::<0>(head);
    if first as u8 != INITIATION || first >> 16 & 0xffff != 0 || first >> 32 == 0 {
        return Verdict::Malformed;
    }
    if (first >> 8) as u8 != FORMAT_VERSION {
        return Verdict::UnknownVersion;
    }
    // whole words are compared: the time that takes tells nothing
    if u64::from_le_bytes(mac(mac_key, head)) != word::<16>(head) {
        return Verdict::WrongMac;
    }
    let shown = word::<8>(head);
    let current = cookie(cookie_secret, source, port, minute);
    if shown == u64::from_le_bytes(current) {
        return Verdict::GoodCookie;
    }
    let before = cookie(cookie_secret, source, port, minute.wrapping_sub(1));
    if shown == u64::from_le_bytes(before) {
        return Verdict::GoodCookie;
    }
    Verdict::NoCookie(current)
}

/// The answer to an initiation without a valid cookie: its session index, the cookie, and its MAC, by which the sender knows
/// that it is an answer.
#[inline(always)]
pub const fn cookie_reply(head: &Head, cookie: [u8; TAG_SIZE]) -> [u8; COOKIE_REPLY_SIZE] {
    let [c0, c1, c2, c3, c4, c5, c6, c7] = cookie;
    [
        COOKIE_REPLY,
        FORMAT_VERSION,
        0,
        0,
        head[4],
        head[5],
        head[6],
        head[7],
        c0,
        c1,
        c2,
        c3,
        c4,
        c5,
        c6,
        c7,
        head[16],
        head[17],
        head[18],
        head[19],
        head[20],
        head[21],
        head[22],
        head[23],
    ]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MAC_KEY: SipKey = SipKey::new([7; 16]);
    const SECRET: SipKey = SipKey::new([9; 16]);
    const SOURCE: Address = Address::from_ipv4([192, 0, 2, 7]);

    /// A well-formed head with its MAC.
    fn head() -> Head {
        let mut head = [0x5a; HEAD_SIZE];
        head[..8].copy_from_slice(&[INITIATION, FORMAT_VERSION, 0, 0, 1, 2, 3, 4]);
        head[8..16].fill(0);
        let mac = mac(MAC_KEY, &head);
        head[16..24].copy_from_slice(&mac);
        head
    }

    fn judged(head: &Head, minute: u32) -> Verdict {
        judge(MAC_KEY, SECRET, head, SOURCE, 4754, minute)
    }

    /// SipHash-2-4 of any message, by the same state.
    fn siphash(key: SipKey, message: &[u8]) -> u64 {
        let mut hash = SipHash::new(key);
        let (words, rest) = message.as_chunks::<8>();
        words
            .iter()
            .for_each(|word| hash.word(u64::from_le_bytes(*word)));
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        hash.end(u64::from_le_bytes(last), message.len() as u64 & 0xff)
    }

    #[test]
    fn siphash_gives_the_vectors_of_its_paper_and_of_its_reference_implementation() {
        let key = SipKey::new(std::array::from_fn(|at| at as u8));
        let message: [u8; 40] = std::array::from_fn(|at| at as u8);
        // appendix A of the paper
        assert_eq!(siphash(key, &message[..15]), 0xa129_ca61_49be_45e5);
        // vectors.h of the reference implementation, as octets
        let expected: [(usize, [u8; 8]); 4] = [
            (0, [0x31, 0x0e, 0x0e, 0xdd, 0x47, 0xdb, 0x6f, 0x72]),
            (1, [0xfd, 0x67, 0xdc, 0x93, 0xc5, 0x39, 0xf8, 0x74]),
            (7, [0x37, 0xd1, 0x01, 0x8b, 0xf5, 0x00, 0x02, 0xab]),
            (8, [0x62, 0x24, 0x93, 0x9a, 0x79, 0xf5, 0xf5, 0x93]),
        ];
        for (length, hash) in expected {
            assert_eq!(siphash(key, &message[..length]).to_le_bytes(), hash);
        }
    }

    #[test]
    fn the_mac_is_siphash_over_the_head_without_cookie_and_mac() {
        let head = head();
        let covered = [&head[..8], &head[24..]].concat();
        let expected = siphash(MAC_KEY, &covered).to_le_bytes();
        assert_eq!(mac(MAC_KEY, &head), expected);
    }

    #[test]
    fn a_cookie_is_siphash_over_address_port_and_minute() {
        let ipv6 = Address::from_ipv6([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9]);
        for source in [SOURCE, ipv6] {
            let minute = 0x0102_0304_u32;
            let port = 4754_u16.to_be_bytes();
            let covered = [&source.octets()[..], &port, &minute.to_be_bytes()].concat();
            let expected = siphash(SECRET, &covered).to_le_bytes();
            assert_eq!(cookie(SECRET, source, 4754, minute), expected);
        }
    }

    #[test]
    fn who_knows_us_is_asked_for_a_cookie_and_is_believed_with_it_for_two_minutes() {
        // Arrange: an initiation at the counter's last minute
        let mut head = head();
        let cookie = cookie(SECRET, SOURCE, 4754, u32::MAX);
        assert_eq!(judged(&head, u32::MAX), Verdict::NoCookie(cookie));
        // Act
        let reply = cookie_reply(&head, cookie);
        head[8..16].copy_from_slice(&reply[8..16]);
        // Assert
        assert_eq!(reply[..8], [COOKIE_REPLY, FORMAT_VERSION, 0, 0, 1, 2, 3, 4]);
        assert_eq!(reply[16..], head[16..24]);
        assert_eq!(judged(&head, u32::MAX), Verdict::GoodCookie);
        assert_eq!(judged(&head, 0), Verdict::GoodCookie);
        assert!(matches!(judged(&head, 1), Verdict::NoCookie(_)));
        assert!(matches!(judged(&head, u32::MAX - 1), Verdict::NoCookie(_)));
    }

    #[test]
    fn a_cookie_is_of_no_use_elsewhere() {
        let mut head = head();
        head[8..16].copy_from_slice(&cookie(SECRET, SOURCE, 4754, 1));
        assert_eq!(judged(&head, 1), Verdict::GoodCookie);
        let other = Address::from_ipv4([192, 0, 2, 8]);
        for (source, port) in [(other, 4754), (SOURCE, 4755)] {
            let verdict = judge(MAC_KEY, SECRET, &head, source, port, 1);
            assert!(matches!(verdict, Verdict::NoCookie(_)), "{verdict:?}");
        }
    }

    #[test]
    fn a_head_that_is_none_is_malformed_and_another_version_is_named() {
        let with = |at: usize, value: u8| {
            let mut head = head();
            head[at] = value;
            judged(&head, 1)
        };
        assert_eq!(with(0, RESPONSE), Verdict::Malformed);
        assert_eq!(with(1, 2), Verdict::UnknownVersion);
        assert_eq!(with(2, 1), Verdict::Malformed);
        assert_eq!(with(3, 1), Verdict::Malformed);
        let mut head = head();
        head[4..8].fill(0);
        assert_eq!(judged(&head, 1), Verdict::Malformed);
    }

    proptest! {
        #[test]
        fn who_does_not_know_us_or_changes_a_bit_gets_no_answer(
            key in any::<[u8; 16]>(),
            bit in 0..HEAD_SIZE * 8,
            minute in any::<u32>(),
        ) {
            let mut changed = head();
            changed[bit / 8] ^= 1 << (bit % 8);
            let verdict = judged(&changed, minute);
            if (64..128).contains(&bit) {
                prop_assert!(matches!(verdict, Verdict::NoCookie(_)));
            } else {
                prop_assert!(!matches!(verdict, Verdict::GoodCookie | Verdict::NoCookie(_)));
            }
            prop_assume!(SipKey::new(key) != MAC_KEY);
            let verdict = judge(SipKey::new(key), SECRET, &head(), SOURCE, 4754, minute);
            prop_assert_eq!(verdict, Verdict::WrongMac);
        }
    }
}
