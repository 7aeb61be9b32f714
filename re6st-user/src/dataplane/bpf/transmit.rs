//! Which interfaces take frames that XDP redirects to them; the others transmit by way of TC.

use std::collections::BTreeMap;

use super::{
    error::{BpfError, During as _},
    manifest::{InterfaceRecord, Mode},
    offloads,
    resolve::Interfaces,
};
use crate::io::netlink::features::XdpFeatures;

/// Which interfaces need TC to transmit what XDP has made ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmit {
    with_tc: BTreeMap<u32, bool>,
}

impl Transmit {
    /// Before the programs are attached: what the kernel says now, which holds for those that are attached already. Many
    /// drivers transmit only once they have a program of their own, so this errs on the safe side.
    pub fn query(interfaces: &Interfaces) -> Result<Self, BpfError> {
        Self::query_with(interfaces, &[])
    }

    fn query_with(interfaces: &Interfaces, attached: &[InterfaceRecord]) -> Result<Self, BpfError> {
        let mut features = XdpFeatures::open().during(|| "ask for XDP features".to_owned())?;
        let mut with_tc = BTreeMap::new();
        for interface in interfaces.values() {
            let needs_tc = match &mut features {
                Some(features) => !features
                    .transmits(interface.index)
                    .during(|| format!("ask for the XDP features of {}", interface.name))?,
                // Before Linux 6.3 the kernel does not tell. A driver that has just taken our program most likely also
                // transmits; a veth without XDP or GRO at its other end loses such frames, and a driver without XDP too.
                None => {
                    let in_driver = attached.iter().any(|record| {
                        record.index == interface.index && record.mode == Mode::Driver
                    });
                    interface.kind == "veth" || !in_driver
                }
            };
            with_tc.insert(interface.index, needs_tc);
        }
        Ok(Self { with_tc })
    }

    /// After the programs are attached. Says whether anything is different now.
    pub fn update(
        &mut self,
        interfaces: &Interfaces,
        attached: &[InterfaceRecord],
    ) -> Result<bool, BpfError> {
        let mut now = Self::query_with(interfaces, attached)?;
        // Generic XDP transmits like the stack does, on any interface: also a VLAN tag that came beside the packet, unless
        // TC takes it away.
        let generic = |record: &&InterfaceRecord| record.mode == Mode::Generic;
        let hides = |record: &InterfaceRecord| {
            let interface = interfaces.get(&record.index);
            interface.is_some_and(offloads::hides_vlan_tags)
        };
        let hidden_tags = attached.iter().filter(generic).any(hides);
        if hidden_tags || attached.iter().all(|record| generic(&record)) {
            now.with_tc
                .values_mut()
                .for_each(|with_tc| *with_tc = hidden_tags);
        }
        let different = now != *self;
        *self = now;
        Ok(different)
    }

    /// Whether an interface needs TC to transmit.
    pub fn needs_tc(&self, interface: u32) -> bool {
        self.with_tc.get(&interface).copied().unwrap_or(true)
    }
}
