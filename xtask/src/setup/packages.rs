//! What has to be installed, and why: one table. Names are Debian 12's.

use std::{path::Path, process::Command};

use clap::ValueEnum;

use crate::command::find_program;

/// What somebody wants to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Purpose {
    /// Compile
    Build,
    /// `cargo xtask demo`
    Demo,
    /// `cargo xtask test`
    Test,
    /// `cargo xtask bench`
    Bench,
}

/// How one sees that a package is there.
#[derive(Clone, Copy, Debug)]
pub enum Presence {
    /// A program of this name can be found.
    Program(&'static str),
    /// This file exists.
    File(&'static str),
    /// The package manager says so.
    Installed,
}

/// A package of the distribution.
#[derive(Clone, Copy, Debug)]
pub struct Package {
    /// Its name in Debian.
    pub name: &'static str,
    /// What it is for, in words.
    pub reason: &'static str,
    /// How one sees that it is there.
    pub presence: Presence,
    /// For which commands.
    pub purposes: &'static [Purpose],
}

use Presence::{File, Installed, Program};
use Purpose::{Bench, Build, Demo, Test};

const RUN: &[Purpose] = &[Demo, Test, Bench];

/// What the programs of the demo, the tests and the benchmarks call.
pub const TOOLS: &[Package] = &[
    Package {
        name: "iproute2",
        reason: "network namespaces, links and routes",
        presence: Program("ip"),
        purposes: RUN,
    },
    Package {
        name: "ethtool",
        reason: "offloads of the links",
        presence: Program("ethtool"),
        purposes: RUN,
    },
    Package {
        name: "iputils-ping",
        reason: "ping",
        presence: Program("ping"),
        purposes: RUN,
    },
    Package {
        name: "traceroute",
        reason: "traceroute and traceroute6",
        presence: Program("traceroute6"),
        purposes: &[Demo, Test],
    },
    Package {
        name: "tcpdump",
        reason: "to look at packets on re6st0",
        presence: Program("tcpdump"),
        purposes: &[Demo, Test],
    },
    Package {
        name: "bpftool",
        reason: "to look at the loaded programs and maps",
        presence: Program("bpftool"),
        purposes: &[Demo, Test],
    },
    Package {
        name: "procps",
        reason: "sysctl",
        presence: Program("sysctl"),
        purposes: RUN,
    },
    Package {
        name: "systemd",
        reason: "the units are run by it, in namespaces of its own",
        presence: File("/lib/systemd/systemd"),
        purposes: &[Test],
    },
    Package {
        name: "nftables",
        reason: "a firewall on the mesh device",
        presence: Program("nft"),
        purposes: &[Test],
    },
    Package {
        name: "miniupnpd-nftables",
        reason: "a NAT's router that passes ports on when it is asked: PCP, NAT-PMP and UPnP",
        presence: Program("miniupnpd"),
        purposes: &[Test],
    },
    Package {
        name: "qemu-system-x86",
        reason: "virtual machines with Debian's kernels: interoperation with Linux's own fou and gre",
        presence: Program("qemu-system-x86_64"),
        purposes: &[Test],
    },
    Package {
        name: "busybox-static",
        reason: "the system the virtual machines boot",
        presence: Program("busybox"),
        purposes: &[Test],
    },
    Package {
        name: "libteam-utils",
        reason: "teams of network cards in the virtual machines",
        presence: Program("teamnl"),
        purposes: &[Test],
    },
    Package {
        name: "xz-utils",
        reason: "to unpack the modules of Debian's kernels",
        presence: Program("xz"),
        purposes: &[Test],
    },
    Package {
        name: "openvpn",
        reason: "to compare with",
        presence: Program("openvpn"),
        purposes: &[Bench],
    },
    Package {
        name: "babeld",
        reason: "to interoperate and to compare with",
        presence: Program("babeld"),
        purposes: &[Test, Bench],
    },
    Package {
        name: "bird2",
        reason: "to interoperate and to compare with",
        presence: Program("bird"),
        purposes: &[Test, Bench],
    },
    Package {
        name: "openssl",
        reason: "to verify our certificates with, and to make those of openvpn",
        presence: Program("openssl"),
        purposes: &[Test, Bench],
    },
    Package {
        name: "libfaketime",
        reason: "clocks that are set otherwise than the host's",
        presence: Installed,
        purposes: &[Test],
    },
    Package {
        name: "python3-venv",
        reason: "to install re6stnet, to compare our registry with",
        presence: Installed,
        purposes: &[Bench],
    },
];

/// Debian's newest Rust with the source of `core`: compiles for BPF where there is no rustup nightly that can.
pub const TOOLCHAIN: &[Package] = &[
    Package {
        name: "rustc-web",
        reason: "compiles the BPF programs",
        presence: Installed,
        purposes: &[Build],
    },
    Package {
        name: "cargo-web",
        reason: "builds the BPF programs",
        presence: Installed,
        purposes: &[Build],
    },
    Package {
        name: "rust-web-src",
        reason: "the source of Rust's core library, to compile it for BPF",
        presence: Installed,
        purposes: &[Build],
    },
];

/// What compiling bpf-linker takes.
pub const LINKER: &[Package] = &[
    Package {
        name: "llvm-22-dev",
        reason: "bpf-linker is made of LLVM",
        presence: File("/usr/lib/llvm-22/bin/llvm-config"),
        purposes: &[Build],
    },
    Package {
        name: "libpolly-22-dev",
        reason: "LLVM links to it",
        presence: Installed,
        purposes: &[Build],
    },
    Package {
        name: "zlib1g-dev",
        reason: "LLVM links to it",
        presence: Installed,
        purposes: &[Build],
    },
    Package {
        name: "libxml2-dev",
        reason: "LLVM links to it",
        presence: Installed,
        purposes: &[Build],
    },
    Package {
        name: "libzstd-dev",
        reason: "LLVM links to it",
        presence: Installed,
        purposes: &[Build],
    },
];

impl Package {
    /// Whether it is there.
    pub fn present(&self) -> bool {
        match self.presence {
            Program(name) => find_program(name).is_some(),
            File(path) => Path::new(path).exists(),
            Installed => installed(self.name),
        }
    }
}

fn installed(package: &str) -> bool {
    Command::new("dpkg-query")
        .args(["--show", "--showformat=${db:Status-Status}", package])
        .output()
        .is_ok_and(|output| output.stdout == b"installed")
}
