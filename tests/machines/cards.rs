//! Three hosts on a machine's network cards: `left` - virtio cable - `node` - e1000 cable - `right`.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use testbed::machine::{E1000_CARDS, VIRTIO_CARDS};

use crate::support::{Scene, configuration, tunnel};

/// Makes the hosts, with the cards `eth0` of `left` and `right`, `virtio` and `e1000` of `node`; runs `script`, which
/// gives them addresses: `left` 192.0.2.2 and `right` 2001:db8:ffff::2; waits until they hear each other.
pub fn plug(scene: &Scene, script: &str) -> Result<()> {
    let mut whole = String::from("hosts left node right\n");
    for (host, name, address) in [
        ("left", "eth0", VIRTIO_CARDS[0]),
        ("node", "virtio", VIRTIO_CARDS[1]),
        ("node", "e1000", E1000_CARDS[0]),
        ("right", "eth0", E1000_CARDS[1]),
    ] {
        whole += &card(host, name, address);
    }
    whole += script;
    // the cards' links take a moment to come up
    whole += "
        for try in $(seq 50); do
            on node ping -c 1 -W 1 192.0.2.2 >/dev/null && on node ping -c 1 -W 1 2001:db8:ffff::2 >/dev/null && exit 0
            usleep 100000
        done
        echo 'the cards do not hear each other'; exit 1";
    scene.run(&whole).map(drop)
}

/// The configuration of `node` with tunnels to both others, numbers 2 and 3.
pub fn configuration_of_node() -> String {
    let (left, right) = (["2001:db8:42:2::/64"], ["2001:db8:42:3::/64"]);
    configuration(1, &["virtio", "e1000"])
        + &tunnel("left", "192.0.2.2", "fou", (2, 102), &left)
        + &tunnel("right", "2001:db8:ffff::2", "gre", (3, 103), &right)
}

/// Puts a card, found by its Ethernet address, into a host.
fn card(host: &str, name: &str, address: &str) -> String {
    format!(
        "card=$(grep -l {address} /sys/class/net/*/address | cut -d / -f 5)
        ip link set $card netns {host} name {name}
        on {host} ip link set {name} mtu 1500 up\n"
    )
}

/// Checks in which mode XDP is attached to an interface.
pub fn mode_is(status: &Value, name: &str, mode: &str) -> Result<()> {
    let interface = interface(status, name)?;
    ensure!(
        interface["mode"] == mode,
        "{name} is not in {mode} mode: {interface:#}"
    );
    Ok(())
}

/// Checks that the status says why an interface is not in driver mode.
pub fn has_reason(status: &Value, name: &str) -> Result<()> {
    let interface = interface(status, name)?;
    let reason = interface["reason"].as_str().unwrap_or_default();
    ensure!(
        !reason.is_empty(),
        "status does not say why {name} is in generic mode: {interface:#}"
    );
    Ok(())
}

fn interface<'a>(status: &'a Value, name: &str) -> Result<&'a Value> {
    status["interfaces"]
        .as_array()
        .and_then(|interfaces| interfaces.iter().find(|found| found["name"] == name))
        .with_context(|| format!("status has no interface {name}: {status:#}"))
}
