//! Reads descriptions.

use std::{net::IpAddr, str::FromStr};

use data_encoding::HEXLOWER_PERMISSIVE;

use super::{Content, Description, Ip, MAXIMUM, Outer, Packet, Place, Ports, Transport};
use crate::config::DEFAULT_PORT;

/// The words of one section, the part between two colons.
struct Words<'text> {
    section: &'static str,
    words: std::iter::Peekable<std::vec::IntoIter<&'text str>>,
}

/// Reads a description; an error says what was expected where.
pub fn description(text: &str) -> Result<Description, String> {
    if text.len() > MAXIMUM {
        return Err(format!("longer than {MAXIMUM} bytes"));
    }
    let mut sections = sections(text);
    if !(2..=3).contains(&sections.len()) {
        return Err(
            "expected WHERE: PACKET or WHERE: OUTER: PACKET, with a space after each colon"
                .to_owned(),
        );
    }
    let packet = sections.pop().unwrap_or_default();
    let outer = if sections.len() == 2 {
        sections.pop()
    } else {
        None
    };
    let place = place(Words::new(
        "where it comes from",
        sections.pop().unwrap_or_default(),
    ))?;
    let outer = outer
        .map(|words| self::outer(Words::new("the outer headers", words)))
        .transpose()?;
    let content = content(Words::new("the packet", packet), outer)?;
    match (&place, &content) {
        (
            Place::Tunnel(_) | Place::Send,
            Content::Frame(_) | Content::Packet { outer: Some(_), .. },
        ) => Err(
            "outer headers and whole frames arrive on an interface: write \"on INTERFACE:\""
                .to_owned(),
        ),
        _ => Ok(Description { place, content }),
    }
}

/// A word that ends with one colon ends a section; an address may end with two.
fn sections(text: &str) -> Vec<Vec<&str>> {
    let mut sections = vec![Vec::new()];
    for word in text.split_whitespace() {
        let stripped = word.strip_suffix(':');
        let (word, ends) = match stripped {
            Some(word) if !word.ends_with(':') => (word, true),
            _ => (word, false),
        };
        if let (Some(section), false) = (sections.last_mut(), word.is_empty()) {
            section.push(word);
        }
        if ends {
            sections.push(Vec::new());
        }
    }
    sections
}

fn place(mut words: Words<'_>) -> Result<Place, String> {
    let place = match words.next("\"on\", \"from tunnel\" or \"send\"")? {
        "send" => Place::Send,
        "from" => {
            words.keyword("tunnel")?;
            Place::Tunnel(words.next("a tunnel's name")?.to_owned())
        }
        "on" => Place::Interface {
            name: words.next("an interface's name")?.to_owned(),
            vlan: match words.take("vlan") {
                true => Some(words.number("a VLAN identifier", 1, 4094)?),
                false => None,
            },
        },
        other => return Err(words.unexpected(other, "\"on\", \"from tunnel\" or \"send\"")),
    };
    words.end()?;
    Ok(place)
}

fn outer(mut words: Words<'_>) -> Result<Outer, String> {
    let mut ip = addresses(&mut words)?;
    let port = match words.next("\"fou\" or \"gre\"")? {
        "fou" if words.take("port") => Some(words.number("a port", 0, u64::from(u16::MAX))?),
        "fou" => Some(DEFAULT_PORT),
        "gre" => None,
        other => return Err(words.unexpected(other, "\"fou\" or \"gre\"")),
    };
    let key = match words.take("key") {
        true => Some(words.number("a key", 0, u64::from(u32::MAX))?),
        false => None,
    };
    more(&mut words, &mut ip)?;
    Ok(Outer { ip, port, key })
}

fn content(mut words: Words<'_>, outer: Option<Outer>) -> Result<Content, String> {
    if words.take("hex") {
        if outer.is_some() {
            return Err("a whole frame has its outer headers in it".to_owned());
        }
        return hexadecimal(words).map(Content::Frame);
    }
    let mut ip = addresses(&mut words)?;
    let transport = transport(&mut words)?;
    more(&mut words, &mut ip)?;
    Ok(Content::Packet {
        outer,
        packet: Packet { ip, transport },
    })
}

fn addresses(words: &mut Words<'_>) -> Result<Ip, String> {
    let source: IpAddr = words.address("the source address")?;
    words.keyword(">")?;
    let destination: IpAddr = words.address("the destination address")?;
    if source.is_ipv4() != destination.is_ipv4() {
        return Err(format!(
            "{source} > {destination}: one is IPv4 and the other IPv6"
        ));
    }
    Ok(Ip {
        source,
        destination,
        hop_limit: Ip::HOP_LIMIT,
        class: 0,
        length: None,
        options: false,
        fragment: false,
    })
}

fn transport(words: &mut Words<'_>) -> Result<Transport, String> {
    Ok(if words.take("udp") {
        Transport::Udp(ports(words)?)
    } else if words.take("tcp") {
        Transport::Tcp(ports(words)?)
    } else if words.take("icmp") {
        Transport::Icmp
    } else if words.take("protocol") {
        Transport::Protocol(words.number("a protocol number", 0, 255)?)
    } else {
        Transport::NOTHING
    })
}

fn ports(words: &mut Words<'_>) -> Result<Ports, String> {
    let given = words
        .words
        .peek()
        .is_some_and(|word| word.starts_with(|first: char| first.is_ascii_digit()));
    if !given {
        return Ok(Ports::DEFAULT);
    }
    let source = words.number("the source port", 0, u64::from(u16::MAX))?;
    words.keyword(">")?;
    let destination = words.number("the destination port", 0, u64::from(u16::MAX))?;
    Ok(Ports {
        source,
        destination,
    })
}

fn more(words: &mut Words<'_>, ip: &mut Ip) -> Result<(), String> {
    const EXPECTED: &str =
        "\"hop-limit\", \"class\", \"length\", \"options\", \"fragment\" or the end";
    while let Some(word) = words.words.next() {
        match word {
            "hop-limit" => ip.hop_limit = words.number("a hop limit", 0, 255)?,
            "class" => ip.class = words.number("a traffic class", 0, 255)?,
            "length" => ip.length = Some(words.number("a length in bytes", 20, 65_535)?),
            "options" => ip.options = true,
            "fragment" => ip.fragment = true,
            other => return Err(words.unexpected(other, EXPECTED)),
        }
    }
    Ok(())
}

fn hexadecimal(mut words: Words<'_>) -> Result<Vec<u8>, String> {
    let expected = "an even number of hexadecimal digits, at least 28";
    let digits: String = words.words.by_ref().collect();
    let octets = HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).ok();
    octets
        .filter(|octets| octets.len() >= 14)
        .ok_or_else(|| format!("hex: expected {expected}"))
}

impl<'text> Words<'text> {
    fn new(section: &'static str, words: Vec<&'text str>) -> Self {
        Self {
            section,
            words: words.into_iter().peekable(),
        }
    }

    fn unexpected(&self, word: &str, expected: &str) -> String {
        format!("{}: {word:?}: expected {expected}", self.section)
    }

    fn next(&mut self, expected: &str) -> Result<&'text str, String> {
        self.words
            .next()
            .ok_or_else(|| format!("{} ends early: expected {expected}", self.section))
    }

    fn take(&mut self, word: &str) -> bool {
        self.words.next_if_eq(&word).is_some()
    }

    fn keyword(&mut self, word: &str) -> Result<(), String> {
        let expected = format!("{word:?}");
        match self.next(&expected)? {
            found if found == word => Ok(()),
            found => Err(self.unexpected(found, &expected)),
        }
    }

    fn address<T: FromStr>(&mut self, expected: &str) -> Result<T, String> {
        let word = self.next(expected)?;
        word.parse().map_err(|_| self.unexpected(word, expected))
    }

    /// A decimal number, or a hexadecimal one with `0x`.
    fn number<T: TryFrom<u64>>(&mut self, what: &str, least: u64, most: u64) -> Result<T, String> {
        let expected = format!("{what} from {least} to {most}");
        let word = self.next(&expected)?;
        let number = match word.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16),
            None => word.parse(),
        };
        number
            .ok()
            .filter(|number| (least..=most).contains(number))
            .and_then(|number| T::try_from(number).ok())
            .ok_or_else(|| self.unexpected(word, &expected))
    }

    fn end(&mut self) -> Result<(), String> {
        match self.words.next() {
            None => Ok(()),
            Some(word) => Err(self.unexpected(word, "nothing more")),
        }
    }
}
