//! The first configuration of a node: `re6st0.toml`.

use re6st_user::{
    certificate::{network::Network, node::NodeCertificate},
    registry::documents::NetworkParameters,
};
use toml::Value;

use super::{import::Import, ways::Interfaces};

/// What it is made of.
#[derive(Debug)]
pub struct Facts<'a> {
    /// The registry's address.
    pub registry: &'a str,
    /// The network the certificate is for.
    pub network: Network,
    /// The node's certificate.
    pub certificate: &'a NodeCertificate,
    /// The network's parameters.
    pub parameters: &'a NetworkParameters,
    /// The interfaces it has to do with.
    pub interfaces: &'a Interfaces,
    /// What comes from a file of re6stnet, and what it says is about this node as well.
    pub import: &'a Import,
}

/// The text of the file.
pub fn text(facts: &Facts<'_>) -> String {
    let certificate = facts.certificate;
    let ipv4 = facts.parameters.ipv4();
    let ipv4 = ipv4.and_then(|network| network.address(certificate.subject_serial()));
    let addresses = certificate
        .prefix()
        .address(&facts.network)
        .map(|address| address.to_string())
        .into_iter()
        .chain(ipv4.map(|address| address.to_string()));
    let networks = facts.parameters.networks();
    let networks = networks.iter().map(ToString::to_string);
    let (interfaces, import) = (facts.interfaces, facts.import);
    let [gateway, default_route] = match import.gateway {
        false => [String::new(), String::new()],
        true => [
            format!(
                "# an Internet gateway's uplinks\ngateway-interfaces = {}\n",
                list(interfaces.uplinks.iter().cloned())
            ),
            format!(
                "announce = [{{ to = \"::/0\", from = \"{}\" }}]\n",
                facts.network
            ),
        ],
    };
    let mut text = format!(
        "# Node {} of {}.\n\
         # Names of files are relative to this folder.\n\n\
         # this node's addresses; each prefix is a subnet it owns\n\
         addresses  = {}\n\
         # where tunnels arrive: the interfaces that lead to the Internet; plain links with other nodes too\n\
         interfaces = {}\n\
         # the whole mesh\n\
         networks   = {}\n\
         # relay for others\n\
         forward    = true\n\
         {}{}\n\
         [babel]\n\
         # links with other nodes, on which they find each other without the Internet; whoever is there may bring packets\n\
         # of any source (intervals and keys come from the network's parameters)\n\
         interfaces = {}\n{}",
        certificate.prefix().common_name(),
        facts.network,
        list(addresses),
        list(interfaces.attached().into_iter()),
        list(networks),
        gateway,
        import.draft.head(),
        list(interfaces.plain.iter().cloned()),
        default_route,
    );
    text += &format!(
        "\n[registry]\nurl  = {}\nca   = \"ca.crt\"\ncert = \"cert.crt\"\nkey  = \"cert.key\"\n\
         # what channels to other nodes are made with\nstatic-key = \"x25519.key\"\n\n\
         # a node that always has a tunnel with this one, in the file of one of the two (`re6st-user reload` takes it up):\n\
         # [[peer]]\n\
         # node    = \"1/16\"           # the name in its certificate: `re6st-user status` there shows it\n\
         # address = \"192.0.2.7:4754\" # where to reach it; without this line it comes to us\n{}\n\
         # nodes beyond these links are found by the registry, and tunnels to some of them are kept\n\
         [mesh]\n{}",
        Value::String(facts.registry.to_owned()),
        import.draft.peers(),
        import.draft.mesh(),
    );
    text
}

fn list(texts: impl Iterator<Item = String>) -> String {
    Value::Array(texts.map(Value::String).collect()).to_string()
}
