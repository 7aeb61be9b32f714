//! Checks the section `[babel]`.

use std::{path::PathBuf, time::Duration};

use data_encoding::HEXLOWER_PERMISSIVE;
use toml::Spanned;

use super::{
    Babel, MAXIMUM_ROUTES, Mac, MacAlgorithm,
    mistake::Wrong,
    names::{interface_names, some_of},
    prefix::prefix,
    raw,
    raw::Text,
    tunnel::ranged,
};
use crate::{
    babel::{
        filter::{Action, Filter, Rule},
        limits::Limits,
        quantities::{Metric, RouterId},
    },
    route::RouteKey,
};

/// Time between two Hellos unless configured (RFC 8966 appendix B).
pub const DEFAULT_HELLO_INTERVAL: Duration = Duration::from_secs(4);
/// So many Hello intervals are between two full announcements unless configured (RFC 8966 appendix B).
const HELLOS_PER_UPDATE: u32 = 4;
/// The longest interval that can be told to neighbours: 16 bits of centiseconds, of which one value means "never".
pub const LONGEST_INTERVAL: Duration = Duration::from_millis(655_340);
/// Bytes of the longest MAC key: the block size of SHA-256 (RFC 2104), the key size of BLAKE2s (RFC 7693).
const fn maximum_key(algorithm: MacAlgorithm) -> usize {
    match algorithm {
        MacAlgorithm::Blake2s128 => 32,
        MacAlgorithm::HmacSha256 => 64,
    }
}

/// The section `[babel]`.
pub fn babel(raw: &raw::Babel) -> Result<Babel, Wrong> {
    // on the wire it is a 16-bit number of centiseconds (RFC 8966 section 4.6.5)
    let hello_interval = raw.hello_interval.as_ref();
    let hello_interval = hello_interval
        .map(|value| seconds("babel.hello-interval", value, 0.01..=655.35))
        .transpose()?;
    let update_interval = raw.update_interval.as_ref();
    let update_interval = update_interval
        .map(|value| seconds("babel.update-interval", value, 0.01..=655.34))
        .transpose()?;
    let mac = match &raw.mac {
        None => Vec::new(),
        Some(raw) => raw.0.iter().map(mac).collect::<Result<_, _>>()?,
    };
    let (mut accept_filter, mut announce_filter, mut install_filter) =
        (Filter::default(), Filter::default(), Filter::default());
    for raw in &raw.filter {
        let filter = match raw.on.get_ref().as_str() {
            "accept" => &mut accept_filter,
            "announce" => &mut announce_filter,
            "install" => &mut install_filter,
            _ => {
                let problem = "expected \"accept\", \"announce\" or \"install\"";
                return Err(Wrong::value("babel.filter: on", &raw.on, problem));
            }
        };
        filter.0.push(rule(raw)?);
    }
    let interfaces = interface_names("babel.interfaces", &raw.interfaces)?;
    Ok(Babel {
        round_trip_interfaces: some_of(
            "babel.round-trip-interfaces",
            &raw.round_trip_interfaces,
            ("babel.interfaces", &interfaces),
        )?,
        interfaces,
        hello_interval,
        update_interval,
        probe_timeout: raw
            .probe_timeout
            .as_ref()
            .map(|value| seconds("babel.probe-timeout", value, 0.05..=60.0))
            .transpose()?,
        maximum_prefixes: match &raw.maximum_prefixes {
            None => Limits::PREFIXES,
            Some(most) => ranged(
                "babel.maximum-prefixes",
                most,
                1..=10_000_000,
                "expected 1 to 10000000",
            )?,
        },
        mac,
        router_id: raw
            .router_id
            .as_ref()
            .map(|text| router_id("babel.router-id", text))
            .transpose()?,
        state_directory: raw
            .state_directory
            .as_ref()
            .map(state_directory)
            .transpose()?,
        announce: announcements(&raw.announce)?,
        accept_filter,
        announce_filter,
        install_filter,
    })
}

/// Time between two full announcements unless configured.
pub fn update_interval(hello_interval: Duration) -> Duration {
    (hello_interval * HELLOS_PER_UPDATE).min(LONGEST_INTERVAL)
}

fn seconds(
    key: &str,
    value: &Spanned<f64>,
    allowed: std::ops::RangeInclusive<f64>,
) -> Result<Duration, Wrong> {
    if allowed.contains(value.get_ref()) {
        return Ok(Duration::from_secs_f64(*value.get_ref()));
    }
    let problem = format!(
        "expected seconds from {} to {}",
        allowed.start(),
        allowed.end()
    );
    Err(Wrong::value(key, value, problem))
}

fn mac(raw: &raw::Mac) -> Result<Mac, Wrong> {
    let algorithm = match raw.r#type.get_ref().as_str() {
        "blake2s128" => MacAlgorithm::Blake2s128,
        "hmac-sha256" => MacAlgorithm::HmacSha256,
        _ => {
            let problem = "expected \"blake2s128\" or \"hmac-sha256\"";
            return Err(Wrong::value("babel.mac.type", &raw.r#type, problem));
        }
    };
    let maximum = maximum_key(algorithm);
    let text = raw.key.get_ref().as_str().unwrap_or_default();
    let key = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok();
    let key = key
        .filter(|key| (1..=maximum).contains(&key.len()))
        .ok_or_else(|| {
            let problem = format!(
                "expected a string of 1 to {maximum} bytes in hexadecimal, two digits each"
            );
            Wrong::hidden("babel.mac.key", &raw.key, problem)
        })?;
    Ok(Mac {
        algorithm,
        key,
        accept_only: raw.accept_only,
    })
}

/// Eight octets as babeld and BIRD write them.
fn router_id(key: &str, text: &Text) -> Result<RouterId, Wrong> {
    let octets: Option<Vec<u8>> = text
        .get_ref()
        .split(':')
        .map(|octet| {
            u8::from_str_radix(octet, 16)
                .ok()
                .filter(|_| octet.len() == 2)
        })
        .collect();
    octets
        .and_then(|octets| RouterId::new(octets.try_into().ok()?))
        .ok_or_else(|| {
            let problem = "expected eight octets in hexadecimal such as \"02:00:5e:ff:fe:00:53:01\", not all zero, not all ff";
            Wrong::value(key, text, problem)
        })
}

fn state_directory(text: &Text) -> Result<PathBuf, Wrong> {
    match text.get_ref().as_str() {
        name if name.starts_with('/') => Ok(PathBuf::from(name)),
        _ => {
            let problem = "expected an absolute path";
            Err(Wrong::value("babel.state-directory", text, problem))
        }
    }
}

fn announcements(raw: &[raw::Announcement]) -> Result<Vec<(RouteKey, Metric)>, Wrong> {
    if let Some(excess) = raw.get(MAXIMUM_ROUTES) {
        let problem = format!("more than {MAXIMUM_ROUTES} entries");
        return Err(Wrong::hidden("babel.announce", &excess.to, problem));
    }
    raw.iter().map(announcement).collect()
}

fn announcement(raw: &raw::Announcement) -> Result<(RouteKey, Metric), Wrong> {
    let to = prefix("babel.announce: to", &raw.to)?;
    let from = raw
        .from
        .as_ref()
        .map(|from| prefix("babel.announce: from", from))
        .transpose()?;
    let route = RouteKey::new(to, from)
        .map_err(|error| Wrong::value("babel.announce: to", &raw.to, error))?;
    let metric = match &raw.metric {
        None => 0,
        Some(metric) => ranged(
            "babel.announce: metric",
            metric,
            0..=65_534,
            "expected 0 to 65534",
        )?,
    };
    Ok((route, Metric(metric)))
}

fn rule(raw: &raw::Rule) -> Result<Rule, Wrong> {
    let optional_prefix = |key: &str, text: &Option<Text>| {
        let prefix = text.as_ref().map(|text| prefix(key, text));
        prefix.transpose()
    };
    let length = |key: &str, value: &Option<Spanned<i64>>| {
        let length = value
            .as_ref()
            .map(|value| ranged(key, value, 0..=128, "expected the length of a prefix"));
        length.transpose()
    };
    let add_metric = match &raw.add_metric {
        None => 0,
        Some(metric) => ranged(
            "babel.filter: add-metric",
            metric,
            0..=65_534,
            "expected 0 to 65534",
        )?,
    };
    Ok(Rule {
        to: optional_prefix("babel.filter: to", &raw.to)?,
        from: optional_prefix("babel.filter: from", &raw.from)?,
        least_length: length("babel.filter: least-length", &raw.least_length)?,
        most_length: length("babel.filter: most-length", &raw.most_length)?,
        router_id: raw
            .router_id
            .as_ref()
            .map(|text| router_id("babel.filter: router-id", text))
            .transpose()?,
        action: match raw.action.get_ref().as_str() {
            "allow" => Action::Allow { add_metric },
            "deny" => Action::Deny,
            _ => {
                let problem = "expected \"allow\" or \"deny\"";
                return Err(Wrong::value("babel.filter: action", &raw.action, problem));
            }
        },
    })
}
