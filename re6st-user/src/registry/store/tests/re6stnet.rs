//! A database made by re6st-registry 0.642 (`re6stnet.sql` is its dump, the CA beside it was made for it): four
//! enrolments, one of them ended and another one's certificate revoked, and a token that waits.

use std::path::Path;

use rusqlite::Connection;

use super::{
    super::super::{
        Registry, Request,
        rules::{
            Caller, CertificateName, Command, Refusal, Reply, TokenRight,
            tests::{Counting, newcomer, open_settings},
            token::{Email, Token},
        },
        store::{Reader, Store, StoreError, schema},
    },
    Folder, new, rows,
};
use crate::{
    certificate::{authority::Authority, node::NodeCertificate, node_prefix::NodePrefix},
    time::Timestamp,
};

/// Some minutes after the dump was made.
const NOW: Timestamp = Timestamp(1_795_752_000);

const NETWORK: &str = "2001:db8:42::/48";

pub(super) fn make(path: &Path) {
    let connection = Connection::open(path).expect("a new file");
    connection
        .execute_batch(include_str!("re6stnet.sql"))
        .expect("the dump");
}

fn open(path: &Path) -> Registry {
    let authority = Authority::from_pem(
        include_str!("re6stnet-ca.crt"),
        include_str!("re6stnet-ca.key"),
    );
    let authority = Box::new(authority.expect("the authority"));
    let mut settings = open_settings(NETWORK);
    settings.token_lifetime = settings.grace_period;
    let mut registry = Registry::open(path, settings, authority).expect("a registry");
    ask(&mut registry, Caller::Registry, Command::Time).expect("time passes");
    registry
}

fn ask(registry: &mut Registry, from: Caller, command: Command) -> Result<Reply, Refusal> {
    let requests = vec![Request { from, command }];
    let mut replies = registry
        .handle(NOW, &mut Counting::default(), requests)
        .replies;
    replies.pop().expect("a reply")
}

fn operate(registry: &mut Registry, command: Command) -> Result<Reply, Refusal> {
    let name = "root".to_owned();
    ask(registry, Caller::Operator { name }, command)
}

fn stranger() -> Caller {
    Caller::Anonymous {
        address: [192, 0, 2, 1].into(),
    }
}

fn prefix(number: u128) -> NodePrefix {
    NodePrefix::new(number, 16).expect("a prefix")
}

#[test]
fn everything_in_it_is_understood() {
    let folder = Folder::new();
    let path = folder.file("registry.db");
    make(&path);

    let mut registry = open(&path);

    assert_eq!(registry.unreadable(), []);
    let Ok(Reply::Certificates(list)) = operate(
        &mut registry,
        Command::ListCertificates {
            after: None,
            limit: 100,
        },
    ) else {
        panic!("no certificates")
    };
    let seen: Vec<_> = list
        .iter()
        .map(|certificate| {
            let serial = certificate.serial.number();
            (
                certificate.common_name.as_str(),
                serial,
                certificate.subject_serial.0,
                certificate.revoked,
                certificate.registry,
            )
        })
        .collect();
    let expected = [
        ("0/16", 1, 0, false, true),
        ("1/16", 2, 1, true, false),
        ("3/16", 4, 3, false, false),
    ];
    assert_eq!(seen, expected);
    assert_eq!(list[2].email.as_deref(), Some("d@example.com"));
    assert_eq!(
        list[2].ipv4.map(|address| address.to_string()).as_deref(),
        Some("10.42.3.1/24")
    );
    let Ok(Reply::Parameters { document, mac_keys }) =
        operate(&mut registry, Command::GetParameters)
    else {
        panic!("no parameters")
    };
    let parameters = &document.content["parameters"];
    assert_eq!(parameters["hello-interval"], 10);
    assert_eq!(parameters["client-count"], 5);
    assert_eq!(
        parameters["babel_default"],
        "max-rtt-penalty 5000 rtt-max 500 rtt-decay 125"
    );
    assert_eq!(document.content["registry-prefix"], "0/16");
    assert!(document.number > 3, "re6stnet's last version was 3");
    assert_eq!(mac_keys.sign.map(|key| key.reveal().len()), Some(16));
    let Ok(Reply::Revocations(document)) =
        ask(&mut registry, Caller::Registry, Command::FetchRevocations)
    else {
        panic!("no revocations")
    };
    let revoked: Vec<u64> = document
        .revoked
        .iter()
        .map(|revoked| revoked.serial.number())
        .collect();
    assert_eq!(revoked, [2, 3]);
}

#[test]
fn its_nodes_and_tokens_go_on() {
    let folder = Folder::new();
    let path = folder.file("registry.db");
    make(&path);
    let mut registry = open(&path);
    let (_, request) = newcomer();
    let token = Some(Token::parse("abcdefgh").expect("a token"));

    let enrolled = ask(
        &mut registry,
        stranger(),
        Command::Enrol {
            token,
            request,
            location: None,
        },
    );
    let pem = registry
        .pem(prefix(1))
        .expect("the store")
        .expect("a certificate");
    let certificate = Box::new(NodeCertificate::from_pem(&pem).expect("version 1"));
    let refused = ask(
        &mut registry,
        Caller::Node { certificate },
        Command::Renew { request: None },
    );
    assert!(
        matches!(refused, Err(Refusal::NotCurrent { .. })),
        "it is revoked, and its key with it: {refused:?}"
    );
    let add = Command::AddToken {
        email: Email::parse("b@example.com").expect("an address"),
        token: None,
        right: TokenRight::Node(prefix(1)),
    };
    let Ok(Reply::Token(token)) = operate(&mut registry, add) else {
        panic!("no token")
    };
    let command = Command::Enrol {
        token: Some(token),
        request: newcomer().1,
        location: None,
    };
    let renewed = ask(&mut registry, stranger(), command);

    let Ok(Reply::Issued {
        certificate: enrolled,
        ..
    }) = enrolled
    else {
        panic!("{enrolled:?}")
    };
    assert_eq!(
        (
            enrolled.common_name.as_str(),
            enrolled.serial.number(),
            enrolled.subject_serial.0
        ),
        ("2/16", 5, 2)
    );
    let Ok(Reply::Issued {
        certificate: renewed,
        pem: new,
    }) = renewed
    else {
        panic!("{renewed:?}")
    };
    assert_eq!(
        (renewed.common_name.as_str(), renewed.subject_serial.0),
        ("1/16", 1)
    );
    assert_eq!(
        registry.pem(prefix(1)).expect("the store").as_deref(),
        Some(&*new)
    );
    // and after a restart
    registry.close().expect("it is written");
    let mut registry = open(&path);
    let which = CertificateName::Serial(renewed.serial);
    assert_eq!(
        operate(&mut registry, Command::ShowCertificate { which }),
        Ok(Reply::Present(renewed))
    );
    assert_eq!(
        operate(&mut registry, Command::ListTokens),
        Ok(Reply::Tokens(Vec::new()))
    );
}

/// re6stnet refuses a table whose text it has not written itself.
#[test]
fn its_tables_stay_as_they_are() {
    let sql = "SELECT name, sql FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 're6st_%' ORDER BY name";
    let folder = Folder::new();
    let (theirs, ours) = (folder.file("theirs.db"), folder.file("ours.db"));
    make(&theirs);
    let expected = rows(&theirs, sql);

    open(&theirs).close().expect("it is written");
    new(&ours).close().expect("it is written");

    assert_eq!(expected.len(), 4);
    assert_eq!(rows(&theirs, sql), expected);
    assert_eq!(rows(&ours, sql), expected);
    assert_eq!(
        rows(&ours, "SELECT prefix, email, cert FROM cert"),
        ["Text([]) Null Null"]
    );
    assert_eq!(schema::RE6STNET.len(), 4);
}

/// As older releases wrote it.
#[test]
fn certificates_as_text_and_reserved_prefixes() {
    let folder = Folder::new();
    let path = folder.file("registry.db");
    make(&path);
    let connection = Connection::open(&path).expect("the file");
    let change = "UPDATE cert SET cert = CAST(cert AS TEXT) WHERE cert IS NOT NULL; \
                  UPDATE cert SET cert = 'reserved' WHERE prefix = '1'";
    connection.execute_batch(change).expect("a change");
    drop(connection);

    let mut registry = open(&path);

    let which = CertificateName::Prefix(prefix(3));
    assert!(operate(&mut registry, Command::ShowCertificate { which }).is_ok());
    assert!(registry.pem(prefix(3)).expect("the store").is_some());
    let reserved = CertificateName::Prefix("1".parse().expect("bits"));
    assert!(operate(&mut registry, Command::ShowCertificate { which: reserved }).is_err());
}

/// A certificate we cannot read keeps its prefix, and its row.
#[test]
fn a_damaged_certificate_stops_nothing() {
    let folder = Folder::new();
    let path = folder.file("registry.db");
    make(&path);
    let connection = Connection::open(&path).expect("the file");
    let change = "UPDATE cert SET cert = 'nonsense' WHERE prefix = '0000000000000001'";
    connection.execute_batch(change).expect("a change");
    drop(connection);

    let mut registry = open(&path);
    let (_, request) = newcomer();
    let reply = ask(
        &mut registry,
        stranger(),
        Command::Enrol {
            token: None,
            request,
            location: None,
        },
    );

    let unreadable: Vec<_> = registry
        .unreadable()
        .iter()
        .map(|(prefix, _)| *prefix)
        .collect();
    assert_eq!(unreadable, [prefix(1)]);
    assert!(
        matches!(reply, Ok(Reply::Issued { certificate, .. }) if certificate.common_name == "2/16")
    );
    registry.close().expect("it is written");
    let row = rows(
        &path,
        "SELECT CAST(cert AS TEXT) FROM cert WHERE prefix = '0000000000000001'",
    );
    assert_eq!(
        row,
        [format!(
            "{:?}",
            rusqlite::types::ValueRef::Text(b"nonsense")
        )]
    );
}

#[test]
fn other_files_are_refused() {
    let folder = Folder::new();
    let path = folder.file("other.db");
    let connection = Connection::open(&path).expect("a new file");
    connection
        .execute_batch("CREATE TABLE config (prefix TEXT)")
        .expect("a table");
    drop(connection);
    let refused = Store::open(&path).expect_err("another table");
    assert!(
        matches!(
            refused,
            StoreError::Schema {
                table: "config",
                ..
            }
        ),
        "{refused}"
    );

    std::fs::write(folder.file("text"), "a".repeat(5000)).expect("a file");
    assert!(matches!(
        Store::open(&folder.file("text")),
        Err(StoreError::Sqlite { .. })
    ));
    assert!(matches!(
        Store::open(&folder.file("no/where")),
        Err(StoreError::Missing(_))
    ));
    assert!(matches!(
        Reader::open(&folder.file("nothing")),
        Err(StoreError::Missing(_))
    ));
    std::fs::write(folder.file("empty"), "").expect("a file");
    assert!(matches!(
        Store::open(&folder.file("empty")),
        Err(StoreError::Foreign { .. })
    ));
    assert!(Store::create(&path).is_err(), "nothing is overwritten");
}

#[test]
fn damaged_tables_are_refused_with_the_place() {
    for (change, words) in [
        (
            "DELETE FROM cert WHERE prefix = '1'",
            "no block contains prefix 1",
        ),
        ("INSERT INTO cert VALUES ('10', NULL, NULL)", "overlap"),
        (
            "UPDATE cert SET prefix = 'x' WHERE prefix = '1'",
            "prefix \"x\"",
        ),
        ("INSERT INTO crl VALUES (-1, 5)", "serial -1"),
        (
            "UPDATE config SET value = 'x' WHERE name = 'version'",
            "version",
        ),
        (
            "UPDATE config SET value = -1 WHERE name = 'serial'",
            "serial",
        ),
        (
            "UPDATE config SET value = '2' WHERE name = 'prefix'",
            "prefix",
        ),
    ] {
        let folder = Folder::new();
        let path = folder.file("registry.db");
        make(&path);
        Connection::open(&path)
            .expect("the file")
            .execute_batch(change)
            .expect("a change");
        let authority = Authority::from_pem(
            include_str!("re6stnet-ca.crt"),
            include_str!("re6stnet-ca.key"),
        );
        let refused = Registry::open(
            &path,
            open_settings(NETWORK),
            Box::new(authority.expect("the authority")),
        );
        let refused = refused.map(|_| ()).expect_err(change).to_string();
        assert!(refused.contains(words), "{change}: {refused}");
    }
}
