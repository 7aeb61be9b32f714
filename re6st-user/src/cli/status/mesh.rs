//! The mesh as the node sees it, in ten lines, then its tunnels.

use std::time::Duration;

use re6st_user::dataplane::bpf::status::Status;
use serde::Deserialize as _;
use serde_json::Value;

use super::{
    lists::shown,
    membership::{contact, left, span},
};
use crate::cli::table::{counted, table};

/// Nothing of a node that keeps no tunnels by itself. `now` is the wall clock's, in seconds.
pub fn text(status: &Status, now: u64) -> String {
    let Some(controller) = &status.controller else {
        return String::new();
    };
    let mesh = &controller["mesh"];
    if mesh.is_null() {
        return String::new();
    }
    let traffic = |name: &str| {
        let mut tunnels = status.tunnels.iter();
        let tunnel = tunnels.find(|tunnel| tunnel.name == name)?;
        Some((tunnel.sent_bytes, tunnel.received_bytes))
    };
    summary(mesh, &controller["registry"], &status.warnings, now)
        + &tunnels(mesh, traffic)
        + &ended(mesh)
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Ten lines.
fn summary(mesh: &Value, registry: &Value, warnings: &[String], now: u64) -> String {
    let count = |owner: &str, states: &[&str]| {
        let tunnels = list(&mesh["tunnels"]).iter();
        let such = tunnels.filter(|tunnel| {
            let state = tunnel["state"].as_str().unwrap_or_default();
            tunnel["owner"] == owner && states.contains(&state)
        });
        such.count()
    };
    let (own, opening) = (count("us", &["up"]), count("us", &["asking", "opening"]));
    let addresses = list(&mesh["addresses"]).iter().map(shown);
    let addresses = Vec::from_iter(addresses).join(", ");
    let certificate = &registry["certificate"];
    let lines = [
        ("health", health(mesh, own, warnings)),
        (
            "own tunnels",
            format!(
                "{own} of {}, {opening} being opened, {} being closed",
                mesh["wanted"],
                count("us", &["draining"])
            ),
        ),
        (
            "served",
            format!("{} of {}", count("peer", &["up"]), mesh["max-clients"]),
        ),
        ("in reach", in_reach(mesh)),
        (
            "addresses",
            match addresses.is_empty() {
                true => "others are told no address of this node".to_owned(),
                false => format!("others are told {addresses}"),
            },
        ),
        (
            "known",
            format!("addresses of {} other nodes", mesh["known"]),
        ),
        (
            "asked",
            format!(
                "{} questions, {} answered; {} probes, {} answered",
                mesh["questions"],
                mesh["answers"],
                mesh["probes"],
                difference(&mesh["probes"], &mesh["unanswered_probes"])
            ),
        ),
        (
            "registry",
            format!("{}: {}", shown(&registry["url"]), contact(registry, now)),
        ),
        (
            "certificate",
            format!(
                "{}, {}",
                shown(&certificate["common-name"]),
                left(&certificate["not-after"], now)
            ),
        ),
    ];
    let mut text = format!("\nmesh: {} other nodes reachable\n", mesh["reachable"]);
    for (what, words) in lines {
        text += &format!("  {what:<12} {words}\n");
    }
    text
}

/// Whether all is well, or else the first reason why not.
fn health(mesh: &Value, own: usize, warnings: &[String]) -> String {
    let wanted = mesh["wanted"].as_u64().unwrap_or_default() as usize;
    if let Some(first) = warnings.first() {
        let warnings = counted(warnings.len(), "warning", "warnings");
        return format!("{warnings}: {first}");
    }
    if mesh["reachable"] == 0 {
        return "no other node is reachable".to_owned();
    }
    match mesh["reachable"].as_u64().unwrap_or_default() as usize {
        // there is nobody else to open one to
        nodes if own < wanted.min(nodes) && own + served(mesh) < nodes => {
            let missing = counted(wanted - own, "tunnel", "tunnels");
            format!("good, but {missing} of its own missing so far")
        }
        _ => "good".to_owned(),
    }
}

/// Whether others can open tunnels to the node, and by whose help.
fn in_reach(mesh: &Value) -> String {
    let text = match mesh["can-be-reached"] == true {
        true => "others can open tunnels to this node",
        false => "nobody has reached this node lately, so it opens few tunnels",
    };
    let mapped = &mesh["mapped-port"];
    if mapped.is_null() {
        return text.to_owned();
    }
    format!(
        "{text}; the router at {} passes what comes to {} on to this node ({})",
        shown(&mapped["router"]),
        shown(&mapped["address"]),
        shown(&mapped["protocol"])
    )
}

fn served(mesh: &Value) -> usize {
    let tunnels = list(&mesh["tunnels"]).iter();
    let served = tunnels.filter(|tunnel| tunnel["owner"] == "peer" && tunnel["is-up"] == true);
    served.count()
}

fn difference(whole: &Value, part: &Value) -> u64 {
    let number = |value: &Value| value.as_u64().unwrap_or_default();
    number(whole).saturating_sub(number(part))
}

/// A line for each tunnel. What it would cost to lose it is how much longer ways would be: 1 is one way of twice the length.
fn tunnels(mesh: &Value, traffic: impl Fn(&str) -> Option<(u64, u64)>) -> String {
    let rows = list(&mesh["tunnels"]).iter().map(|tunnel| {
        let name = shown(&tunnel["node"]);
        let octets = traffic(&name);
        let octet = |octets: Option<u64>| octets.map_or_else(String::new, |it| it.to_string());
        vec![
            name,
            match tunnel["owner"] == "us" {
                true => "ours".to_owned(),
                false => "the peer's".to_owned(),
            },
            shown(&tunnel["state"]),
            duration(&tunnel["age"]).map_or_else(String::new, |age| span(age.as_secs())),
            duration(&tunnel["round-trip"]).map_or_else(String::new, |time| {
                format!("{:.1} ms", time.as_secs_f64() * 1000.0)
            }),
            format!(
                "{:.1} %",
                tunnel["loss"].as_f64().unwrap_or_default() / 65_536.0 * 100.0
            ),
            octet(octets.map(|(sent, _)| sent)),
            octet(octets.map(|(_, received)| received)),
            tunnel["worth"]
                .as_f64()
                .map_or_else(String::new, |worth| format!("{worth:.1}")),
            shown(&tunnel["why-in-words"]),
        ]
    });
    let columns = [
        "peer", "whose", "state", "for", "RTT", "loss", "sent", "received", "worth", "why",
    ];
    table("tunnels of the mesh", &columns, rows)
}

fn ended(mesh: &Value) -> String {
    let rows = list(&mesh["ended"]).iter().map(|ended| {
        let ago = duration(&ended["ago"]).unwrap_or_default();
        vec![
            shown(&ended["node"]),
            format!("{} ago", span(ago.as_secs())),
            shown(&ended["why"]),
        ]
    });
    table("tunnels that have ended", &["peer", "", "why"], rows)
}

/// As serde writes one; nothing if there is none.
fn duration(value: &Value) -> Option<Duration> {
    Duration::deserialize(value).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{ended, health, summary, tunnels};

    fn mesh() -> Value {
        json!({
            "reachable": 12, "wanted": 3, "max-clients": 20, "can-be-reached": true, "known": 9,
            "addresses": ["203.0.113.5:4754"],
            "questions": 7, "answers": 6, "probes": 4, "unanswered_probes": 1,
            "tunnels": [
                {"node": "1/16", "owner": "us", "why": "gain", "why-in-words": "shortens ways", "state": "up", "is-up": true,
                    "age": {"secs": 7200, "nanos": 0}, "round-trip": {"secs": 0, "nanos": 12_340_000},
                    "loss": 655, "worth": 3.25},
                {"node": "2/16", "owner": "us", "why": "random", "why-in-words": "drawn at random", "state": "asking",
                    "is-up": false, "loss": 0},
                {"node": "3/16", "owner": "peer", "why": "served", "why-in-words": "wanted by the peer", "state": "up",
                    "is-up": true, "loss": 0},
            ],
            "ended": [{"node": "4/16", "why": "the peer serves enough others", "ago": {"secs": 5, "nanos": 0}}],
        })
    }

    #[test]
    fn the_mesh_is_seen_in_ten_lines() {
        let registry = json!({
            "url": "https://registry.example/", "reachable": true, "last-contact": 997,
            "certificate": {"common-name": "7/16", "not-after": 1000 + 864_000},
        });

        let text = summary(&mesh(), &registry, &[], 1000);

        assert_eq!(text.trim().lines().count(), 10);
        for words in [
            "mesh: 12 other nodes reachable",
            "good, but 2 tunnels of its own missing so far",
            "1 of 3, 1 being opened, 0 being closed",
            "1 of 20",
            "others can open tunnels to this node",
            "others are told 203.0.113.5:4754",
            "addresses of 9 other nodes",
            "7 questions, 6 answered; 4 probes, 3 answered",
            "https://registry.example/: answered 3 s ago",
            "7/16, valid for 10 days",
        ] {
            assert!(text.contains(words), "{words}: {text}");
        }
    }

    #[test]
    fn health_names_its_reason() {
        let mut mesh = mesh();
        let warning = ["the certificate has expired".to_owned()];
        assert_eq!(
            health(&mesh, 3, &warning),
            "1 warning: the certificate has expired"
        );
        assert_eq!(health(&mesh, 3, &[]), "good");
        mesh["reachable"] = json!(0);
        assert_eq!(health(&mesh, 0, &[]), "no other node is reachable");
    }

    #[test]
    fn each_tunnel_has_a_line_and_so_has_each_that_has_ended() {
        let traffic = |name: &str| (name == "1/16").then_some((1_000, 2_000));
        let shown = tunnels(&mesh(), traffic);
        let line = shown.lines().find(|line| line.contains("1/16"));
        let line = Vec::from_iter(line.unwrap_or_default().split_whitespace());
        let expected = "1/16 ours up 2 hours 12.3 ms 1.0 % 1000 2000 3.2 shortens ways";
        assert_eq!(line, Vec::from_iter(expected.split_whitespace()));
        assert!(shown.contains("the peer's"));
        let shown = ended(&mesh());
        assert!(shown.contains("4/16  5 s ago  the peer serves enough others"));
    }
}
