//! Options for bpf-linker, which generates the code.

use std::env;

fn main() {
    // any other linker would refuse them
    if env::var("CARGO_CFG_TARGET_ARCH").as_deref() != Ok("bpf") {
        return;
    }
    // without this, copies between map and packet become calls to a loop over bytes
    println!("cargo::rustc-link-arg-bins=--disable-expand-memcpy-in-order");
    // 32-bit registers, and words at any address: headers are not aligned, and our targets do not mind
    println!("cargo::rustc-link-arg-bins=--cpu-features=+alu32,+allows-misaligned-mem-access");
}
