//! What is kept over a restart.

use std::{fs, os::unix::fs::PermissionsExt as _};

use nix::{sys::stat::Mode, unistd::mkfifo};

use crate::membership::{files::Files, messages::Keep};

#[test]
fn what_is_kept_is_read_and_what_cannot_be_read_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let files = Files::new(&super::world::registry_section(), folder.path());
    files
        .keep(&Keep::Parameters(b"parameters".to_vec()))
        .unwrap();
    files.keep(&Keep::MacKeys(b"keys".to_vec())).unwrap();
    // it would wait for whoever writes into it
    mkfifo(&folder.path().join("revocations.json"), Mode::S_IRWXU).unwrap();

    let (kept, problems) = files.kept();

    assert_eq!(kept.parameters.as_deref(), Some(&b"parameters"[..]));
    assert_eq!(kept.mac_keys.as_deref(), Some(&b"keys"[..]));
    let keys = fs::metadata(folder.path().join("mac-keys.json")).unwrap();
    assert_eq!(keys.permissions().mode() & 0o7777, 0o600);
    assert_eq!(problems.len(), 1, "{problems:?}");
    fs::remove_file(folder.path().join("revocations.json")).unwrap();
    fs::create_dir(folder.path().join("revocations.json")).unwrap();
    let error = files.keep(&Keep::Revocations(Vec::new())).unwrap_err();
    assert!(error.contains("revocations.json"), "{error}");
}
