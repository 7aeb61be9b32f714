//! Options for bpf-linker, which generates the code.

fn main() {
    // 32-bit registers, and words at any address: headers are not aligned, and our targets do not mind
    // without this, copies between map and packet become calls to a loop over bytes
    println!("cargo::rustc-link-arg-bins=--disable-expand-memcpy-in-order");
    println!("cargo::rustc-link-arg-bins=--cpu-features=+alu32,+allows-misaligned-mem-access");
}
