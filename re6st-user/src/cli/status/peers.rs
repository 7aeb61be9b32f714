//! Peers of a managed mesh, for people.

use std::time::Duration;

use re6st_user::io::clock::wall;
use serde::Deserialize as _;
use serde_json::Value;

use super::lists::shown;
use crate::cli::table::table;

/// A line for each: its channel, then what is measured of the way to it.
pub fn text(peers: &[Value]) -> String {
    let columns = [
        "peer",
        "address",
        "state",
        "opened by",
        "handshake",
        "keys",
        "certificate ends",
        "payload",
        "",
    ];
    let channels = table("peers", &columns, peers.iter().map(channel));
    let columns = [
        "peer",
        "RTT",
        "jitter",
        "loss out",
        "loss in",
        "path MTU",
        "tunnel MTU",
        "channel sent",
        "received",
        "tunnel sent",
        "received",
    ];
    let ways = table("ways to peers", &columns, peers.iter().map(way));
    channels + &ways
}

fn channel(peer: &Value) -> Vec<String> {
    let post_quantum = match peer["post-quantum"].as_bool() {
        Some(true) => "post-quantum",
        Some(false) => "not post-quantum",
        None => "",
    };
    let age = duration(&peer["key-age"]).map(|age| format!("{} s, {post_quantum}", age.as_secs()));
    let handshake = duration(&peer["last-handshake"]);
    let end = peer["certificate-expires"].as_u64();
    vec![
        shown(&peer["peer"]),
        shown(&peer["address"]),
        shown(&peer["state"]),
        shown(&peer["opened-by"]),
        handshake.map_or_else(String::new, |age| format!("{} s ago", age.as_secs())),
        age.unwrap_or_default(),
        end.map_or_else(String::new, |end| {
            format!("in {} days", end.saturating_sub(wall().0) / 86_400)
        }),
        match peer["payload-encrypted"].as_bool() {
            Some(true) => "encrypted".to_owned(),
            _ => "clear".to_owned(),
        },
        shown(&peer["why"]),
    ]
}

fn way(peer: &Value) -> Vec<String> {
    let quality = &peer["quality"];
    let milliseconds = |value: &Value| {
        duration(value).map_or_else(String::new, |time| {
            format!("{:.3} ms", time.as_secs_f64() * 1000.0)
        })
    };
    let percent = |value: &Value| {
        value
            .as_f64()
            .map_or_else(String::new, |of| format!("{:.1} %", of / 65_536.0 * 100.0))
    };
    vec![
        shown(&peer["peer"]),
        milliseconds(&quality["round-trip"]),
        milliseconds(&quality["jitter"]),
        percent(&quality["loss-out"]),
        percent(&quality["loss-in"]),
        shown(&peer["path-mtu"]),
        shown(&peer["tunnel-mtu"]),
        shown(&peer["sent"]),
        shown(&peer["received"]),
        shown(&peer["tunnel"]["sent-bytes"]),
        shown(&peer["tunnel"]["received-bytes"]),
    ]
}

/// As serde writes one; nothing if there is none.
fn duration(value: &Value) -> Option<Duration> {
    Duration::deserialize(value).ok()
}
