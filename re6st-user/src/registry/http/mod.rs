//! The registry's face: HTTPS with JSON for newcomers and nodes, a Unix socket for the operator.
//!
//! ```text
//! serve: TLS, bounds of time, size and number ─► operation: who asks? what exactly? ─► public, operator ─► the rules
//! ```

pub mod connections;
pub mod face;
pub mod identity;
pub mod operation;
pub mod operator;
pub mod problem;
pub mod public;
pub mod serve;

use std::sync::Arc;

use axum::Router;
use serde_json::Value;

use self::{face::Face, operation::Operations};

const PUBLIC: &str = "What newcomers and nodes of the network ask of its registry, over HTTPS. The server's certificate is \
                      issued by the network's own authority, for the name registry.re6st.internal; nodes show theirs in the \
                      TLS handshake.";
const OPERATOR: &str = "What the operator asks of the registry, over its Unix socket.";

/// What everybody on the Internet can ask.
pub fn public_router(face: &Arc<Face>) -> Router {
    router(public::operations(), PUBLIC, face)
}

/// What the operator can ask, on the Unix socket.
pub fn operator_router(face: &Arc<Face>) -> Router {
    router(operator::operations(), OPERATOR, face)
}

/// The OpenAPI document of [`public_router`].
pub fn public_document() -> Value {
    document(&mut public::operations(), PUBLIC)
}

/// The OpenAPI document of [`operator_router`].
pub fn operator_document() -> Value {
    document(&mut operator::operations(), OPERATOR)
}

fn document(operations: &mut Operations<Face>, description: &str) -> Value {
    operations.document("re6st registry", description)
}

fn router(mut operations: Operations<Face>, description: &str, face: &Arc<Face>) -> Router {
    let document = document(&mut operations, description);
    operations
        .serve_document("/v1/openapi.json", document)
        .router(Arc::clone(face))
}
