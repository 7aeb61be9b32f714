//! The testbed: hosts as network namespaces, links between them, a small Internet, nodes of the mesh on it, and the
//! traffic they send each other; and virtual machines with other kernels. Everything is removed again, whatever happens.

pub mod bench;
pub mod channel;
pub mod cleanup;
pub mod configuration;
pub mod daemon;
pub mod documentation;
pub mod emulator;
pub mod foreign;
pub mod host;
pub mod internet;
pub mod link;
pub mod look_around;
pub mod machine;
pub mod member;
pub mod mesh;
pub mod model;
pub mod mounts;
pub mod nat;
pub mod node;
pub mod packet;
pub mod process;
pub mod simulation;
pub mod traffic;
