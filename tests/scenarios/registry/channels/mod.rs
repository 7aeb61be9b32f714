//! Channels between members: who they are is seen, keys are agreed on, and only then do packets flow.

mod attacks;
mod floods;
mod impostors;
mod life;
mod paths;
mod refusals;

use std::fs;

use anyhow::{Context as _, Result};
use re6st_user::certificate::authority::Authority;
use serde_json::Value;
use testbed::{channel::Issuer, host::Host, traffic::UdpStream};

use super::{
    members::Member,
    support::{OPEN, RegistryHost, node_file, wait_for},
};

/// The registry and two members on its Internet, which know nothing of each other.
fn strangers() -> Result<(RegistryHost, [Member; 2])> {
    let registry = RegistryHost::new(&OPEN, "")?;
    let members = [
        Member::new(&registry, "a", &["--anonymous"])?,
        Member::new(&registry, "b", &["--anonymous"])?,
    ];
    for member in &members {
        member.configure(|text| text.replace("interfaces = [\"lan0\"]", "interfaces = []"))?;
    }
    Ok((registry, members))
}

/// Who makes certificates as the registry does, without its knowing.
fn issuer(registry: &RegistryHost) -> Result<Issuer> {
    let read = |name| fs::read_to_string(registry.file(name));
    Issuer::of(Authority::from_pem(&read("ca.crt")?, &read("ca.key")?)?)
}

/// Three lines of the file: another node, and where it is.
fn add_peer(member: &Member, other: &Member) -> Result<()> {
    let lines = format!(
        "\n[[peer]]\nnode    = \"{}\"\naddress = \"{}:4754\"\n",
        name(other)?,
        outer(other)?
    );
    member.configure(|text| text + &lines)
}

/// The name in a member's certificate.
fn name(member: &Member) -> Result<String> {
    let text = node_file(&member.host, "re6st0.toml")?;
    let name = text.split_whitespace().nth(2).context("no name")?;
    Ok(name.to_owned())
}

/// A member's IPv4 address on the Internet.
fn outer(member: &Member) -> Result<String> {
    outer_address(&member.host)
}

/// A host's IPv4 address on the Internet.
pub(super) fn outer_address(host: &Host) -> Result<String> {
    let output = host.run("ip", &["-4", "-o", "address", "show", "dev", "eth0"])?;
    let mut words = output.split_whitespace();
    let address = words.find(|word| word.contains('/'));
    let address = address.and_then(|address| address.split('/').next());
    Ok(address.context("no address")?.to_owned())
}

/// What `status peers` says of the only peer.
fn peer(member: &Member) -> Result<Value> {
    let lines = member.peers()?;
    serde_json::from_str(&lines).with_context(|| lines.clone())
}

fn wait_until_connected(member: &Member) -> Result<()> {
    wait_for("a channel", || {
        Ok(peer(member).is_ok_and(|peer| peer["state"] == "connected"))
    })
    .with_context(|| member.said())
}

/// Two that are connected; the first one has called.
fn connected() -> Result<(RegistryHost, [Member; 2])> {
    let (registry, mut members) = strangers()?;
    let [a, b] = &members;
    add_peer(a, b)?;
    members.iter_mut().try_for_each(Member::start)?;
    let [a, b] = &members;
    a.reach(b)?;
    Ok((registry, members))
}

fn stream(from: &Member, to: &Member, rate: u32) -> Result<UdpStream> {
    UdpStream::start(&from.host, &to.host, to.address()?.parse()?, 200, rate)
}

/// GRE keys that the data plane of a member accepts.
fn accepted_keys(member: &Member) -> Result<Vec<u64>> {
    let map = member.host.bpffs().join("re6st0/TUNNELS");
    let map = map.to_str().context("a file's name")?;
    let dump = member
        .host
        .run("bpftool", &["--json", "map", "dump", "pinned", map])?;
    let entries: Vec<Value> = serde_json::from_str(&dump)?;
    let values = entries.iter().map(|entry| &entry["formatted"]["value"]);
    let used = values.filter(|value| value["next_hop"] != 0);
    Ok(used.filter_map(|value| value["key"].as_u64()).collect())
}
