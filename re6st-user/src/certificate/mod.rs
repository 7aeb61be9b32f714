//! What a mesh trusts: certificates, keys and signed documents. Pure: time is an argument; nothing is read or written.
//! (New keys and signatures take the operating system's randomness, inside the cryptographic library.)
//!
//! A network has an authority ([`authority`]); the serial number of its certificate tells the network's prefix ([`network`]).
//! A node makes keys ([`key`], [`static_key`]) and a request ([`request`]); the authority issues its certificate ([`issue`],
//! [`node`]), which gives it a part of the network ([`node_prefix`]). Everybody verifies against the authorities he trusts
//! ([`verify`]), the list of what was revoked ([`revocations`]), and follows a new authority if the old one says so
//! ([`succession`]), also inside of TLS ([`tls`]). What the registry publishes is signed by the authority ([`document`]), so
//! nodes can pass it on; what a node says of itself, where it is, by the node ([`record`]).

pub mod authority;
pub mod digest;
pub mod document;
pub mod error;
pub mod expiry;
mod form;
pub mod issue;
pub mod key;
pub mod network;
pub mod node;
pub mod node_prefix;
pub mod public_key;
pub mod record;
pub mod request;
pub mod revocations;
pub mod serial;
pub mod static_key;
pub mod subject;
pub mod succession;
pub mod tls;
pub mod verify;

#[cfg(test)]
pub mod testing;
#[cfg(test)]
mod tests;
