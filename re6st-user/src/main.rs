//! The `re6st-user` command.

fn main() {}
