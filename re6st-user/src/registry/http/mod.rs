//! The registry's face: HTTPS with JSON for newcomers and nodes, a Unix socket for the operator.
//!
//! ```text
//! serve: TLS, bounds of time, size and number ─► operation: who asks? what exactly? ─► public, operator ─► the rules
//! ```

pub mod connections;
pub mod identity;
pub mod messages;
pub mod operation;
pub mod operator;
pub mod problem;
pub mod public;
pub mod serve;
pub mod server;
pub mod tls;
