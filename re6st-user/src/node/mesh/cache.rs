//! The nodes that were known, for the next run: a small database in the state directory. It is a help, not a promise: one that
//! cannot be read is put aside, and what cannot be written is forgotten.

use std::{fs, io, net::SocketAddr, path::Path};

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::{
    certificate::{node_prefix::NodePrefix, static_key::StaticPublicKey},
    mesh::{Address, Known},
};

/// Rows that are read, at most: more than a mesh remembers.
const MOST: u32 = 1_024;
const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS node (name TEXT PRIMARY KEY, addresses TEXT NOT NULL, key BLOB) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS anchor (name TEXT PRIMARY KEY) WITHOUT ROWID;";

/// A node of the run before, and its X25519 key if that was known.
pub type Remembered = (Known, Option<StaticPublicKey>);

/// The database.
#[derive(Debug)]
pub struct Cache(Connection);

impl Cache {
    /// Opens or makes it.
    ///
    /// # Errors
    /// Neither that nor a new one in its place can be had.
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::connect(path).or_else(|_| {
            fs::rename(path, path.with_extension("db.unreadable"))?;
            Self::connect(path).map_err(io::Error::other)
        })
    }

    fn connect(path: &Path) -> rusqlite::Result<Self> {
        let connection = Connection::open(path)?;
        // a crash of the host may cost the last rows, and nothing waits for the disk
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        connection.execute_batch(SCHEMA)?;
        let cache = Self(connection);
        // whether it is one at all
        cache.nodes()?;
        cache.anchors()?;
        Ok(cache)
    }

    /// All that is remembered.
    pub fn nodes(&self) -> rusqlite::Result<Vec<Remembered>> {
        let mut statement = self
            .0
            .prepare("SELECT name, addresses, key FROM node LIMIT ?1")?;
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
        let mut statement = self.0.prepare("SELECT name FROM anchor LIMIT ?1")?;
        let names = statement.query_map([MOST], |row| row.get::<_, String>(0))?;
        let names = names.collect::<rusqlite::Result<Vec<_>>>()?;
        let nodes = names
            .iter()
            .filter_map(|name| NodePrefix::from_common_name(name).ok());
        Ok(nodes.collect())
    }

    /// Remembers a node. A key that is not known now does not replace one that was.
    pub fn remember(&self, known: &Known, key: Option<StaticPublicKey>) -> rusqlite::Result<()> {
        let addresses = known.addresses.iter();
        let addresses = Vec::from_iter(addresses.map(|address| address.socket.to_string()));
        let key = key.map(|key| key.octets().to_vec());
        let mut statement = self.0.prepare_cached(
            "INSERT INTO node VALUES (?1, ?2, ?3) ON CONFLICT (name)
             DO UPDATE SET addresses = excluded.addresses, key = coalesce(excluded.key, key)",
        )?;
        statement.execute(params![known.node.common_name(), addresses.join(" "), key])?;
        Ok(())
    }

    /// Forgets a node.
    pub fn forget(&self, node: NodePrefix) -> rusqlite::Result<()> {
        let mut statement = self.0.prepare_cached("DELETE FROM node WHERE name = ?1")?;
        statement.execute([node.common_name()])?;
        Ok(())
    }

    /// Whom to begin with the next time.
    pub fn set_anchors(&mut self, nodes: &[NodePrefix]) -> rusqlite::Result<()> {
        let transaction = self.0.transaction()?;
        transaction.execute("DELETE FROM anchor", [])?;
        for node in nodes {
            let name = node.common_name();
            transaction.execute("INSERT OR IGNORE INTO anchor VALUES (?1)", [name])?;
        }
        transaction.commit()
    }
}

fn remembered(row: &Row<'_>) -> Option<Remembered> {
    let name: String = row.get(0).ok()?;
    let addresses: String = row.get(1).ok()?;
    let key: Option<Vec<u8>> = row.get(2).optional().ok()?.flatten();
    let addresses = addresses.split(' ').map(str::parse::<SocketAddr>);
    let addresses = addresses.filter_map(Result::ok).map(Address::udp);
    let key = key.and_then(|key| <[u8; 32]>::try_from(key).ok());
    let known = Known {
        node: NodePrefix::from_common_name(&name).ok()?,
        addresses: addresses.collect(),
        owner: None,
    };
    let key = key.map(StaticPublicKey::new);
    Some((known, key.filter(StaticPublicKey::is_contributory)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test says what it wants by stopping")]
mod tests {
    use super::*;

    fn node(name: &str, addresses: &[&str]) -> Known {
        let addresses = addresses.iter().map(|it| Address::udp(it.parse().unwrap()));
        Known {
            node: NodePrefix::from_common_name(name).unwrap(),
            addresses: addresses.collect(),
            owner: None,
        }
    }

    #[test]
    fn what_is_remembered_is_there_when_it_is_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mesh.db");
        let key = StaticPublicKey::new([9; 32]);
        let (a, b) = (
            node("1/16", &["192.0.2.1:4754", "[2001:db8::1]:1"]),
            node("2/16", &[]),
        );
        let mut cache = Cache::open(&path).unwrap();
        cache.remember(&a, Some(key)).unwrap();
        cache.remember(&a, None).unwrap();
        cache.remember(&b, None).unwrap();
        cache.remember(&node("3/16", &[]), None).unwrap();
        cache.forget(node("3/16", &[]).node).unwrap();
        cache.set_anchors(&[a.node, b.node]).unwrap();
        cache.set_anchors(&[b.node]).unwrap();
        drop(cache);

        let cache = Cache::open(&path).unwrap();

        assert_eq!(cache.nodes().unwrap(), [(a, Some(key)), (b.clone(), None)]);
        assert_eq!(cache.anchors().unwrap(), [b.node]);
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
            let cache = Cache::open(&path).unwrap();
            cache.remember(&node("1/16", &[]), None).unwrap();
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
            "('x', '', NULL)",
            "('1/16', 'nowhere 192.0.2.1:1', x'00')",
            "('2/16', 7, 8)",
        ] {
            let insert = format!("INSERT INTO node VALUES {row}");
            cache.0.execute_batch(&insert).unwrap();
        }
        assert_eq!(
            cache.nodes().unwrap()[0],
            (node("1/16", &["192.0.2.1:1"]), None)
        );
    }
}
