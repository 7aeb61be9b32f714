//! What the file says wins over the network's parameters, and is said.

use std::time::Duration;

use serde_json::{Value, json};

use super::world::mac_keys;
use crate::{
    certificate::node_prefix::NodePrefix,
    config::{Babel, Config},
    membership::{
        babel::{BabelParameters, overridden},
        mac_keys::{KeptMacKeys, NetworkMacKeys},
        mesh::MeshParameters,
    },
    registry::documents::NetworkParameters,
};

fn babel(section: &str) -> Babel {
    let text = format!(
        "addresses = [\"10.42.1.1/24\"]\ninterfaces = [\"eth0\"]\nnetworks = [\"10.42.0.0/16\"]\n[babel]\n{section}"
    );
    Config::parse(&text).unwrap().babel.unwrap()
}

fn network(values: &Value) -> NetworkParameters {
    let content = json!({ "parameters": values });
    NetworkParameters(content.as_object().unwrap().clone())
}

#[test]
fn intervals_come_from_the_file_else_from_the_network_else_by_default() {
    let both = json!({"hello-interval": 15, "update-interval": 45});
    let hello = json!({"hello-interval": 10});
    for (file, values, expected) in [
        ("", json!({}), (4.0, 16.0)),
        ("", both.clone(), (15.0, 45.0)),
        ("", hello.clone(), (10.0, 40.0)),
        ("hello-interval = 0.5", both.clone(), (0.5, 45.0)),
        ("hello-interval = 0.5", hello, (0.5, 2.0)),
        ("update-interval = 7", both, (15.0, 7.0)),
        // nobody could be told
        (
            "",
            json!({"hello-interval": 0, "update-interval": 99_999}),
            (4.0, 655.34),
        ),
        ("", json!({"hello-interval": "soon"}), (4.0, 16.0)),
    ] {
        let parameters = BabelParameters::managed(&babel(file), Some(&network(&values)), None);
        let seconds = Duration::as_secs_f64;
        let found = (
            seconds(&parameters.hello_interval),
            seconds(&parameters.update_interval),
        );
        assert_eq!(found, expected, "{file:?} {values}");
    }
}

#[test]
fn what_the_network_says_of_the_mesh_is_within_a_files_bounds() {
    let day = Duration::from_secs(86_400);
    let most = json!({"client-count": 255, "max-clients": 65_535, "tunnel-refresh": 86_401});
    let wrong = json!({"client-count": -1, "max-clients": "all", "tunnel-refresh": 0, "same-country": [7, "F1"]});
    for (values, expected) in [
        (json!({}), (None, None, None)),
        (
            json!({"client-count": 4, "max-clients": 9, "tunnel-refresh": 60}),
            (Some(4), Some(9), Some(Duration::from_secs(60))),
        ),
        (most, (Some(200), Some(200), Some(day))),
        (wrong, (None, None, None)),
    ] {
        let found = MeshParameters::of(Some(&network(&values)));
        let numbers = (found.client_count, found.max_clients, found.tunnel_refresh);
        assert_eq!(numbers, expected, "{values}");
        assert!(found.same_country.is_empty(), "{values}");
    }
    let content = json!({"registry-prefix": "0/16", "parameters": {"same-country": ["CN", "RU"]}});
    let network = NetworkParameters(content.as_object().unwrap().clone());
    let found = MeshParameters::of(Some(&network));
    assert_eq!(
        found.registry_node,
        NodePrefix::from_common_name("0/16").ok()
    );
    let countries = found.same_country.iter().map(ToString::to_string);
    assert_eq!(Vec::from_iter(countries), ["CN", "RU"]);
}

#[test]
fn the_files_keys_win_and_that_is_said() {
    let babel = babel("hello-interval = 2\nmac = { type = \"hmac-sha256\", key = \"0c\" }");
    let network = network(&json!({"hello-interval": 15, "update-interval": 60}));

    let parameters = BabelParameters::managed(&babel, Some(&network), Some(&mac_keys("0a", None)));

    assert_eq!(parameters.mac.unwrap().keys, babel.mac);
    let said = overridden(&babel, &network);
    assert_eq!(
        said,
        [
            "hello-interval is 2 s by the file, 15 s in the network",
            "the keys of Babel's MAC are the file's, not the network's"
        ]
    );
}

#[test]
fn keys_survive_being_kept_and_are_never_shown() {
    for keys in [
        NetworkMacKeys::default(),
        mac_keys("00ff", None),
        mac_keys("00ff", Some("0a0b")),
        NetworkMacKeys {
            accept_anything: true,
            ..mac_keys("00ff", None)
        },
    ] {
        let kept = KeptMacKeys { number: 7, keys };
        assert_eq!(KeptMacKeys::from_json(&kept.to_json()), Some(kept.clone()));
        let shown = format!("{kept:?}");
        assert!(!shown.contains("255") && !shown.contains("ff,"), "{shown}");
    }
    for text in [
        "",
        "{}",
        r#"{"number": 1, "keys": {"sign": "0", "accept": null, "accept-anything": false}}"#,
    ] {
        assert_eq!(KeptMacKeys::from_json(text.as_bytes()), None, "{text}");
    }
}
