//! Nodes of a managed network on another kernel: they enrol, agree on a tunnel in a channel, and XDP judges who knocks.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::support::{Scene, on_each_kernel};

/// Hosts of nodes with their instances, whose names are also those of their mesh devices; the registry's address for each.
const NODES: [(&str, &str, &str); 2] = [
    ("a", "meshA", "198.51.100.1"),
    ("b", "meshB", "198.51.100.5"),
];
/// A machine without hardware support takes its time for everything.
const SECONDS: u32 = 90;

const HOSTS: &str = "
hosts registry a b
cable registry eth0 a eth1
cable registry eth1 b eth1
cable a eth0 b eth0
addresses registry eth0 198.51.100.1/30
addresses a eth1 198.51.100.2/30
addresses registry eth1 198.51.100.5/30
addresses b eth1 198.51.100.6/30
addresses a eth0 192.0.2.1/24
addresses b eth0 192.0.2.2/24 192.0.2.3/24
rm -rf /tmp/channels
mkdir /tmp/channels
";

/// Waits for a word in a file.
fn wait_for(word: &str, file: &str) -> String {
    format!(
        "for attempt in $(seq {SECONDS}); do
            grep -q '{word}' {file} && break
            sleep 1
        done
        grep -q '{word}' {file} || {{ cat {file}; exit 1; }}
        "
    )
}

fn registry(scene: &Scene) -> Result<String> {
    let init = "on registry re6st-user registry init --network 2001:db8:42::/48 --dir /tmp/channels/registry \
        --listen '[::]:4443' --anonymous-prefix-length 16";
    let said = scene.run(init)?;
    let mut words = said.split_whitespace();
    let fingerprint = words.find(|word| word.starts_with("sha256:"));
    let fingerprint = fingerprint.with_context(|| format!("no fingerprint: {said}"))?;
    scene.run(&format!(
        "on registry re6st-user registry --config /tmp/channels/registry/registry.toml >/tmp/channels/registry.log 2>&1 &
        {}",
        wait_for("the registry serves", "/tmp/channels/registry.log")
    ))?;
    Ok(fingerprint.to_owned())
}

/// Enrols a node; its name in the network.
fn enrol(scene: &Scene, node: (&str, &str, &str), fingerprint: &str) -> Result<String> {
    let (host, _, registry) = node;
    let file = format!("/tmp/channels/{host}/re6st0.toml");
    // they find each other by the channel alone
    scene.run(&format!(
        "on {host} re6st-user conf --registry https://{registry}:4443/ --anonymous --fingerprint {fingerprint} \
            --dir /tmp/channels/{host} --interface eth0
        awk '
            /^\\[/ {{ section = $0 }}
            section == \"[babel]\" && /^interfaces/ {{ print \"interfaces = []\"; next }}
            section == \"[babel]\" && /^state-directory/ {{ next }}
            {{ print }}
            $0 == \"[babel]\" {{ print \"state-directory = \\\"/tmp/channels/{host}/state\\\"\" }}
        ' {file} >{file}.new
        mv {file}.new {file}"
    ))?;
    let name = scene.run(&format!("awk 'NR == 1 {{ print $3 }}' {file}"))?;
    Ok(name.trim().to_owned())
}

fn start(scene: &Scene, (host, instance, _): (&str, &str, &str)) -> Result<()> {
    let log = format!("/tmp/channels/{host}.log");
    scene.run(&format!(
        "on {host} re6st-user node --config /tmp/channels/{host}/re6st0.toml --instance {instance} >{log} 2>&1 &
        {}",
        wait_for("speaks Babel", &log)
    ))?;
    Ok(())
}

fn address(scene: &Scene, host: &str) -> Result<String> {
    let address = format!(
        "awk -F'\"' '/^addresses/ {{ sub(\"/.*\", \"\", $2); print $2; exit }}' /tmp/channels/{host}/re6st0.toml"
    );
    Ok(scene.run(&address)?.trim().to_owned())
}

fn two_certified_nodes_agree_on_a_tunnel_and_xdp_judges_handshakes(scene: &Scene) -> Result<()> {
    // arrange
    scene.run(HOSTS)?;
    let fingerprint = registry(scene)?;
    let [a, b] = NODES;
    enrol(scene, a, &fingerprint)?;
    let name = enrol(scene, b, &fingerprint)?;
    // at b's second address a believes somebody else, with a key that is not b's
    let other_key = format!("09{}", "0".repeat(62));
    scene.run(&format!(
        "cat >>/tmp/channels/a/re6st0.toml <<'PEERS'\n
        [[peer]]
        node = \"{name}\"
        address = \"192.0.2.2\"
        [[peer]]
        node = \"77/16\"
        address = \"192.0.2.3\"
        key = \"{other_key}\"\nPEERS"
    ))?;

    // act
    for node in NODES {
        start(scene, node)?;
    }

    // assert: packets flow both ways through the tunnel of the channel
    for (host, other) in [("a", "b"), ("b", "a")] {
        let target = address(scene, other)?;
        scene
            .run(&format!(
                "for attempt in $(seq {SECONDS}); do
                    on {host} ping -c 1 -W 1 {target} && exit 0
                    sleep 1
                done
                cat /tmp/channels/a.log /tmp/channels/b.log
                exit 1"
            ))
            .with_context(|| format!("{host} to {other}"))?;
        scene.run(&format!("transfer {host} {other} {target} 256"))?;
    }
    let text = scene.run("on b re6st-user status --instance meshB peers --json")?;
    let peer: Value = serde_json::from_str(&text).with_context(|| text.clone())?;
    ensure!(peer["state"] == "connected", "{peer:#}");
    ensure!(peer["post-quantum"] == true, "{peer:#}");

    // who has another key of the node in mind gets no further than XDP
    let counts = || {
        let status = scene.status("b", "meshB")?;
        // some may have come before the node had told XDP its key
        let reached = status["controller"]["channels"]["wrong_mac"].as_u64();
        let refused = scene.reason("b", "meshB", "handshake_mac")?;
        Ok::<_, anyhow::Error>((reached.context("no counter wrong_mac")?, refused))
    };
    let before = counts()?;
    for attempt in 0.. {
        let now = counts()?;
        ensure!(now.0 == before.0, "{now:?} after {before:?}");
        if now.1 > before.1 {
            break;
        }
        ensure!(attempt < SECONDS, "no handshake was refused: {now:?}");
        scene.run("sleep 1")?;
    }

    // the end
    for (host, instance, _) in NODES {
        scene.run(&format!(
            "kill $(ip netns pids {host})
            while [ -n \"$(ip netns pids {host})\" ]; do usleep 100000; done"
        ))?;
        scene.unload(host, instance)?;
    }
    scene.nothing_loaded()
}

on_each_kernel!(two_certified_nodes_agree_on_a_tunnel_and_xdp_judges_handshakes);
