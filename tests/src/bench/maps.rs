//! What `load` costs: time, and memory of the maps.

use std::{
    fs,
    os::fd::{AsFd as _, AsRawFd as _},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use aya::maps::MapData;

use super::{
    chain::Chain,
    relay_node::{configuration, load_configuration, re6st},
};
use crate::host::Host;

/// How long `load` takes with so many routes, from nothing.
pub fn load_time(chain: &Chain, routes: u32) -> Result<Duration> {
    let time = load_configuration(&chain.relay, &configuration(chain, routes))?;
    re6st(&chain.relay, &["unload"])?;
    Ok(time)
}

/// Bytes of kernel memory that all pinned maps of an instance take, as the kernel itself states it.
pub fn memory(chain: &Chain, routes: u32) -> Result<u64> {
    load_configuration(&chain.relay, &configuration(chain, routes))?;
    let memory = memory_of_pins(&chain.relay);
    re6st(&chain.relay, &["unload"])?;
    memory
}

fn memory_of_pins(host: &Host) -> Result<u64> {
    let folder = host.bpffs().join("re6st0");
    let (mut sum, mut maps) = (0, 0);
    let entries = fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        // programs, links and folders are pinned there too
        let Ok(map) = MapData::from_pin(&path) else {
            continue;
        };
        let number = map.fd().as_fd().as_raw_fd();
        let text = fs::read_to_string(format!("/proc/self/fdinfo/{number}"))?;
        if !text.contains("map_type:") {
            continue;
        }
        let bytes: u64 = text
            .lines()
            .find_map(|line| line.strip_prefix("memlock:"))
            .context("the kernel does not state a map's memory")?
            .trim()
            .parse()?;
        sum += bytes;
        maps += 1;
    }
    ensure!(maps > 0, "no maps are pinned in {}", folder.display());
    Ok(sum)
}
