//! What the kernel says about this host: its routes and addresses.

use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use nix::{ifaddrs::getifaddrs, sys::socket::SockaddrIn6};
use re6st_user::{certificate::network::Network, io::netlink::Rtnetlink};

/// An address of each family that is far away from everybody: a.root-servers.net. Nothing is sent there.
const FAR_AWAY: [&str; 2] = ["198.41.0.4", "2001:503:ba3e::2:30"];

/// The interfaces a node has to do with.
#[derive(Debug, PartialEq, Eq)]
pub struct Interfaces {
    /// Those that lead to the Internet.
    pub uplinks: Vec<String>,
    /// Plain links, on which other nodes are.
    pub plain: Vec<String>,
}

/// An interface that somebody has named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Its name.
    pub name: String,
    /// Where it was named, for people.
    pub by: String,
}

impl Named {
    /// By an option of the command line.
    pub fn by_option(name: &String) -> Self {
        Self {
            name: name.clone(),
            by: format!("--interface {name}"),
        }
    }
}

impl Interfaces {
    /// What this host has. `named`: on which other nodes are, as people say.
    ///
    /// # Errors
    /// Nobody can tell without being told.
    pub fn find(named: &[Named]) -> Result<Self> {
        let mut routes = Rtnetlink::open().context("open rtnetlink")?;
        let all = routes.interfaces().context("list the interfaces")?;
        let uplinks = uplinks(&mut routes);
        // loopback and tunnels have no Ethernet address
        let usable = all
            .into_iter()
            .filter(|interface| interface.up && interface.address.is_some());
        let usable: Vec<Names> = usable
            .map(|interface| [vec![interface.name], interface.alternative_names].concat())
            .collect();
        Self::of(named, uplinks, &usable)
    }

    fn of(named: &[Named], mut uplinks: Vec<String>, usable: &[Names]) -> Result<Self> {
        let plain = plain(named, &uplinks, usable)?;
        // each interface has one name in the file: what people call it, which may be the one that lasts
        for uplink in &mut uplinks {
            let own = usable.iter().find(|names| names.contains(uplink));
            let called = plain
                .iter()
                .find(|name| own.is_some_and(|own| own.contains(name)));
            if let Some(called) = called {
                uplink.clone_from(called);
            }
        }
        Ok(Self { uplinks, plain })
    }

    /// Where XDP is attached.
    pub fn attached(&self) -> Vec<String> {
        let mut names = self.uplinks.clone();
        names.extend(
            self.plain
                .iter()
                .filter(|name| !self.uplinks.contains(name))
                .cloned(),
        );
        names
    }
}

/// All names of an interface, its alternative names behind its first one.
type Names = Vec<String>;

/// On which interfaces other nodes are to be found.
fn plain(named: &[Named], uplinks: &[String], usable: &[Names]) -> Result<Vec<String>> {
    let first_names: Vec<String> = usable
        .iter()
        .flat_map(|names| names.first())
        .cloned()
        .collect();
    let there_are = match first_names.as_slice() {
        [] => "none that is up".to_owned(),
        names => names.join(", "),
    };
    let mut found = Vec::new();
    let mut plain = Vec::new();
    for Named { name, by } in named {
        let Some(place) = usable.iter().position(|names| names.contains(name)) else {
            bail!("{by}: {name} is not an Ethernet interface that is up; there are {there_are}");
        };
        // it may be named twice, by different names
        if !found.contains(&place) {
            found.push(place);
            plain.push(name.clone());
        }
    }
    match (plain.as_slice(), uplinks, first_names.as_slice()) {
        ([_, ..], _, _) => Ok(plain),
        (_, [_, ..], _) => Ok(uplinks.to_vec()),
        (_, _, [one]) => Ok(vec![one.clone()]),
        _ => bail!(
            "on which interface are other nodes? There is no default route that would tell. Name it with --interface; there are {there_are}"
        ),
    }
}

fn uplinks(routes: &mut Rtnetlink) -> Vec<String> {
    let mut names = Vec::new();
    for destination in FAR_AWAY.iter().filter_map(|text| text.parse().ok()) {
        let Ok(way) = routes.way(destination, None) else {
            continue;
        };
        if let Ok(Some(interface)) = routes.interface_by_index(way.interface)
            && !names.contains(&interface.name)
        {
            names.push(interface.name);
        }
    }
    names
}

/// Whether this host is outside of the network, by its addresses: exit status 0 if so.
pub fn is_needed(network: Network) -> Result<ExitCode> {
    let interfaces = getifaddrs().context("this host's addresses")?;
    let mut addresses = interfaces.filter_map(|interface| {
        let address = interface.address?;
        address.as_sockaddr_in6().map(SockaddrIn6::ip)
    });
    Ok(
        match addresses.find(|address| network.prefix().contains(address)) {
            Some(address) => {
                println!("not needed: this host is in {network} as {address}");
                ExitCode::FAILURE
            }
            None => {
                println!("needed: this host is not in {network}");
                ExitCode::SUCCESS
            }
        },
    )
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may end there")]
mod tests {
    use super::{Interfaces, Named, Names};

    #[test]
    fn where_other_nodes_are_is_said_or_found_or_asked_for() {
        // said, uplinks, usable: found
        for (named, uplinks, usable, expected) in [
            ("", "", "eth0", Some("eth0")),
            ("", "eth0", "eth0 lan0", Some("eth0")),
            ("", "eth0 wlan0", "eth0 lan0 wlan0", Some("eth0 wlan0")),
            ("lan0", "eth0", "eth0 lan0", Some("lan0")),
            ("lan0 lan1", "", "lan0 lan1", Some("lan0 lan1")),
            ("", "", "lan0 lan1", None),
            ("", "", "", None),
            ("lan0", "eth0", "eth0", None),
            ("office", "eth0", "eth0 lan0=office", Some("office")),
            ("lan0 office lan0", "eth0", "eth0 lan0=office", Some("lan0")),
        ] {
            let (named, uplinks) = (by_options(named), words(uplinks));
            let found = Interfaces::of(&named, uplinks.clone(), &all_names(usable));
            let found = found.map(|found| found.plain);

            assert_eq!(
                found.as_ref().ok(),
                expected.map(words).as_ref(),
                "{named:?} {uplinks:?}"
            );
            if let Err(error) = found {
                let error = error.to_string();
                assert!(error.contains("--interface"), "{error}");
                let mut there_are = usable.split_whitespace();
                assert!(there_are.all(|name| error.contains(name)), "{error}");
            }
        }
    }

    #[test]
    fn xdp_is_attached_to_both_kinds() {
        let interfaces = Interfaces {
            uplinks: words("eth0"),
            plain: words("eth0 lan0"),
        };

        assert_eq!(interfaces.attached(), words("eth0 lan0"));
    }

    #[test]
    fn an_interface_has_one_name_in_the_file() {
        let usable = all_names("eth0=uplink wlan0");
        let named = by_options("uplink");
        let found = Interfaces::of(&named, words("eth0 wlan0"), &usable).unwrap();

        assert_eq!(found.attached(), words("uplink wlan0"));
    }

    #[test]
    fn people_hear_who_named_an_interface_that_is_not_there() {
        let named = Named {
            name: "wlan7".to_owned(),
            by: "re6stnet.conf:3: interface wlan7".to_owned(),
        };
        let error = Interfaces::of(&[named], Vec::new(), &all_names("eth0")).unwrap_err();
        let error = error.to_string();
        assert!(
            error.starts_with("re6stnet.conf:3: interface wlan7: "),
            "{error}"
        );
    }

    fn by_options(text: &str) -> Vec<Named> {
        words(text).iter().map(Named::by_option).collect()
    }

    /// `lan0=office eth0`: two interfaces, of which the first has two names.
    fn all_names(text: &str) -> Vec<Names> {
        let names = |one: &str| one.split('=').map(str::to_owned).collect();
        text.split_whitespace().map(names).collect()
    }

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }
}
