//! Newcomers: `re6st-user conf`.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    process::Command,
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};
use testbed::node::re6st_user;

use super::support::{OPEN, RegistryHost, mode, node_file, run, wait_for};

#[test]
fn two_commands_make_a_registry_and_one_makes_a_node_that_starts() -> Result<()> {
    let ipv4 = ["--ipv4", "10.42.0.0/16", "--ipv4-subnet-bits", "8"];
    let registry = RegistryHost::new(&ipv4, "")?;
    let own = registry.newcomer("own")?;
    let node = registry.newcomer("node")?;
    registry
        .conf(&own, &["--token", &registry.token()?])?
        .success()?;

    let options = ["--token", &registry.token()?, "-r", "O", "Example Inc."];
    let said = registry.conf(&node, &options)?.success()?.stdout;

    assert!(said.contains("2001:db8:42:1::/64"), "{said}");
    let directory = node.directory().join("node");
    for secret in ["cert.key", "x25519.key"] {
        assert_eq!(mode(&directory.join(secret))?, 0o600, "{secret}");
    }
    let certificate = directory.join("cert.crt");
    let certificate = certificate.to_str().unwrap();
    let subject = node.run(
        "openssl",
        &["x509", "-noout", "-subject", "-in", certificate],
    )?;
    assert!(
        subject.contains("Example Inc.") && subject.contains("CN = 1/16"),
        "{subject}"
    );
    let authority = directory.join("ca.crt");
    let authority = authority.to_str().unwrap();
    node.run(
        "openssl",
        &["verify", "-x509_strict", "-CAfile", authority, certificate],
    )?;

    // what was written is what `node` takes
    let mut command = Command::new(re6st_user()?);
    command
        .arg("--bpffs")
        .arg(node.bpffs())
        .arg("--sockets")
        .arg(node.directory());
    command
        .args(["node", "--config"])
        .arg(directory.join("re6st0.toml"));
    let controller = node.spawn(&mut command)?;
    wait_for("the node to start", || {
        Ok(controller.stderr().contains("speaks Babel"))
    })
    .with_context(|| controller.stderr())?;
    let addresses = node.ip(&["address", "show", "dev", "re6st0"])?;
    for address in ["2001:db8:42:1::1", "10.42.1.1"] {
        assert!(addresses.contains(address), "{addresses}");
    }

    // and now it is in the network
    let needed = registry.conf(&node, &["--is-needed"])?;
    assert_eq!(needed.status.code(), Some(1), "{needed:?}");
    let needed = registry.conf(&own, &["--is-needed"])?;
    assert_eq!(needed.status.code(), Some(0), "{needed:?}");
    Ok(())
}

#[test]
fn conf_can_be_run_again_and_keeps_what_is_there() -> Result<()> {
    let registry = RegistryHost::new(&OPEN, "")?;
    let node = registry.newcomer("node")?;
    registry.conf(&node, &["--ca-only"])?.success()?;
    assert_eq!(fs::read_dir(node.directory().join("node"))?.count(), 1);
    registry
        .conf(&node, &["--anonymous", "-r", "O", "Example"])?
        .success()?;
    let names = [
        "ca.crt",
        "cert.crt",
        "cert.key",
        "x25519.key",
        "re6st0.toml",
    ];
    let before: Vec<_> = names
        .iter()
        .map(|name| node_file(&node, name))
        .collect::<Result<_>>()?;

    let again = registry.conf(&node, &["--anonymous"])?.success()?;

    assert!(
        again.stdout.contains("the key that is there is used"),
        "{}",
        again.stdout
    );
    for (name, before) in names.iter().zip(before) {
        assert_eq!(node_file(&node, name)?, before, "{name}");
    }
    assert_eq!(
        registry.shown(&["cert", "list"])?.as_array().map(Vec::len),
        Some(1)
    );
    Ok(())
}

#[test]
fn the_wrong_registry_gets_nothing_and_without_a_fingerprint_there_is_a_warning() -> Result<()> {
    let registry = RegistryHost::new(&[], "")?;
    let node = registry.newcomer("node")?;
    let token = registry.token()?;
    let directory = node.directory().join("node");
    let url = registry.url();
    let conf = [
        "conf",
        "--registry",
        &url,
        "--dir",
        directory.to_str().unwrap(),
    ];

    let other = format!("sha256:{}", "0".repeat(64));
    let wrong = ["--token", &token, "--fingerprint", &other];
    let error = run(&node, &[&conf[..], &wrong].concat())?.failure()?;
    assert!(error.contains("is not the network's registry"), "{error}");
    assert!(!directory.exists());

    let output = run(&node, &[&conf[..], &["--token", &token]].concat())?.success()?;
    assert!(
        output.stderr.contains("WARNING: without --fingerprint"),
        "{}",
        output.stderr
    );
    assert!(
        output.stderr.contains(&registry.fingerprint),
        "{}",
        output.stderr
    );
    Ok(())
}

#[test]
fn a_local_failure_does_not_cost_the_token() -> Result<()> {
    let registry = RegistryHost::new(&[], "")?;
    let node = registry.newcomer("node")?;
    let token = registry.token()?;
    // the certificate cannot be written
    let obstacle = node.directory().join("node/cert.crt.new/full");
    fs::create_dir_all(&obstacle)?;

    let error = registry.conf(&node, &["--token", &token])?.failure()?;
    assert!(error.contains("cert.crt"), "{error}");
    let error = registry
        .conf(&node, &["--token", &token, "-r", "CN", "me"])?
        .failure()?;
    assert!(error.contains("CN"), "{error}");
    assert_eq!(
        registry.shown(&["token", "list"])?.as_array().map(Vec::len),
        Some(1)
    );

    fs::remove_dir_all(obstacle.parent().unwrap())?;
    registry.conf(&node, &["--token", &token])?.success()?;
    assert_eq!(
        registry.shown(&["token", "list"])?.as_array().map(Vec::len),
        Some(0)
    );
    Ok(())
}

/// A mail server that takes one mail without TLS; what it was told.
fn mail_server(listener: &TcpListener) -> Result<String> {
    let (stream, _) = listener.accept()?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let mut said = String::new();
    let answer = |mut stream: &TcpStream, text: &str| stream.write_all(text.as_bytes());
    answer(&stream, "220 mail.example.com\r\n")?;
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let mut data = false;
    while let Some(line) = lines.next().transpose()? {
        said += &line;
        said.push('\n');
        let reply = match line.split_whitespace().next().unwrap_or_default() {
            "." if data => {
                data = false;
                "250 taken\r\n"
            }
            _ if data => continue,
            "EHLO" => "250 mail.example.com\r\n",
            "DATA" => {
                data = true;
                "354 go on\r\n"
            }
            "QUIT" => {
                answer(&stream, "221 bye\r\n").ok();
                break;
            }
            _ => "250 fine\r\n",
        };
        answer(&stream, reply)?;
        if reply == "250 taken\r\n" {
            break;
        }
    }
    Ok(said)
}

#[test]
fn a_token_comes_by_mail() -> Result<()> {
    let mail = "[mail]\nfrom = \"registry@example.com\"\nsmtp = \"127.0.0.1\"\nport = 2525\ntls = \"none\"\n";
    let registry = RegistryHost::new(&[], mail)?;
    let node = registry.newcomer("node")?;
    let listener = registry
        .host
        .enter(|| TcpListener::bind("127.0.0.1:2525"))??;
    let server = thread::spawn(move || mail_server(&listener));

    // nobody types the token in here
    let asked = registry.conf(&node, &["--email", "user@example.com"])?;

    let error = asked.failure()?;
    assert!(error.contains("with --token TOKEN"), "{error}");
    let mail = server.join().unwrap()?;
    assert!(mail.contains("RCPT TO:<user@example.com>"), "{mail}");
    let token = mail
        .lines()
        .find_map(|line| line.strip_prefix("    "))
        .context(mail.clone())?;
    registry
        .conf(&node, &["--token", token.trim()])?
        .success()?;
    let nodes = registry.shown(&["cert", "list"])?;
    assert_eq!(nodes[0]["email"], "user@example.com");
    Ok(())
}

#[test]
fn a_newcomer_enrols_over_the_narrowest_path_of_ipv6_which_says_nothing_of_it() -> Result<()> {
    let registry = RegistryHost::new(&OPEN, "")?;
    let node = registry.newcomer("node")?;
    // segments are measured as they would be on a wire: neither sent uncut nor merged on the way
    for host in [&registry.host, &node] {
        host.run("ethtool", &["-K", "eth0", "tso", "off", "gso", "off"])?;
    }
    for port in ["registry1", "node2"] {
        registry
            .router()
            .run("ethtool", &["-K", port, "gro", "off"])?;
    }
    let silent = "add table inet test;
        add chain inet test forward { type filter hook forward priority 0; };
        add rule inet test forward meta length > 1280 counter drop;";
    registry.router().run("nft", &[silent])?;

    let enrolled = registry.conf(&node, &["--anonymous"])?;

    enrolled.success()?;
    let rules = registry
        .router()
        .run("nft", &["list", "table", "inet", "test"])?;
    assert!(rules.contains("packets 0 "), "{rules}");
    Ok(())
}

#[test]
fn a_registry_that_is_away_is_named_and_no_file_is_left_half_written() -> Result<()> {
    let mut registry = RegistryHost::new(&[], "")?;
    let node = registry.newcomer("node")?;
    let token = registry.token()?;
    registry.conf(&node, &["--ca-only"])?.success()?;
    registry.stop(nix::sys::signal::Signal::SIGKILL)?;

    let error = registry.conf(&node, &["--token", &token])?.failure()?;

    assert!(error.contains("cannot be reached"), "{error}");
    let left = fs::read_dir(node.directory().join("node"))?;
    let left: Vec<_> = left
        .map(|entry| Ok(entry?.file_name()))
        .collect::<Result<_>>()?;
    assert_eq!(left, ["ca.crt"]);
    registry.serve()?;
    registry.conf(&node, &["--token", &token])?.success()?;
    Ok(())
}
