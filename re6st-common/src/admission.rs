//! Which initiations of the secure channel reach the controller. XDP judges them, so that a flood of them never meets a socket.
//!
//! Only packets with [`Reason::Control`] come here, and no tunnel's packet is one: what is relayed costs no more for it.

use crate::{
    address::{Address, Family},
    apply,
    checksum::fold,
    handshake::{self, COOKIE_REPLY_SIZE, HEAD_SIZE, Head, INITIATION, TAG_SIZE},
    maps::{Handshakes, interface},
    packet::Packet,
    parse::{self, Outer},
    reason::Reason,
    tables::Tables,
    wire::{Ethernet, Ipv4, Ipv6, Udp, protocol},
};

/// What judging initiations takes besides the [`Tables`].
pub trait Gate: Tables {
    /// HANDSHAKES; `None` while nothing is judged.
    fn handshakes(&self) -> Option<&Handshakes>;
    /// Whether the kernel keeps a packet that arrived on an interface, and would not route it on to another host.
    fn keeps(&self, arrival: u32, family: Family, source: Address, destination: Address) -> bool;
    /// Nanoseconds since the host booted.
    fn now(&self) -> u64;
    /// Takes one of the tokens by which initiations without a cookie pass; whether there was one.
    fn take_token(&self, handshakes: &Handshakes, now: u64) -> bool;
}

/// Nanoseconds of a minute, by which cookies are counted.
const MINUTE: u64 = 60_000_000_000;

/// What the program answers the kernel. Without the interface: a verifier minds a number that is not set for all answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Admission {
    /// Up the stack: what the controller shall have, or TC transmit.
    Pass,
    /// Out of the interface that it came on.
    Back,
    /// Gone.
    Drop,
}

/// What becomes of a frame that is the controller's, and the reason to count.
#[inline(always)]
pub fn receive<P: Packet, G: Gate>(packet: &mut P, gate: &G, arrival: u32) -> (Reason, Admission) {
    // always set, and not only where it is used: verifiers mind what is not, even where it is just moved about
    let mut cookie = [0; TAG_SIZE];
    let reason = match judge(packet, gate, arrival, &mut cookie) {
        Ok(()) => Reason::HandshakeCookie,
        Err(reason) => reason,
    };
    match reason {
        Reason::Control => (reason, Admission::Pass),
        Reason::HandshakeCookie => match answer(packet, gate, arrival, &cookie) {
            Ok(admission) => (reason, admission),
            Err(reason) => (reason, Admission::Drop),
        },
        _ => (reason, Admission::Drop),
    }
}

/// What is made of an initiation: answered with this cookie, or if not, why. [`Reason::Control`] for what the controller shall have.
#[inline(always)]
fn judge<P: Packet, G: Gate>(
    packet: &P,
    gate: &G,
    arrival: u32,
    cookie: &mut [u8; TAG_SIZE],
) -> Result<(), Reason> {
    const ADMITTED: Reason = Reason::Control;
    let handshakes = gate.handshakes().ok_or(ADMITTED)?;
    let link = parse::frame_header(packet).ok_or(ADMITTED)?;
    let outer = parse::outer(packet, &link).ok_or(ADMITTED)?;
    let udp = datagram(packet, &outer, link.length).ok_or(ADMITTED)?;
    let [first]: [u8; 1] = packet
        .read(outer.payload + size_of::<Udp>())
        .ok_or(ADMITTED)?;
    if udp.destination != gate.settings().port.to_be_bytes() || first != INITIATION {
        return Err(ADMITTED);
    }
    let on = gate.interface(arrival).ok_or(ADMITTED)?;
    // a bridge's, a neighbour's, or to all of the link: the kernel knows what to do
    if link.destination != on.address {
        return Err(ADMITTED);
    }
    let (family, source) = (outer.ip.family(), outer.ip.source());
    let destination = outer.ip.destination();
    let now = gate.now();
    let verdict = match head(packet, &outer, udp) {
        None => handshake::Verdict::Malformed,
        Some(head) => {
            let port = u16::from_be_bytes(udp.source);
            let minute = (now / MINUTE) as u32;
            let (key, secret) = (handshakes.mac_key, handshakes.cookie_secret);
            handshake::judge(key, secret, head, source, port, minute)
        }
    };
    let refused = match verdict {
        handshake::Verdict::Malformed => Reason::HandshakeMalformed,
        handshake::Verdict::UnknownVersion => Reason::HandshakeVersion,
        handshake::Verdict::WrongMac => Reason::HandshakeMac,
        handshake::Verdict::GoodCookie => return Err(ADMITTED),
        handshake::Verdict::NoCookie(new) => {
            *cookie = new;
            Reason::HandshakeCookie
        }
    };
    // a packet between two other nodes on whose path this host is a router
    if destination.is_multicast(family) || !gate.keeps(arrival, family, source, destination) {
        return Err(ADMITTED);
    }
    if refused != Reason::HandshakeCookie {
        return Err(refused);
    }
    if gate.take_token(handshakes, now) {
        return Err(ADMITTED);
    }
    let to_one = packet
        .header::<Ethernet>(0)
        .is_some_and(|ethernet| ethernet.source[0] & 1 == 0);
    if !to_one
        || udp.source == [0; 2]
        || source == destination
        || source.is_multicast(family)
        || source.is_forbidden(family)
        || gate.is_underlay(source)
    {
        return Err(Reason::HandshakeMalformed);
    }
    let untagged = link.length == size_of::<Ethernet>();
    let loses_tag = match untagged {
        true => interface::HIDDEN_TAGS,
        false => interface::TRANSMIT_WITH_TC,
    };
    match on.flags & loses_tag {
        0 => Ok(()),
        _ => Err(ADMITTED),
    }
}

/// The header of a datagram that directly follows an IP header without options. All that is behind other headers is rare, and
/// left to the kernel.
#[inline(always)]
fn datagram<'frame, P: Packet>(
    packet: &'frame P,
    outer: &Outer<'_>,
    link: usize,
) -> Option<&'frame Udp> {
    let plain = outer.special.is_none()
        && outer.protocol == protocol::UDP
        && outer.payload == link + header_size(outer.ip.family())
        && outer.payload_length > size_of::<Udp>();
    plain.then(|| packet.header(outer.payload)).flatten()
}

#[inline(always)]
const fn header_size(family: Family) -> usize {
    match family {
        Family::Ipv4 => size_of::<Ipv4>(),
        Family::Ipv6 => size_of::<Ipv6>(),
    }
}

/// The head of an initiation; `None` if it is cut short, or its lengths contradict each other.
#[inline(always)]
fn head<'frame, P: Packet>(
    packet: &'frame P,
    outer: &Outer<'_>,
    udp: &Udp,
) -> Option<&'frame Head> {
    let fits = u16::from_be_bytes(udp.length) as usize == outer.payload_length
        && outer.payload_length >= size_of::<Udp>() + HEAD_SIZE
        && outer.payload + outer.payload_length <= packet.length();
    fits.then(|| packet.header(outer.payload + size_of::<Udp>()))
        .flatten()
}

/// Makes the cookie reply of an initiation, in its place.
#[inline(always)]
fn answer<P: Packet, G: Gate>(
    packet: &mut P,
    gate: &G,
    arrival: u32,
    cookie: &[u8; TAG_SIZE],
) -> Result<Admission, Reason> {
    packet.gather_headers().ok_or(Reason::NoHeadroom)?;
    let link = parse::frame_header(packet).ok_or(Reason::RewriteFailed)?;
    let family = Family::of(link.ethertype).ok_or(Reason::RewriteFailed)?;
    write_reply(packet, link.length, family, cookie).ok_or(Reason::RewriteFailed)?;
    let by_tc = gate
        .interface(arrival)
        .is_none_or(|on| on.flags & interface::TRANSMIT_WITH_TC != 0);
    if by_tc {
        return apply::hand_over(packet, gate, arrival, family).map(|_| Admission::Pass);
    }
    let ethernet: &mut Ethernet = packet.header_mut(0).ok_or(Reason::RewriteFailed)?;
    core::mem::swap(&mut ethernet.destination, &mut ethernet.source);
    Ok(Admission::Back)
}

/// Bytes of a reply's UDP header and payload.
const DATAGRAM: u16 = (size_of::<Udp>() + COOKIE_REPLY_SIZE) as u16;
const HOP_LIMIT: u8 = 64;

/// Everything but the link's header. The VLAN tag stays.
#[inline(always)]
fn write_reply<P: Packet>(
    packet: &mut P,
    link: usize,
    family: Family,
    cookie: &[u8; TAG_SIZE],
) -> Option<()> {
    let udp_at = link + header_size(family);
    let head_at = udp_at + size_of::<Udp>();
    let reply = handshake::cookie_reply(packet.header(head_at)?, *cookie);
    packet.truncate(head_at + COOKIE_REPLY_SIZE)?;
    let addresses = match family {
        Family::Ipv4 => turn_ipv4(packet.header_mut(link)?),
        Family::Ipv6 => turn_ipv6(packet.header_mut(link)?),
    };
    packet.write(head_at, &reply)?;
    let udp: &mut Udp = packet.header_mut(udp_at)?;
    core::mem::swap(&mut udp.source, &mut udp.destination);
    udp.length = DATAGRAM.to_be_bytes();
    // of the pseudo-header too, in which is the length again
    let sum = addresses
        + protocol::UDP as u32
        + 2 * DATAGRAM as u32
        + u16::from_be_bytes(udp.source) as u32
        + u16::from_be_bytes(udp.destination) as u32
        + sum_of_reply(&reply);
    udp.checksum = match !fold(sum) {
        // which would say that there is none
        0 => u16::MAX,
        checksum => checksum,
    }
    .to_be_bytes();
    Some(())
}

/// Makes a reply's header of an initiation's; the sum of the addresses, not folded.
#[inline(always)]
fn turn_ipv4(ip: &mut Ipv4) -> u32 {
    const LENGTH: u16 = size_of::<Ipv4>() as u16 + DATAGRAM;
    const VERSION_LENGTH: u8 = 0x45;
    const OTHERS: u32 = ((VERSION_LENGTH as u32) << 8)
        + LENGTH as u32
        + Ipv4::DONT_FRAGMENT as u32
        + ((HOP_LIMIT as u32) << 8 | protocol::UDP as u32);
    let addresses = sum_of_word(u32::from_be_bytes(ip.source) as u64)
        + sum_of_word(u32::from_be_bytes(ip.destination) as u64);
    *ip = Ipv4 {
        version_length: VERSION_LENGTH,
        traffic_class: 0,
        total_length: LENGTH.to_be_bytes(),
        identification: [0; 2],
        fragment: Ipv4::DONT_FRAGMENT.to_be_bytes(),
        hop_limit: HOP_LIMIT,
        protocol: protocol::UDP,
        checksum: (!fold(OTHERS + addresses)).to_be_bytes(),
        source: ip.destination,
        destination: ip.source,
    };
    addresses
}

/// As [`turn_ipv4`].
#[inline(always)]
fn turn_ipv6(ip: &mut Ipv6) -> u32 {
    let addresses =
        sum_of(Address::from_ipv6(ip.source)) + sum_of(Address::from_ipv6(ip.destination));
    *ip = Ipv6 {
        version_class_label: [0x60, 0, 0, 0],
        payload_length: DATAGRAM.to_be_bytes(),
        next_header: protocol::UDP,
        hop_limit: HOP_LIMIT,
        source: ip.destination,
        destination: ip.source,
    };
    addresses
}

/// The sum of an address's 16-bit words, not folded.
#[inline(always)]
const fn sum_of(address: Address) -> u32 {
    sum_of_word(address.high()) + sum_of_word(address.low())
}

#[inline(always)]
const fn sum_of_reply(reply: &[u8; COOKIE_REPLY_SIZE]) -> u32 {
    let (words, _) = reply.as_chunks::<8>();
    sum_of_word(u64::from_be_bytes(words[0]))
        + sum_of_word(u64::from_be_bytes(words[1]))
        + sum_of_word(u64::from_be_bytes(words[2]))
}

/// The sum of four 16-bit words.
#[inline(always)]
const fn sum_of_word(word: u64) -> u32 {
    ((word >> 48) + (word >> 32 & 0xffff) + (word >> 16 & 0xffff) + (word & 0xffff)) as u32
}

#[cfg(test)]
mod tests {
    use crate::maps::Handshakes;

    const SECOND: u64 = 1_000_000_000;

    /// How many of so many at once get a token.
    fn taken(handshakes: &Handshakes, due: &mut u64, now: u64, asked: usize) -> usize {
        (0..asked)
            .filter(|_| handshakes.take_token(due, now))
            .count()
    }

    #[test]
    fn tokens_come_at_their_rate_and_are_saved_up_to_the_burst() {
        let handshakes = Handshakes {
            rate: 10,
            burst: 5,
            ..Handshakes::default()
        };
        let mut due = 0;
        let start = 100 * SECOND;
        assert_eq!(taken(&handshakes, &mut due, start, 100), 5);
        assert_eq!(taken(&handshakes, &mut due, start + SECOND / 20, 100), 0);
        assert_eq!(taken(&handshakes, &mut due, start + SECOND / 5, 100), 2);
        let over_ten_seconds: usize = (1..=100)
            .map(|tenth| start + SECOND / 5 + tenth * SECOND / 10)
            .map(|now| taken(&handshakes, &mut due, now, 100))
            .sum();
        assert_eq!(over_ten_seconds, 100);
        assert_eq!(taken(&handshakes, &mut due, start + 100 * SECOND, 100), 5);
    }

    #[test]
    fn with_a_rate_of_0_there_are_none_and_with_a_burst_of_0_one_at_a_time() {
        let none = Handshakes {
            burst: 5,
            ..Handshakes::default()
        };
        assert_eq!(taken(&none, &mut 0, 100 * SECOND, 10), 0);
        let single = Handshakes {
            rate: 10,
            ..Handshakes::default()
        };
        assert_eq!(taken(&single, &mut 0, 100 * SECOND, 10), 1);
    }
}
