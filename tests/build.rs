//! Finds the BPF objects that re6st-user's build script compiled.

use std::env;

fn main() -> Result<(), env::VarError> {
    let objects = env::var("DEP_RE6ST_EBPF_OBJECTS")?;
    println!("cargo::rustc-env=TESTBED_OBJECT={objects}/re6st-testbed");
    Ok(())
}
