//! The registry's rows on disk: one SQLite file, which is re6stnet's database with tables of ours beside it.
//!
//! **Durability.** `synchronous = FULL`, as re6stnet has it: a commit returns when the disk has it. The journal is a
//! write-ahead log while the registry runs, because a commit then costs one flush instead of three, and readers (backups, texts
//! of certificates) do not wait for the writer. [`Store::close`] goes back to re6stnet's rollback journal, so that at
//! rest there is one file; while it runs, [`Reader::backup`] makes one. After a crash the log is beside the file and is
//! read again at the next start.

mod load;
mod schema;
#[cfg(test)]
mod tests;
mod write;

use std::{
    fs::OpenOptions,
    io,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{
    Connection, ErrorCode, OpenFlags, OptionalExtension as _, TransactionBehavior, backup::Backup,
    types::ValueRef,
};
use thiserror::Error;

pub use self::load::Loaded;
use super::rules::change::Change;
use crate::{certificate::node_prefix::NodePrefix, time::Timestamp};

/// Prepared statements that are kept.
const STATEMENTS: usize = 32;

/// How long another process may hold the file.
const PATIENCE: Duration = Duration::from_secs(5);

/// Octets the write-ahead log may keep after a checkpoint.
const LOG_SIZE: i64 = 1 << 20;

/// Pages a backup copies before it lets the writer go on.
const BACKUP_STEP: i32 = 1024;

/// Why the database cannot be used.
#[derive(Debug, Error)]
pub enum StoreError {
    /// No room: nothing was written.
    #[error("{}: no space is left on the disk; make room, the registry then goes on by itself", .0.display())]
    Full(PathBuf),
    /// SQLite's word for it.
    #[error("{}: {source}", path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// The kernel's word for it.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// There is none. Only [`Store::create`] makes one: whoever took up an empty one in its place would give out again
    /// what others have.
    #[error(
        "{}: there is no such database: restore the registry's last backup there, or correct `database` in the \
         configuration file. (A new network begins with `re6st-user registry init`)",
        .0.display()
    )]
    Missing(PathBuf),
    /// The file is not there any more under its name.
    #[error(
        "{}: the database was removed or replaced while the registry had it open: nothing is written any more. Stop the \
         registry, put the right database there, and start it again",
        .0.display()
    )]
    Moved(PathBuf),
    /// A table is not there at all.
    #[error(
        "{}: this is no registry's database, it has no table {table}: restore the registry's last backup there, or \
         correct `database` in the configuration file",
        path.display()
    )]
    Foreign {
        /// The file.
        path: PathBuf,
        /// The table.
        table: &'static str,
    },
    /// A table is not what it has to be.
    #[error(
        "{}: table {table} has other columns than expected; is this a registry's database?",
        path.display()
    )]
    Schema {
        /// The file.
        path: PathBuf,
        /// The table.
        table: &'static str,
    },
    /// A row makes no sense.
    #[error("{}: table {table}: {what}; restore the last backup, or mend the row by hand", path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// The table.
        table: &'static str,
        /// What is wrong with which row.
        what: String,
    },
}

/// One line of the audit log, as it is on disk.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct AuditLine {
    /// Numbers the lines.
    pub id: i64,
    /// When it was done, by the clock of the registry.
    pub time: Timestamp,
    /// Who did it: a node, the operator by name, or the registry itself.
    pub who: String,
    /// What: [`super::rules::audit::Action::name`].
    pub action: String,
    /// What it was done to.
    pub subject: String,
}

/// The database, to write. There must be one writer: the server holds a lock on it.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
    path: PathBuf,
    /// Device and number of the file.
    file: (u64, u64),
}

impl Store {
    /// Makes an empty database that only its owner can read: tokens and keys will be in it.
    ///
    /// # Errors
    ///
    /// There is something already, or the file cannot be made.
    pub fn create(path: &Path) -> Result<(), StoreError> {
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path);
        file.map_err(at(path))?;
        let mut store = Self::connect(path)?;
        store.prepare(schema::create)?;
        store.close()
    }

    /// Opens a database that is there.
    ///
    /// # Errors
    ///
    /// The file cannot be opened, or is something else.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let mut store = Self::connect(path)?;
        store.prepare(schema::check)?;
        Ok(store)
    }

    fn connect(path: &Path) -> Result<Self, StoreError> {
        let file = identity(path)?;
        let failed = |source| failure(path, source);
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
        configure(&connection).map_err(failed)?;
        Ok(Self {
            connection,
            path: path.to_owned(),
            file,
        })
    }

    /// Does something to the tables.
    fn prepare(
        &mut self,
        tables: fn(&Connection, &Path) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let path = self.path.clone();
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(|source| failure(&path, source))?;
        tables(&transaction, &path)?;
        transaction
            .commit()
            .map_err(|source| failure(&path, source))
    }

    /// Everything but the certificates' texts.
    ///
    /// # Errors
    ///
    /// A row makes no sense.
    pub fn load(&self) -> Result<Loaded, StoreError> {
        load::load(&self.connection, &self.path)
    }

    /// Writes changes, all or none. They are on the disk when this returns.
    ///
    /// # Errors
    ///
    /// Nothing was written.
    pub fn commit<'a>(
        &mut self,
        changes: impl IntoIterator<Item = &'a Change>,
    ) -> Result<(), StoreError> {
        // SQLite would go on writing into a file that has lost its name
        if identity(&self.path).ok() != Some(self.file) {
            return Err(StoreError::Moved(self.path.clone()));
        }
        let write = || {
            let transaction = self
                .connection
                .transaction_with_behavior(TransactionBehavior::Immediate)?;
            for change in changes {
                write::write(&transaction, change)?;
            }
            transaction.commit()
        };
        write().map_err(|source| failure(&self.path, source))
    }

    /// Writes something that is there once more, to see whether the disk takes it.
    ///
    /// # Errors
    ///
    /// It does not.
    pub fn probe(&mut self) -> Result<(), StoreError> {
        self.commit([])?;
        let again = "UPDATE re6st_document SET text = text WHERE name = ?1";
        let written = self.connection.execute(again, [write::document::CLOCK]);
        written
            .map(|_| ())
            .map_err(|source| failure(&self.path, source))
    }

    /// The text of a node's present certificate.
    ///
    /// # Errors
    ///
    /// The disk fails.
    pub fn pem(&self, prefix: NodePrefix) -> Result<Option<String>, StoreError> {
        pem(&self.connection, prefix).map_err(|source| failure(&self.path, source))
    }

    /// Lines of the audit log behind a number, in order.
    ///
    /// # Errors
    ///
    /// The disk fails.
    pub fn audit(&self, after: i64, limit: usize) -> Result<Vec<AuditLine>, StoreError> {
        audit(&self.connection, after, limit).map_err(|source| failure(&self.path, source))
    }

    /// Leaves one file behind.
    ///
    /// # Errors
    ///
    /// It could not; what was committed is safe all the same.
    pub fn close(self) -> Result<(), StoreError> {
        let failed = |source| failure(&self.path, source);
        set(&self.connection, "journal_mode", "DELETE").map_err(failed)?;
        self.connection
            .close()
            .map_err(|(_, source)| failed(source))
    }
}

/// The database, to read: beside the writer, in the same or in another process.
#[derive(Debug)]
pub struct Reader {
    connection: Connection,
    path: PathBuf,
}

impl Reader {
    /// Opens a database that is there.
    ///
    /// # Errors
    ///
    /// The file cannot be opened.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        identity(path)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let open = || {
            let connection = Connection::open_with_flags(path, flags)?;
            connection.busy_timeout(PATIENCE)?;
            Ok(connection)
        };
        Ok(Self {
            connection: open().map_err(|source| failure(path, source))?,
            path: path.to_owned(),
        })
    }

    /// The text of a node's present certificate.
    ///
    /// # Errors
    ///
    /// The disk fails.
    pub fn pem(&self, prefix: NodePrefix) -> Result<Option<String>, StoreError> {
        pem(&self.connection, prefix).map_err(|source| failure(&self.path, source))
    }

    /// Lines of the audit log behind a number, in order.
    ///
    /// # Errors
    ///
    /// The disk fails.
    pub fn audit(&self, after: i64, limit: usize) -> Result<Vec<AuditLine>, StoreError> {
        audit(&self.connection, after, limit).map_err(|source| failure(&self.path, source))
    }

    /// Copies the database as it is at one moment into a new file, which only its owner can read.
    ///
    /// # Errors
    ///
    /// The file is there already, or cannot be written; then there is none.
    pub fn backup(&self, to: &Path) -> Result<(), StoreError> {
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(to)
            .map_err(at(to))?;
        let copy = || {
            let mut copy = Connection::open(to)?;
            Backup::new(&self.connection, &mut copy)?.run_to_completion(
                BACKUP_STEP,
                Duration::ZERO,
                None,
            )?;
            set(&copy, "journal_mode", "DELETE")?;
            copy.close().map_err(|(_, source)| source)
        };
        let copied = copy().map_err(|source| failure(to, source));
        let copied = copied.and_then(|()| file.sync_all().map_err(at(to)));
        if copied.is_err() {
            let _ = std::fs::remove_file(to);
        }
        copied
    }
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(PATIENCE)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    set(connection, "journal_mode", "WAL")?;
    set(connection, "synchronous", "FULL")?;
    set(connection, "journal_size_limit", LOG_SIZE)?;
    set(connection, "trusted_schema", "OFF")
}

/// Sets a pragma, whether it answers or not.
fn set(connection: &Connection, pragma: &str, value: impl rusqlite::ToSql) -> rusqlite::Result<()> {
    connection
        .pragma_update_and_check(None, pragma, value, |_| Ok(()))
        .optional()?;
    Ok(())
}

/// Device and number of a file that is there.
fn identity(path: &Path) -> Result<(u64, u64), StoreError> {
    match std::fs::metadata(path) {
        Ok(file) => Ok((file.dev(), file.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(StoreError::Missing(path.to_owned()))
        }
        Err(error) => Err(at(path)(error)),
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> StoreError + '_ {
    |source| StoreError::File {
        path: path.to_owned(),
        source,
    }
}

fn failure(path: &Path, source: rusqlite::Error) -> StoreError {
    let path = path.to_owned();
    match source.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::Full(path),
        _ => StoreError::Sqlite { path, source },
    }
}

fn pem(connection: &Connection, prefix: NodePrefix) -> rusqlite::Result<Option<String>> {
    let mut statement = connection.prepare_cached("SELECT cert FROM cert WHERE prefix = ?1")?;
    let text = statement
        .query_row([prefix.to_string()], |row| Ok(text(row.get_ref(0)?)))
        .optional()?;
    Ok(text.flatten().filter(|text| text != write::RESERVED))
}

/// A text that re6stnet stored as TEXT or as BLOB.
fn text(value: ValueRef<'_>) -> Option<String> {
    match value {
        ValueRef::Text(octets) | ValueRef::Blob(octets) => {
            Some(String::from_utf8_lossy(octets).into_owned())
        }
        _ => None,
    }
}

fn audit(connection: &Connection, after: i64, limit: usize) -> rusqlite::Result<Vec<AuditLine>> {
    let mut statement = connection.prepare_cached(
        "SELECT id, time, who, action, subject FROM re6st_audit WHERE id > ?1 ORDER BY id LIMIT ?2",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let lines = statement.query_map([after, limit], |row| {
        Ok(AuditLine {
            id: row.get(0)?,
            time: Timestamp(u64::try_from(row.get::<_, i64>(1)?).unwrap_or(0)),
            who: row.get(2)?,
            action: row.get(3)?,
            subject: row.get(4)?,
        })
    })?;
    lines.collect()
}
