//! A database that is not there, or not this network's: whoever took it up would give out again what others have.

use std::{fs, path::Path};

use super::{
    super::super::{
        Registry, RegistryError, Request,
        rules::{
            Caller, Command, RestoreError, Settings,
            tests::{Counting, START, authority, newcomer, open_settings},
        },
        store::StoreError,
    },
    Folder, new,
};
use crate::registry::store::tests::re6stnet;

const NETWORK: &str = "2001:db8:42::/48";

fn open(path: &Path, settings: Settings) -> Result<Registry, RegistryError> {
    let authority = authority(&settings.network.to_string());
    Registry::open(path, settings, Box::new(authority))
}

fn settings(network: &str, authorities: &[&str]) -> Settings {
    let names = authorities.iter().map(|name| (*name).to_owned());
    let names: Vec<String> = names.collect();
    Settings {
        all_authorities: names.clone(),
        authorities: names,
        ..open_settings(network)
    }
}

/// A database with a certificate, published by these authorities.
fn database(folder: &Folder, authorities: &[&str]) -> std::path::PathBuf {
    let path = folder.file("registry.db");
    new(&path).close().expect("it is written");
    let mut registry = open(&path, settings(NETWORK, authorities)).expect("a registry");
    let commands = [
        Command::Time,
        Command::Enrol {
            token: None,
            request: newcomer().1,
            location: None,
        },
    ];
    let from = |command| Request {
        from: Caller::Registry,
        command,
    };
    let requests = commands.map(from).into();
    registry.handle(START, &mut Counting::default(), requests);
    registry.close().expect("it is written");
    path
}

#[test]
fn a_missing_database_is_no_new_network() {
    let folder = Folder::new();
    let path = folder.file("registry.db");
    let refused = open(&path, open_settings(NETWORK)).map(|_| ());
    assert!(
        matches!(refused, Err(RegistryError::Store(StoreError::Missing(_)))),
        "{refused:?}"
    );
    assert_eq!(folder.files(), [""; 0], "nothing was made");
}

#[test]
fn another_networks_database_is_refused() {
    let folder = Folder::new();
    let path = database(&folder, &[]);
    let refused = open(&path, open_settings("2001:db8:43::/48")).map(|_| ());

    assert!(
        matches!(
            refused,
            Err(RegistryError::Restore(RestoreError::OtherNetwork { .. }))
        ),
        "{refused:?}"
    );
}

#[test]
fn another_authoritys_database_is_refused_unless_it_took_over() {
    let folder = Folder::new();
    let path = database(&folder, &["sha256:01", "sha256:02"]);
    for (authorities, good) in [
        (&["sha256:01", "sha256:02"][..], true),
        (&["sha256:02", "sha256:03"], true),
        (&["sha256:03"], false),
    ] {
        let opened = open(&path, settings(NETWORK, authorities)).map(|_| ());
        match opened {
            Ok(()) => assert!(good, "{authorities:?}"),
            Err(RegistryError::Restore(RestoreError::OtherAuthority)) => {
                assert!(!good, "{authorities:?}");
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn re6stnets_database_is_known_by_its_certificates() {
    let folder = Folder::new();
    let path = folder.file("registry.db");
    re6stnet::make(&path);
    let refused = open(&path, open_settings(NETWORK)).map(|_| ());
    assert!(
        matches!(
            refused,
            Err(RegistryError::Restore(RestoreError::OtherAuthority))
        ),
        "{refused:?}"
    );
}

/// SQLite would go on writing into a file without a name, and all of it would be lost at the end.
#[test]
fn a_database_that_is_taken_away_while_it_is_open_is_written_no_more() {
    let folder = Folder::new();
    let path = database(&folder, &[]);
    let mut registry = open(&path, open_settings(NETWORK)).expect("a registry");
    let mut enrol = || {
        let request = Request {
            from: Caller::Registry,
            command: Command::Enrol {
                token: None,
                request: newcomer().1,
                location: None,
            },
        };
        let mut handled = registry.handle(START, &mut Counting::default(), vec![request]);
        (handled.replies.pop().expect("a reply"), registry.health())
    };
    assert!(enrol().0.is_ok());
    for other in [false, true] {
        fs::rename(&path, folder.file("away")).expect("it is there");
        if other {
            fs::write(&path, "something else").expect("a file");
        }
        let (reply, health) = enrol();
        let words = reply.expect_err("it is away").to_string();
        assert!(words.contains("removed or replaced"), "{words}");
        assert!(health.is_err());
        fs::rename(folder.file("away"), &path).expect("it is there");
        assert!(matches!(enrol(), (Ok(_), Ok(()))));
    }
}
