//! Each mistake in a configuration file, and what is said about it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

use std::time::Duration;

use super::*;
use crate::certificate::{node_prefix::NodePrefix, static_key::StaticPublicKey};

mod mistakes;

/// A file without mistakes, to spoil.
const GOOD: &str = r#"
addresses  = ["2001:db8:42:1::1/64", "10.42.1.1/24"]
interfaces = ["eth0", "lan0"]
gateway-interfaces = ["eth0"]
networks   = ["2001:db8:42::/48", "10.42.0.0/16"]
forward    = true
port       = 4754
fib-bits   = 16

[[tunnel]]
name   = "b"
remote = "192.0.2.7"
local  = "192.0.2.1"
encap  = "fou"
port   = 4754
key    = { local = 7, remote = 8 }
mtu    = 1420
source-port = "fixed"

[[tunnel]]
name   = "c"
remote = "2001:db8:ffff::7"
encap  = "gre"
key    = { local = 0xabc00008, remote = 1 }

[[route]]
to  = "2001:db8:42:2::/64"
via = "b"

[[route]]
to   = "::/0"
from = "2001:db8:42::/48"
via  = "c"

[babel]
interfaces     = ["lan0"]
hello-interval = 4
mac            = { type = "blake2s128", key = "00fF" }

[registry]
url  = "https://registry.example/"
ca   = "ca.crt"
cert = "cert.crt"
key  = "cert.key"

[[peer]]
node    = "7/16"
address = "192.0.2.8:4755"
key     = "0102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F20"

[[peer]]
node = "281474976710655/48"

[mesh]
client-count   = 5
tunnel-refresh = 60
ip             = ["192.0.2.9", "[2001:db8:ffff::9]:4756"]
country        = "fr"
disable-proto  = ["udp6"]
same-country   = ["cn", "FR"]
client         = false
"#;

fn good() -> Config {
    Config::parse(GOOD).unwrap_or_else(|error| panic!("{error}"))
}

/// [`GOOD`] with one place changed.
fn spoiled(old: &str, new: &str) -> String {
    assert!(GOOD.contains(old), "{old:?} is not in the good file");
    GOOD.replacen(old, new, 1)
}

fn mistake(text: &str) -> String {
    match Config::parse(text) {
        Ok(_) => panic!("accepted: {text}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_good_file_says_what_it_says() {
    let config = good();

    assert_eq!(config.addresses[1].to_string(), "10.42.1.1/24");
    assert_eq!(config.interfaces, ["eth0", "lan0"]);
    assert_eq!(config.gateway_interfaces, ["eth0"]);
    assert_eq!(config.networks[0].to_string(), "2001:db8:42::/48");
    assert!(config.forward);
    assert_eq!(config.port, 4754);
    assert_eq!(
        config.tunnels[0],
        Tunnel {
            name: "b".to_owned(),
            remote: "192.0.2.7".parse().unwrap(),
            local: Some("192.0.2.1".parse().unwrap()),
            encapsulation: Encapsulation::Fou,
            keys: Keys::new(7, 8),
            mtu: Some(1420),
            source_port: SourcePort::Fixed,
            remote_port: None,
            of_peer: false,
        }
    );
    assert_eq!(config.tunnels[1].encapsulation, Encapsulation::Gre);
    assert_eq!(config.tunnels[1].source_port, SourcePort::Flow);
    assert_eq!(
        config.routes[1],
        Route {
            to: "::/0".parse().unwrap(),
            from: Some("2001:db8:42::/48".parse().unwrap()),
            via: "c".to_owned(),
        }
    );
    let babel = config.babel.unwrap();
    assert_eq!(babel.hello_interval, Some(Duration::from_secs(4)));
    assert_eq!(babel.mac[0].key, [0x00, 0xff]);
    assert_eq!(config.registry.unwrap().ca, Path::new("ca.crt"));
    let names: Vec<_> = config.peers.iter().map(|peer| peer.node).collect();
    let names: Vec<_> = names.iter().map(NodePrefix::common_name).collect();
    assert_eq!(names, ["7/16", "281474976710655/48"]);
    let mesh = config.mesh.as_ref().unwrap();
    assert_eq!((mesh.client_count, mesh.max_clients), (Some(5), None));
    let ip = ["192.0.2.9:4754", "[2001:db8:ffff::9]:4756"].map(|it| it.parse().unwrap());
    assert_eq!(mesh.ip, ip);
    assert_eq!(mesh.disabled, BTreeSet::from([Carrier::Udp6]));
    let countries = ["CN", "FR"].map(|code| code.parse().unwrap());
    assert_eq!(mesh.same_country, Some(BTreeSet::from(countries)));
    assert!(!mesh.client);
    assert_eq!(config.peers[0].address, "192.0.2.8:4755".parse().ok());
    let key: [u8; 32] = std::array::from_fn(|index| index as u8 + 1);
    assert_eq!(config.peers[0].key, Some(StaticPublicKey::new(key)));
    assert_eq!((config.peers[1].address, config.peers[1].key), (None, None));
}

#[test]
fn commands_are_words_that_no_shell_reads() {
    let commands = "up = [\"logger\", \"the mesh is up\"]\ndaemon = [[\"beacon\"], [\"sleep\", \"9\"]]\nforward";
    let config = Config::parse(&spoiled("forward", commands)).unwrap();
    let up = config.commands.up.unwrap();
    assert_eq!(up.program, "logger");
    assert_eq!(up.arguments, ["the mesh is up"]);
    let daemons = config.commands.daemons.iter();
    let programs = Vec::from_iter(daemons.map(|daemon| daemon.program.as_str()));
    assert_eq!(programs, ["beacon", "sleep"]);
    assert_eq!(good().commands, Commands::default());
}

#[test]
fn a_peer_has_the_tunnels_port_unless_its_address_says_otherwise() {
    for (written, address) in [
        ("192.0.2.9", "192.0.2.9:4754"),
        ("2001:db8:ffff::9", "[2001:db8:ffff::9]:4754"),
        ("[2001:db8:ffff::9]", "[2001:db8:ffff::9]:4754"),
        ("[2001:db8:ffff::9]:7", "[2001:db8:ffff::9]:7"),
    ] {
        let config = Config::parse(&spoiled("192.0.2.8:4755", written)).unwrap();
        assert_eq!(config.peers[0].address, address.parse().ok(), "{written}");
    }
    let other = GOOD.replace("= 4754", "= 4760").replace(":4755", "");
    let config = Config::parse(&other).unwrap();
    assert_eq!(config.peers[0].address, "192.0.2.8:4760".parse().ok());
}

#[test]
fn the_key_of_channels_is_beside_the_other_one_unless_it_is_named() {
    for (key, file) in [
        ("\"cert.key\"", "x25519.key"),
        ("\"/elsewhere/cert.key\"", "/elsewhere/x25519.key"),
        ("\"cert.key\"\nstatic-key = \"other\"", "other"),
    ] {
        let config = Config::parse(&spoiled("\"cert.key\"", key)).unwrap();
        assert_eq!(config.registry.unwrap().static_key, Path::new(file));
    }
}

#[test]
fn more_peers_than_a_node_may_have_are_refused() {
    let peers = |count: usize| {
        let tables = (100..100 + count).map(|number| format!("[[peer]]\nnode = \"{number}/32\"\n"));
        format!("{GOOD}{}", tables.collect::<String>())
    };
    assert!(Config::parse(&peers(MAXIMUM_PEERS - 2)).is_ok());
    let message = mistake(&peers(MAXIMUM_PEERS - 1));
    assert!(message.contains("more than 256 peers"), "{message}");
}

#[test]
fn everything_optional_has_a_default() {
    let config = Config::parse(
        r#"
            addresses  = ["10.42.1.1/24"]
            interfaces = ["eth0"]
            networks   = ["10.42.0.0/16"]
        "#,
    )
    .unwrap();

    assert!(!config.forward);
    assert_eq!(config.port, DEFAULT_PORT);
    assert_eq!(config.fib_bits, DEFAULT_FIB_BITS);
    assert_eq!(config.fib_network(), None);
    assert_eq!(config.tunnel_index_bits(), 10);
    assert_eq!((config.babel, config.registry), (None, None));
    assert_eq!(config.peers, []);
}

#[test]
fn no_message_shows_a_key() {
    let table = [
        ("remote = 8", "remote = 99999999999"),
        ("remote = 8", "remote = \"99999999999\""),
        ("remote = 8", "remote = 99999999999 99999999999"),
        ("remote = 8", "remote = [99999999999]"),
        ("\"00fF\"", "\"99999999999x\""),
        ("\"00fF\"", "99999999999"),
    ];
    for (old, new) in table {
        let message = mistake(&spoiled(old, new));

        assert!(!message.contains("9999"), "{message}");
    }
}

#[test]
fn the_smallest_mtu_is_that_of_the_family_carried() {
    let ipv4_only = r#"
        addresses  = ["10.42.1.1/24"]
        interfaces = ["eth0"]
        networks   = ["10.42.0.0/16"]
        [[tunnel]]
        name = "b"
        remote = "192.0.2.7"
        encap = "gre"
        key = { local = 1, remote = 1 }
        mtu = 576
    "#;

    assert_eq!(Config::parse(ipv4_only).unwrap().tunnels[0].mtu, Some(576));
    let message = mistake(&ipv4_only.replace("576", "67"));
    assert!(
        message.contains("expected 68 (the least that IPv4 needs) to 65507"),
        "{message}"
    );
}

#[test]
fn one_port_for_all_tunnels() {
    // top level, tunnel, port or complaint
    let table = [
        ("port = 5000", "", Ok(5000)),
        ("port = 5000", "port = 5000", Ok(5000)),
        ("", "port = 5000", Ok(5000)),
        ("", "", Ok(4754)),
        (
            "port = 5000",
            "port = 5001",
            Err("tunnel \"b\": port = 5001: port is 5000"),
        ),
    ];
    for (top, tunnel, expected) in table {
        let text = spoiled("port       = 4754", top).replacen("port   = 4754", tunnel, 1);

        match (Config::parse(&text), expected) {
            (Ok(config), Ok(port)) => assert_eq!(config.port, port, "{top:?} {tunnel:?}"),
            (Err(error), Err(message)) => assert!(error.to_string().contains(message), "{error}"),
            (result, _) => panic!("{top:?} {tunnel:?}: {result:?}"),
        }
    }
}

#[test]
fn two_tunnels_that_disagree_about_the_port_are_both_named() {
    let text = spoiled("port       = 4754", "").replacen("\"gre\"", "\"fou\"\nport = 4755", 1);

    let message = mistake(&text);

    assert!(
        message.contains("tunnel \"c\": port = 4755: tunnel \"b\": port is 4754"),
        "{message}"
    );
}

#[test]
fn keys_with_the_same_low_bits_widen_the_index() {
    let table = [
        ("0xabc00008", 10),
        ("0x00000407", 11), // 7 + 2^10
        ("0x00008007", 16), // 7 + 2^15
    ];
    for (key, bits) in table {
        let config = Config::parse(&spoiled("0xabc00008", key)).unwrap();

        assert_eq!(config.tunnel_index_bits(), bits, "{key}");
    }
}

#[test]
fn the_array_covers_the_first_ipv6_network() {
    // networks, fib-bits, expected
    let table = [
        (
            r#"["10.42.0.0/16", "2001:db8:42::/48"]"#,
            16,
            Some(("2001:db8:42::/48", 16)),
        ),
        (
            r#"["10.42.0.0/16", "2001:db8:42::/48"]"#,
            20,
            Some(("2001:db8:42::/48", 16)),
        ),
        (
            r#"["10.42.0.0/16", "2001:db8::/32"]"#,
            20,
            Some(("2001:db8::/32", 20)),
        ),
        (
            r#"["10.42.0.0/16", "2001:db8:42::/63"]"#,
            16,
            Some(("2001:db8:42::/63", 1)),
        ),
        (r#"["10.42.0.0/16", "2001:db8:42::/64"]"#, 16, None),
        (r#"["10.42.0.0/16"]"#, 16, None),
    ];
    for (networks, bits, expected) in table {
        let config = Config::parse(&format!(
            "addresses = [\"10.42.1.1/24\"]\ninterfaces = [\"eth0\"]\nnetworks = {networks}\nfib-bits = {bits}"
        ))
        .unwrap();

        let expected = expected.map(|(network, bits)| (network.parse().unwrap(), bits));
        assert_eq!(config.fib_network(), expected, "{networks} {bits}");
    }
}

#[test]
fn a_source_of_length_zero_is_no_source() {
    let text = spoiled("from = \"2001:db8:42::/48\"", "from = \"::/0\"");

    assert_eq!(Config::parse(&text).unwrap().routes[1].from, None);
}

#[test]
fn too_many_of_anything_is_refused() {
    let tunnels =
        "[[tunnel]]\nname=\"x\"\nremote=\"192.0.2.7\"\nencap=\"gre\"\nkey={local=1,remote=1}\n"
            .repeat(MAXIMUM_TUNNELS + 1);
    let routes = "[[route]]\nto=\"10.0.0.0/8\"\nvia=\"b\"\n".repeat(MAXIMUM_ROUTES + 1);
    let table = [
        (tunnels, "more than 4096 tunnels"),
        (routes, "more than 200000 routes"),
    ];
    for (more, expected) in table {
        let text = format!("{GOOD}\n{more}").replace(
            "[babel]\ninterfaces     = [\"lan0\"]\nhello-interval = 4\n",
            "[babel]\n",
        );

        let message = mistake(&text);

        assert!(message.contains(expected), "{message}");
    }
}

/// The bound is far above what it takes, also unoptimised: it is there to catch quadratic checks.
#[test]
fn many_routes_take_linear_time() {
    let mut text = GOOD.to_owned();
    for number in 0..65_536_u32 {
        let (high, low) = (number >> 8, number & 0xff);
        text.push_str(&format!(
            "[[route]]\nto = \"2001:db8:43:{high:x}{low:02x}::/64\"\nvia = \"b\"\n"
        ));
    }
    let start = std::time::Instant::now();

    let config = Config::parse(&text).unwrap();

    let taken = start.elapsed();
    assert_eq!(config.routes.len(), 65_538);
    assert!(taken < Duration::from_secs(20), "{taken:?}");
    println!("{taken:?} for {} bytes", text.len());
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = Config::from_path(Path::new("/nonexistent/re6st.toml")).unwrap_err();

    assert!(
        error
            .to_string()
            .starts_with("configuration file /nonexistent/re6st.toml: No such file or directory")
    );
}

#[test]
fn a_mistake_in_a_file_names_the_file_and_the_line() {
    let path = std::env::temp_dir().join(format!("re6st-config-{}.toml", std::process::id()));
    std::fs::write(&path, spoiled("via = \"b\"", "via = \"x\"")).unwrap();

    let result = Config::from_path(&path);

    std::fs::remove_file(&path).unwrap();
    let message = result.unwrap_err().to_string();
    assert!(
        message.starts_with(&format!("{}:28:7: route: via", path.display())),
        "{message}"
    );
}

#[test]
fn names_of_files_are_relative_to_the_folder_of_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("re6st.toml");
    let text = spoiled("key  = \"cert.key\"", "key  = \"/elsewhere/cert.key\"");
    std::fs::write(&path, text).unwrap();

    let registry = Config::from_path(&path).unwrap().registry.unwrap();

    assert_eq!(registry.ca, directory.path().join("ca.crt"));
    assert_eq!(registry.certificate, directory.path().join("cert.crt"));
    assert_eq!(registry.key, Path::new("/elsewhere/cert.key"));
    assert_eq!(registry.static_key, Path::new("/elsewhere/x25519.key"));

    std::fs::write(&path, GOOD).unwrap();
    let registry = Config::from_path(&path).unwrap().registry.unwrap();
    assert_eq!(registry.static_key, directory.path().join("x25519.key"));
}

#[test]
fn babel_may_have_several_keys_announcements_and_filters() {
    let text = format!(
        "{}\n[babel]\ninterfaces = [\"lan0\"]\nround-trip-interfaces = [\"lan0\"]\nupdate-interval = 8\nprobe-timeout = 0.4\nmaximum-prefixes = 5000\n\
         router-id = \"02:00:5e:ff:fe:00:53:01\"\nstate-directory = \"/var/lib/mesh\"\n\
         announce = [{{ to = \"::/0\", from = \"2001:db8:42::/48\", metric = 7 }}]\n\
         [[babel.mac]]\ntype = \"blake2s128\"\nkey = \"00ff\"\n\
         [[babel.mac]]\ntype = \"hmac-sha256\"\nkey = \"0a\"\naccept-only = true\n\
         [[babel.filter]]\non = \"accept\"\nto = \"10.0.0.0/8\"\naction = \"deny\"\n\
         [[babel.filter]]\non = \"install\"\nleast-length = 48\naction = \"allow\"\nadd-metric = 10\n",
        GOOD.split("[babel]").next().unwrap()
    );

    let babel = Config::parse(&text).unwrap().babel.unwrap();

    assert_eq!(babel.round_trip_interfaces, ["lan0"]);
    assert_eq!(babel.intervals(None, None).1, Duration::from_secs(8));
    assert_eq!(babel.probe_timeout, Some(Duration::from_millis(400)));
    assert_eq!(babel.maximum_prefixes, 5_000);
    assert_eq!(
        babel.router_id.unwrap().to_string(),
        "02:00:5e:ff:fe:00:53:01"
    );
    let roles: Vec<_> = babel.mac.iter().map(|mac| mac.accept_only).collect();
    assert_eq!(roles, [false, true]);
    assert_eq!(babel.announce[0].1.0, 7);
    assert_eq!(
        babel.announce[0].0.from().unwrap().to_string(),
        "2001:db8:42::/48"
    );
    assert_eq!(babel.accept_filter.0.len(), 1);
    assert_eq!(babel.install_filter.0[0].least_length, Some(48));
    assert!(babel.announce_filter.is_empty());
}
