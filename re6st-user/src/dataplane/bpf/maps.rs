//! The maps of an instance, by their pins.

use std::path::{Path, PathBuf};

use aya::{
    Pod,
    maps::{
        Array, HashMap, Map, MapData, MapError, PerCpuArray, ProgramArray,
        lpm_trie::{Key, LpmTrie},
    },
};
use re6st_common::{
    maps::{Interface, NextHop, TrieKey, TrieValue, Tunnel, TunnelCounters},
    reason::ReasonCounters,
};

use super::error::{BpfError, During as _};

/// The maps of an instance. Each is opened when it is asked for.
#[derive(Clone, Debug)]
pub struct Maps {
    folder: PathBuf,
}

impl Maps {
    /// Those pinned in a folder.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    fn open<T>(&self, name: &str) -> Result<T, BpfError>
    where
        T: TryFrom<Map, Error = MapError>,
    {
        let path = self.folder.join(name);
        let what = || format!("open the map {}", path.display());
        let map = MapData::from_pin(&path).during(what)?;
        T::try_from(Map::from_map_data(map).during(what)?).during(what)
    }

    /// FIB.
    pub fn fib(&self) -> Result<Array<MapData, u32>, BpfError> {
        self.open("FIB")
    }

    /// FIB_TRIE.
    pub fn trie(&self) -> Result<LpmTrie<MapData, TrieKey, TrieValue>, BpfError> {
        self.open("FIB_TRIE")
    }

    /// NEXT_HOPS.
    pub fn next_hops(&self) -> Result<Array<MapData, NextHop>, BpfError> {
        self.open("NEXT_HOPS")
    }

    /// TUNNELS.
    pub fn tunnels(&self) -> Result<Array<MapData, Tunnel>, BpfError> {
        self.open("TUNNELS")
    }

    /// INTERFACES.
    pub fn interfaces(&self) -> Result<HashMap<MapData, u32, Interface>, BpfError> {
        self.open("INTERFACES")
    }

    /// TUNNEL_COUNTERS.
    pub fn tunnel_counters(&self) -> Result<PerCpuArray<MapData, TunnelCounters>, BpfError> {
        self.open("TUNNEL_COUNTERS")
    }

    /// REASONS.
    pub fn reasons(&self) -> Result<PerCpuArray<MapData, ReasonCounters>, BpfError> {
        self.open("REASONS")
    }

    /// NEXT_INSTANCE.
    pub fn next_instance(&self) -> Result<ProgramArray<MapData>, BpfError> {
        self.open("NEXT_INSTANCE")
    }
}

/// Says which map and which key when an access fails.
pub fn access<T>(
    result: Result<T, MapError>,
    map: &str,
    key: impl std::fmt::Display,
) -> Result<T, BpfError> {
    result.during(|| format!("access {map}[{key}]"))
}

/// An LPM key of FIB_TRIE.
pub const fn trie_key(prefix_length: u32, key: TrieKey) -> Key<TrieKey> {
    Key::new(prefix_length, key)
}

/// Every element of an array of plain values, the unused ones too.
pub fn all<V: Pod>(array: &Array<MapData, V>, name: &str) -> Result<Vec<V>, BpfError> {
    (0..array.len())
        .map(|index| access(array.get(&index, 0), name, index))
        .collect()
}

/// The sum over all CPUs of a per-CPU array's element that consists of counters.
pub fn sum<V: Pod + Default>(
    array: &PerCpuArray<MapData, V>,
    name: &str,
    index: u32,
    add: impl Fn(&mut V, &V),
) -> Result<V, BpfError> {
    let values = access(array.get(&index, 0), name, index)?;
    Ok(values.iter().fold(V::default(), |mut total, value| {
        add(&mut total, value);
        total
    }))
}

/// Whether a pin is there.
pub fn is_pinned(path: &Path) -> bool {
    path.exists()
}
