//! Compiles the BPF programs.

use anyhow::{Context as _, Result};
use aya_build::{Package, Toolchain, build_ebpf};

#[path = "../xtask/src/bpf_toolchain.rs"]
mod bpf_toolchain;
use bpf_toolchain::{BpfToolchain, OVERRIDE};

fn main() -> Result<()> {
    println!("cargo::rerun-if-env-changed={OVERRIDE}");
    println!("cargo::rerun-if-changed=../re6st-common/src");
    let toolchain = BpfToolchain::find().context(
        "no Rust toolchain can compile for BPF: `cargo xtask setup` installs one (a rustup nightly with rust-src, or \
         Debian's rustc-web and rust-web-src, with bpf-linker)",
    )?;
    if toolchain.bootstrap {
        // SAFETY: a build script has one thread; it reaches the one cargo that compiles for BPF, and nothing else.
        unsafe { std::env::set_var("RUSTC_BOOTSTRAP", "1") };
    }
    let package = Package {
        name: "re6st-ebpf",
        root_dir: "../re6st-ebpf",
        ..Package::default()
    };
    build_ebpf([package], Toolchain::Custom(&toolchain.name))
        .context("the BPF programs did not compile")?;
    println!("cargo::metadata=objects={}", std::env::var("OUT_DIR")?);
    Ok(())
}
