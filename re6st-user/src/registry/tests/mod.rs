//! The registry as its clients meet it: a whole server on a loopback address, each with a database of its own.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod connections;
mod documents;
mod engine;
mod enrolment;
mod hostile;
mod identity;
mod load;
mod members;
mod openapi;
mod operator;
mod publication;
mod succession;
pub(super) mod support;
