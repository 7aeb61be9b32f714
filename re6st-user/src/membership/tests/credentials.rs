//! Files that do not belong together are refused at the start, and the message says which and how to mend it.

use super::world::{CONFIGURATION, Keys, registry_section};
use crate::{
    certificate::{
        authority::Authority,
        node::NodeCertificate,
        testing::{authority, authority_of},
    },
    config::Config,
    membership::credentials::{Credentials, Texts},
};

fn read(
    authority: &Authority,
    certificate: &NodeCertificate,
    keys: &Keys,
    configuration: &str,
) -> Result<Credentials, String> {
    let texts = Texts {
        authorities: &authority.certificate().to_pem(),
        certificate: &certificate.to_pem(),
        key: &keys.key.to_pem(),
        static_key: Ok(&keys.fixed.to_pem()),
    };
    let config = Config::parse(configuration).unwrap();
    Credentials::read(&texts, &registry_section(), &config).map_err(|error| error.to_string())
}

#[test]
fn what_belongs_together_is_accepted_even_if_it_has_expired() {
    let (authority, keys) = (authority(), Keys::new());
    let certificate = keys.certificate(&authority, 5, 1);
    assert!(read(&authority, &certificate, &keys, CONFIGURATION).is_ok());
}

#[test]
fn what_does_not_belong_together_is_named() {
    let (ours, keys) = (authority(), Keys::new());
    let certificate = keys.certificate(&ours, 5, 365);
    let stranger = authority();
    let elsewhere = authority_of("2001:db8:43::/48");
    let without = CONFIGURATION.replace("2001:db8:42:1::1/64", "2001:db8:42:1::7/64");
    let foreign = CONFIGURATION.replace(
        "\"2001:db8:42:1::1/64\"",
        "\"2001:db8:42:1::1/64\", \"2001:db8:42:2::1/64\"",
    );
    let own_peer = format!("{CONFIGURATION}[[peer]]\nnode = \"1/16\"\n");
    let wider = CONFIGURATION.replace("\"2001:db8:42::/48\"", "\"2001:db8::/32\"");
    let cases = [
        (
            read(&ours, &certificate, &Keys::new(), CONFIGURATION),
            "cert.key is not the key of cert.crt",
        ),
        (
            read(&stranger, &certificate, &keys, CONFIGURATION),
            "cert.crt was not issued by the authority in ca.crt",
        ),
        (
            read(
                &elsewhere,
                &keys.certificate(&elsewhere, 5, 365),
                &keys,
                CONFIGURATION,
            ),
            "networks = [2001:db8:42::/48]: cert.crt is for 2001:db8:43::/48; add it",
        ),
        (
            read(&ours, &certificate, &keys, &wider),
            "networks = [2001:db8::/32]: cert.crt is for 2001:db8:42::/48; add it",
        ),
        (
            read(&ours, &certificate, &keys, &without),
            "addresses = [2001:db8:42:1::7/64]: cert.crt gives this node 2001:db8:42:1::1/64; add it",
        ),
        (
            read(&ours, &certificate, &keys, &own_peer),
            "peer \"1/16\": that is this node itself; remove this [[peer]]",
        ),
        (
            read(&ours, &certificate, &keys, &foreign),
            "2001:db8:42:2::1/64 is in the network of cert.crt, but not in the subnet 2001:db8:42:1::/64",
        ),
    ];
    for (outcome, words) in cases {
        let message = outcome.expect_err(words);
        assert!(message.contains(words), "{message}");
    }
}

#[test]
fn a_file_that_is_something_else_is_named() {
    let (authority, keys) = (authority(), Keys::new());
    let texts = Texts {
        authorities: &authority.certificate().to_pem(),
        certificate: &keys.key.to_pem(),
        key: &keys.key.to_pem(),
        static_key: Ok(&keys.fixed.to_pem()),
    };
    let config = Config::parse(CONFIGURATION).unwrap();
    let error = Credentials::read(&texts, &registry_section(), &config).unwrap_err();
    let message = error.to_string();
    assert!(message.starts_with("cert.crt: "), "{message}");
    assert!(message.contains("re6st-user conf"), "{message}");
    assert!(!message.contains("PRIVATE"), "{message}");
}

/// What the node says of its channels.
fn static_key(
    certified: bool,
    text: Result<&str, String>,
) -> Result<crate::certificate::static_key::StaticPublicKey, String> {
    let (authority, keys) = (authority(), Keys::new());
    let certificate = match certified {
        true => keys.certificate(&authority, 5, 365),
        false => keys.certificate_without_static_key(&authority, "1/16"),
    };
    let own = keys.fixed.to_pem();
    let texts = Texts {
        authorities: &authority.certificate().to_pem(),
        certificate: &certificate.to_pem(),
        key: &keys.key.to_pem(),
        static_key: text.map(|text| if text == "own" { &*own } else { text }),
    };
    let config = Config::parse(CONFIGURATION).unwrap();
    let credentials = Credentials::read(&texts, &registry_section(), &config).unwrap();
    let key = credentials.static_key.map(|key| key.public_key());
    assert!(key.is_err() || key == Ok(keys.fixed.public_key()));
    key.map_err(|problem| problem.to_string())
}

#[test]
fn without_the_key_of_the_certificate_there_are_no_channels_but_all_else() {
    assert!(static_key(true, Ok("own")).is_ok());
    let other = Keys::new().fixed.to_pem();
    for (certified, text, words) in [
        (
            false,
            Ok("own"),
            "this node's certificate has no X25519 key: run `re6st-user conf` again",
        ),
        (
            true,
            Ok(other.as_str()),
            "x25519.key is not the X25519 key in cert.crt: put the one that belongs to it there, or run",
        ),
        (true, Ok("nonsense"), "x25519.key: "),
        (
            true,
            Err("it is not there".to_owned()),
            "x25519.key: it is not there: put the X25519 key of this node's certificate there, or run",
        ),
    ] {
        let message = static_key(certified, text).expect_err(words);
        assert!(message.contains(words), "{message}");
    }
}

#[test]
fn that_there_are_no_channels_is_a_warning() {
    let mut world = super::world::World::without_static_key();
    world.run(std::time::Duration::from_secs(1));
    assert!(world.member.channel().is_none());
    let report = world.member.report(world.now.wall, "");
    assert_eq!(report.parameters.unwrap().number, 1, "all else works");
    let channels = "no channels to other nodes: x25519.key: it is not there";
    let mut warnings = report.warnings.iter();
    assert!(warnings.any(|warning| warning.starts_with(channels)));
}
