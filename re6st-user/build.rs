//! Compiles the BPF programs.
//!
//! Not by `aya_build::build_ebpf`, because that leaves no way to name the instruction set (`-Ctarget-cpu`), and without
//! 32-bit jumps the programs have a sixth more instructions.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

#[path = "../xtask/src/bpf_toolchain.rs"]
mod bpf_toolchain;
use bpf_toolchain::{BpfToolchain, OVERRIDE};

const PACKAGE: &str = "re6st-ebpf";

fn main() -> Result<()> {
    println!("cargo::rerun-if-env-changed={OVERRIDE}");
    for source in [
        "../re6st-ebpf",
        "../re6st-common/src",
        "../xtask/src/bpf_toolchain.rs",
    ] {
        println!("cargo::rerun-if-changed={source}");
    }
    let toolchain = BpfToolchain::find().context(
        "no Rust toolchain can compile for BPF: `cargo xtask setup` installs one (a rustup nightly with rust-src, or \
         Debian's rustc-web and rust-web-src, with bpf-linker)",
    )?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let target = match env::var("CARGO_CFG_TARGET_ENDIAN")?.as_str() {
        "big" => "bpfeb-unknown-none",
        _ => "bpfel-unknown-none",
    };
    let objects = compile(&toolchain, target, &out.join("bpf"))?;
    for object in fs::read_dir(&objects)? {
        let object = object?.path();
        if object.is_file() && object.extension().is_none() && is_elf(&object)? {
            let name = object.file_name().context("an object without a name")?;
            fs::copy(&object, out.join(name)).context("the BPF object could not be copied")?;
        }
    }
    println!("cargo::metadata=objects={}", out.display());
    Ok(())
}

/// Returns the folder of the objects.
fn compile(toolchain: &BpfToolchain, target: &str, folder: &Path) -> Result<PathBuf> {
    let architecture = env::var("CARGO_CFG_TARGET_ARCH")?;
    let flags = [
        format!("--cfg=bpf_target_arch=\"{architecture}\""),
        // BTF is made from debug information
        "-Cdebuginfo=2".into(),
        "-Clink-arg=--btf".into(),
        // 32-bit registers and jumps: kernel 5.1
        "-Ctarget-cpu=v3".into(),
    ];
    let mut cargo = toolchain.command("cargo");
    cargo
        .args([
            "build",
            "--package",
            PACKAGE,
            "--bins",
            "--release",
            "-Zbuild-std=core",
        ])
        .args(["--target", target])
        .arg("--target-dir")
        .arg(folder)
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
        // what the outer cargo tells its rustc is not for this one
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .env_remove("RUSTUP_TOOLCHAIN");
    if toolchain.bootstrap {
        cargo.env("RUSTC_BOOTSTRAP", "1");
    }
    let output = cargo
        .output()
        .with_context(|| format!("cannot run {cargo:?}"))?;
    if !output.status.success() {
        bail!(
            "the BPF programs did not compile: {cargo:?}\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(folder.join(target).join("release"))
}

fn is_elf(path: &Path) -> Result<bool> {
    Ok(fs::read(path)?.starts_with(b"\x7fELF"))
}
