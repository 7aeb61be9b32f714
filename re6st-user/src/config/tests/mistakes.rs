//! One spoiled place a row, and what is said about it.

use std::net::IpAddr;

use super::{good, mistake, spoiled};
use crate::config::at_own_addresses;

#[test]
fn each_mistake_is_named_with_its_place_and_its_remedy() {
    // what is changed, into what, and the error
    let table = [
        (
            "forward ",
            "forwards ",
            "line 6, column 1: unknown key `forwards`, expected one of `addresses`",
        ),
        (
            "forward    = true",
            "forward = \"yes\"",
            "invalid type: string \"yes\", expected a boolean",
        ),
        (
            "forward    = true",
            "forward = true\nforward = true",
            "line 7, column 1: duplicate key",
        ),
        ("addresses  =", "#", "missing key `addresses`"),
        ("name   = \"b\"", "", "missing key `name`"),
        (
            "name   = \"b\"",
            "name = \"b\"\ncolour = 1",
            "line 12, column 1: unknown key `colour`",
        ),
        ("local = 7,", "local = 7, own = 3,", "unknown key `own`"),
        ("[babel]", "[bebel]", "unknown key `bebel`"),
        ("\"10.42.0.0/16\"]", "\"10.42.0.0/16\"", "line "),
        // text without quotes
        (
            "encap  = \"fou\"",
            "encap = fou",
            "fou: text stands in quotes: \"fou\"",
        ),
        (
            "encap  = \"fou\"",
            "encap = gre",
            "gre: text stands in quotes: \"gre\"",
        ),
        (
            "name   = \"b\"",
            "name = true-north",
            "true-north: text stands in quotes",
        ),
        (
            "[\"eth0\"",
            "[eth0",
            "eth0: text stands in quotes: \"eth0\"",
        ),
        (
            "forward    = true",
            "forward = yes",
            "yes: text stands in quotes",
        ),
        // addresses and networks
        (
            "[\"2001:db8:42:1::1/64\", \"10.42.1.1/24\"]",
            "[]",
            "line 2, column 14: addresses: it is empty; give this node's address",
        ),
        (
            "2001:db8:42:1::1/64",
            "2001:db8:42:1::1",
            "addresses = \"2001:db8:42:1::1\": the prefix length is missing; for this one address alone write 2001:db8:42:1::1/128",
        ),
        (
            "2001:db8:42:1::1/64",
            "nonsense",
            "addresses = \"nonsense\": expected a prefix, such as",
        ),
        (
            "2001:db8:42:1::1/64",
            "2001:db8:43:1::1/64",
            "its subnet is in none of networks (2001:db8:42::/48, 10.42.0.0/16)",
        ),
        (
            "10.42.1.1/24",
            "10.42.1.1/8",
            "its subnet is in none of networks",
        ),
        (
            "2001:db8:42:1::1/64",
            "2001:db8:42:1::/64",
            "that is the subnet, not an address in it; write 2001:db8:42:1::1/64 or another one",
        ),
        (
            "10.42.1.1/24",
            "10.42.1.255/24",
            "that is the subnet's broadcast address",
        ),
        (
            "\"10.42.1.1/24\"",
            "\"2001:db8:42:1::1/60\"",
            "it is there twice",
        ),
        ("10.42.1.1/24", "127.0.0.1/24", "that is a loopback address"),
        (
            "networks   = [\"2001:db8:42::/48\"",
            "networks = [\"2001:db8:42:1::/48\"",
            "networks = \"2001:db8:42:1::/48\": it has bits set behind its length; write 2001:db8:42::/48",
        ),
        (
            "[\"2001:db8:42::/48\", \"10.42.0.0/16\"]",
            "[]",
            "networks: it is empty",
        ),
        (
            "\"10.42.0.0/16\"]",
            "\"2001:db8:42::/48\"]",
            "networks = \"2001:db8:42::/48\": it is there twice",
        ),
        (
            "\"10.42.0.0/16\"]",
            "\"ff00::/8\"]",
            "that is a multicast address, which is never routed",
        ),
        (
            "\"10.42.0.0/16\"]",
            "\"fe80::/64\"]",
            "that is a link-local address, which is never routed",
        ),
        (
            "\"10.42.0.0/16\"]",
            "\"::ffff:10.0.0.0/104\"]",
            "that is an IPv4 address in IPv6 clothes",
        ),
        // interfaces
        ("[\"eth0\", \"lan0\"]", "[]", "interfaces: it is empty"),
        (
            "\"lan0\"]\ngate",
            "\"eth0\"]\ngate",
            "interfaces = \"eth0\": it is there twice",
        ),
        (
            "\"lan0\"]\ngate",
            "\"much-too-long-name\"]\ngate",
            "1 to 15 characters",
        ),
        (
            "\"lan0\"]\ngate",
            "\"a/b\"]\ngate",
            "expected the name of a network interface",
        ),
        (
            "gateway-interfaces = [\"eth0\"]",
            "gateway-interfaces = [\"eth1\"]",
            "line 4, column 23: gateway-interfaces = \"eth1\": it is not one of interfaces (eth0, lan0); add it there too",
        ),
        // numbers
        (
            "port       = 4754",
            "port = 0",
            "line 7, column 8: port = 0: expected a UDP port from 1 to 65535",
        ),
        (
            "port       = 4754",
            "port = 65536",
            "expected a UDP port from 1 to 65535",
        ),
        (
            "port       = 4754",
            "port = 4755",
            "tunnel \"b\": port = 4754: port is 4755, and an instance has one port for all of its tunnels",
        ),
        (
            "fib-bits   = 16",
            "fib-bits = 0",
            "fib-bits = 0: expected 1 to 20",
        ),
        (
            "fib-bits   = 16",
            "fib-bits = 21",
            "fib-bits = 21: expected 1 to 20",
        ),
        // tunnels
        (
            "name   = \"b\"",
            "name = \"\"",
            "tunnel: name = \"\": expected 1 to 15 characters of A-Z a-z 0-9 _ . -",
        ),
        (
            "name   = \"b\"",
            "name = \"sixteen-letters-\"",
            "expected 1 to 15 characters",
        ),
        (
            "name   = \"b\"",
            "name = \"b b\"",
            "expected 1 to 15 characters",
        ),
        (
            "name   = \"c\"",
            "name = \"b\"",
            "tunnel: name = \"b\": another tunnel has this name",
        ),
        (
            "\"192.0.2.7\"",
            "\"192.0.2\"",
            "tunnel \"b\": remote = \"192.0.2\": expected an IPv4 or IPv6 address",
        ),
        (
            "\"192.0.2.7\"",
            "\"192.0.2.7/32\"",
            "expected an IPv4 or IPv6 address",
        ),
        (
            "\"192.0.2.7\"",
            "\"0.0.0.0\"",
            "that is the unspecified address",
        ),
        (
            "\"192.0.2.7\"",
            "\"127.0.0.1\"",
            "that is a loopback address",
        ),
        (
            "\"192.0.2.7\"",
            "\"224.0.0.1\"",
            "that is a multicast address",
        ),
        (
            "\"192.0.2.7\"",
            "\"255.255.255.255\"",
            "that is a reserved address",
        ),
        (
            "\"2001:db8:ffff::7\"",
            "\"::1\"",
            "that is a loopback address",
        ),
        (
            "\"2001:db8:ffff::7\"",
            "\"fe80::1\"",
            "that is a link-local address",
        ),
        (
            "\"2001:db8:ffff::7\"",
            "\"::ffff:192.0.2.7\"",
            "that is an IPv4 address in IPv6 clothes",
        ),
        (
            "\"2001:db8:ffff::7\"",
            "\"2001:db8:42:7::7\"",
            "that is inside the mesh's own network 2001:db8:42::/48, so the tunnel would run through itself",
        ),
        (
            "\"192.0.2.1\"",
            "\"2001:db8:ffff::1\"",
            "tunnel \"b\": local = \"2001:db8:ffff::1\": that is IPv6, but remote 192.0.2.7 is IPv4",
        ),
        (
            "\"192.0.2.1\"",
            "\"192.0.2.7\"",
            "that is the remote address too",
        ),
        (
            "\"gre\"",
            "\"vxlan\"",
            "tunnel \"c\": encap = \"vxlan\": expected \"fou\" or \"gre\"",
        ),
        (
            "\"gre\"",
            "\"gre\"\nport = 4754",
            "tunnel \"c\": port = 4754: plain GRE has no port",
        ),
        (
            "\"gre\"",
            "\"gre\"\nsource-port = \"fixed\"",
            "plain GRE has no port",
        ),
        (
            "\"fixed\"",
            "\"random\"",
            "source-port = \"random\": expected \"flow\"",
        ),
        (
            "mtu    = 1420",
            "mtu = 1279",
            "tunnel \"b\": mtu = 1279: expected 1280 (the least that IPv6 needs) to 65499",
        ),
        ("mtu    = 1420", "mtu = 65500", "mtu = 65500: expected 1280"),
        // keys, which are never shown
        (
            "remote = 8",
            "remote = -1",
            "tunnel \"b\": key.remote: expected an integer from 0 to 4294967295",
        ),
        (
            "local = 7",
            "local = 4294967296",
            "tunnel \"b\": key.local: expected an integer",
        ),
        (
            "local = 7",
            "local = \"0x55\"",
            "line 16, column 20: tunnel \"b\": key.local: expected an integer",
        ),
        (
            "0xabc00008",
            "7",
            "line 24, column 20: tunnel \"c\": key.local: tunnel \"b\" accepts the same key; each tunnel needs a key of its own",
        ),
        (
            "0xabc00008",
            "0xabc00007",
            "tunnel \"c\": key.local: the last 16 bits are the same as in the key of tunnel \"b\", and they must differ",
        ),
        // routes
        (
            "via = \"b\"",
            "via = \"x\"",
            "line 28, column 7: route: via = \"x\": no [[tunnel]] has this name; there are: b, c",
        ),
        (
            "2001:db8:42:2::/64",
            "2001:db8:42:2::1/64",
            "route: to = \"2001:db8:42:2::1/64\": it has bits set behind its length; write 2001:db8:42:2::/64",
        ),
        (
            "2001:db8:42:2::/64",
            "2001:db8:42:1::/64",
            "that is this node's own, by addresses = \"2001:db8:42:1::1/64\"",
        ),
        (
            "2001:db8:42:2::/64",
            "10.42.1.1/32",
            "that is this node's own",
        ),
        (
            "2001:db8:42:2::/64",
            "::1/128",
            "that is a loopback address",
        ),
        (
            "from = \"2001:db8:42::/48\"",
            "from = \"10.42.0.0/16\"",
            "route: from = \"10.42.0.0/16\": that is IPv4, but to = \"::/0\" is IPv6; both must be the same",
        ),
        (
            "from = \"2001:db8:42::/48\"",
            "from = \"2001:db8:42::1/48\"",
            "write 2001:db8:42::/48",
        ),
        (
            "2001:db8:42:2::/64\"",
            "::/0\"\nfrom = \"2001:db8:42::/48\"",
            "another route has the destination ::/0 from 2001:db8:42::/48; remove one of the two",
        ),
        // sections of `node`
        (
            "hello-interval = 4",
            "hello-interval = 0",
            "babel.hello-interval = 0.0: expected seconds from 0.01",
        ),
        (
            "hello-interval = 4",
            "hello-interval = 4\nmaximum-prefixes = 0",
            "babel.maximum-prefixes = 0: expected 1 to 10000000",
        ),
        (
            "hello-interval = 4",
            "hello-interval = nan",
            "expected seconds from 0.01",
        ),
        (
            "hello-interval = 4",
            "round-trip-interfaces = [\"eth0\"]",
            "babel.round-trip-interfaces = \"eth0\": it is not one of babel.interfaces (lan0); add it there too",
        ),
        (
            "blake2s128",
            "md5",
            "babel.mac.type = \"md5\": expected \"blake2s128\" or \"hmac-sha256\"",
        ),
        (
            "\"00fF\"",
            "\"00f\"",
            "babel.mac.key: expected a string of 1 to 32 bytes in hexadecimal",
        ),
        (
            "\"00fF\"",
            "\"\"",
            "babel.mac.key: expected a string of 1 to 32 bytes",
        ),
        (
            "https://registry.example/",
            "registry.example",
            "registry.url = \"registry.example\": expected an address",
        ),
        (
            "https://registry.example/",
            "https:///x",
            "expected an address such as \"https://registry.example/\"",
        ),
        (
            "\"ca.crt\"",
            "\"\"",
            "registry.ca = \"\": expected the name of a file",
        ),
        (
            "\"cert.key\"",
            "\"cert.key\"\nstatic-key = \"\"",
            "registry.static-key = \"\": expected the name of a file",
        ),
        // peers
        (
            "192.0.2.8:4755",
            "2001:db8:ffff::8:4754",
            "is 4754 the port? Then write \"[2001:db8:ffff::8]:4754\"; if it is a part of the address, \"[2001:db8:ffff::8:4754]\"",
        ),
        (
            "192.0.2.8:4755",
            "2001:db8:ffff:1:2:3:4:8:47550",
            "an IPv6 address with a port stands in brackets: \"[2001:db8:ffff:1:2:3:4:8]:47550\"",
        ),
        (
            "\"7/16\"",
            "\"node7\"",
            "peer: node = \"node7\": a node's CommonName is <number>/<length>, both decimal without leading zeros; expected the name in the node's certificate, such as \"1/16\"",
        ),
        (
            "281474976710655/48",
            "7/16",
            "peer: node = \"7/16\": another peer has this name",
        ),
        (
            "node = \"281474976710655/48\"",
            "node = \"8/16\"\naddress = \"192.0.2.8:4755\"",
            "peer \"8/16\": address = \"192.0.2.8:4755\": peer \"7/16\" has it too; each has its own",
        ),
        (
            "node = \"281474976710655/48\"",
            "node = \"8/16\"\nkey = \"0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20\"",
            "peer \"8/16\": key: peer \"7/16\" has it too",
        ),
        (
            "192.0.2.8:4755",
            "node7.example:4755",
            "or \"[2001:db8::7]:4754\"; names of hosts are not looked up",
        ),
        (
            "192.0.2.8:4755",
            "node7",
            "names of hosts are not looked up",
        ),
        (
            "192.0.2.8:4755",
            "192.0.2.8:65536",
            "peer \"7/16\": address = \"192.0.2.8:65536\": expected an address, such as",
        ),
        (
            "192.0.2.8:4755",
            "192.0.2.8:0",
            "expected a UDP port from 1 to 65535",
        ),
        (
            "192.0.2.8:4755",
            "[2001:db8:ffff::8%1]:4755",
            "expected an address, such as",
        ),
        (
            "192.0.2.8:4755",
            "[fe80::8]:4755",
            "that is a link-local address; give the address the Internet (or your LAN) routes",
        ),
        (
            "192.0.2.8:4755",
            "[2001:db8:42:7::1]:4755",
            "that is inside the mesh's own network 2001:db8:42::/48",
        ),
        (
            "\"0102030405060708090a",
            "\"02030405060708090a",
            "peer \"7/16\": key: expected a string of 64 hexadecimal digits",
        ),
        (
            "0102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F20",
            "0000000000000000000000000000000000000000000000000000000000000000",
            "peer \"7/16\": key: that is nobody's key",
        ),
        (
            "[registry]\nurl  = \"https://registry.example/\"\nca   = \"ca.crt\"\ncert = \"cert.crt\"\nkey  = \"cert.key\"",
            "",
            "peer: node = \"7/16\": peers know each other by certificates, so [[peer]] needs the section [registry]",
        ),
        // commands
        (
            "forward ",
            "up = []\nforward ",
            "up: expected a program and its arguments",
        ),
        (
            "forward ",
            "daemon = [[\"\"]]\nforward ",
            "daemon: expected a program",
        ),
        (
            "forward ",
            "daemon = [\"beacon\"]\nforward ",
            "invalid type: string \"beacon\", expected a sequence",
        ),
        (
            "forward ",
            "daemon = [[\"a\\u0000b\"]]\nforward ",
            "daemon: no program can be given a zero octet",
        ),
        // mesh
        (
            "client-count   = 5",
            "client-count = 201",
            "mesh.client-count = 201: expected a number from 0 to 200",
        ),
        (
            "client         = false",
            "client = true",
            "mesh.client-count = 5: a node with client = true has one tunnel and serves nobody",
        ),
        (
            "tunnel-refresh = 60",
            "tunnel-refresh = 0",
            "mesh.tunnel-refresh = 0: expected a number from 1 to 86400",
        ),
        (
            "\"192.0.2.9\"",
            "\"2001:db8:42:7::1\"",
            "that is inside the mesh's own network 2001:db8:42::/48",
        ),
        (
            "\"fr\"",
            "\"f1\"",
            "mesh.country = \"f1\": expected the two letters of a country",
        ),
        (
            "\"cn\"",
            "\"china\"",
            "mesh.same-country = \"china\": expected the two letters of a country",
        ),
        (
            "\"udp6\"",
            "\"tcp\"",
            "mesh.disable-proto = \"tcp\": expected \"udp\" (tunnels to IPv4 addresses) or \"udp6\"",
        ),
        (
            "\"udp6\"",
            "\"udp6\", \"udp\"",
            "mesh.disable-proto = \"udp\": that leaves nothing that could carry a tunnel",
        ),
    ];
    let wrong: Vec<String> = table
        .into_iter()
        .map(|(old, new, expected)| (old, new, expected, mistake(&spoiled(old, new))))
        .filter(|(.., expected, message)| !message.contains(expected))
        .map(|(old, new, expected, message)| {
            format!("{old:?} -> {new:?}\n says {message}\n not  {expected}\n")
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.concat());
}

#[test]
fn a_table_that_there_may_be_several_of_stands_in_double_brackets() {
    let of_one_peer = spoiled("[[peer]]\nnode = \"281474976710655/48\"\n", "");
    // one of them, and two
    for name in ["peer", "tunnel"] {
        let text = of_one_peer.replace(&format!("[[{name}]]"), &format!("[{name}]"));
        let expected = format!("[{name}]: there may be several, so each begins with [[{name}]]");
        let message = mistake(&text);
        assert!(message.ends_with(&expected), "{message}");
        assert!(message.starts_with("line "), "{message}");
    }
}

#[test]
fn a_peer_at_an_address_of_this_host_is_named() {
    let config = good();
    let at = |own: [u8; 4]| {
        let own = IpAddr::from(own);
        at_own_addresses(&config.peers, |address| address == own)
    };
    assert_eq!(at([192, 0, 2, 1]), None);
    let text = at([192, 0, 2, 8]).unwrap_or_default();
    assert!(
        text.starts_with("peer 7/16: 192.0.2.8 is an address of this host itself"),
        "{text}"
    );
}
