//! A file is replaced whole, with its owner and permissions.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::PathBuf,
};

use crate::membership::{
    files::{Files, replace},
    member::Keep,
};

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("re6st-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn mode(path: &PathBuf) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn permissions_stay_and_new_files_are_for_the_owner_alone() {
    let folder = Folder::new("replace");
    let path = folder.0.join("cert.crt");

    replace(&path, b"one").unwrap();
    assert_eq!(mode(&path), 0o600);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    // left by a controller that was killed
    fs::write(folder.0.join("cert.crt.new"), b"half").unwrap();
    replace(&path, b"two").unwrap();

    assert_eq!(
        (fs::read(&path).unwrap(), mode(&path)),
        (b"two".to_vec(), 0o640)
    );
    assert!(!folder.0.join("cert.crt.new").exists());
}

#[test]
fn a_link_stays_a_link() {
    let folder = Folder::new("link");
    let (path, link) = (folder.0.join("target"), folder.0.join("link"));
    fs::write(&path, b"one").unwrap();
    symlink(&path, &link).unwrap();

    replace(&link, b"two").unwrap();

    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::read(&path).unwrap(), b"two");
}

#[test]
fn what_is_kept_is_read_and_what_cannot_be_read_is_said() {
    let folder = Folder::new("kept");
    let files = Files::new(&super::world::registry_section(), &folder.0);
    files
        .keep(&Keep::Parameters(b"parameters".to_vec()))
        .unwrap();
    files.keep(&Keep::MacKeys(b"keys".to_vec())).unwrap();
    fs::create_dir(folder.0.join("revocations.json")).unwrap();

    let (kept, problems) = files.kept();

    assert_eq!(kept.parameters.as_deref(), Some(&b"parameters"[..]));
    assert_eq!(kept.mac_keys.as_deref(), Some(&b"keys"[..]));
    assert_eq!(mode(&folder.0.join("mac-keys.json")), 0o600);
    assert_eq!(problems.len(), 1, "{problems:?}");
    let error = files.keep(&Keep::Revocations(Vec::new())).unwrap_err();
    assert!(error.contains("revocations.json"), "{error}");
}
