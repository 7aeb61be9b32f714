//! Nodes made of our own library, with any certificate, on a real socket.

mod issuer;
mod speaker;

pub use issuer::{Issuer, name, wall};
pub use speaker::Speaker;
