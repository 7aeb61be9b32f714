//! What README.md and docs/ show is typed as it stands there, on hosts whose /etc, /run, /var/lib and BPF file system are
//! their own.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use testbed::{
    documentation::{Block, Mark, inline, story, tabulated},
    host::{Host, Testbed},
    link::{LinkOptions, add_addresses, link},
    process::Process,
};

use crate::place::Place;

/// How long what needs others may be tried again.
const PATIENCE: Duration = Duration::from_secs(60);
/// Commands that go on, and what they say when they have begun.
const LASTING: [(&str, &str); 2] = [
    ("re6st-user node ", "speaks Babel"),
    ("re6st-user registry --config", "the registry serves"),
];
const REGISTRY: &str = "re6st-user registry token add";

/// What is being told, by whom.
struct Story {
    places: BTreeMap<String, Place>,
    running: Vec<Process>,
    fingerprint: Option<String>,
    /// How one gets a token.
    token: Option<String>,
}

impl Story {
    fn new(places: BTreeMap<String, Place>) -> Self {
        Self {
            places,
            running: Vec::new(),
            fingerprint: None,
            token: None,
        }
    }

    fn place(&self, name: &str) -> Result<&Place> {
        self.places
            .get(name)
            .with_context(|| format!("there is no host {name}"))
    }

    /// Does what all blocks say.
    fn tell(&mut self, blocks: &[Block]) -> Result<()> {
        for block in blocks {
            self.tell_block(block).with_context(|| block.to_string())?;
        }
        Ok(())
    }

    fn tell_block(&mut self, block: &Block) -> Result<()> {
        match &block.mark {
            Mark::File(place) => {
                for host in &place.hosts {
                    self.place(host)?.write(block.file_name()?, &block.text)?;
                }
            }
            Mark::Run(place) => {
                for line in block.commands() {
                    for host in &place.hosts {
                        self.type_in(host, &line)
                            .with_context(|| format!("{host}: {line}"))?;
                    }
                }
            }
            Mark::NotRun(_) => {}
        }
        Ok(())
    }

    fn type_in(&mut self, host: &str, line: &str) -> Result<()> {
        let line = self.filled_in(line)?;
        let place = self.place(host)?;
        if let Some((_, word)) = LASTING.iter().find(|(begin, _)| line.starts_with(begin)) {
            let process = place.spawn(&line)?;
            wait_for(word, || Ok(process.stderr().contains(word)))
                .with_context(|| process.stderr())?;
            self.running.push(process);
            return Ok(());
        }
        if line.starts_with("ping ") {
            // ways are found in a moment
            return wait_for(&line, || Ok(place.output(&line)?.status.success()))
                .with_context(|| self.explain(host));
        }
        let said = place.type_in(&line)?;
        let words = said.split_whitespace();
        let found = words.rev().find(|word| word.starts_with("sha256:"));
        if let (None, Some(found)) = (&self.fingerprint, found) {
            self.fingerprint = Some(found.to_owned());
        }
        if line.starts_with(REGISTRY) {
            self.token = Some(line);
        }
        Ok(())
    }

    /// A line with what its reader knows in the place of placeholders.
    fn filled_in(&self, line: &str) -> Result<String> {
        let mut line = line.to_owned();
        if line.contains("sha256:HEX") {
            let known = self
                .fingerprint
                .as_ref()
                .context("nobody said which fingerprint")?;
            line = line.replace("sha256:HEX", known);
        }
        if line.contains("TOKEN") {
            // each is good once
            let command = self
                .token
                .as_ref()
                .context("nobody said how to make a token")?;
            let token = self.place("registry")?.type_in(command)?;
            line = line.replace("TOKEN", token.trim());
        }
        Ok(line)
    }

    fn explain(&self, host: &str) -> String {
        let status = self
            .place(host)
            .and_then(|place| place.type_in("re6st-user status"));
        let logs = self.running.iter().map(Process::stderr);
        format!(
            "{}\n{}",
            status.unwrap_or_default(),
            logs.collect::<String>()
        )
    }
}

fn wait_for(what: &str, mut is_so: impl FnMut() -> Result<bool>) -> Result<()> {
    let begin = Instant::now();
    while !is_so()? {
        if begin.elapsed() > PATIENCE {
            bail!("waited too long for {what}");
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}

/// Hosts a and b on a cable, 192.0.2.1 and 192.0.2.7.
fn two_hosts(testbed: &Testbed) -> Result<Story> {
    let [a, b] = ["a", "b"].map(|name| Place::new(testbed, name, ""));
    let (a, b) = (a?, b?);
    link((&a.host, "eth0"), (&b.host, "eth0"), LinkOptions::default())?;
    add_addresses(&a.host, "eth0", &["192.0.2.1/24"])?;
    add_addresses(&b.host, "eth0", &["192.0.2.7/24"])?;
    let places = [("a".to_owned(), a), ("b".to_owned(), b)];
    Ok(Story::new(places.into()))
}

/// The other end of a configuration.
fn mirrored(text: &str) -> String {
    let swap = |text: &str, one: &str, other: &str| {
        text.replace(one, "\u{1}")
            .replace(other, one)
            .replace('\u{1}', other)
    };
    let text = swap(text, "2001:db8:42:1:", "2001:db8:42:2:");
    let text = swap(&text, "10.42.1.", "10.42.2.");
    let text = swap(&text, "local = 7, remote = 8", "local = 8, remote = 7");
    text.replace("remote = \"192.0.2.7\"", "remote = \"192.0.2.1\"")
}

/// The configuration that README.md shows; host b has the other end of it.
fn file_of_a(told: &Story) -> Result<Block> {
    let blocks = story("README.md", "static")?;
    let is_file = |block: &Block| matches!(block.mark, Mark::File(_));
    let file = blocks.into_iter().find(is_file).context("no file")?;
    let b = told.place("b")?;
    b.write("/etc/mirror.toml", &mirrored(&file.text))?;
    b.type_in("re6st-user load --config /etc/mirror.toml")?;
    Ok(file)
}

#[test]
fn the_readmes_two_hosts() -> Result<()> {
    let testbed = Testbed::new()?;
    let mut story_ = two_hosts(&testbed)?;
    let file = file_of_a(&story_)?;

    story_.tell(&story("README.md", "static")?)?;

    let a = story_.place("a")?;
    let left = a.type_in("ls /sys/fs/bpf; ip -oneline link")?;
    assert!(!left.contains("re6st0"), "{left}");

    // and what else operating.md says one may type on a node
    a.type_in(&format!("re6st-user load --config {}", file.file_name()?))?;
    let mut typed = 0;
    for line in ["ethtool", "bpftool"].map(|program| inline("docs/operating.md", program)) {
        for line in line {
            a.type_in(&line.replace("DEVICE", "eth0")).context(line)?;
            typed += 1;
        }
    }
    for line in inline("docs/operating.md", "tcpdump") {
        let output = a.output(&format!("timeout 1 {line}"))?;
        assert!(output.stderr.contains("listening on"), "{output:?}");
        typed += 1;
    }
    assert!(typed > 4, "{typed}");
    Ok(())
}

#[test]
fn the_lan_behind_a_node_of_operating_md() -> Result<()> {
    let testbed = Testbed::new()?;
    let mut told = two_hosts(&testbed)?;
    let file = file_of_a(&told)?;
    let laptop = Place::new(&testbed, "laptop", "")?;
    let a = told.place("a")?;
    let ends = ((&a.host, "lan0"), (&laptop.host, "eth0"));
    link(ends.0, ends.1, LinkOptions::default())?;
    let (alone, with_lan) = (
        r#"interfaces = ["eth0"]"#,
        r#"interfaces = ["eth0", "lan0"]"#,
    );
    ensure!(file.text.contains(alone), "{}", file.text);
    a.write(file.file_name()?, &file.text.replace(alone, with_lan))?;
    a.type_in(&format!("re6st-user load --config {}", file.file_name()?))?;
    told.places.insert("laptop".to_owned(), laptop);

    told.tell(&story("docs/operating.md", "lan")?)?;

    let document = include_str!("../../docs/operating.md");
    assert!(document.contains(with_lan), "{with_lan}");
    Ok(())
}

/// A registry and two nodes on one LAN, which may have a way to the Internet.
fn lan(testbed: &Testbed, default_route: bool) -> Result<(Host, Story)> {
    let switch = testbed.host("switch")?;
    switch.ip(&["link", "add", "br0", "type", "bridge"])?;
    switch.ip(&["link", "set", "br0", "up"])?;
    add_addresses(&switch, "br0", &["192.0.2.254/24"])?;
    let mut places = BTreeMap::new();
    for (number, name) in ["registry", "node1", "node2"].into_iter().enumerate() {
        let place = Place::new(testbed, name, "192.0.2.1 registry.example\n")?;
        let port = format!("port{number}");
        link(
            (&place.host, "eth0"),
            (&switch, &port),
            LinkOptions::default(),
        )?;
        switch.ip(&["link", "set", &port, "master", "br0"])?;
        let address = format!("192.0.2.{}/24", number + 1);
        add_addresses(&place.host, "eth0", &[&address])?;
        if default_route {
            let default = ["route", "add", "default", "via", "192.0.2.254"];
            place.host.ip(&default)?;
        }
        places.insert(name.to_owned(), place);
    }
    Ok((switch, Story::new(places)))
}

/// The mesh address of a node that has been configured.
fn address(place: &Place) -> Result<String> {
    let text = place.read("/etc/re6st-ebpf/re6st0.toml")?;
    let address = text.split('"').nth(1).context("no address")?;
    Ok(address.split('/').next().unwrap_or_default().to_owned())
}

fn nodes_reach_each_other(story: &mut Story) -> Result<()> {
    for (from, to) in [("node1", "node2"), ("node2", "node1")] {
        let address = address(story.place(to)?)?;
        story.type_in(from, &format!("ping -c 1 -W 1 {address}"))?;
    }
    Ok(())
}

#[test]
fn the_readmes_registry_makes_two_nodes_that_reach_each_other() -> Result<()> {
    let testbed = Testbed::new()?;
    let (_switch, mut told) = lan(&testbed, false)?;

    told.tell(&story("README.md", "managed")?)?;

    nodes_reach_each_other(&mut told)
}

#[test]
fn the_managed_mesh_of_operating_md() -> Result<()> {
    let testbed = Testbed::new()?;
    let (_switch, mut told) = lan(&testbed, true)?;

    told.tell(&story("docs/operating.md", "managed")?)?;

    nodes_reach_each_other(&mut told)
}

#[test]
fn the_registry_of_registry_md_and_every_command_of_its_operator() -> Result<()> {
    let testbed = Testbed::new()?;
    let (_switch, mut told) = lan(&testbed, true)?;

    told.tell(&story("docs/registry.md", "managed")?)?;
    nodes_reach_each_other(&mut told)?;

    // what stands in the table, in its order
    let registry = told.place("registry")?;
    let config = "--config /var/lib/re6st-registry/registry.toml";
    registry.write("/etc/communities", "0 *\n")?;
    let lines = tabulated("docs/registry.md", "registry");
    assert!(lines.len() > 12, "{lines:?}");
    for line in lines {
        let line = with_names(registry, &line, config)?;
        let said = registry.type_in(&format!("re6st-user {line} {config}"))?;
        assert!(
            !said.is_empty(),
            "`{line}` says nothing of what it has done"
        );
    }
    Ok(())
}

/// An operator's command with something in the place of what its reader chooses.
fn with_names(registry: &Place, line: &str, config: &str) -> Result<String> {
    let asked = |what: &str| -> Result<Value> {
        let text = registry.type_in(&format!("re6st-user registry {what} --json {config}"))?;
        Ok(serde_json::from_str(&text)?)
    };
    let mut filled = Vec::new();
    for word in line.split(' ') {
        filled.push(match word {
            "WHOSE" => "user@example.com".to_owned(),
            "ID" => {
                let tokens = asked("token list")?;
                tokens[0]["id"].as_str().context("no token")?.to_owned()
            }
            "NODE" | "1/16" => "1/16".to_owned(),
            "SERIAL" => asked("cert list")?[0]["serial"].to_string(),
            "NAME=VALUE" => "hello-interval=5".to_owned(),
            "NAME" => "hello-interval".to_owned(),
            "FILE" if line.contains("community") => "/etc/communities".to_owned(),
            "FILE" => "/var/lib/copy.db".to_owned(),
            word => {
                let placeholder = word.len() > 1 && word.chars().all(|c| c.is_ascii_uppercase());
                ensure!(!placeholder, "what is {word} in `{line}`?");
                word.to_owned()
            }
        });
    }
    Ok(filled.join(" "))
}

/// What the units start is what the documents show.
#[test]
fn units_start_what_the_documents_show() -> Result<()> {
    let shown: Vec<String> = ["README.md", "docs/operating.md", "docs/registry.md"]
        .into_iter()
        .map(|document| story(document, "managed"))
        .collect::<Result<Vec<_>>>()?
        .concat()
        .iter()
        .flat_map(Block::commands)
        .collect();
    for (unit, text) in [
        (
            "re6st-ebpf@.service",
            include_str!("../../docs/re6st-ebpf@.service"),
        ),
        (
            "re6st-registry.service",
            include_str!("../../docs/re6st-registry.service"),
        ),
    ] {
        let start = text
            .lines()
            .find_map(|line| line.strip_prefix("ExecStart="));
        let start = start.with_context(|| format!("{unit} starts nothing"))?;
        let start = start
            .replace("/usr/local/sbin/", "")
            .replace(" --instance %i", "")
            .replace("%i", "re6st0");
        let same = shown.iter().any(|line| {
            line.split(" #")
                .next()
                .is_some_and(|line| line.trim() == start)
        });
        ensure!(same, "{unit}: no document shows `{start}`");
        let readme = include_str!("../../README.md");
        ensure!(readme.contains(unit), "README.md does not name {unit}");
    }
    Ok(())
}
