//! Nodes made of our own library, with any certificate, on a real socket.

mod issuer;
pub mod speaker;

pub use issuer::{Issuer, name, wall};
pub use speaker::Speaker;
