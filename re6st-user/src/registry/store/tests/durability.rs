//! What is on the disk, and what is not.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use super::{
    super::super::{
        Handled, Registry, Request,
        rules::{
            Caller, Command, Notice, Refusal, Reply,
            tests::{Counting, START, authority, newcomer, open_settings},
        },
        store::{Reader, Store},
    },
    Folder, new, rows,
};

const NETWORK: &str = "2001:db8:42::/48";

fn open(path: &Path) -> Registry {
    if !path.exists() {
        Store::create(path).expect("a new database");
    }
    let authority = Box::new(authority(NETWORK));
    let mut registry = Registry::open(path, open_settings(NETWORK), authority).expect("a registry");
    let time = Request {
        from: Caller::Registry,
        command: Command::Time,
    };
    registry.handle(START, &mut Counting::default(), vec![time]);
    registry
}

fn enrolments(number: usize) -> Vec<Request> {
    let enrolment = |_| Request {
        from: Caller::Anonymous {
            address: [192, 0, 2, 1].into(),
        },
        command: Command::Enrol {
            token: None,
            request: newcomer().1,
            location: None,
        },
    };
    (0..number).map(enrolment).collect()
}

fn handle(registry: &mut Registry, requests: Vec<Request>) -> Handled {
    registry.handle(START, &mut Counting::default(), requests)
}

fn certificates(path: &Path) -> usize {
    rows(path, "SELECT prefix FROM cert WHERE cert IS NOT NULL").len()
}

#[test]
fn many_requests_are_one_transaction() {
    let folder = Folder::new();
    let path = folder.file("registry.db");
    let mut registry = open(&path);

    let handled = handle(&mut registry, enrolments(20));

    let mut serials: Vec<u64> = handled
        .replies
        .iter()
        .map(|reply| match reply {
            Ok(Reply::Issued { certificate, .. }) => certificate.serial.number(),
            other => panic!("{other:?}"),
        })
        .collect();
    serials.sort_unstable();
    assert_eq!(serials, (1..=20).collect::<Vec<u64>>());
    assert_eq!(certificates(&path), 20);
}

#[test]
fn at_rest_there_is_one_file_for_its_owner_alone() {
    let folder = Folder::new();
    let path = folder.file("registry.db");
    let mut registry = open(&path);
    handle(&mut registry, enrolments(3));

    registry.close().expect("it is written");

    assert_eq!(folder.files(), ["registry.db", "registry.mark"]);
    let mode = fs::metadata(&path).expect("the file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "tokens and keys are in it");
    assert_eq!(
        rows(&path, "PRAGMA journal_mode"),
        [format!("{:?}", rusqlite::types::ValueRef::Text(b"delete"))]
    );
}

#[test]
fn a_database_that_is_older_than_its_mark_is_known_as_one() {
    let folder = Folder::new();
    let (path, copy) = (folder.file("registry.db"), folder.file("copy.db"));
    let mut registry = open(&path);
    handle(&mut registry, enrolments(2));
    registry.close().expect("it is written");
    fs::copy(&path, &copy).expect("a backup");
    let mut registry = open(&path);
    assert_eq!(registry.lost(), None, "a restart is no restoration");
    handle(&mut registry, enrolments(3));
    registry.close().expect("it is written");

    fs::copy(&copy, &path).expect("it is restored");
    let mut registry = open(&path);

    let lost = registry.lost().expect("it is older");
    assert_eq!(lost.serial, 5);
    let go_on = Request {
        from: Caller::Registry,
        command: Command::GoOnFrom { mark: lost },
    };
    let handled = registry.handle(START, &mut Counting::default(), vec![go_on]);
    assert_eq!((handled.replies.len(), handled.notices.len()), (1, 1));
    registry.close().expect("it is written");
    assert_eq!(open(&path).lost(), None, "it has been taken up");
    // a mark that is none is no reason to forget it
    fs::write(folder.file("registry.mark"), "nonsense").expect("a file");
    let authority = Box::new(authority(NETWORK));
    let refused = Registry::open(&path, open_settings(NETWORK), authority);
    let words = refused.map(|_| ()).expect_err("it is refused").to_string();
    assert!(
        words.contains("registry.mark") && words.contains("remove it"),
        "{words}"
    );
}

#[test]
fn a_backup_can_be_made_while_it_is_written() {
    let folder = Folder::new();
    let (path, copy) = (folder.file("registry.db"), folder.file("copy.db"));
    let mut registry = open(&path);
    handle(&mut registry, enrolments(5));

    Reader::open(&path)
        .expect("a reader")
        .backup(&copy)
        .expect("a copy");
    handle(&mut registry, enrolments(1));

    assert_eq!(certificates(&copy), 5);
    assert_eq!(certificates(&path), 6);
    let mode = fs::metadata(&copy).expect("the file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let mut restored = open(&copy);
    assert!(matches!(
        handle(&mut restored, enrolments(1)).replies[..],
        [Ok(Reply::Issued { .. })]
    ));
    let taken = Reader::open(&path).expect("a reader").backup(&copy);
    assert!(taken.is_err(), "nothing is overwritten");
}

/// Another process holds the file for longer than we wait: refused, and as if nothing had been asked.
#[test]
fn what_the_disk_refused_has_not_happened() {
    let folder = Folder::new();
    let path = folder.file("registry.db");
    let mut registry = open(&path);
    handle(&mut registry, enrolments(3));
    let list = Command::ListCertificates {
        after: None,
        limit: 100,
    };
    let list = || Request {
        from: Caller::Registry,
        command: list.clone(),
    };
    let before = handle(&mut registry, vec![list()]).replies;
    // a trigger refuses what a full disk would
    let refuse =
        "CREATE TRIGGER full BEFORE INSERT ON re6st_audit BEGIN SELECT RAISE(ABORT, 'full'); END";
    rusqlite::Connection::open(&path)
        .expect("the file")
        .execute_batch(refuse)
        .expect("a trigger");

    let mut requests = enrolments(2);
    requests.push(list());
    let refused = handle(&mut registry, requests);

    assert_eq!(refused.replies.len(), 3);
    for reply in &refused.replies {
        assert!(matches!(reply, Err(Refusal::Unavailable(_))), "{reply:?}");
    }
    assert!(matches!(&refused.notices[..], [Notice::Warning(_)]));
    assert_eq!(handle(&mut registry, vec![list()]).replies, before);
    assert_eq!(certificates(&path), 3);
    // and it goes on
    rusqlite::Connection::open(&path)
        .expect("the file")
        .execute_batch("DROP TRIGGER full")
        .expect("no trigger");
    let [Ok(Reply::Issued { certificate, .. })] = &handle(&mut registry, enrolments(1)).replies[..]
    else {
        panic!("refused")
    };
    assert_eq!(certificate.serial.number(), 4, "no number was lost");
}

#[test]
fn who_did_what_when() {
    let folder = Folder::new();
    let path = folder.file("registry.db");
    let mut registry = open(&path);
    handle(&mut registry, enrolments(2));

    let lines = registry.audit(0, 100).expect("the log");

    let seen: Vec<_> = lines
        .iter()
        .map(|line| {
            (
                line.time,
                line.who.as_str(),
                line.action.as_str(),
                line.subject.as_str(),
            )
        })
        .collect();
    let expected = [
        (START, "address 192.0.2.1", "enrolled", "node 0/16 serial 1"),
        (START, "address 192.0.2.1", "enrolled", "node 1/16 serial 2"),
    ];
    assert_eq!(seen, expected);
    assert_eq!(
        registry.audit(lines[0].id, 100).expect("the log"),
        lines[1..]
    );
    assert_eq!(
        Reader::open(&path)
            .expect("a reader")
            .audit(0, 1)
            .expect("the log"),
        lines[..1]
    );
}

/// Tables of ours that a new release has and an old one has not are made at the next start.
#[test]
fn an_older_database_of_ours_is_completed() {
    let folder = Folder::new();
    let path = folder.file("registry.db");
    new(&path).close().expect("it is written");
    let connection = rusqlite::Connection::open(&path).expect("the file");
    connection
        .execute_batch("DROP TABLE re6st_replaced")
        .expect("a change");
    drop(connection);
    assert!(matches!(
        handle(&mut open(&path), enrolments(1)).replies[..],
        [Ok(Reply::Issued { .. })]
    ));
}
