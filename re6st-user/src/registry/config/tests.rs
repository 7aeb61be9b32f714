//! Each mistake in `registry.toml`, and what is said about it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

use std::path::Path;

use super::*;

const GOOD: &str = r#"
listen   = ["[::]:443", "192.0.2.1:8443"]
url      = "https://registry.example/"
ca       = "ca.crt"
ca-key   = "/secret/ca.key"
database = "registry.db"
socket   = "registry.sock"
prefix-length           = 20
anonymous-prefix-length = 16
certificate-days        = 300
renewal-days            = 20
grace-days              = 50
token-days              = 3

[location]
database = "places.mmdb"

[limits]
connections            = 100
connections-per-source = 7
enrolments             = { count = 3, seconds = 60 }

[mail]
from    = "registry@example.com"
mailbox = "mailbox"
"#;

fn parse(text: &str) -> Result<RegistryConfig, ConfigError> {
    RegistryConfig::parse(text, Path::new("/etc/registry"))
}

/// The message about the file with one thing changed.
fn mistake(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from}");
    parse(&GOOD.replacen(from, to, 1)).unwrap_err().to_string()
}

#[test]
fn a_file_without_mistakes_is_taken_up_whole() {
    let config = parse(GOOD).unwrap();

    assert_eq!(config.listen.len(), 2);
    assert_eq!(config.ca, Path::new("/etc/registry/ca.crt"));
    assert_eq!(config.ca_key, Path::new("/secret/ca.key"));
    assert_eq!(
        config.locations.as_deref(),
        Some(Path::new("/etc/registry/places.mmdb"))
    );
    assert_eq!(
        config.connections,
        Bounds {
            strangers: 100,
            nodes: usize::MAX,
            per_source: 7
        }
    );
    let authority = crate::registry::tests::support::authority();
    let authorities = Authorities::new(authority.certificate().clone());
    let settings = config.settings(&authorities);
    assert_eq!(
        settings.authorities,
        [authority.certificate().fingerprint().to_string()]
    );
    assert_eq!(
        (settings.prefix_length, settings.anonymous_prefix_length),
        (20, 16)
    );
    assert!(settings.mail);
    assert_eq!(settings.validity, 300 * DAY);
    assert_eq!(settings.token_lifetime, 3 * DAY);
    assert_eq!(
        settings.enrolments,
        Rate {
            count: 3,
            seconds: 60
        }
    );
}

#[test]
fn everything_but_the_places_has_a_default() {
    let text =
        "listen = \"[::1]:443\"\nca = \"a\"\nca-key = \"b\"\ndatabase = \"c\"\nsocket = \"d\"\n";

    let config = parse(text).unwrap();

    assert_eq!(config.listen, ["[::1]:443".parse().unwrap()]);
    let authority = crate::registry::tests::support::authority();
    let authorities = Authorities::new(authority.certificate().clone());
    let fingerprints = vec![authority.certificate().fingerprint().to_string()];
    let expected = Settings {
        all_authorities: fingerprints.clone(),
        authorities: fingerprints,
        ..Settings::new("2001:db8:42::/48".parse().unwrap())
    };
    assert_eq!(config.settings(&authorities), expected);
    assert!(config.mail.is_none() && config.locations.is_none());
}

#[test]
fn mistakes_name_the_place_and_the_remedy() {
    for (from, to, expected) in [
        (
            "\"[::]:443\"",
            "\"443\"",
            "line 2, column 12: listen: expected an address and a port",
        ),
        (
            "[\"[::]:443\", \"192.0.2.1:8443\"]",
            "[]",
            "listen: expected an address",
        ),
        (
            "https://",
            "http://",
            "url = \"http://registry.example/\": expected an address such as",
        ),
        (
            "\"ca.crt\"",
            "\"\"",
            "ca = \"\": expected the name of a file",
        ),
        (
            "= 20\nanon",
            "= 65\nanon",
            "prefix-length = 65: expected the bits of a node's prefix",
        ),
        (
            "= 300",
            "= 0",
            "certificate-days = 0: expected a number of days from 1",
        ),
        (
            "= 20\ngrace",
            "= 300\ngrace",
            "renewal-days = 300: certificates are valid for 300 days only",
        ),
        ("token-days", "tokendays", "unknown key `tokendays`"),
        (
            "= 7\n",
            "= 0\n",
            "limits.connections-per-source = 0: expected a number from 1",
        ),
        (
            "count = 3",
            "count = -1",
            "limits.enrolments: count = -1: expected a number from 0",
        ),
        (
            "registry@example.com",
            "registry",
            "mail.from = \"registry\": expected a mail address",
        ),
        (
            "mailbox =",
            "smtp = \"x\"\nmailbox =",
            "either smtp, the name of a mail server, or mailbox",
        ),
        (
            "mailbox = \"mailbox\"",
            "",
            "either smtp, the name of a mail server, or mailbox",
        ),
        (
            "mailbox = \"mailbox\"",
            "smtp = \"x\"\ntls = \"ssl\"",
            "mail.tls = \"ssl\": expected",
        ),
        (
            "mailbox = \"mailbox\"",
            "smtp = \"x\"\nport = 0",
            "mail.port = 0: expected a port",
        ),
        (
            "mailbox = \"mailbox\"",
            "smtp = \"x\"\nuser = \"u\"",
            "belong together",
        ),
        (
            "mailbox = \"mailbox\"",
            "smtp = \"x\"\ntls = \"none\"\nuser = \"u\"\npassword-file = \"p\"",
            "a password is not sent without TLS",
        ),
        (
            "mailbox = \"mailbox\"",
            "smtp = \"x\"\nuser = \"u\"\npassword-file = \"/nonexistent/p\"",
            "write the password into that file",
        ),
    ] {
        let message = mistake(from, to);
        assert!(message.contains(expected), "{to}: {message}");
    }
}

#[test]
fn a_password_is_read_from_its_file_and_not_shown() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("password"), "hard to guess\n").unwrap();
    let text = GOOD.replace(
        "mailbox = \"mailbox\"",
        "smtp = \"mail.example.com\"\nuser = \"u\"\npassword-file = \"password\"",
    );

    let config = RegistryConfig::parse(&text, directory.path()).unwrap();

    assert!(!format!("{config:?}").contains("guess"));
    let Some(MailTransport::Smtp {
        port,
        tls,
        credentials,
        ..
    }) = config.mail.map(|mail| mail.transport)
    else {
        panic!("no mail server");
    };
    assert_eq!((port, tls), (587, SmtpTls::StartTls));
    assert_eq!(credentials.unwrap().password, "hard to guess");
}
