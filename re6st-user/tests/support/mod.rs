//! What holds of the texts people write and of the packets neighbours send, whatever they are.

#![allow(
    clippy::expect_used,
    dead_code,
    missing_docs,
    unused_imports,
    reason = "a test's own module, of which a fuzzer's target uses a part; what breaks a rule has to stop the test"
)]

use re6st_user::{config::Config, description::Description};

#[path = "babel.rs"]
mod babel;
pub use babel::{authenticate as babel_authenticate, decode as babel_decode};

#[path = "channel.rs"]
pub mod channel;

#[path = "certificate.rs"]
mod certificate;
pub use certificate::{certificate_request, node_certificate, signed_document};

#[path = "mesh.rs"]
mod mesh;
pub use mesh::{mesh_message, node_record};

#[path = "registry.rs"]
mod registry;
pub use registry::{community, node_prefix, packed_integer};

/// A configuration file is read or refused with words, and never stops the program.
pub fn config(text: &str) {
    if let Err(error) = Config::parse(text) {
        assert!(!error.to_string().is_empty());
    }
}

/// A described packet that is understood means the same when it is shown and read again.
pub fn description(text: &str) {
    match text.parse::<Description>() {
        Ok(description) => {
            let shown = description.to_string();
            assert_eq!(shown.parse().ok(), Some(description), "{shown}");
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
