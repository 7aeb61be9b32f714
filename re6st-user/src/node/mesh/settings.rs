//! What is set of the mesh: by the file, else by the network's parameters, else by default. Both may change while the node
//! runs, and the file may begin to want a mesh, or cease to.

use std::collections::BTreeSet;

use super::{super::controller::Controller, NodeMesh};
use crate::{
    certificate::node_prefix::NodePrefix,
    channel,
    config::{self, Carrier, Config},
    membership::{mesh::MeshParameters, shell::Request},
    mesh::{Address, Input, Settings},
    time::Time,
};

/// What the mesh is told.
pub(super) fn settings(
    config: &Config,
    section: &config::Mesh,
    network: &MeshParameters,
) -> Settings {
    let defaults = Settings::default();
    let preferred = config.peers.iter().map(|peer| {
        let address = peer.address.map(Address::udp);
        (peer.node, address.into_iter().collect())
    });
    let count = |file: Option<usize>, network: Option<usize>| file.or(network);
    let refresh = section.tunnel_refresh.or(network.tunnel_refresh);
    let countries = section.same_country.as_ref();
    Settings {
        client_count: count(section.client_count, network.client_count)
            .unwrap_or(defaults.client_count),
        max_clients: count(section.max_clients, network.max_clients)
            .unwrap_or(defaults.max_clients),
        tunnel_refresh: refresh.unwrap_or(defaults.tunnel_refresh),
        preferred: preferred.collect(),
        client_mode: section.client,
        ipv4: !section.disabled.contains(&Carrier::Udp),
        ipv6: !section.disabled.contains(&Carrier::Udp6),
        same_country: countries.unwrap_or(&network.same_country).clone(),
        registry_node: network.registry_node,
        ..defaults
    }
}

impl Controller {
    /// The mesh that the configuration wants, without any tunnel; none if it wants none, or if this node can have no channels.
    pub(in super::super) fn new_mesh(&self) -> Option<NodeMesh> {
        let section = self.config.mesh.as_ref()?;
        let standing = self.membership.as_ref()?.borrow();
        let channel = standing.channel.as_ref()?;
        let (own, network) = (channel.certificate.prefix(), channel.authorities.network());
        let settings = settings(&self.config, section, &standing.mesh);
        Some(NodeMesh::new(settings, own, network))
    }

    /// Follows what configuration and network say by now.
    pub(in super::super) fn follow_mesh_settings(&mut self) {
        match (&self.config.mesh, &mut self.mesh) {
            (None, None) => {}
            (Some(_), None) => self.take_up_mesh(),
            (None, Some(_)) => self.leave_mesh(),
            (Some(section), Some(mesh)) => {
                let standing = self.membership.as_ref();
                let network = standing.map(|standing| standing.borrow().mesh.clone());
                let settings = settings(&self.config, section, &network.unwrap_or_default());
                // addresses may be others too
                mesh.places.look_at = Time::default();
                if mesh.told != settings {
                    mesh.told = settings.clone();
                    self.mesh(Input::Settings(Box::new(settings)));
                }
            }
        }
    }

    /// From now on there is a mesh, to which the tunnels that there are belong.
    fn take_up_mesh(&mut self) {
        self.mesh = self.new_mesh();
        self.begin_mesh();
        let of_peers = self.config.tunnels.iter().filter(|tunnel| tunnel.of_peer);
        let nodes = of_peers.filter_map(|tunnel| NodePrefix::from_common_name(&tunnel.name).ok());
        for node in Vec::from_iter(nodes) {
            self.mesh_tunnel_is_up(node);
        }
    }

    /// From now on there is none. What it has opened is closed.
    fn leave_mesh(&mut self) {
        let opened = self.opened_by_mesh();
        self.leave_port_mapping();
        // which would look for others
        self.mesh = None;
        for node in opened {
            let why = channel::Closing::NotNeeded;
            self.channel(channel::Input::Close { node, why });
        }
        self.ask_membership(Request::Hidden);
        self.tell_peers();
    }

    /// Nodes that the mesh wants a tunnel to, and nobody else.
    pub(in super::super) fn opened_by_mesh(&self) -> BTreeSet<NodePrefix> {
        let wanted = self
            .mesh
            .iter()
            .flat_map(|mesh| mesh.wanted.keys().copied());
        let named = |node: &NodePrefix| self.config.peers.iter().any(|peer| peer.node == *node);
        wanted.filter(|node| !named(node)).collect()
    }
}

#[cfg(test)]
#[expect(clippy::expect_used, reason = "a test may end there")]
mod tests {
    use std::time::Duration;

    use super::*;

    const FILE: &str = r#"
        addresses  = ["2001:db8:42:1::1/64"]
        interfaces = ["eth0"]
        networks   = ["2001:db8:42::/48"]
        [babel]
        [registry]
        url  = "https://registry.example/"
        ca   = "ca.crt"
        cert = "cert.crt"
        key  = "cert.key"
        [mesh]
    "#;

    fn of(section: &str, network: &MeshParameters) -> Settings {
        let config = Config::parse(&format!("{FILE}{section}")).expect("a configuration");
        let mesh = config.mesh.clone().expect("a section");
        settings(&config, &mesh, network)
    }

    fn countries(codes: &[&str]) -> BTreeSet<crate::certificate::record::Country> {
        let codes = codes.iter();
        codes.map(|code| code.parse().expect("letters")).collect()
    }

    #[test]
    fn the_file_wins_over_the_network_and_both_over_the_defaults() {
        let none = MeshParameters::default();
        let network = MeshParameters {
            client_count: Some(4),
            max_clients: Some(9),
            tunnel_refresh: Some(Duration::from_secs(60)),
            same_country: countries(&["CN"]),
            registry_node: NodePrefix::from_common_name("0/16").ok(),
        };
        let all = "client-count = 3\nmax-clients = 0\ntunnel-refresh = 30\nsame-country = []";
        for (section, network, expected, same_country) in [
            ("", &none, (10, 20, 300), &[][..]),
            ("", &network, (4, 9, 60), &["CN"]),
            ("client-count = 3", &network, (3, 9, 60), &["CN"]),
            ("same-country = [\"FR\"]", &network, (4, 9, 60), &["FR"]),
            (all, &network, (3, 0, 30), &[]),
        ] {
            let found = of(section, network);
            let numbers = (
                found.client_count,
                found.max_clients,
                found.tunnel_refresh.as_secs(),
            );
            assert_eq!(numbers, expected, "{section:?}");
            assert_eq!(found.same_country, countries(same_country), "{section:?}");
            assert_eq!(found.registry_node, network.registry_node);
        }
    }

    #[test]
    fn what_is_not_used_and_whom_nobody_may_miss_comes_from_the_file() {
        let network = MeshParameters::default();
        let found = of(
            "disable-proto = [\"udp6\"]\nclient = true\n[[peer]]\nnode = \"7/16\"\naddress = \"192.0.2.7\"",
            &network,
        );
        assert!(found.ipv4 && !found.ipv6 && found.client_mode);
        let preferred = Vec::from_iter(found.preferred.keys().map(NodePrefix::common_name));
        assert_eq!(preferred, ["7/16"]);
        let plain = of("", &network);
        assert!(plain.ipv4 && plain.ipv6 && !plain.client_mode);
    }
}
