//! The operator's commands, while the registry serves and while it does not.

use std::{fs, process::Command};

use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;
use serde_json::json;
use testbed::node::re6st_user;

use super::support::{OPEN, RegistryHost, mode, node_file, run, wait_until_it_serves};

#[test]
fn commands_do_the_same_whether_it_serves_or_not() -> Result<()> {
    let mut registry = RegistryHost::new(&OPEN, "")?;
    let node = registry.newcomer("node")?;
    registry.conf(&node, &["--anonymous"])?.success()?;
    for serves in [true, false] {
        if !serves {
            let ended = registry.stop(Signal::SIGTERM)?;
            assert!(ended.status.success(), "{}", ended.stderr);
        }
        let token = registry.token()?;
        let tokens = registry.shown(&["token", "list"])?;
        let id = tokens[0]["id"].as_str().context("an id")?.to_owned();
        assert!(!tokens.to_string().contains(&token));
        registry.operate(&["token", "delete", &id])?;
        assert_eq!(registry.shown(&["token", "list"])?, json!([]));

        let set = format!("hello-interval={}", if serves { 7 } else { 8 });
        registry.operate(&["params", "set", &set])?;
        let value = registry.shown(&["params", "get", "hello-interval"])?;
        assert_eq!(format!("hello-interval={value}"), set);

        let communities = registry.host.directory().join("communities");
        fs::write(&communities, "0 * # everybody\n")?;
        let communities = communities.to_str().unwrap();
        registry.operate(&["community", "set", communities])?;
        let shown = registry.operate(&["community", "list"])?;
        assert_eq!(shown, "0 * # everybody\n");

        let certificate = registry.shown(&["cert", "show", "0/16"])?;
        assert_eq!(certificate["subnet"], "2001:db8:42::/64");
        let error = registry.refuses(&["cert", "show", "7/16"])?;
        assert!(error.contains("there is no"), "{error}");
        let table = registry.operate(&["cert", "list"])?;
        assert!(table.contains("0/16"), "{table}");
    }
    let audit = registry.shown(&["audit"])?;
    let audit = audit.as_array().context("lines")?;
    assert!(
        audit.iter().any(|line| line["who"] == "operator root"),
        "{audit:?}"
    );
    Ok(())
}

#[test]
fn a_revoked_key_is_replaced_by_a_token_and_an_ended_node_makes_room() -> Result<()> {
    let registry = RegistryHost::new(&OPEN, "")?;
    let a = registry.newcomer("a")?;
    let b = registry.newcomer("b")?;
    registry.conf(&a, &["--anonymous"])?.success()?;
    registry.conf(&b, &["--anonymous"])?.success()?;
    let before = registry.shown(&["cert", "show", "1/16"])?;

    let serial = before["serial"].to_string();
    let said = registry.operate(&["cert", "revoke", &serial])?;
    assert!(said.contains("token add --node"), "{said}");

    assert_eq!(registry.shown(&["cert", "show", "1/16"])?["revoked"], true);
    let error = registry.conf(&b, &["--anonymous"])?.failure()?;
    assert!(error.contains("move cert.key away"), "{error}");
    fs::remove_file(b.directory().join("node/cert.key"))?;
    let add = ["token", "add", "--email", "b@example.com", "--node", "1/16"];
    let token = registry.operate(&add)?;
    registry.conf(&b, &["--token", token.trim()])?.success()?;
    let after = registry.shown(&["cert", "show", "1/16"])?;
    assert_eq!(after["revoked"], false);
    assert_ne!(after["serial"], before["serial"]);

    registry.operate(&["cert", "revoke", "1/16"])?;
    assert_eq!(
        registry.shown(&["cert", "list"])?.as_array().map(Vec::len),
        Some(1)
    );
    Ok(())
}

#[test]
fn it_serves_without_privileges_and_no_secret_is_in_its_log() -> Result<()> {
    let mut registry = RegistryHost::new(&[], "")?;
    registry.stop(Signal::SIGTERM)?;
    for file in ["ca.key", "registry.db"] {
        assert_eq!(mode(&registry.file(file))?, 0o600, "{file}");
    }
    // nobody of Debian
    registry.host.run(
        "chown",
        &["-R", "65534:65534", registry.file("").to_str().unwrap()],
    )?;
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
        .args(["--bounding-set=-all", "--no-new-privs"])
        .arg(re6st_user()?)
        .args(["registry", "--config"])
        .arg(registry.file("registry.toml"));
    // the folder the testbed made for this host lets everybody through
    let process = registry.host.spawn(&mut command)?;
    wait_until_it_serves(&process)?;
    registry.process = Some(process);

    let token = registry.token()?;
    let node = registry.newcomer("node")?;
    registry
        .conf(&node, &["--token", "a-wrong-one"])?
        .failure()?;
    registry.conf(&node, &["--token", &token])?.success()?;

    let ended = registry.stop(Signal::SIGTERM)?;
    assert!(ended.status.success(), "{}", ended.stderr);
    let said = ended.stdout + &ended.stderr;
    assert!(
        !said.contains(&token) && !said.contains("PRIVATE KEY"),
        "{said}"
    );
    Ok(())
}

#[test]
fn init_overwrites_nothing_and_says_what_is_wrong() -> Result<()> {
    let registry = RegistryHost::new(&[], "")?;
    let key = fs::read(registry.file("ca.key"))?;
    let directory = registry.file("");
    let init = |network: &str| {
        let directory = directory.to_str().unwrap();
        let arguments = ["registry", "init", "--network", network, "--dir", directory];
        run(&registry.host, &arguments)
    };

    let error = init("2001:db8:42::/48")?.failure()?;
    assert!(error.contains("is there already"), "{error}");
    assert_eq!(fs::read(registry.file("ca.key"))?, key);
    let error = init("2001:db8:42::1/48")?.failure()?;
    assert!(error.contains("bits behind"), "{error}");
    Ok(())
}

#[test]
fn what_is_missing_is_named_and_what_was_done_is_said() -> Result<()> {
    let mut registry = RegistryHost::new(&[], "")?;
    for (command, answer) in [
        (
            &["params", "set", "hello-interval=7"][..],
            "hello-interval = 7",
        ),
        (&["params", "unset", "hello-interval"], "hello-interval = "),
        (&["mac-keys", "rotate"], "rotate again when"),
        (&["mac-keys", "rotate"], "rotate again when"),
        (&["mac-keys", "rotate"], "the change is complete"),
    ] {
        let said = registry.operate(command)?;
        assert!(said.contains(answer), "{command:?}: {said}");
    }
    let node = registry.newcomer("node")?;
    registry
        .conf(&node, &["--token", "a-wrong-one"])?
        .failure()?;
    let log = registry.operate(&["audit"])?;
    assert!(log.contains("token-refused"), "{log}");

    registry.stop(Signal::SIGTERM)?;
    let key = registry.file("ca.key");
    fs::rename(&key, registry.file("moved"))?;
    for command in [&[][..], &["token", "list"], &["ca", "succeed"]] {
        let error = registry.refuses(command)?;
        assert!(
            error.contains(key.to_str().unwrap()) && error.contains("there is no such file"),
            "{command:?}: {error}"
        );
    }
    Ok(())
}

#[test]
fn a_successor_of_the_authority_is_made_and_taken_up() -> Result<()> {
    let mut registry = RegistryHost::new(&OPEN, "")?;
    let node = registry.newcomer("node")?;

    let said = registry.operate(&["ca", "succeed"])?;
    assert_eq!(mode(&registry.file("ca.key.next"))?, 0o600);
    let error = registry.refuses(&["ca", "succeed"])?;
    assert!(error.contains("takes over already"), "{error}");
    registry.stop(Signal::SIGTERM)?;
    registry.serve()?;

    // by the fingerprint of the old one a newcomer gets both
    registry.conf(&node, &["--anonymous"])?.success()?;
    let authorities = node_file(&node, "ca.crt")?;
    assert_eq!(authorities.matches("BEGIN CERTIFICATE").count(), 2);
    let parameters = registry.shown(&["params", "get"])?;
    let fingerprints = parameters["authorities"]
        .as_array()
        .context("authorities")?;
    assert_eq!(fingerprints.len(), 2);
    let next = fingerprints[1].as_str().context("a fingerprint")?;
    assert!(said.contains(next), "{said} {fingerprints:?}");
    Ok(())
}
