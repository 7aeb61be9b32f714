//! MANIFEST: what `load` did to the host, so that `status` can explain it, `unload` undo it and the next `load` change it.
//!
//! An array of 4 KiB pieces: eight bytes of length, then JSON. It is written before anything is done to the host, listing
//! all that may come to be, and never changed in place: a new map is pinned over the old one.

use std::{collections::BTreeMap, net::IpAddr, path::PathBuf};

use aya::maps::{Array, Map, MapData};
use ipnet::IpNet;
use re6st_common::maps::Settings;
use serde::{Deserialize, Serialize};

use super::{
    error::{BpfError, During as _},
    pins::Pins,
};
use crate::io::{bpf_call, bpffs};

const PIECE: usize = 4096;
/// More than any configuration within its bounds needs; less than a broken length would have us allocate.
const MAXIMUM: usize = 4 << 20;

/// What `load` did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of this program that wrote it.
    pub version: String,
    /// The name of the instance.
    pub instance: String,
    /// Whether the load finished. If not, what is listed may be there or not.
    pub complete: bool,
    /// The cookie of the network namespace it belongs to; never reused.
    pub network_namespace: u64,
    /// The configuration file.
    pub config: PathBuf,
    /// Seconds since 1970.
    pub loaded_at: u64,
    /// Place among the instances of the network namespace: the first sees packets first.
    pub order: u32,
    /// Whether the XDP program is the one for split frames.
    pub frags: bool,
    /// What the programs were told.
    pub settings: Settings,
    /// The interfaces it is attached to.
    pub interfaces: Vec<InterfaceRecord>,
    /// The next hop's number of each tunnel that is used, by name.
    pub tunnels: BTreeMap<String, u32>,
    /// Kernel parameters it needs (path under `net/`), and their values before.
    pub sysctls: BTreeMap<String, SysctlRecord>,
    /// Prefixes with a route "unreachable".
    pub unreachable: Vec<IpNet>,
    /// The metric of these routes.
    pub unreachable_metric: u32,
    /// Which reason each counter of REASONS is of.
    pub reasons: Vec<String>,
    /// Whether a node loaded it, which changes routes as long as it runs.
    #[serde(default)]
    pub by_node: bool,
    /// Tunnels and interfaces of the configuration that are not used, and why.
    #[serde(default)]
    pub missing: BTreeMap<String, String>,
    /// What the kernel was told of the mesh device; nothing in manifests of older versions.
    #[serde(default)]
    pub network: Option<NetworkRecord>,
}

/// What the kernel was told of the mesh device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkRecord {
    /// In bytes.
    pub mtu: u32,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// How many static routes lead to it.
    pub routes: usize,
}

/// A kernel parameter that was changed, or was so already.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SysctlRecord {
    /// The value it had before.
    pub before: String,
    /// What it was set to.
    pub set: String,
}

/// An interface the programs are attached to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceRecord {
    /// Interface index.
    pub index: u32,
    /// Its name at that time.
    pub name: String,
    /// Where XDP runs.
    pub mode: Mode,
    /// Why not in the driver, for people.
    pub reason: Option<String>,
    /// How the TC program is attached.
    pub tc: TcAttachment,
}

/// Where XDP runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// In the driver.
    Driver,
    /// In the stack, on socket buffers.
    Generic,
}

impl std::fmt::Display for Mode {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Driver => "driver",
            Self::Generic => "generic",
        })
    }
}

/// How TC programs are attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TcAttachment {
    /// With a link (Linux 6.6).
    Tcx,
    /// As a filter of the qdisc clsact.
    Clsact {
        /// Whether we added the qdisc, and remove it when the last filter goes.
        added: bool,
    },
}

impl Manifest {
    /// The manifest of the instance's finished load.
    pub fn of(pins: &Pins) -> Result<Option<Self>, BpfError> {
        Self::read(&pins.object(super::MANIFEST))
    }

    /// The manifest of a load that is under way, or was when its process died.
    pub fn of_unfinished(pins: &Pins) -> Result<Option<Self>, BpfError> {
        Self::read(&pins.new_object(super::MANIFEST))
    }

    /// `None` if there is no pin.
    fn read(path: &std::path::Path) -> Result<Option<Self>, BpfError> {
        let what = || format!("read {}", path.display());
        if !bpffs::exists(path)? {
            return Ok(None);
        }
        let map = MapData::from_pin(path).during(what)?;
        let pieces = map.info().during(what)?.max_entries();
        let array: Array<_, [u8; PIECE]> =
            Array::try_from(Map::from_map_data(map).during(what)?).during(what)?;
        let mut bytes = Vec::new();
        for piece in 0..pieces.min((MAXIMUM / PIECE) as u32) {
            bytes.extend_from_slice(&array.get(&piece, 0).during(what)?);
        }
        let broken = |why: String| {
            BpfError::Conflict(format!(
                "{} is not a manifest of this program ({why}): another version's, or damaged. Remove the folder it is \
                 in and its mesh device by hand",
                path.display()
            ))
        };
        let length = bytes
            .first_chunk()
            .map(|length| u64::from_le_bytes(*length) as usize)
            .and_then(|length| length.checked_add(8))
            .filter(|end| *end <= bytes.len())
            .ok_or_else(|| broken("wrong length".to_owned()))?;
        serde_json::from_slice(&bytes[8..length])
            .map(Some)
            .map_err(|error| broken(error.to_string()))
    }

    /// Pins it at `path`, over what is there. `scratch` is a free path in an existing folder of the same file system.
    pub fn write(&self, path: &std::path::Path, scratch: &std::path::Path) -> Result<(), BpfError> {
        let what = || format!("write {}", path.display());
        let json = serde_json::to_vec(self)
            .map_err(std::io::Error::other)
            .during(what)?;
        let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(&json);
        let pieces = bytes.len().div_ceil(PIECE);
        bytes.resize(pieces * PIECE, 0);
        let map =
            bpf_call::create_array(super::MANIFEST, PIECE as u32, pieces as u32).during(what)?;
        let map = MapData::from_fd(map).during(what)?;
        let mut array: Array<_, [u8; PIECE]> =
            Array::try_from(Map::from_map_data(map).during(what)?).during(what)?;
        for (index, piece) in bytes.as_chunks::<PIECE>().0.iter().enumerate() {
            array.set(index as u32, piece, 0).during(what)?;
        }
        bpffs::remove(scratch)?;
        array
            .pin(scratch)
            .map_err(std::io::Error::other)
            .during(what)?;
        bpffs::rename(scratch, path)?;
        Ok(())
    }
}

#[cfg(test)]
impl Manifest {
    /// Of a finished load.
    pub fn example(interfaces: &[u32]) -> Self {
        let record = |index: &u32| InterfaceRecord {
            index: *index,
            name: format!("eth{index}"),
            mode: Mode::Driver,
            reason: None,
            tc: TcAttachment::Tcx,
        };
        Self {
            version: String::new(),
            instance: "a".to_owned(),
            complete: true,
            network_namespace: 1,
            config: "/".into(),
            loaded_at: 0,
            order: 0,
            frags: false,
            settings: Settings::EMPTY,
            interfaces: interfaces.iter().map(record).collect(),
            tunnels: BTreeMap::new(),
            sysctls: BTreeMap::new(),
            unreachable: Vec::new(),
            unreachable_metric: 0,
            reasons: Vec::new(),
            by_node: false,
            missing: BTreeMap::new(),
            network: None,
        }
    }
}
