//! The maps of an instance, by their pins.

use std::path::PathBuf;

use aya::{
    Pod,
    maps::{
        Array, HashMap, Map, MapData, MapError, MapInfo, PerCpuArray, ProgramArray,
        lpm_trie::{Key, LpmTrie},
    },
};
use re6st_common::{
    maps::{
        FibEntry, Handshakes, Interface, NAME_SIZE, NextHop, NextHopEntry, TrieKey, TrieValue,
        Tunnel, TunnelCounters,
    },
    reason::{Reason, ReasonCounters},
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
    pub fn fib(&self) -> Result<Array<MapData, FibEntry>, BpfError> {
        self.open("FIB")
    }

    /// FIB_TRIE.
    pub fn trie(&self) -> Result<LpmTrie<MapData, TrieKey, TrieValue>, BpfError> {
        self.open("FIB_TRIE")
    }

    /// The most entries of FIB_TRIE.
    pub fn trie_capacity(&self) -> Result<usize, BpfError> {
        let path = self.folder.join("FIB_TRIE");
        let info =
            MapInfo::from_pin(&path).during(|| format!("open the map {}", path.display()))?;
        Ok(info.max_entries() as usize)
    }

    /// NEXT_HOPS.
    pub fn next_hops(&self) -> Result<Array<MapData, NextHopEntry>, BpfError> {
        self.open("NEXT_HOPS")
    }

    /// What packets take of NEXT_HOPS, by number, the unused ones too.
    pub fn current_next_hops(&self) -> Result<Vec<NextHop>, BpfError> {
        let entries = all(&self.next_hops()?, "NEXT_HOPS")?;
        Ok(entries.iter().map(|entry| *entry.current()).collect())
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

    /// HANDSHAKES.
    pub fn handshakes(&self) -> Result<Array<MapData, Handshakes>, BpfError> {
        self.open("HANDSHAKES")
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

/// Packets and bytes of a tunnel, by its next hop's number: the sum over all CPUs.
pub fn tunnel_sum(
    counters: &PerCpuArray<MapData, TunnelCounters>,
    number: u32,
) -> Result<TunnelCounters, MapError> {
    let mut total = TunnelCounters::default();
    for value in counters.get(&number, 0)?.iter() {
        total.received_packets += value.received_packets;
        total.received_bytes += value.received_bytes;
        total.sent_packets += value.sent_packets;
        total.sent_bytes += value.sent_bytes;
    }
    Ok(total)
}

/// How many packets met each reason: the sum over all CPUs.
pub fn reason_sum(
    counters: &PerCpuArray<MapData, ReasonCounters>,
) -> Result<ReasonCounters, MapError> {
    let mut total = ReasonCounters::default();
    for value in counters.get(&0, 0)?.iter() {
        for reason in Reason::ALL {
            *total.get_mut(*reason) += value.get(*reason);
        }
    }
    Ok(total)
}

/// A name as the maps have it: zero-padded, cut to what fits.
pub fn name(text: &str) -> [u8; NAME_SIZE] {
    let mut bytes = [0; NAME_SIZE];
    let length = text.len().min(NAME_SIZE - 1);
    bytes[..length].copy_from_slice(&text.as_bytes()[..length]);
    bytes
}

/// The same as people have it.
pub fn text(name: &[u8; NAME_SIZE]) -> String {
    let text = name.split(|byte| *byte == 0).next();
    String::from_utf8_lossy(text.unwrap_or_default()).into_owned()
}
