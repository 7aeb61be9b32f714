//! The nodes that were known, for the next run: a small database in the state directory. It is a help, not a promise: one that
//! is damaged is put aside, and what cannot be written at once is forgotten, for the controller waits for nobody.

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions, Permissions},
    io,
    net::SocketAddr,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, Row, Transaction, ffi, params};

use crate::{
    certificate::{node_prefix::NodePrefix, static_key::StaticPublicKey},
    mesh::{Address, Known},
    time::{Time, Timestamp},
};

/// Rows that are read, at most: more than a mesh remembers.
const MOST: u32 = 1_024;
/// Changes that wait, at most.
const MOST_WAITING: usize = 4_096;
/// The least between two writes, however often nodes say something else.
const PAUSE: Duration = Duration::from_secs(60);
const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS node
        (name TEXT PRIMARY KEY, addresses TEXT NOT NULL, key BLOB, made_at INTEGER) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS anchor (name TEXT PRIMARY KEY) WITHOUT ROWID;";

/// A node of the run before, and its X25519 key if that was known.
pub type Remembered = (Known, Option<StaticPublicKey>);

/// The database.
#[derive(Debug)]
pub struct Cache {
    connection: Connection,
    /// What is to be written; none of a node that is to be forgotten.
    waiting: BTreeMap<NodePrefix, Option<Remembered>>,
    /// The same.
    anchors: Option<Vec<NodePrefix>>,
    written: Option<Time>,
    due: Option<Time>,
}

impl Cache {
    /// Opens or makes it, for its owner alone.
    ///
    /// # Errors
    /// It cannot be had now; or it is damaged, and no new one can be had in its place.
    pub fn open(path: &Path) -> io::Result<Self> {
        private(path)?;
        match Self::connect(path) {
            Err(error) if is_damaged(&error) => {
                fs::rename(path, path.with_extension("db.unreadable"))?;
                // they are no part of the new one
                for of in ["-wal", "-shm"] {
                    remove(&beside(path, of))?;
                }
                private(path)?;
                Self::connect(path)
            }
            outcome => outcome,
        }
        .map_err(io::Error::other)
    }

    fn connect(path: &Path) -> rusqlite::Result<Self> {
        let connection = Connection::open(path)?;
        // whoever else is at it holds up nothing but what is written here
        connection.busy_timeout(Duration::ZERO)?;
        // a crash of the host may cost the last rows, and nothing waits for the disk
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        connection.execute_batch(SCHEMA)?;
        let cache = Self {
            connection,
            waiting: BTreeMap::new(),
            anchors: None,
            written: None,
            due: None,
        };
        // whether it is one at all
        cache.nodes()?;
        cache.anchors()?;
        Ok(cache)
    }

    /// All that is remembered.
    pub fn nodes(&self) -> rusqlite::Result<Vec<Remembered>> {
        let mut statement = self
            .connection
            .prepare("SELECT name, addresses, key, made_at FROM node LIMIT ?1")?;
        let rows = statement.query_map([MOST], |row| Ok(remembered(row)))?;
        // what makes no sense is passed over
        Ok(rows
            .collect::<rusqlite::Result<Vec<_>>>()?
            .into_iter()
            .flatten()
            .collect())
    }

    /// Whom to begin with.
    pub fn anchors(&self) -> rusqlite::Result<Vec<NodePrefix>> {
        let mut statement = self
            .connection
            .prepare("SELECT name FROM anchor LIMIT ?1")?;
        let names = statement.query_map([MOST], |row| row.get::<_, String>(0))?;
        let names = names.collect::<rusqlite::Result<Vec<_>>>()?;
        let nodes = names
            .iter()
            .filter_map(|name| NodePrefix::from_common_name(name).ok());
        Ok(nodes.collect())
    }

    /// Remembers a node. A key that is not known now does not replace one that was.
    pub fn remember(&mut self, now: Time, known: Known, key: Option<StaticPublicKey>) {
        self.note(now, known.node, Some((known, key)));
    }

    /// Forgets a node.
    pub fn forget(&mut self, now: Time, node: NodePrefix) {
        self.note(now, node, None);
    }

    /// Whom to begin with the next time.
    pub fn set_anchors(&mut self, now: Time, nodes: Vec<NodePrefix>) {
        self.anchors = Some(nodes);
        self.write_soon(now);
    }

    fn note(&mut self, now: Time, node: NodePrefix, what: Option<Remembered>) {
        self.waiting.insert(node, what);
        self.write_soon(now);
        if self.waiting.len() >= MOST_WAITING {
            self.due = Some(now);
        }
    }

    /// A node is written once a minute at most.
    fn write_soon(&mut self, now: Time) {
        let soon = self.written.map_or(now, |last| now.max(last + PAUSE));
        self.due.get_or_insert(soon);
    }

    /// When [`Self::write`] is due.
    pub const fn next_deadline(&self) -> Option<Time> {
        self.due
    }

    /// Writes what waits.
    ///
    /// # Errors
    /// It could not be written at once, and is forgotten.
    pub fn write(&mut self, now: Time) -> rusqlite::Result<()> {
        (self.due, self.written) = (None, Some(now));
        let (waiting, anchors) = (std::mem::take(&mut self.waiting), self.anchors.take());
        let transaction = self.connection.transaction()?;
        for (node, what) in waiting {
            match what {
                Some((known, key)) => put(&transaction, &known, key)?,
                None => {
                    let mut delete =
                        transaction.prepare_cached("DELETE FROM node WHERE name = ?1")?;
                    delete.execute([node.common_name()])?;
                }
            }
        }
        if let Some(anchors) = anchors {
            transaction.execute("DELETE FROM anchor", [])?;
            for node in anchors {
                let name = node.common_name();
                transaction.execute("INSERT OR IGNORE INTO anchor VALUES (?1)", [name])?;
            }
        }
        transaction.commit()
    }
}

fn put(
    transaction: &Transaction<'_>,
    known: &Known,
    key: Option<StaticPublicKey>,
) -> rusqlite::Result<()> {
    let addresses = known.addresses.iter();
    let addresses = Vec::from_iter(addresses.map(|address| address.socket.to_string()));
    let key = key.map(|key| key.octets().to_vec());
    let made_at = known.made_at.and_then(|at| i64::try_from(at.0).ok());
    let mut insert = transaction.prepare_cached(
        "INSERT INTO node VALUES (?1, ?2, ?3, ?4) ON CONFLICT (name) DO UPDATE SET
         addresses = excluded.addresses, key = coalesce(excluded.key, key),
         made_at = coalesce(excluded.made_at, made_at)",
    )?;
    let name = known.node.common_name();
    insert.execute(params![name, addresses.join(" "), key, made_at])?;
    Ok(())
}

/// Makes a file for its owner alone, whatever the umask; what SQLite puts beside it is as it is.
fn private(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let file = options.create(true).append(true).mode(0o600).open(path)?;
    file.set_permissions(Permissions::from_mode(0o600))
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Whether it is the file that is at fault: none of ours, damaged, or of another schema. One that is busy and a full disk are not.
fn is_damaged(error: &rusqlite::Error) -> bool {
    error.sqlite_error().is_none_or(|error| {
        let code = error.extended_code & 0xff;
        [ffi::SQLITE_NOTADB, ffi::SQLITE_CORRUPT, ffi::SQLITE_ERROR].contains(&code)
    })
}

fn remembered(row: &Row<'_>) -> Option<Remembered> {
    let name: String = row.get(0).ok()?;
    let addresses: String = row.get(1).ok()?;
    let key: Option<Vec<u8>> = row.get(2).ok()?;
    let made_at: Option<i64> = row.get(3).ok()?;
    let addresses = addresses.split(' ').map(str::parse::<SocketAddr>);
    let addresses = addresses.filter_map(Result::ok).map(Address::udp);
    let key = key.and_then(|key| <[u8; 32]>::try_from(key).ok());
    let known = Known {
        node: NodePrefix::from_common_name(&name).ok()?,
        addresses: addresses.collect(),
        owner: None,
        made_at: made_at.and_then(|at| u64::try_from(at).ok()).map(Timestamp),
    };
    let key = key.map(StaticPublicKey::new);
    Some((known, key.filter(StaticPublicKey::is_contributory)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test says what it wants by stopping")]
mod tests {
    use super::*;

    const NOW: Time = Time(1_000_000);

    fn node(name: &str, addresses: &[&str]) -> Known {
        let addresses = addresses.iter().map(|it| Address::udp(it.parse().unwrap()));
        Known {
            node: NodePrefix::from_common_name(name).unwrap(),
            addresses: addresses.collect(),
            owner: None,
            made_at: None,
        }
    }

    #[test]
    fn what_is_remembered_is_there_when_it_is_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mesh.db");
        let key = StaticPublicKey::new([9; 32]);
        let a = Known {
            made_at: Some(Timestamp(77)),
            ..node("1/16", &["192.0.2.1:4754", "[2001:db8::1]:1"])
        };
        let (b, c) = (node("2/16", &[]), node("3/16", &[]));
        let mut cache = Cache::open(&path).unwrap();
        cache.remember(NOW, a.clone(), Some(key));
        cache.remember(NOW, c.clone(), None);
        cache.write(NOW).unwrap();
        cache.remember(NOW, a.clone(), None);
        cache.remember(NOW, b.clone(), None);
        cache.forget(NOW, c.node);
        cache.set_anchors(NOW, vec![a.node, b.node]);
        cache.set_anchors(NOW, vec![b.node]);
        cache.write(NOW).unwrap();
        drop(cache);

        let cache = Cache::open(&path).unwrap();

        assert_eq!(cache.nodes().unwrap(), [(a, Some(key)), (b.clone(), None)]);
        assert_eq!(cache.anchors().unwrap(), [b.node]);
    }

    #[test]
    fn what_changes_often_is_written_once_a_minute() {
        let folder = tempfile::tempdir().unwrap();
        let mut cache = Cache::open(&folder.path().join("mesh.db")).unwrap();
        assert_eq!(cache.next_deadline(), None);
        let mut writes = 0;
        for second in 0..600 {
            let now = NOW + Duration::from_secs(second);
            cache.remember(now, node("1/16", &["192.0.2.1:1"]), None);
            if cache.next_deadline() <= Some(now) {
                cache.write(now).unwrap();
                writes += 1;
            }
        }
        assert_eq!(writes, 10);
    }

    #[test]
    fn one_that_somebody_else_writes_is_waited_for_by_nobody_and_stays_what_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mesh.db");
        let mut cache = Cache::open(&path).unwrap();
        let other = Connection::open(&path).unwrap();
        other.execute_batch("BEGIN EXCLUSIVE").unwrap();

        cache.remember(NOW, node("1/16", &[]), None);
        let busy = cache.write(NOW).unwrap_err();
        assert_eq!(
            busy.sqlite_error_code(),
            Some(rusqlite::ErrorCode::DatabaseBusy)
        );
        other.execute_batch("COMMIT").unwrap();

        // what could not be written is forgotten
        cache.write(NOW).unwrap();
        assert_eq!(cache.nodes().unwrap(), []);
        let waits: u32 = (cache.connection)
            .query_row("PRAGMA busy_timeout", [], |row| row.get(0))
            .unwrap();
        assert_eq!(waits, 0);
        drop(cache);

        other
            .execute_batch(
                "PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; DELETE FROM node; COMMIT",
            )
            .unwrap();
        assert!(Cache::open(&path).is_err());
        assert!(!path.with_extension("db.unreadable").exists());
    }

    #[test]
    fn it_is_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mesh.db");
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        let mut cache = Cache::open(&path).unwrap();
        cache.remember(NOW, node("1/16", &[]), None);
        cache.write(NOW).unwrap();
        for file in [path.clone(), beside(&path, "-wal")] {
            let mode = fs::metadata(&file).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{}", file.display());
        }
    }

    #[test]
    fn a_damaged_one_is_put_aside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mesh.db");
        let other = "CREATE TABLE node (something BLOB); CREATE TABLE anchor (name TEXT)";
        for damage in ["garbage".as_bytes(), b""] {
            fs::write(&path, damage).unwrap();
            if damage.is_empty() {
                Connection::open(&path)
                    .unwrap()
                    .execute_batch(other)
                    .unwrap();
            }
            let mut cache = Cache::open(&path).unwrap();
            cache.remember(NOW, node("1/16", &[]), None);
            cache.write(NOW).unwrap();
            assert_eq!(cache.nodes().unwrap().len(), 1);
            assert!(path.with_extension("db.unreadable").exists());
            drop(cache);
            fs::remove_file(&path).unwrap();
        }
    }

    #[test]
    fn rows_that_make_no_sense_are_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(&folder.path().join("mesh.db")).unwrap();
        for row in [
            "('x', '', NULL, NULL)",
            "('1/16', 'nowhere 192.0.2.1:1', x'00', -1)",
            "('2/16', 7, 8, 9)",
        ] {
            let insert = format!("INSERT INTO node VALUES {row}");
            cache.connection.execute_batch(&insert).unwrap();
        }
        assert_eq!(
            cache.nodes().unwrap()[0],
            (node("1/16", &["192.0.2.1:1"]), None)
        );
    }
}
