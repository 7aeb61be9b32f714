//! The only place that touches the outside world: netlink, bpffs, sysctls, capabilities, system calls.

pub mod bpf_call;
pub mod bpffs;
pub mod clock;
pub mod command;
pub mod datagram;
pub mod file;
pub mod host;
pub mod lock;
pub mod log;
pub mod netlink;
pub mod offload;
pub mod panics;
pub mod random;
pub mod secrets;
pub mod source;
pub mod supervisor;
pub mod sysctl;
