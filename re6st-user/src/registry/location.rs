//! Where an address is, by a MaxMind database (GeoLite2 or GeoIP2, Country or City).

use std::{fmt, net::IpAddr, path::Path};

use maxminddb::{MaxMindDbError, Reader, path};

use crate::io::file;

/// The biggest database, in bytes; those of cities have about a hundred million.
const MAXIMUM_SIZE: u64 = 1 << 30;

/// A database in memory.
pub struct Locations {
    reader: Reader<Vec<u8>>,
}

/// A country and its continent by their two letters, each if known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// ISO 3166-1, as `FR`.
    pub country: Option<String>,
    /// As MaxMind has them, as `EU`.
    pub continent: Option<String>,
}

impl fmt::Debug for Locations {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Locations").finish_non_exhaustive()
    }
}

/// Why there is no database.
#[derive(Debug, thiserror::Error)]
pub enum LocationsError {
    /// The file.
    #[error("cannot read it: {0}")]
    Read(#[from] std::io::Error),
    /// It is something else.
    #[error(
        "it is no MaxMind database with countries ({0}); GeoLite2-Country.mmdb of maxmind.com is one"
    )]
    Format(#[from] MaxMindDbError),
}

impl Locations {
    /// Reads a file into memory.
    pub fn open(path: &Path) -> Result<Self, LocationsError> {
        let bytes = file::read(path, MAXIMUM_SIZE)?;
        Ok(Self {
            reader: Reader::from_source(bytes)?,
        })
    }

    /// Where an address is; nothing known is no error.
    pub fn find(&self, address: IpAddr) -> Place {
        let Ok(found) = self.reader.lookup(address.to_canonical()) else {
            return Place::default();
        };
        let text = |path: &[maxminddb::PathElement<'_>]| {
            let text = found.decode_path::<&str>(path).ok().flatten();
            text.map(str::to_owned)
        };
        Place {
            country: text(&path!["country", "iso_code"]),
            continent: text(&path!["continent", "code"]),
        }
    }
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]
pub(crate) mod tests {
    use super::{Locations, Place};

    /// A database of IPv6 addresses in which every address beginning with the given bits is in France.
    pub fn database(france: &str) -> Vec<u8> {
        // a tree of 24-bit records: one node a bit, the other branch leads nowhere
        let nodes = u32::try_from(france.len()).unwrap();
        let mut database = Vec::new();
        for (number, bit) in (1..).zip(france.bytes()) {
            // behind the last node: the first byte of the data, whose pointers begin at nodes + 16
            let next = if number == nodes { nodes + 16 } else { number };
            let records = if bit == b'0' {
                [next, nodes]
            } else {
                [nodes, next]
            };
            for record in records {
                database.extend(&record.to_be_bytes()[1..]);
            }
        }
        database.extend([0; 16]);
        let code = |key: &str, value: &str| [map(1), text(key), text(value)].concat();
        database.extend(map(2));
        database.extend([text("continent"), code("code", "EU")].concat());
        database.extend([text("country"), code("iso_code", "FR")].concat());
        database.extend(b"\xab\xcd\xefMaxMind.com");
        database.extend(map(9));
        for (key, value) in [
            ("node_count", number(nodes)),
            ("record_size", short(24)),
            ("ip_version", short(6)),
            ("binary_format_major_version", short(2)),
            ("binary_format_minor_version", short(0)),
            ("build_epoch", vec![0x01, 0x02, 1]),
            ("database_type", text("Test-Country")),
            ("languages", vec![0x00, 0x04]),
            ("description", map(0)),
        ] {
            database.extend(text(key));
            database.extend(value);
        }
        database
    }

    fn map(entries: u8) -> Vec<u8> {
        vec![0b1110_0000 | entries]
    }

    fn text(text: &str) -> Vec<u8> {
        let length = u8::try_from(text.len()).unwrap();
        let mut bytes = if length < 29 {
            vec![0b0100_0000 | length]
        } else {
            vec![0b0101_1101, length - 29]
        };
        bytes.extend(text.as_bytes());
        bytes
    }

    fn short(number: u16) -> Vec<u8> {
        [&[0b1010_0010][..], &number.to_be_bytes()].concat()
    }

    fn number(number: u32) -> Vec<u8> {
        [&[0b1100_0100][..], &number.to_be_bytes()].concat()
    }

    fn locations(bytes: &[u8]) -> Locations {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("places.mmdb");
        std::fs::write(&path, bytes).unwrap();
        Locations::open(&path).unwrap()
    }

    #[test]
    fn finds_country_and_continent_and_nothing_elsewhere() {
        // 2001:db8::/32
        let locations = locations(&database("00100000000000010000110110111000"));

        let france = Place {
            country: Some("FR".into()),
            continent: Some("EU".into()),
        };
        assert_eq!(locations.find("2001:db8:1::1".parse().unwrap()), france);
        assert_eq!(
            locations.find("2001:db9::1".parse().unwrap()),
            Place::default()
        );
        assert_eq!(
            locations.find("192.0.2.1".parse().unwrap()),
            Place::default()
        );
    }

    #[test]
    fn refuses_what_is_no_database() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("places.mmdb");
        std::fs::write(&path, "no database").unwrap();

        let error = Locations::open(&path).unwrap_err().to_string();

        assert!(error.contains("no MaxMind database"), "{error}");
    }
}
