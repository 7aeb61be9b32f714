#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what it wants by stopping"
)]

mod channel;
mod contact;
mod credentials;
mod documents;
mod files;
mod intervals;
mod presence;
mod renewal;
mod succession;
mod world;
