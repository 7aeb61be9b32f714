//! What Babel does alike on all nodes: from the configuration file, else from the network's parameters, else by default.

use std::time::Duration;

use super::mac_keys::NetworkMacKeys;
use crate::{config::Babel, registry::documents::NetworkParameters};

/// What may change while a node runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BabelParameters {
    /// Time between two Hellos.
    pub hello_interval: Duration,
    /// Time between two full announcements.
    pub update_interval: Duration,
    /// Keys on plain interfaces; none if they are the network's and not known yet: then nothing is said or heard there.
    pub mac: Option<NetworkMacKeys>,
    /// Bits of the shortest prefix that a node of the network has; 0 if it is not known.
    pub shortest_prefix: u8,
}

impl BabelParameters {
    /// Of a node whose file says everything.
    pub fn configured(babel: &Babel) -> Self {
        let file = NetworkMacKeys::configured(babel.mac.clone());
        Self::managed(babel, None, Some(&file))
    }

    /// Of a node in a managed mesh. What its file says wins.
    pub fn managed(
        babel: &Babel,
        parameters: Option<&NetworkParameters>,
        mac: Option<&NetworkMacKeys>,
    ) -> Self {
        let (hello_interval, update_interval) = babel.intervals(
            parameters.and_then(NetworkParameters::hello_interval),
            parameters.and_then(NetworkParameters::update_interval),
        );
        Self {
            hello_interval,
            update_interval,
            mac: if babel.mac.is_empty() {
                mac.cloned()
            } else {
                Some(NetworkMacKeys::configured(babel.mac.clone()))
            },
            shortest_prefix: parameters
                .and_then(NetworkParameters::shortest_prefix)
                .unwrap_or(0),
        }
    }
}

/// Which parameters of the network the file overrides, in words.
pub fn overridden(babel: &Babel, parameters: &NetworkParameters) -> Vec<String> {
    let mut remarks = Vec::new();
    for (key, file, network) in [
        (
            "hello-interval",
            babel.hello_interval,
            parameters.hello_interval(),
        ),
        (
            "update-interval",
            babel.update_interval,
            parameters.update_interval(),
        ),
    ] {
        if let (Some(file), Some(network)) = (file, network)
            && file != network
        {
            let (file, network) = (file.as_secs_f64(), network.as_secs_f64());
            remarks.push(format!(
                "{key} is {file} s by the file, {network} s in the network"
            ));
        }
    }
    if !babel.mac.is_empty() {
        remarks.push("the keys of Babel's MAC are the file's, not the network's".to_owned());
    }
    remarks
}
