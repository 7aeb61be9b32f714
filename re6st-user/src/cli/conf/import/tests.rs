//! A file as re6stnet's nodes have it, and files that nobody would write.
#![expect(clippy::panic, clippy::expect_used, reason = "a test may end there")]

use std::path::Path;

use proptest::prelude::*;

use super::{Import, Named, lines};

fn import(text: &str) -> Import {
    let (lines, _) = lines::parse(Path::new("/etc/re6stnet/re6stnet.conf"), text);
    Import::of(&lines)
}

/// A line, and what becomes of it.
const TABLE: &[(&str, &str)] = &[
    (
        "registry https://registry.example/",
        "taken as registry.url",
    ),
    (
        "registry http://registry.example/",
        "NOT SUPPORTED: this registry is asked by HTTPS",
    ),
    ("ca ca.crt", "taken as ca.crt"),
    ("cert cert.crt", "taken as the certificate's subject"),
    ("key cert.key", "taken as cert.key"),
    ("interface lan0", "taken as babel.interfaces"),
    ("i lan0", "taken as babel.interfaces"),
    ("ilan0", "taken as babel.interfaces"),
    ("main-interface lo", "not needed: re6st0 has"),
    (
        "main-interface lan0",
        "NOT SUPPORTED: re6st0 has the node's addresses; for hosts on lan0",
    ),
    ("ip 198.51.100.9", "taken as mesh.ip"),
    ("ip any", "taken as mesh.port-mapping = false"),
    ("ip upnp", "not needed: routers are asked"),
    (
        "ip nowhere",
        "NOT SUPPORTED: mesh.ip = \"nowhere\": expected an address",
    ),
    ("country FR", "taken as mesh.country"),
    (
        "country France",
        "NOT SUPPORTED: mesh.country = \"France\": expected the two letters",
    ),
    ("client-count 5", "taken as mesh.client-count"),
    (
        "max-clients 10000",
        "NOT SUPPORTED: mesh.max-clients = 10000: expected a number",
    ),
    ("max-clients many", "NOT SUPPORTED: it is no number"),
    ("pp 1194 tcp", "not needed: tunnels are UDP"),
    ("pp 1194 udp", "taken as port"),
    ("disable-proto none", "not needed: nothing is disabled"),
    ("disable-proto tcp6", "not needed: tunnels are UDP"),
    ("client 192.0.2.7,1194,udp", "taken as mesh.client"),
    ("neighbour 1/16", "taken as [[peer]]"),
    (
        "neighbour \"0000000000000001\"",
        "NOT SUPPORTED: peer: node = \"0000000000000001\"",
    ),
    ("gateway", "taken as gateway-interfaces"),
    (
        "up 'ip route add 198.51.100.0/24 dev re6st0'",
        "taken as up",
    ),
    ("daemon \"/usr/bin/beacon --fast\"", "taken as daemon"),
    (
        "log /var/log/re6stnet",
        "not needed: the log is standard error",
    ),
    ("verbose 3", "not needed"),
    ("O--verb", "not needed: there is no OpenVPN"),
    ("O --verb", "not needed: there is no OpenVPN"),
    ("B --random-id", "NOT SUPPORTED: there is no babeld"),
    (
        "remote-gateway 192.0.2.254",
        "NOT SUPPORTED: tunnels go where",
    ),
    ("multicast", "NOT SUPPORTED"),
    ("nonsense", "UNKNOWN"),
    ("country", "UNKNOWN"),
    ("up 'unfinished", "UNKNOWN"),
];

#[test]
fn each_line_is_told_what_became_of_it() {
    for (line, expected) in TABLE {
        let import = import(line);

        let [remark] = &import.remarks[..] else {
            panic!("{line}: {:?}", import.remarks);
        };
        let begin = format!("/etc/re6stnet/re6stnet.conf:1: {line}: {expected}");
        assert!(remark.starts_with(&begin), "{remark}\n{begin}");
    }
}

#[test]
fn of_two_lines_that_say_the_same_the_last_counts_and_says_so() {
    let import = import("max-clients 4\nmax-clients 7\n");
    assert_eq!(import.draft.mesh(), "max-clients = 7\n");
    let end = "taken as mesh.max-clients, in place of what was said before";
    assert!(import.remarks[1].ends_with(end), "{:?}", import.remarks);
}

#[test]
fn a_whole_file_makes_a_configuration() {
    let import = import(
        "# re6stnet.conf\n\nregistry https://registry.example/re6st\nca /etc/re6stnet/ca.crt\n\
         cert cert.crt\nkey cert.key\ncountry FR\n  # hints\n#interface eth1\ninterface lan0\n\
         client-count 8\npp 1195 udp\npp 1194 tcp\nip 198.51.100.9\nip 198.51.100.10\n\
         disable-proto udp6\ndisable-proto tcp6\nneighbour 1/16\nneighbour 2/16\nneighbour 1/16\n\
         up \"logger up; sleep 1\"\ndaemon 'beacon \"a b\"'\ndaemon other\n",
    );

    let folder = Path::new("/etc/re6stnet");
    assert_eq!(
        import.registry.as_deref(),
        Some("https://registry.example/re6st")
    );
    assert_eq!(import.authority, Some(folder.join("ca.crt")));
    assert_eq!(import.certificate, Some(folder.join("cert.crt")));
    assert_eq!(import.key, Some(folder.join("cert.key")));
    let lan = Named {
        name: "lan0".to_owned(),
        by: "/etc/re6stnet/re6stnet.conf:10: interface lan0".to_owned(),
    };
    assert_eq!(import.interfaces, [lan]);
    assert!(!import.gateway);
    assert_eq!(
        import.draft.head(),
        "port = 1195\nup = [\"/bin/sh\", \"-c\", \"logger up; sleep 1\"]\n\
         daemon = [[\"/bin/sh\", \"-c\", 'beacon \"a b\"'], [\"/bin/sh\", \"-c\", \"other\"]]\n"
    );
    assert_eq!(
        import.draft.mesh(),
        "ip = [\"198.51.100.9\", \"198.51.100.10\"]\ncountry = \"FR\"\nclient-count = 8\ndisable-proto = [\"udp6\"]\n"
    );
    assert_eq!(
        import.draft.peers(),
        "[[peer]]\nnode = \"1/16\"\n[[peer]]\nnode = \"2/16\"\n"
    );
    let twice = import
        .remarks
        .iter()
        .filter(|it| it.contains("another peer has this name"));
    assert_eq!(twice.count(), 1);
    assert_eq!(import.remarks.len(), 19);
}

#[test]
fn a_file_names_others_and_an_endless_chain_ends() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        path
    };
    write("more.conf", b"client-count 3\n\xff\xfe\n");
    let good = write("good.conf", b"@more.conf\ncountry FR\n");
    let import = Import::read(&good).expect("it can be read");
    assert_eq!(import.draft.mesh(), "country = \"FR\"\nclient-count = 3\n");
    assert_eq!(import.remarks.len(), 3);

    let endless = write("endless.conf", b"@endless.conf\n");
    let long = write("long.conf", "country FR\n".repeat(1_001).as_bytes());
    for (path, why) in [(endless, "name each other"), (long, "more than 1000 lines")] {
        let error = Import::read(&path).expect_err("too much").to_string();
        assert!(error.contains(why), "{error}");
    }
}

/// Lines that are nearly good ones.
fn any_line() -> impl Strategy<Value = String> {
    let names = TABLE.iter().map(|(line, _)| {
        let name = line.split(' ').next().unwrap_or_default();
        name.to_owned()
    });
    let name = proptest::sample::select(Vec::from_iter(names));
    let value = prop_oneof![
        "\\PC{0,40}",
        "[0-9]{1,12}",
        "[0-9]{1,3}(/[0-9]{1,3})?",
        "[0-9.:\\[\\]a-f]{0,30}",
        "(udp|tcp)6?",
    ];
    prop_oneof![
        3 => (name, value.clone(), value).prop_map(|(name, one, two)| match name.as_str() {
            "pp" => format!("pp {one} {two}"),
            _ => format!("{name} {one}"),
        }),
        1 => any::<String>(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_file_says_what_is_taken_is_a_configuration(
        lines in proptest::collection::vec(any_line(), 0..20)
    ) {
        let import = import(&lines.join("\n"));

        let outcome = import.draft.check();
        prop_assert!(outcome.is_ok(), "{outcome:?}");
        prop_assert!(import.remarks.iter().all(|remark| !remark.contains('\n')));
    }
}
