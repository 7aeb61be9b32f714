//! The tables. re6stnet compares the text of its own, so they are made octet for octet as it makes them; it takes no
//! notice of others.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _};

use super::{StoreError, failure};

/// A table and its columns.
type Table = (&'static str, &'static [&'static str]);

/// re6stnet's tables.
pub(super) const RE6STNET: &[Table] = &[
    ("config", &["name TEXT PRIMARY KEY NOT NULL", "value"]),
    (
        "token",
        &[
            "token TEXT PRIMARY KEY NOT NULL",
            "email TEXT NOT NULL",
            "prefix_len INTEGER NOT NULL",
            "date INTEGER NOT NULL",
        ],
    ),
    (
        "cert",
        &[
            "prefix TEXT PRIMARY KEY NOT NULL",
            "email TEXT",
            "cert TEXT",
        ],
    ),
    (
        "crl",
        &[
            "serial INTEGER PRIMARY KEY NOT NULL",
            "date INTEGER NOT NULL",
        ],
    ),
];

/// The tables that re6stnet does not know.
const OWN: &[Table] = &[
    // the first and the present serial number of each node; a row is good while `present` is that of the certificate
    (
        "re6st_enrolment",
        &[
            "prefix TEXT PRIMARY KEY NOT NULL",
            "serial INTEGER NOT NULL",
            "present INTEGER NOT NULL",
        ],
    ),
    // when a certificate of re6stnet's table `crl` was revoked
    (
        "re6st_revocation",
        &[
            "serial INTEGER PRIMARY KEY NOT NULL",
            "date INTEGER NOT NULL",
        ],
    ),
    // keys that never get a certificate again, each with a serial number that was revoked
    (
        "re6st_revoked_key",
        &["key TEXT PRIMARY KEY NOT NULL", "serial INTEGER NOT NULL"],
    ),
    // tokens for the next certificate of a node, by the prefix of that
    (
        "re6st_token",
        &["token TEXT PRIMARY KEY NOT NULL", "prefix TEXT NOT NULL"],
    ),
    // certificates that were replaced before they expired
    (
        "re6st_replaced",
        &[
            "serial INTEGER PRIMARY KEY NOT NULL",
            "prefix TEXT NOT NULL",
            "date INTEGER NOT NULL",
        ],
    ),
    // whose keys these are
    (
        "re6st_replaced_key",
        &["serial INTEGER PRIMARY KEY NOT NULL", "key TEXT NOT NULL"],
    ),
    // parameters, communities, and what was published last
    (
        "re6st_document",
        &["name TEXT PRIMARY KEY NOT NULL", "text TEXT NOT NULL"],
    ),
    (
        "re6st_audit",
        &[
            "id INTEGER PRIMARY KEY NOT NULL",
            "time INTEGER NOT NULL",
            "who TEXT NOT NULL",
            "action TEXT NOT NULL",
            "subject TEXT NOT NULL",
        ],
    ),
];

/// Makes the tables of a new network, which has given nothing away yet.
pub(super) fn create(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    for (name, columns) in RE6STNET {
        let sql = statement(name, columns);
        connection
            .execute_batch(&sql)
            .map_err(|source| failure(path, source))?;
    }
    connection
        .execute("INSERT INTO cert VALUES ('', NULL, NULL)", [])
        .map_err(|source| failure(path, source))?;
    check(connection, path)
}

/// Checks what is there: a registry's database has all tables of re6stnet's. Those of ours that are missing are made.
pub(super) fn check(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let text = |table| text_of(connection, table).map_err(|source| failure(path, source));
    for (table, columns) in RE6STNET.iter().chain(OWN) {
        let sql = statement(table, columns);
        let path = || path.to_owned();
        match text(table)? {
            Some(present) if present == sql => {}
            Some(_) => {
                return Err(StoreError::Schema {
                    path: path(),
                    table,
                });
            }
            None if RE6STNET.iter().any(|(theirs, _)| theirs == table) => {
                return Err(StoreError::Foreign {
                    path: path(),
                    table,
                });
            }
            None => connection
                .execute_batch(&sql)
                .map_err(|source| failure(&path(), source))?,
        }
    }
    Ok(())
}

/// As re6stnet writes it.
fn statement(name: &str, columns: &[&str]) -> String {
    format!("CREATE TABLE {name} (\n  {})", columns.join(",\n  "))
}

fn text_of(connection: &Connection, table: &str) -> rusqlite::Result<Option<String>> {
    connection
        .query_row(
            "SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?1",
            [table],
            |row| row.get(0),
        )
        .optional()
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test ends where it fails")]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_table_is_re6stnets() {
        let (name, columns) = RE6STNET.last().expect("tables");
        assert_eq!(
            statement(name, columns),
            "CREATE TABLE crl (\n  serial INTEGER PRIMARY KEY NOT NULL,\n  date INTEGER NOT NULL)"
        );
    }
}
