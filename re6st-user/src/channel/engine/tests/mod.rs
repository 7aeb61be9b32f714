#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what it wants by stopping"
)]

mod bounds;
mod certificates;
mod connections;
mod disorder;
mod documents;
mod former;
mod keys;
mod packets;
mod probes;
mod world;
