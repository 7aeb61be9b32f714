//! What a load is going to do, decided before it does anything: numbers, sizes, settings, the first manifest.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use re6st_common::{
    maps::{Handshakes, Settings, TunnelCounters, next_hop_id, settings},
    reason::{Reason, ReasonCounters},
};

use super::{
    super::{
        device::{Device, Plan},
        error::BpfError,
        forwarding,
        manifest::{InterfaceRecord, Manifest, Mode, NetworkRecord, TcAttachment},
        object::{self, Kept, Sizes},
    },
    Loading, Occasion,
};
use crate::{
    config::Encapsulation,
    dataplane::fib::Fib,
    io::{clock::wall, host},
};

/// Frames of interfaces with a bigger MTU may come in several pieces: 4 KiB less the room in front and behind.
const ONE_PIECE_MTU: u32 = 3498;

impl Loading<'_> {
    /// Lists all that may come to be, before anything does.
    pub(super) fn first_manifest(&self, plan: &Plan) -> Result<Manifest, BpfError> {
        let config = self.request.config;
        self.refuse_twins(plan)?;
        let former = self.former.as_ref();
        let order = former.map_or_else(
            || {
                self.others
                    .iter()
                    .map(|other| other.manifest.order + 1)
                    .max()
                    .unwrap_or_default()
            },
            |former| former.order,
        );
        let tunnel_interfaces: BTreeSet<u32> =
            self.tunnels.iter().map(|tunnel| tunnel.interface).collect();
        // what is not there may turn out to be the interface of tunnels that are not used
        let may_carry = tunnel_interfaces.len() + self.missing.len();
        let sysctls = if forwarding::is_needed(config, may_carry) {
            let attached = self.interfaces.values();
            let device = self.request.pins.instance().device();
            let interfaces: Vec<&str> = attached
                .map(|interface| interface.name.as_str())
                .chain([device])
                .collect();
            forwarding::changes(config, &interfaces, former, &self.others)?
        } else {
            forwarding::Changes::new()
        };
        let open = self.tunnels.iter();
        let names: Vec<&str> = open.map(|tunnel| tunnel.tunnel.name.as_str()).collect();
        Ok(Manifest {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            instance: self.request.pins.instance().to_string(),
            complete: false,
            network_namespace: self.cookie,
            config: absolute(self.request.config_path),
            loaded_at: wall().0,
            order,
            frags: self.frags()?,
            settings: former.map_or(Settings::EMPTY, |former| former.settings),
            interfaces: self.interface_records(),
            tunnels: next_hop_numbers(&names, former.map(|former| &former.tunnels)),
            sysctls,
            unreachable: plan.unreachable.iter().copied().collect(),
            unreachable_metric: UNREACHABLE_METRIC + order,
            reasons: Reason::ALL
                .iter()
                .map(|reason| reason.name().to_owned())
                .collect(),
            by_node: self.request.occasion != Occasion::Command || !self.request.kept.is_empty(),
            missing: self.missing.clone(),
            network: Some(NetworkRecord {
                mtu: plan.mtu,
                addresses: plan.addresses.clone(),
                routes: plan.routes.len(),
            }),
        })
    }

    /// Two instances with one address would take each other's routes.
    fn refuse_twins(&self, plan: &Plan) -> Result<(), BpfError> {
        for other in &self.others {
            let theirs = other.manifest.network.as_ref();
            let mut theirs = theirs.iter().flat_map(|network| &network.addresses);
            if let Some(address) = theirs.find(|address| plan.addresses.contains(address)) {
                let instance = other.pins.instance();
                return Err(BpfError::Conflict(format!(
                    "instance {instance} has the address {address} already: give each instance addresses of its own, or \
                     unload the other one (`re6st-user unload --instance {instance}`)"
                )));
            }
        }
        Ok(())
    }

    /// What attaching will most likely lead to; corrected as it happens.
    fn interface_records(&self) -> Vec<InterfaceRecord> {
        self.interfaces
            .values()
            .map(|interface| {
                self.former_record(interface.index)
                    .cloned()
                    .unwrap_or_else(|| InterfaceRecord {
                        index: interface.index,
                        name: interface.name.clone(),
                        mode: self.request.mode.unwrap_or(Mode::Driver),
                        reason: None,
                        tc: if self.tcx {
                            TcAttachment::Tcx
                        } else {
                            TcAttachment::Clsact { added: true }
                        },
                    })
            })
            .collect()
    }

    fn former_record(&self, index: u32) -> Option<&InterfaceRecord> {
        self.former
            .iter()
            .flat_map(|former| &former.interfaces)
            .find(|record| record.index == index)
    }

    fn frags(&self) -> Result<bool, BpfError> {
        const FIRST_WITH_FRAGS: (u32, u32) = (5, 18);
        let Some(big) = self
            .interfaces
            .values()
            .find(|interface| interface.mtu > ONE_PIECE_MTU)
        else {
            return Ok(false);
        };
        if host::kernel_version()? < FIRST_WITH_FRAGS && self.request.mode != Some(Mode::Generic) {
            return Err(BpfError::Conflict(format!(
                "{} has an MTU of {}: XDP in the driver takes frames above {ONE_PIECE_MTU} bytes from Linux 5.18 on. Lower \
                 the MTU, or use `--mode generic`",
                big.name, big.mtu
            )));
        }
        Ok(true)
    }

    /// What the programs are told.
    pub(super) fn settings(&self, device: &Device) -> Settings {
        let config = self.request.config;
        let mut flags = settings::CONFIRM;
        if config.forward {
            flags |= settings::FORWARD;
        }
        if config.ipv6_masquerade {
            flags |= settings::IPV6_MASQUERADE;
        }
        if config
            .tunnels
            .iter()
            .any(|tunnel| tunnel.encapsulation == Encapsulation::Gre)
        {
            flags |= settings::GRE;
        }
        let mut told = Settings {
            tunnel_mask: (1 << config.tunnel_index_bits()) - 1,
            device: device.index,
            device_address: device.address,
            port: config.port,
            ..Settings::EMPTY
        };
        if let Some((network, bits)) = config.fib_network() {
            flags |= settings::NETWORK;
            let length = u32::from(network.prefix_len());
            told.network_mask = u64::MAX.checked_shl(64 - length).unwrap_or_default();
            told.network = (u128::from(network.network()) >> 64) as u64 & told.network_mask;
            told.fib_shift = 64 - length - u32::from(bits);
            told.fib_mask = (1 << bits) - 1;
        }
        told.flags = flags;
        told
    }

    /// How big the maps have to be.
    pub(super) fn sizes(&self, manifest: &Manifest, fib: &Fib) -> Sizes {
        const NEXT_HOPS: u32 = 1024;
        const TRIE: u32 = 131_072;
        let numbers = manifest
            .tunnels
            .values()
            .max()
            .map_or(0, |number| number + 1);
        let config = self.request.config;
        // as much again, for routes that come later and for changes, which add before they remove
        let trie = (fib.trie_entries() + config.networks.len() + config.tunnels.len()) * 2;
        Sizes {
            fib: manifest.settings.fib_mask + 1,
            trie: u32::try_from(trie.next_power_of_two()).map_or(u32::MAX, |trie| trie.max(TRIE)),
            next_hops: numbers.next_power_of_two().max(NEXT_HOPS),
            tunnels: manifest.settings.tunnel_mask + 1,
        }
    }

    /// Which maps of the running instance go on.
    pub(super) fn kept(&self, sizes: Sizes) -> Kept {
        let Some(former) = &self.former else {
            return Kept::default();
        };
        let pins = self.request.pins;
        let reasons: Vec<&str> = Reason::ALL.iter().map(|reason| reason.name()).collect();
        let size = |bytes: usize| u32::try_from(bytes).unwrap_or_default();
        Kept {
            tunnel_counters: object::map_shape(&pins.object("TUNNEL_COUNTERS"))
                == Some((sizes.next_hops, size(size_of::<TunnelCounters>()))),
            handshakes: object::map_shape(&pins.object("HANDSHAKES"))
                == Some((1, size(size_of::<Handshakes>()))),
            reasons: former.reasons == reasons
                && object::map_shape(&pins.object("REASONS"))
                    == Some((1, size(size_of::<ReasonCounters>()))),
        }
    }
}

/// Added to an instance's place in the order: high, so that every other route to the prefix is preferred.
const UNREACHABLE_METRIC: u32 = 0x4000_0000;

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Each tunnel's next hop number: the one it had, or the lowest that no tunnel has or had, so that counters stay with their
/// tunnels.
fn next_hop_numbers(
    names: &[&str],
    former: Option<&BTreeMap<String, u32>>,
) -> BTreeMap<String, u32> {
    let taken: BTreeSet<u32> = former
        .iter()
        .flat_map(|former| former.values().copied())
        .collect();
    let mut free = (next_hop_id::FIRST_TUNNEL..).filter(|number| !taken.contains(number));
    names
        .iter()
        .filter_map(|name| {
            let kept = former.and_then(|former| former.get(*name)).copied();
            let number = kept.or_else(|| free.next())?;
            Some(((*name).to_owned(), number))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tunnels_keep_their_numbers_and_new_ones_get_numbers_nobody_had() {
        let former: BTreeMap<String, u32> = [
            ("a".to_owned(), 3),
            ("gone".to_owned(), 4),
            ("b".to_owned(), 6),
        ]
        .into();

        let numbers = next_hop_numbers(&["new", "b", "a", "newer"], Some(&former));

        let expected = [("a", 3), ("b", 6), ("new", 5), ("newer", 7)];
        let expected = expected.map(|(name, number)| (name.to_owned(), number));
        assert_eq!(numbers, expected.into());
    }
}
