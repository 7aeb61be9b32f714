//! Our relay, as users run it: a configuration file and `re6st-user load`.

use std::{
    fs,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

use super::{
    chain::{Chain, FIRST, SECOND},
    frames::{NETWORK, SOURCE},
};
use crate::{
    host::Host,
    node::{Configuration, Encapsulation, Keys, Route, Tunnel, re6st_user},
};

/// UDP port of the tunnels.
pub const PORT: u16 = 4754;
/// The GRE key of what comes from the generator.
pub const KEY_FROM_GENERATOR: u32 = 0x5ec0_0001;
/// The GRE key of what goes to the sink.
pub const KEY_TO_SINK: u32 = 0x5ec0_0012;
/// How long the command may take.
const LIMIT: Duration = Duration::from_secs(60);

/// To how many destinations packets go where there are so many routes: one route is the way back to the generator, and
/// the network's first prefix is the relay's own.
pub fn destinations(routes: u32) -> u32 {
    let [_, _, _, last, ..] = SOURCE.segments();
    (routes - 1).min(u32::from(last) - 1)
}

/// The configuration of the relay of a chain, with `routes` routes: one to the generator, as every relay knows the way
/// back, the others to the sink.
pub fn configuration(chain: &Chain, routes: u32) -> Configuration {
    let [a, b, c, ..] = NETWORK.segments();
    let tunnel = |name: &str, remote: std::net::Ipv4Addr, local, remote_key| Tunnel {
        name: name.into(),
        remote: remote.into(),
        local: None,
        encap: Encapsulation::Fou,
        port: Some(PORT),
        mtu: None,
        key: Keys {
            local,
            remote: remote_key,
        },
    };
    let mut to: Vec<_> = (1..=destinations(routes))
        .map(|number| format!("{a:x}:{b:x}:{c:x}:{number:x}::/64"))
        .collect();
    // a network of 48 bits has not quite enough of 64
    for number in to.len()..routes as usize - 1 {
        to.push(format!("2001:db8:{:x}::/48", 0x1000 + number % 0xe000));
    }
    let [.., back, _, _, _, _] = SOURCE.segments();
    let back = format!("{a:x}:{b:x}:{c:x}:{back:x}::/64");
    let mut routes = vec![Route::new(back, "generator")];
    routes.extend(to.into_iter().map(|to| Route::new(to, "sink")));
    Configuration {
        addresses: vec![format!("{a:x}:{b:x}:{c:x}::1/64")],
        interfaces: vec![chain.relay_first.clone(), chain.relay_second.clone()],
        networks: vec![format!("{NETWORK}/48")],
        forward: true,
        port: Some(PORT),
        tunnels: vec![
            tunnel("generator", FIRST.source, KEY_FROM_GENERATOR, 0x5ec0_0011),
            tunnel("sink", SECOND.destination, 0x5ec0_0002, KEY_TO_SINK),
        ],
        routes,
        ..Configuration::default()
    }
}

/// Loads it; how long that took.
pub fn load(chain: &Chain, routes: u32) -> Result<Duration> {
    load_configuration(&chain.relay, &configuration(chain, routes))
}

/// Writes a configuration and loads it; how long the command took.
pub fn load_configuration(host: &Host, configuration: &Configuration) -> Result<Duration> {
    let path = host.directory().join("re6st.toml");
    fs::write(&path, toml::to_string(configuration)?)
        .with_context(|| format!("writing {}", path.display()))?;
    let path = path.to_str().context("the path is not UTF-8")?;
    re6st(host, &["load", "--config", path])
}

/// Runs `re6st-user`; how long it took.
pub fn re6st(host: &Host, arguments: &[&str]) -> Result<Duration> {
    let mut command = Command::new(re6st_user()?);
    command.arg("--bpffs").arg(host.bpffs()).args(arguments);
    let start = Instant::now();
    host.spawn(&mut command)?.wait(LIMIT)?.success()?;
    Ok(start.elapsed())
}
