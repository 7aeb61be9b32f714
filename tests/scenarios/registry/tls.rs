//! TLS as openssl sees it from outside.

use std::{collections::BTreeSet, path::Path};

use anyhow::{Context as _, Result};
use testbed::host::Host;

use super::support::{OPEN, RegistryHost, run};

/// Whether openssl can shake hands with these options, and all it said.
fn shakes_hands(host: &Host, registry: &RegistryHost, options: &[&str]) -> Result<(bool, String)> {
    let address = format!("{}:4443", registry.uplink.ipv4);
    let mut arguments = vec!["s_client", "-connect", &address];
    arguments.extend(options);
    let output = host.output("openssl", &arguments)?;
    Ok((output.status.success(), output.stdout + &output.stderr))
}

#[test]
fn only_good_versions_and_ciphers_are_spoken_and_there_is_no_renegotiation() -> Result<()> {
    let registry = RegistryHost::new(&[], "")?;
    let node = registry.newcomer("node")?;
    let authority = registry.file("ca.crt");

    // by the rules of openssl the chain is right, for the registry's name and for no other
    let verified = [
        "-CAfile",
        authority.to_str().unwrap(),
        "-x509_strict",
        "-verify_return_error",
        "-verify_hostname",
    ];
    let name = [&verified[..], &["registry.re6st.internal"]].concat();
    let (good, said) = shakes_hands(&node, &registry, &name)?;
    assert!(
        good && said.contains("Verify return code: 0 (ok)"),
        "{said}"
    );
    let (good, said) = shakes_hands(
        &node,
        &registry,
        &[&verified[..], &["registry.example"]].concat(),
    )?;
    assert!(!good, "{said}");

    let anything = ["-cipher", "ALL:COMPLEMENTOFALL:@SECLEVEL=0"];
    for (version, spoken) in [
        ("-tls1", false),
        ("-tls1_1", false),
        ("-tls1_2", true),
        ("-tls1_3", true),
    ] {
        let options = [&[version][..], &anything].concat();
        let (good, said) = shakes_hands(&node, &registry, &options)?;
        assert_eq!(good, spoken, "{version}: {said}");
        assert!(!said.contains("Compression: zlib"), "{said}");
    }

    let all = node.run(
        "openssl",
        &["ciphers", "-tls1_2", "ALL:COMPLEMENTOFALL:@SECLEVEL=0"],
    )?;
    let mut spoken = BTreeSet::new();
    for cipher in all
        .trim()
        .split(':')
        .filter(|cipher| !cipher.starts_with("TLS_"))
    {
        let weak = format!("{cipher}:@SECLEVEL=0");
        if shakes_hands(&node, &registry, &["-tls1_2", "-cipher", &weak])?.0 {
            spoken.insert(cipher);
        }
    }
    let good = BTreeSet::from([
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-CHACHA20-POLY1305",
    ]);
    assert_eq!(spoken, good);

    // the command R of s_client asks for a renegotiation
    let line = format!(
        "(sleep 1; echo R; sleep 2) | openssl s_client -tls1_2 -connect {}:4443 2>&1",
        registry.uplink.ipv4
    );
    let output = node.output("sh", &["-c", &line])?;
    assert!(output.stdout.contains("RENEGOTIATING"), "{}", output.stdout);
    assert!(
        output.stdout.contains("no renegotiation")
            || output.stdout.contains("alert")
            || output.stdout.contains("error"),
        "{}",
        output.stdout
    );
    Ok(())
}

/// What the registry answers to whoever shows a certificate of version 1, made with openssl as re6stnet's registry makes them.
fn parameters_for(node: &Host, registry: &RegistryHost, authority: &Path) -> Result<String> {
    let file = |name: &str| node.directory().join(name).display().to_string();
    let (key, request, certificate) = (file("v1.key"), file("v1.csr"), file("v1.crt"));
    let (ca, ca_key) = (authority.join("ca.crt"), authority.join("ca.key"));
    let subject = r"/serialNumber=0/CN=0\/16";
    let options = [
        "req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", subject,
    ];
    node.run(
        "openssl",
        &[&options[..], &["-keyout", &key, "-out", &request]].concat(),
    )?;
    let (ca, ca_key) = (ca.display().to_string(), ca_key.display().to_string());
    let options = [
        "x509",
        "-req",
        "-set_serial",
        "1",
        "-days",
        "30",
        "-in",
        &request,
    ];
    let files = ["-CA", &ca, "-CAkey", &ca_key, "-out", &certificate];
    node.run("openssl", &[&options[..], &files].concat())?;
    let shown = node.run("openssl", &["x509", "-noout", "-text", "-in", &certificate])?;
    assert!(shown.contains("Version: 1 (0x0)"), "{shown}");
    let line = format!(
        "printf 'GET /v1/parameters HTTP/1.1\\r\\nHost: registry\\r\\nConnection: close\\r\\n\\r\\n' \
         | openssl s_client -quiet -tls1_3 -cert {certificate} -key {key} -connect {}:4443 2>/dev/null",
        registry.uplink.ipv4
    );
    Ok(node.output("sh", &["-c", &line])?.stdout)
}

#[test]
fn a_certificate_of_version_1_is_known_if_the_authority_made_it() -> Result<()> {
    let options = [&OPEN[..], &["--key", "rsa2048"]].concat();
    let registry = RegistryHost::new(&options, "")?;
    let node = registry.newcomer("node")?;
    let stranger = node.directory().join("stranger");
    let directory = stranger.to_str().context("a folder's name")?;
    let init = [
        "registry",
        "init",
        "--network",
        "2001:db8:42::/48",
        "--dir",
        directory,
    ];
    run(&node, &[&init[..], &["--key", "rsa2048"]].concat())?.success()?;

    let own = registry.file("");
    let answer = parameters_for(&node, &registry, &own)?;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("payloadType"), "{answer}");

    let answer = parameters_for(&node, &registry, &stranger)?;
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    Ok(())
}
