//! The registry and its newcomers, as commands on hosts of their own.

mod backup;
mod channels;
mod clock;
mod enrolment;
mod import;
mod members;
mod mesh;
mod nats;
mod operator;
mod secrets;
mod succession;
mod support;
mod tls;
