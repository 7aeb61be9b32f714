//! The registry and its newcomers, as commands on hosts of their own.

mod backup;
mod enrolment;
mod members;
mod operator;
mod support;
mod tls;
