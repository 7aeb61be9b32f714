//! The OpenAPI documents: made of the declarations the routes are made of, and kept in `docs/` for readers.

use std::{collections::BTreeSet, path::Path};

use serde_json::Value;

use super::support::TestRegistry;
use crate::registry::http::{operator_document, public_document};

/// Set to write the documents instead of comparing them.
const WRITE: &str = "RE6ST_WRITE_OPENAPI";

#[test]
fn the_documents_in_docs_are_those_of_the_code() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    for (name, document) in [
        ("registry-api.json", public_document()),
        ("registry-operator-api.json", operator_document()),
    ] {
        let path = docs.join(name);
        let text = serde_json::to_string_pretty(&document).unwrap() + "\n";
        if std::env::var_os(WRITE).is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(kept == text, "{name} is old: run this test with {WRITE}=1");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_path_of_the_document_is_served_and_the_document_itself() {
    let registry = TestRegistry::start().await;
    for (client, document) in [
        (registry.client(), public_document()),
        (registry.operator(), operator_document()),
    ] {
        let served: Value = client.get("/v1/openapi.json", &()).await.unwrap();
        assert_eq!(served, document);
        let mut ids = BTreeSet::new();
        for (path, methods) in document["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()));
                let outcome: Result<Value, _> = match method.as_str() {
                    "get" => client.get(path, &()).await,
                    _ => {
                        client
                            .post(path, &serde_json::json!({"no such field": 1}))
                            .await
                    }
                };
                if let Err(crate::registry::client::ClientError::Refused { status, .. }) = outcome {
                    assert!(
                        ![404, 405, 500].contains(&status.as_u16()),
                        "{method} {path}: {status}"
                    );
                }
            }
        }
    }
}

#[test]
fn every_reference_in_a_document_leads_somewhere() {
    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                if let Some(Value::String(reference)) = fields.get("$ref") {
                    found.push(reference.clone());
                }
                fields.values().for_each(|value| references(value, found));
            }
            Value::Array(values) => values.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    for document in [public_document(), operator_document()] {
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(!found.is_empty());
        for reference in found {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
    }
}
