//! Rows become what the rules know.

use std::{collections::BTreeMap, path::Path, str::FromStr as _};

use rusqlite::{Connection, OptionalExtension as _, Row, types::ValueRef};
use serde_json::{Map, Value};

use super::{
    super::rules::{
        Stored,
        certificate::{Certificate, Replaced},
        community::Communities,
        mac_keys::{MacKey, Slots},
        packed_integer,
        parameters::Parameters,
        publication::Publication,
        token::{Email, Token, TokenEntry},
        tree::Block,
    },
    StoreError, failure, text,
    write::{RESERVED, config, document},
};
use crate::{
    certificate::{
        digest::KeyId, node::NodeCertificate, node_prefix::NodePrefix, revocations::Revocation,
        serial::Serial,
    },
    time::{DAY, Timestamp},
};

/// How long re6stnet's certificates are valid, in seconds.
const RE6STNET_VALIDITY: u64 = 365 * DAY;

/// What the store has.
#[derive(Debug, Default)]
pub struct Loaded {
    /// For the rules.
    pub stored: Stored,
    /// Certificates that cannot be read, with the reason: their prefixes stay taken, and their rows as they are.
    pub unreadable: Vec<(NodePrefix, String)>,
    /// The latest certificate, of a database in which nothing of ours says whose it is.
    pub sample: Option<NodeCertificate>,
}

/// Reads the tables, with the errors of this file.
struct Loader<'a> {
    connection: &'a Connection,
    path: &'a Path,
}

pub(super) fn load(connection: &Connection, path: &Path) -> Result<Loaded, StoreError> {
    let loader = Loader { connection, path };
    let mut loaded = Loaded::default();
    loader.blocks(&mut loaded)?;
    let stored = &mut loaded.stored;
    stored.tokens = loader.tokens()?;
    stored.revocations = loader.revocations()?;
    stored.revoked_keys = loader.revoked_keys()?;
    stored.replaced = loader.replaced()?;
    stored.serial = loader.serial()?;
    stored.registry_prefix = loader.registry_prefix()?;
    stored.number = loader.number()?;
    stored.mac_keys = loader.mac_keys()?;
    stored.parameters = loader.parameters()?;
    stored.communities = loader.communities()?;
    stored.publication = loader.publication(&stored.revocations)?;
    stored.clock = loader.clock()?;
    // those of before may be of an authority that is gone
    if stored.publication.is_some() {
        loaded.sample = None;
    }
    Ok(loaded)
}

impl Loader<'_> {
    fn row_error(&self, table: &'static str, what: String) -> StoreError {
        StoreError::Row {
            path: self.path.to_owned(),
            table,
            what,
        }
    }

    /// Calls a function with every row of a query.
    fn each(
        &self,
        sql: &str,
        mut read: impl FnMut(&Row<'_>) -> rusqlite::Result<Result<(), StoreError>>,
    ) -> Result<(), StoreError> {
        let failed = |source| failure(self.path, source);
        let mut statement = self.connection.prepare(sql).map_err(failed)?;
        let mut rows = statement.query([]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            read(row).map_err(failed)??;
        }
        Ok(())
    }

    fn blocks(&self, loaded: &mut Loaded) -> Result<(), StoreError> {
        let sql = "SELECT cert.prefix, cert.email, cert.cert, re6st_enrolment.serial, re6st_enrolment.present \
                   FROM cert LEFT JOIN re6st_enrolment ON re6st_enrolment.prefix = cert.prefix";
        loaded.stored.blocks.clear();
        self.each(sql, |row| {
            let bits: String = row.get(0)?;
            let email = text(row.get_ref(1)?).map(Email::stored);
            let pem = text(row.get_ref(2)?);
            let enrolment: (Option<i64>, Option<i64>) = (row.get(3)?, row.get(4)?);
            let prefix = match NodePrefix::from_str(&bits) {
                Ok(prefix) => prefix,
                Err(error) => {
                    return Ok(Err(
                        self.row_error("cert", format!("prefix {bits:?}: {error}"))
                    ));
                }
            };
            let block = match pem.as_deref() {
                None => Block::Free,
                Some(RESERVED) => Block::Reserved,
                Some(pem) => match certificate(prefix, email, pem, enrolment) {
                    Ok((certificate, text)) => {
                        let latest = loaded.sample.as_ref().map(NodeCertificate::serial);
                        if latest < Some(text.serial()) {
                            loaded.sample = Some(text);
                        }
                        Block::Held(certificate)
                    }
                    Err(why) => {
                        loaded.unreadable.push((prefix, why));
                        Block::Reserved
                    }
                },
            };
            loaded.stored.blocks.push((prefix, block));
            Ok(Ok(()))
        })
    }

    fn tokens(&self) -> Result<Vec<TokenEntry>, StoreError> {
        let mut tokens = Vec::new();
        let sql = "SELECT token.token, token.email, token.prefix_len, token.date, re6st_token.prefix \
                   FROM token LEFT JOIN re6st_token ON re6st_token.token = token.token";
        self.each(sql, |row| {
            let length: i64 = row.get(2)?;
            let date: i64 = row.get(3)?;
            let bits: Option<String> = row.get(4)?;
            let node = match bits.as_deref().map(NodePrefix::from_str).transpose() {
                Ok(node) => node,
                Err(error) => return Ok(Err(self.row_error("re6st_token", error.to_string()))),
            };
            tokens.push(TokenEntry {
                token: Token::stored(text(row.get_ref(0)?).unwrap_or_default()),
                email: Email::stored(text(row.get_ref(1)?).unwrap_or_default()),
                // one that is no length is refused when it is used
                prefix_length: u8::try_from(length).unwrap_or(0),
                created: Timestamp(u64::try_from(date).unwrap_or(0)),
                node,
            });
            Ok(Ok(()))
        })?;
        Ok(tokens)
    }

    fn revocations(&self) -> Result<BTreeMap<Serial, Revocation>, StoreError> {
        let mut revocations = BTreeMap::new();
        let sql = "SELECT crl.serial, crl.date, re6st_revocation.date \
                   FROM crl LEFT JOIN re6st_revocation ON re6st_revocation.serial = crl.serial";
        self.each(sql, |row| {
            let (serial, date): (i64, i64) = (row.get(0)?, row.get(1)?);
            let at: Option<i64> = row.get(2)?;
            Ok(match (to_serial(serial), to_time(date)) {
                (Some(serial), Some(not_after)) => {
                    // re6stnet does not note it down: not before the certificate was issued
                    let at = at.and_then(to_time);
                    let at = at.unwrap_or(not_after.minus(RE6STNET_VALIDITY));
                    revocations.insert(serial, Revocation { at, not_after });
                    Ok(())
                }
                _ => Err(self.row_error("crl", format!("serial {serial}, date {date}"))),
            })
        })?;
        Ok(revocations)
    }

    fn revoked_keys(&self) -> Result<BTreeMap<KeyId, Serial>, StoreError> {
        let mut keys = BTreeMap::new();
        self.each("SELECT key, serial FROM re6st_revoked_key", |row| {
            let (key, serial): (String, i64) = (row.get(0)?, row.get(1)?);
            Ok(match (key.parse(), to_serial(serial)) {
                (Ok(key), Some(serial)) => {
                    keys.insert(key, serial);
                    Ok(())
                }
                _ => Err(self.row_error("re6st_revoked_key", format!("key {key:?}"))),
            })
        })?;
        Ok(keys)
    }

    fn replaced(&self) -> Result<BTreeMap<Serial, Replaced>, StoreError> {
        let mut all = BTreeMap::new();
        let sql = "SELECT re6st_replaced.serial, prefix, date, key FROM re6st_replaced \
                   LEFT JOIN re6st_replaced_key ON re6st_replaced_key.serial = re6st_replaced.serial";
        self.each(sql, |row| {
            let (serial, bits, date): (i64, String, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let key: Option<String> = row.get(3)?;
            let prefix = NodePrefix::from_str(&bits).ok();
            Ok(match (to_serial(serial), prefix, to_time(date)) {
                (Some(serial), Some(prefix), Some(not_after)) => {
                    let replaced = Replaced {
                        prefix,
                        not_after,
                        key: key.and_then(|key| key.parse().ok()),
                    };
                    all.insert(serial, replaced);
                    Ok(())
                }
                _ => Err(self.row_error(
                    "re6st_replaced",
                    format!("serial {serial}, prefix {bits}, date {date}"),
                )),
            })
        })?;
        Ok(all)
    }

    /// A value of re6stnet's table `config`.
    fn config<T>(
        &self,
        name: &str,
        read: impl FnOnce(ValueRef<'_>) -> Option<T>,
    ) -> Result<Option<T>, StoreError> {
        let value = self
            .connection
            .query_row("SELECT value FROM config WHERE name = ?1", [name], |row| {
                Ok(read(row.get_ref(0)?))
            })
            .optional()
            .map_err(|source| failure(self.path, source))?;
        value
            .map(|value| {
                value.ok_or_else(|| self.row_error("config", format!("{name} has a strange value")))
            })
            .transpose()
    }

    fn serial(&self) -> Result<u64, StoreError> {
        let serial = self.config(config::SERIAL, |value| {
            u64::try_from(value.as_i64().ok()?).ok()
        })?;
        Ok(serial.unwrap_or(0))
    }

    fn registry_prefix(&self) -> Result<Option<NodePrefix>, StoreError> {
        self.config(config::PREFIX, |value| {
            NodePrefix::from_str(&text(value)?).ok()
        })
    }

    fn number(&self) -> Result<u64, StoreError> {
        let number = self.config(config::VERSION, |value| {
            let (number, _) = packed_integer::unpack(value.as_blob().ok()?).ok()?;
            Some(number)
        })?;
        Ok(number.unwrap_or(0))
    }

    fn mac_keys(&self) -> Result<Slots, StoreError> {
        let [first, second, third] = config::MAC_KEYS;
        let key = |name| {
            self.config(name, |value| match value {
                ValueRef::Blob(octets) | ValueRef::Text(octets) => {
                    Some(MacKey::stored(octets.to_vec()))
                }
                _ => None,
            })
        };
        Ok([key(first)?, key(second)?, key(third)?])
    }

    fn document(&self, name: &str) -> Result<Option<String>, StoreError> {
        self.connection
            .query_row(
                "SELECT text FROM re6st_document WHERE name = ?1",
                [name],
                |row| row.get(0),
            )
            .optional()
            .map_err(|source| failure(self.path, source))
    }

    fn object(&self, name: &'static str, text: &str) -> Result<Map<String, Value>, StoreError> {
        serde_json::from_str(text)
            .map_err(|error| self.row_error("re6st_document", format!("{name}: {error}")))
    }

    /// Ours, or else what re6stnet's registry published last.
    fn parameters(&self) -> Result<Parameters, StoreError> {
        if let Some(text) = self.document(document::PARAMETERS)? {
            return Ok(Parameters::stored(
                self.object(document::PARAMETERS, &text)?,
            ));
        }
        let published = self.config(config::LAST_CONFIG, text)?;
        let published = published
            .map(|text| self.object(config::LAST_CONFIG, &text))
            .transpose()?;
        Ok(published.map(Parameters::from_re6stnet).unwrap_or_default())
    }

    fn communities(&self) -> Result<Communities, StoreError> {
        let text = self.document(document::COMMUNITIES)?.unwrap_or_default();
        Communities::parse(&text)
            .map_err(|mistake| self.row_error("re6st_document", format!("communities: {mistake}")))
    }

    fn clock(&self) -> Result<Option<Timestamp>, StoreError> {
        let Some(text) = self
            .document(document::CLOCK)?
            .filter(|text| !text.is_empty())
        else {
            return Ok(None);
        };
        let clock = text.parse().map(Timestamp);
        let wrong = |_| self.row_error("re6st_document", format!("clock {text:?}"));
        clock.map(Some).map_err(wrong)
    }

    fn publication(
        &self,
        revocations: &BTreeMap<Serial, Revocation>,
    ) -> Result<Option<Publication>, StoreError> {
        let Some(text) = self.document(document::PUBLICATION)? else {
            return Ok(None);
        };
        let mut content = self.object(document::PUBLICATION, &text)?;
        let number = content.remove("number").and_then(|number| number.as_u64());
        let number = number.ok_or_else(|| {
            self.row_error("re6st_document", "the publication has no number".to_owned())
        })?;
        Ok(Some(Publication::stored(number, content, revocations)))
    }
}

fn to_time(number: i64) -> Option<Timestamp> {
    u64::try_from(number).ok().map(Timestamp)
}

fn to_serial(number: i64) -> Option<Serial> {
    Serial::new(u64::try_from(number).ok()?)
}

/// A row's certificate, if its text is one and is this row's.
fn certificate(
    prefix: NodePrefix,
    email: Option<Email>,
    pem: &str,
    enrolment: (Option<i64>, Option<i64>),
) -> Result<(Certificate, NodeCertificate), String> {
    let read = NodeCertificate::from_pem(pem).map_err(|error| error.to_string())?;
    if read.prefix() != prefix {
        return Err(format!(
            "it is for another node, {}",
            read.prefix().common_name()
        ));
    }
    let serial = read.serial();
    let enrolled = match enrolment {
        (Some(first), Some(present)) if to_serial(present) == Some(serial) => {
            to_serial(first).unwrap_or(serial)
        }
        // re6stnet issued it: an older one of the same node is not known as such
        _ => serial,
    };
    let certificate = Certificate {
        serial,
        subject_serial: read.subject_serial(),
        not_before: read.not_before(),
        not_after: read.not_after(),
        key: read.public_key().id(),
        static_key: read.static_key(),
        email,
        enrolled,
    };
    Ok((certificate, read))
}
