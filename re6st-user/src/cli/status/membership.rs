//! What a controller tells of the managed mesh it is a member of, for people.

use re6st_user::io::clock::wall;
use serde_json::Value;

use crate::cli::table::counted;

/// Registry, parameters, revocations, certificate, authorities. `standing` is null of a node that is no member.
pub fn text(standing: &Value) -> String {
    if standing.is_null() {
        return String::new();
    }
    let now = wall().0;
    let mut text = format!(
        "\nmember of {} by {}: {}\n",
        shown(&standing["network"]),
        shown(&standing["url"]),
        contact(standing, now)
    );
    let mut line = |words: String| {
        text += "  ";
        text += &words;
        text.push('\n');
    };
    for warning in list(&standing["warnings"]) {
        line(format!("WARNING: {}", shown(warning)));
    }
    if let Some(message) = standing["problem"]["message"].as_str() {
        line(format!(
            "problem since {}: {message}",
            ago(&standing["problem"]["at"], now)
        ));
    }
    let parameters = &standing["parameters"];
    line(if parameters.is_null() {
        "parameters: none yet".to_owned()
    } else {
        format!(
            "parameters: number {}, Hellos every {} s, updates every {} s",
            shown(&parameters["number"]),
            parameters["hello-interval"],
            parameters["update-interval"]
        )
    });
    for remark in list(&parameters["overridden"]).chain(list(&parameters["not-applied"])) {
        line(format!("  {}", shown(remark)));
    }
    line(match standing["mac-keys"].as_str() {
        Some(summary) => format!("keys of Babel's MAC: {summary}"),
        None => "keys of Babel's MAC: not known yet".to_owned(),
    });
    let revocations = &standing["revocations"];
    line(if revocations.is_null() {
        "revocations: none yet".to_owned()
    } else {
        format!(
            "revocations: number {}, {}",
            shown(&revocations["number"]),
            counted(
                revocations["count"].as_u64().unwrap_or_default() as usize,
                "certificate",
                "certificates"
            )
        )
    });
    let certificate = &standing["certificate"];
    line(format!(
        "certificate: {}, serial number {}, {}",
        shown(&certificate["common-name"]),
        shown(&certificate["serial"]),
        left(&certificate["not-after"], now)
    ));
    for authority in list(&standing["authorities"]) {
        line(format!(
            "authority: {}, {}",
            shown(&authority["fingerprint"]),
            left(&authority["not-after"], now)
        ));
    }
    text
}

pub fn contact(standing: &Value, now: u64) -> String {
    let last = &standing["last-contact"];
    match (standing["reachable"] == true, last.is_null()) {
        (true, _) => format!("answered {}", ago(last, now)),
        (false, false) => format!("AWAY, answered {}", ago(last, now)),
        (false, true) => "AWAY since this controller started".to_owned(),
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn shown(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// How long ago a moment was.
fn ago(moment: &Value, now: u64) -> String {
    let passed = now.saturating_sub(moment.as_u64().unwrap_or(now));
    format!("{} ago", span(passed))
}

/// Until when, and how long that is.
pub fn left(moment: &Value, now: u64) -> String {
    let until = moment.as_u64().unwrap_or_default();
    if until < now {
        format!("expired {}", ago(moment, now))
    } else {
        format!("valid for {}", span(until - now))
    }
}

/// In the largest unit of which there are two or more.
pub fn span(seconds: u64) -> String {
    for (unit, length) in [("days", 86_400), ("hours", 3600), ("minutes", 60)] {
        if seconds >= 2 * length {
            return format!("{} {unit}", seconds / length);
        }
    }
    format!("{seconds} s")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{span, text};

    #[test]
    fn shows_what_people_ask_first() {
        let standing = json!({
            "url": "https://registry.example/", "network": "2001:db8:42::/48", "reachable": false, "last-contact": 1000,
            "problem": {"at": 2000, "message": "no answer in 30 s"},
            "parameters": {"number": 7, "hello-interval": 15.0, "update-interval": 60.0,
                "overridden": ["hello-interval is 2 s by the file, 15 s in the network"], "not-applied": []},
            "revocations": {"number": 3, "count": 1}, "mac-keys": "sign and accept one key",
            "certificate": {"serial": 5, "common-name": "1/16", "not-after": 1500},
            "authorities": [{"fingerprint": "sha256:00", "not-after": 99_999_999_999_u64}],
            "warnings": ["this node's certificate has expired"],
        });

        let shown = text(&standing);

        for words in [
            "member of 2001:db8:42::/48 by https://registry.example/: AWAY, answered",
            "WARNING: this node's certificate has expired",
            "no answer in 30 s",
            "parameters: number 7, Hellos every 15.0 s",
            "hello-interval is 2 s by the file",
            "revocations: number 3, 1 certificate",
            "certificate: 1/16, serial number 5, expired",
            "authority: sha256:00, valid for",
        ] {
            assert!(shown.contains(words), "{words}: {shown}");
        }
        assert_eq!(text(&Value::Null), "");
    }

    #[test]
    fn spans_are_short() {
        assert_eq!(span(119), "119 s");
        assert_eq!(span(7200), "2 hours");
        assert_eq!(span(864_000), "10 days");
    }
}
