//! The network's parameters: what all nodes do alike.

use std::{collections::BTreeMap, net::Ipv4Addr};

use ipnet::Ipv4Net;
use serde_json::{Map, Value};

use super::refusal::Refusal;
use crate::{certificate::network::Ipv4Network, registry::documents::PostQuantum};

/// What a parameter can be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// A whole number from, to.
    Integer(u64, u64),
    /// True or false.
    Boolean,
    /// A list of ISO 3166 countries.
    Countries,
    /// An IPv4 prefix.
    Ipv4Prefix,
    /// The name of a [`PostQuantum`].
    PostQuantum,
}

/// One parameter that we know.
struct Known {
    name: &'static str,
    /// The same thing in re6stnet's configuration of a network.
    re6stnet: &'static str,
    kind: Kind,
}

const fn known(name: &'static str, re6stnet: &'static str, kind: Kind) -> Known {
    Known {
        name,
        re6stnet,
        kind,
    }
}

/// All parameters that we know. Spans are in seconds.
const KNOWN: &[Known] = &[
    known("client-count", "client_count", Kind::Integer(0, 255)),
    known("encrypt", "encrypt", Kind::Boolean),
    known("hello-interval", "hello", Kind::Integer(1, 600)),
    known("ipv4", "ipv4", Kind::Ipv4Prefix),
    known(
        IPV4_SUBNET_BITS,
        "ipv4_sublen",
        Kind::Integer(0, Ipv4Network::MAX_SUBNET_BITS as u64),
    ),
    known("max-clients", "max_clients", Kind::Integer(0, 65_535)),
    known("min-protocol", "min_protocol", Kind::Integer(1, 255)),
    known("post-quantum", "post_quantum", Kind::PostQuantum),
    known("same-country", "same_country", Kind::Countries),
    known("tunnel-refresh", "tunnel_refresh", Kind::Integer(1, 86_400)),
    known(
        "update-interval",
        "update_interval",
        Kind::Integer(1, 3_600),
    ),
];

/// How many of a node's IPv4 prefix' bits come after the network's.
const IPV4_SUBNET_BITS: &str = "ipv4-subnet-bits";

/// What re6stnet puts into its configuration of a network from elsewhere.
const DERIVED_BY_RE6STNET: &[&str] = &[
    "",
    "babel_hmac_accept",
    "babel_hmac_sign",
    "crl",
    "protocol",
    "registry_prefix",
    "version",
];

impl Kind {
    /// Whether a value is of this kind; the words say what would be.
    fn check(self, value: &Value) -> Result<(), String> {
        let (good, expected) = match self {
            Self::Integer(least, most) => (
                value
                    .as_u64()
                    .is_some_and(|number| (least..=most).contains(&number)),
                format!("a whole number from {least} to {most}"),
            ),
            Self::Boolean => (value.is_boolean(), "true or false".to_owned()),
            Self::Countries => (
                value
                    .as_array()
                    .is_some_and(|codes| codes.len() <= 300 && codes.iter().all(is_country)),
                "a list of countries such as [\"CN\"]".to_owned(),
            ),
            Self::Ipv4Prefix => (
                ipv4_prefix(value).is_some(),
                "an IPv4 prefix such as \"10.42.0.0/16\"".to_owned(),
            ),
            Self::PostQuantum => (
                value.as_str().and_then(PostQuantum::from_name).is_some(),
                "\"required\", \"preferred\" or \"off\"".to_owned(),
            ),
        };
        if good { Ok(()) } else { Err(expected) }
    }
}

fn is_country(value: &Value) -> bool {
    value
        .as_str()
        .is_some_and(|code| code.len() == 2 && code.bytes().all(|octet| octet.is_ascii_uppercase()))
}

fn ipv4_prefix(value: &Value) -> Option<Ipv4Net> {
    let prefix: Ipv4Net = value.as_str()?.parse().ok()?;
    (prefix.addr() == prefix.network() && prefix.addr() != Ipv4Addr::UNSPECIFIED).then_some(prefix)
}

/// What the operator set, and what was found and is not known.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Parameters {
    values: Map<String, Value>,
}

impl Parameters {
    /// From the store. Known values that are wrong are left out, unknown ones are kept: a newer program may know them.
    pub(in crate::registry) fn stored(values: Map<String, Value>) -> Self {
        let kept = values.into_iter().filter(|(name, value)| {
            KNOWN
                .iter()
                .find(|known| known.name == name)
                .is_none_or(|known| known.kind.check(value).is_ok())
        });
        let mut parameters = Self {
            values: kept.collect(),
        };
        if parameters.check_ipv4().is_err() {
            parameters.values.remove("ipv4");
            parameters.values.remove(IPV4_SUBNET_BITS);
        }
        parameters
    }

    /// From the configuration re6stnet published last.
    pub(in crate::registry) fn from_re6stnet(configuration: Map<String, Value>) -> Self {
        let renamed = configuration
            .into_iter()
            .filter(|(name, _)| !DERIVED_BY_RE6STNET.contains(&name.as_str()))
            .map(|(name, value)| {
                let known = KNOWN.iter().find(|known| known.re6stnet == name);
                (known.map_or(name, |known| known.name.to_owned()), value)
            });
        Self::stored(renamed.collect())
    }

    /// What the store keeps.
    pub(in crate::registry) const fn to_stored(&self) -> &Map<String, Value> {
        &self.values
    }

    /// Sets some, or returns them to their defaults; all or none.
    ///
    /// # Errors
    ///
    /// A name is unknown, or a value is not what it can be.
    pub fn with(&self, changes: &[(String, Option<Value>)]) -> Result<Self, Refusal> {
        let mut parameters = self.clone();
        for (name, value) in changes {
            let known = KNOWN.iter().find(|known| known.name == name);
            match (known, value) {
                // what was found and is not known can be removed, but not set
                (_, None) if parameters.values.contains_key(name) || known.is_some() => {
                    parameters.values.remove(name);
                }
                (Some(known), Some(value)) => {
                    known.kind.check(value).map_err(|expected| {
                        Refusal::Invalid(format!("{name} = {value}: expected {expected}"))
                    })?;
                    parameters.values.insert(name.clone(), value.clone());
                }
                (None, _) => {
                    let names: Vec<&str> = KNOWN.iter().map(|known| known.name).collect();
                    return Err(Refusal::Invalid(format!(
                        "there is no parameter {name}; there are {}",
                        names.join(", ")
                    )));
                }
                (Some(_), None) => {}
            }
        }
        parameters.check_ipv4().map_err(Refusal::Invalid)?;
        Ok(parameters)
    }

    /// The IPv4 network and its cut into subnets, if there is one.
    pub fn ipv4(&self) -> Option<Ipv4Network> {
        let prefix = self.values.get("ipv4").and_then(ipv4_prefix)?;
        let bits = self.values.get(IPV4_SUBNET_BITS)?.as_u64()?;
        Ipv4Network::new(prefix, u8::try_from(bits).ok()?).ok()
    }

    fn check_ipv4(&self) -> Result<(), String> {
        match (self.values.get("ipv4"), self.values.get(IPV4_SUBNET_BITS)) {
            (None, None) => Ok(()),
            (Some(_), Some(_)) if self.ipv4().is_some() => Ok(()),
            (Some(prefix), Some(bits)) => Err(format!(
                "ipv4 = {prefix} and {IPV4_SUBNET_BITS} = {bits}: the prefix length and these bits are at most 32 together"
            )),
            _ => Err(format!(
                "ipv4 and {IPV4_SUBNET_BITS} are set together, or neither"
            )),
        }
    }

    /// All values: what was set, and the defaults of what was not.
    pub fn all(&self) -> Map<String, Value> {
        let number = |name: &str, default: u64| {
            self.values
                .get(name)
                .and_then(Value::as_u64)
                .unwrap_or(default)
        };
        let hello = number("hello-interval", 15);
        let clients = number("client-count", 10);
        let defaults: BTreeMap<&str, Value> = BTreeMap::from([
            ("client-count", clients.into()),
            ("encrypt", false.into()),
            ("hello-interval", hello.into()),
            ("max-clients", (2 * clients).into()),
            ("min-protocol", 1.into()),
            ("post-quantum", "preferred".into()),
            ("same-country", Value::Array(Vec::new())),
            ("tunnel-refresh", 300.into()),
            ("update-interval", (4 * hello).min(3_600).into()),
        ]);
        let mut all = self.values.clone();
        for (name, value) in defaults {
            all.entry(name).or_insert(value);
        }
        all
    }
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test ends where it fails")]
mod tests {
    use serde_json::json;

    use super::*;

    fn set(changes: &[(&str, Value)]) -> Result<Parameters, Refusal> {
        let changes: Vec<_> = changes
            .iter()
            .map(|(name, value)| ((*name).to_owned(), Some(value.clone())))
            .collect();
        Parameters::default().with(&changes)
    }

    #[test]
    fn defaults_follow_what_is_set() {
        let parameters =
            set(&[("hello-interval", json!(4)), ("client-count", json!(7))]).expect("good values");
        let all = parameters.all();
        assert_eq!(all["update-interval"], 16);
        assert_eq!(all["max-clients"], 14);
        assert_eq!(all["tunnel-refresh"], 300);
        assert_eq!(all["post-quantum"], "preferred");
    }

    #[test]
    fn values_have_ranges() {
        for (name, good, bad) in [
            ("hello-interval", json!(600), json!(0)),
            ("client-count", json!(0), json!(256)),
            ("client-count", json!(255), json!(-1)),
            ("encrypt", json!(true), json!("yes")),
            ("post-quantum", json!("required"), json!("yes")),
            ("post-quantum", json!("off"), json!(false)),
            ("same-country", json!(["CN", "RU"]), json!(["China"])),
            ("tunnel-refresh", json!(1), json!(1.5)),
        ] {
            assert!(set(&[(name, good)]).is_ok(), "{name}");
            let refusal = set(&[(name, bad)]).expect_err(name);
            assert!(refusal.to_string().contains("expected"), "{refusal}");
        }
    }

    #[test]
    fn unknown_names_are_refused_but_kept_when_found() {
        assert!(set(&[("hello", json!(15))]).is_err());
        let found = Parameters::stored(
            json!({"future": [1], "encrypt": "odd"})
                .as_object()
                .expect("an object")
                .clone(),
        );
        assert_eq!(found.all()["future"], json!([1]));
        assert_eq!(
            found.all()["encrypt"],
            json!(false),
            "a wrong value gives way to the default"
        );
        let removed = found
            .with(&[("future".to_owned(), None)])
            .expect("it is there");
        assert!(!removed.all().contains_key("future"));
        assert!(removed.with(&[("future".to_owned(), None)]).is_err());
    }

    #[test]
    fn ipv4_comes_in_two_halves() {
        let network = json!("10.42.0.0/16");
        assert!(set(&[("ipv4", network.clone())]).is_err());
        assert!(set(&[("ipv4-subnet-bits", json!(8))]).is_err());
        assert!(
            set(&[
                ("ipv4", json!("10.42.0.0/24")),
                ("ipv4-subnet-bits", json!(9))
            ])
            .is_err()
        );
        assert!(
            set(&[
                ("ipv4", json!("10.42.0.1/16")),
                ("ipv4-subnet-bits", json!(8))
            ])
            .is_err()
        );
        let both = set(&[("ipv4", network), ("ipv4-subnet-bits", json!(8))]).expect("both");
        assert!(both.ipv4().is_some());
        assert!(both.with(&[("ipv4".to_owned(), None)]).is_err());
    }

    #[test]
    fn what_re6stnet_published_is_taken_over() {
        let configuration = json!({
            "babel_default": "max-rtt-penalty 5000", "crl": [3], "protocol": 8, "registry_prefix": "0", "client_count": 5,
            "encrypt": true, "hello": 10, "max_clients": 11, "min_protocol": 1, "tunnel_refresh": 200,
            "ipv4": "10.42.0.0/16", "ipv4_sublen": 8, "delay_restart": 7,
        });
        let parameters =
            Parameters::from_re6stnet(configuration.as_object().expect("an object").clone());
        let expected = json!({
            "babel_default": "max-rtt-penalty 5000", "client-count": 5, "delay_restart": 7, "encrypt": true,
            "hello-interval": 10, "ipv4": "10.42.0.0/16", "ipv4-subnet-bits": 8, "max-clients": 11, "min-protocol": 1,
            "tunnel-refresh": 200,
        });
        assert_eq!(Value::Object(parameters.values), expected);
    }
}
