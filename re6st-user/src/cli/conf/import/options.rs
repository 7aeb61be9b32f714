//! The options of re6stnet 0.642, and what becomes of each.

/// An option of re6stnet.
#[derive(Debug, PartialEq, Eq)]
pub struct Known {
    /// Its name, without dashes.
    pub long: &'static str,
    /// Its letter.
    pub short: Option<char>,
    /// How many values it has.
    pub values: usize,
    /// What it is here.
    pub here: Here,
}

/// What an option of re6stnet is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Here {
    /// Something that is to be taken.
    Taken(Taken),
    /// Nothing, because it is not needed: why.
    NotNeeded(&'static str),
    /// Nothing, though it may be missed: what to do instead.
    NotSupported(&'static str),
}

/// What is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    Registry,
    Authority,
    Certificate,
    Key,
    Interface,
    MainInterface,
    Ip,
    Country,
    Count(&'static str),
    Port,
    DisabledProtocol,
    Client,
    Neighbour,
    Gateway,
    Up,
    Daemon,
}

/// The option that is looked for.
pub fn known(is_it: impl Fn(&Known) -> bool) -> Option<&'static Known> {
    KNOWN.iter().find(|known| is_it(known))
}

const fn option(long: &'static str, values: usize, here: Here) -> Known {
    Known {
        long,
        short: None,
        values,
        here,
    }
}

const fn lettered(long: &'static str, short: char, values: usize, here: Here) -> Known {
    Known {
        long,
        short: Some(short),
        values,
        here,
    }
}

use Here::{NotNeeded, NotSupported};

const NO_OPENVPN: Here = NotNeeded("there is no OpenVPN any more");

/// All of them.
const KNOWN: &[Known] = &[
    option("registry", 1, Here::Taken(Taken::Registry)),
    option("ca", 1, Here::Taken(Taken::Authority)),
    option("cert", 1, Here::Taken(Taken::Certificate)),
    option("key", 1, Here::Taken(Taken::Key)),
    lettered("interface", 'i', 1, Here::Taken(Taken::Interface)),
    lettered("main-interface", 'I', 1, Here::Taken(Taken::MainInterface)),
    option("ip", 1, Here::Taken(Taken::Ip)),
    option("country", 1, Here::Taken(Taken::Country)),
    option("client-count", 1, Here::Taken(Taken::Count("client-count"))),
    option("max-clients", 1, Here::Taken(Taken::Count("max-clients"))),
    option("pp", 2, Here::Taken(Taken::Port)),
    option("disable-proto", 1, Here::Taken(Taken::DisabledProtocol)),
    option("client", 1, Here::Taken(Taken::Client)),
    option("neighbour", 1, Here::Taken(Taken::Neighbour)),
    option("gateway", 0, Here::Taken(Taken::Gateway)),
    option("up", 1, Here::Taken(Taken::Up)),
    option("daemon", 1, Here::Taken(Taken::Daemon)),
    lettered(
        "log",
        'l',
        1,
        NotNeeded(
            "the log is standard error, which systemd keeps: journalctl -u re6st-ebpf@re6st0",
        ),
    ),
    lettered("run", 'r', 1, NotNeeded("sockets are in /run/re6st-ebpf")),
    lettered(
        "state",
        's',
        1,
        NotNeeded("what survives restarts is in /var/lib/re6st-ebpf, and begins anew"),
    ),
    lettered("verbose", 'v', 1, NotNeeded("the log has one level")),
    option("ovpnlog", 0, NO_OPENVPN),
    lettered("ovpn", 'O', 1, NO_OPENVPN),
    option(
        "dh",
        1,
        NotNeeded("keys are agreed on by X25519 and ML-KEM, without such parameters"),
    ),
    option(
        "table",
        1,
        NotNeeded("re6stnet does nothing with it either"),
    ),
    lettered(
        "default",
        'D',
        0,
        NotNeeded("re6stnet does nothing with it either"),
    ),
    lettered("version", 'V', 0, NotNeeded("re6st-user --version")),
    lettered(
        "babel",
        'B',
        1,
        NotSupported(
            "there is no babeld any more: [babel] has keys of its own (docs/operating.md)",
        ),
    ),
    lettered(
        "multicast",
        'm',
        0,
        NotSupported("the mesh carries no multicast"),
    ),
    option(
        "remote-gateway",
        1,
        NotSupported(
            "tunnels go where the kernel's routes lead: `ip route add PEER via GATEWAY`, or policy rules, and list all uplinks in interfaces",
        ),
    ),
    option(
        "console",
        1,
        NotSupported("`re6st-user status --json` shows what is inside"),
    ),
    option(
        "test",
        1,
        NotSupported("`re6st-user conf --is-needed` tells whether a host is in the network"),
    ),
];
