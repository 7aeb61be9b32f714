//! Changes become rows.

use rusqlite::{Connection, params};

use super::super::rules::{
    certificate::{Certificate, Replaced},
    change::Change,
    mac_keys::Slots,
    token::TokenEntry,
    tree::Block,
};
use crate::certificate::{
    digest::KeyId, node_prefix::NodePrefix, revocations::Revocation, serial::Serial,
};

/// What re6stnet writes instead of a certificate where there will never be one.
pub(super) const RESERVED: &str = "reserved";

/// Names in re6stnet's table `config`.
pub(super) mod config {
    pub const PREFIX: &str = "prefix";
    pub const SERIAL: &str = "serial";
    pub const VERSION: &str = "version";
    pub const LAST_CONFIG: &str = "last_config";
    pub const MAC_KEYS: [&str; 3] = ["babel_hmac0", "babel_hmac1", "babel_hmac2"];
}

/// Names in the table `re6st_document`.
pub(super) mod document {
    pub const PARAMETERS: &str = "parameters";
    pub const COMMUNITIES: &str = "communities";
    pub const PUBLICATION: &str = "publication";
    pub const CLOCK: &str = "clock";
}

pub(super) fn write(connection: &Connection, change: &Change) -> rusqlite::Result<()> {
    match change {
        Change::Block {
            prefix,
            before,
            after,
            pem,
        } => block(
            connection,
            *prefix,
            before.as_ref(),
            after.as_ref(),
            pem.as_deref(),
        ),
        Change::Token { before, after, .. } => token(connection, before.as_ref(), after.as_ref()),
        Change::Revocation { serial, after, .. } => revocation(connection, *serial, *after),
        Change::RevokedKey { key, after, .. } => revoked_key(connection, *key, *after),
        Change::Replaced { serial, after, .. } => replaced(connection, *serial, *after),
        Change::Serial { after, .. } => set_config(connection, config::SERIAL, integer(*after)),
        Change::RegistryPrefix { after, .. } => match after {
            Some(prefix) => set_config(connection, config::PREFIX, prefix.to_string()),
            None => remove_config(connection, config::PREFIX),
        },
        Change::MacKeys { before, after } => mac_keys(connection, before, after),
        Change::Parameters { after, .. } => {
            let text = to_json(after.to_stored())?;
            set_document(connection, document::PARAMETERS, &text)
        }
        Change::Communities { after, .. } => {
            set_document(connection, document::COMMUNITIES, after.text())
        }
        Change::Publication { after, version, .. } => {
            set_config(connection, config::VERSION, version)?;
            let text = to_json(&*after.parameters)?;
            set_document(connection, document::PUBLICATION, &text)
        }
        Change::Clock { after, .. } => {
            let text = after.map_or_else(String::new, |clock| clock.to_string());
            set_document(connection, document::CLOCK, &text)
        }
        Change::Audit(entry) => run(
            connection,
            "INSERT INTO re6st_audit (time, who, action, subject) VALUES (?1, ?2, ?3, ?4)",
            params![
                integer(entry.time.0),
                entry.who,
                entry.action.name(),
                entry.subject
            ],
        ),
    }
}

fn block(
    connection: &Connection,
    prefix: NodePrefix,
    before: Option<&Block<Certificate>>,
    after: Option<&Block<Certificate>>,
    pem: Option<&str>,
) -> rusqlite::Result<()> {
    const PUT: &str = "INSERT INTO cert VALUES (?1, ?2, ?3) \
                       ON CONFLICT (prefix) DO UPDATE SET email = excluded.email, cert = excluded.cert";
    let bits = prefix.to_string();
    match after {
        None => run(connection, "DELETE FROM cert WHERE prefix = ?1", [&bits])?,
        Some(Block::Free) => run(connection, PUT, params![bits, None::<&str>, None::<&str>])?,
        Some(Block::Reserved) => run(connection, PUT, params![bits, None::<&str>, RESERVED])?,
        Some(Block::Held(certificate)) => {
            let email = certificate.email.as_ref().map(|email| email.as_str());
            // as BLOB, like re6stnet 0.642
            run(
                connection,
                PUT,
                params![bits, email, pem.map(str::as_bytes)],
            )?;
            let (first, present) = (certificate.enrolled, certificate.serial);
            return run(
                connection,
                "INSERT INTO re6st_enrolment VALUES (?1, ?2, ?3) \
                 ON CONFLICT (prefix) DO UPDATE SET serial = excluded.serial, present = excluded.present",
                params![bits, integer(first.number()), integer(present.number())],
            );
        }
    }
    if matches!(before, Some(Block::Held(_))) {
        run(
            connection,
            "DELETE FROM re6st_enrolment WHERE prefix = ?1",
            [&bits],
        )?;
    }
    Ok(())
}

fn token(
    connection: &Connection,
    before: Option<&TokenEntry>,
    after: Option<&TokenEntry>,
) -> rusqlite::Result<()> {
    if let Some(entry) = before {
        run(
            connection,
            "DELETE FROM token WHERE token = ?1",
            [entry.token.reveal()],
        )?;
        if entry.node.is_some() {
            run(
                connection,
                "DELETE FROM re6st_token WHERE token = ?1",
                [entry.token.reveal()],
            )?;
        }
    }
    if let Some(entry) = after {
        run(
            connection,
            "INSERT INTO token VALUES (?1, ?2, ?3, ?4)",
            params![
                entry.token.reveal(),
                entry.email.as_str(),
                entry.prefix_length,
                integer(entry.created.0)
            ],
        )?;
        if let Some(node) = &entry.node {
            run(
                connection,
                "INSERT INTO re6st_token VALUES (?1, ?2)",
                params![entry.token.reveal(), node.to_string()],
            )?;
        }
    }
    Ok(())
}

fn revocation(
    connection: &Connection,
    serial: Serial,
    after: Option<Revocation>,
) -> rusqlite::Result<()> {
    let number = integer(serial.number());
    match after {
        Some(Revocation { at, not_after }) => {
            run(
                connection,
                "INSERT INTO crl VALUES (?1, ?2)",
                [number, integer(not_after.0)],
            )?;
            run(
                connection,
                "INSERT OR REPLACE INTO re6st_revocation VALUES (?1, ?2)",
                [number, integer(at.0)],
            )
        }
        None => {
            run(connection, "DELETE FROM crl WHERE serial = ?1", [number])?;
            run(
                connection,
                "DELETE FROM re6st_revocation WHERE serial = ?1",
                [number],
            )
        }
    }
}

fn revoked_key(connection: &Connection, key: KeyId, after: Option<Serial>) -> rusqlite::Result<()> {
    let name = key.to_string();
    match after {
        Some(serial) => run(
            connection,
            "INSERT OR REPLACE INTO re6st_revoked_key VALUES (?1, ?2)",
            params![name, integer(serial.number())],
        ),
        None => run(
            connection,
            "DELETE FROM re6st_revoked_key WHERE key = ?1",
            [name],
        ),
    }
}

fn replaced(
    connection: &Connection,
    serial: Serial,
    after: Option<Replaced>,
) -> rusqlite::Result<()> {
    let number = integer(serial.number());
    let Some(replaced) = after else {
        run(
            connection,
            "DELETE FROM re6st_replaced_key WHERE serial = ?1",
            [number],
        )?;
        return run(
            connection,
            "DELETE FROM re6st_replaced WHERE serial = ?1",
            [number],
        );
    };
    run(
        connection,
        "INSERT OR REPLACE INTO re6st_replaced VALUES (?1, ?2, ?3)",
        params![
            number,
            replaced.prefix.to_string(),
            integer(replaced.not_after.0)
        ],
    )?;
    match replaced.key {
        Some(key) => run(
            connection,
            "INSERT OR REPLACE INTO re6st_replaced_key VALUES (?1, ?2)",
            params![number, key.to_string()],
        ),
        None => Ok(()),
    }
}

fn mac_keys(connection: &Connection, before: &Slots, after: &Slots) -> rusqlite::Result<()> {
    for (name, (before, after)) in config::MAC_KEYS.iter().zip(before.iter().zip(after)) {
        match after {
            Some(key) if before.as_ref() != Some(key) => {
                set_config(connection, name, key.reveal())?
            }
            None if before.is_some() => remove_config(connection, name)?,
            _ => {}
        }
    }
    Ok(())
}

fn set_config(
    connection: &Connection,
    name: &str,
    value: impl rusqlite::ToSql,
) -> rusqlite::Result<()> {
    run(
        connection,
        "INSERT OR REPLACE INTO config VALUES (?1, ?2)",
        params![name, value],
    )
}

fn remove_config(connection: &Connection, name: &str) -> rusqlite::Result<()> {
    run(connection, "DELETE FROM config WHERE name = ?1", [name])
}

fn set_document(connection: &Connection, name: &str, text: &str) -> rusqlite::Result<()> {
    run(
        connection,
        "INSERT OR REPLACE INTO re6st_document VALUES (?1, ?2)",
        [name, text],
    )
}

fn run(
    connection: &Connection,
    sql: &str,
    parameters: impl rusqlite::Params,
) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute(parameters)?;
    Ok(())
}

/// SQLite's integers have a sign; beyond it is beyond all times and serial numbers.
fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn to_json(value: &impl serde::Serialize) -> rusqlite::Result<String> {
    serde_json::to_string(value)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}
