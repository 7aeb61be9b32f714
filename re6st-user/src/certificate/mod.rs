//! What a mesh trusts: certificates, keys and signed documents. Pure: time is an argument; nothing is read or written.
//! (New keys and signatures take the operating system's randomness, inside the cryptographic library.)

pub mod network;
pub mod node_prefix;
pub mod timestamp;

#[cfg(test)]
mod tests;
