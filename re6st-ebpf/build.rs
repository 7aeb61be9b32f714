//! Options for bpf-linker, which generates the code.

fn main() {
    // 32-bit registers, and words at any address: headers are not aligned, and our targets do not mind
    println!("cargo::rustc-link-arg-bins=--cpu-features=+alu32,+allows-misaligned-mem-access");
}
