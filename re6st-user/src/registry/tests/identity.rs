//! What only nodes get, and who is taken for one.

use std::time::Duration;

use serde_json::{Value, json};

use super::support::{TestNode, TestRegistry, authority, newcomer, refused};
use crate::{
    certificate::{
        authority::Authority,
        node::NodeCertificate,
        node_prefix::NodePrefix,
        request::CertificateRequest,
        subject::Subject,
        testing::{CertificateOf, new_key},
    },
    io::clock::wall,
    registry::{api::MadeToken, server::PATIENCE},
    time::{DAY, Timestamp},
};

/// A node's certificate of any authority, valid from and until.
fn node(authority: &Authority, from: Timestamp, until: Timestamp) -> TestNode {
    let key = new_key();
    let certificate = CertificateOf {
        from,
        until,
        serial: 1,
        ..CertificateOf::node(authority, NodePrefix::from_common_name("0/16").unwrap())
    };
    let certificate = certificate.issue_for(&key, None);
    TestNode { key, certificate }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_certificate_there_is_nothing_for_nodes() {
    let registry = TestRegistry::start().await;
    registry.enrol().await;

    for path in [
        "/v1/parameters",
        "/v1/mac-keys",
        "/v1/certificates/own",
        "/v1/certificates/node?name=0/16",
    ] {
        let outcome: Result<Value, _> = registry.client().get(path, &()).await;
        assert_eq!(refused(outcome), (401, "not-identified".into()), "{path}");
    }
    let outcome = registry.client().renew(None).await;
    assert_eq!(refused(outcome), (401, "not-identified".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_gets_parameters_keys_and_its_own_certificate() {
    let registry = TestRegistry::start().await;
    let node = registry.enrol().await;
    let client = registry.as_node(&node);

    assert!(
        client
            .parameters(None, Duration::ZERO)
            .await
            .unwrap()
            .is_some()
    );
    assert!(client.mac_keys().await.unwrap().sign.is_some());
    let own = client.own_certificate().await.unwrap();
    assert_eq!(own.certificate, node.certificate.to_pem());
    let kept = client.renew(None).await.unwrap();
    assert_eq!(kept.certificate, node.certificate.to_pem(), "it is not due");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_gets_the_certificate_of_another_one_by_its_name() {
    let registry = TestRegistry::start().await;
    let (node, other) = (registry.enrol().await, registry.enrol().await);
    let client = registry.as_node(&node);

    let prefix = other.certificate.prefix();
    let found = client.node_certificate(prefix).await.unwrap().unwrap();

    assert_eq!(found.certificate, other.certificate.to_pem());
    assert_eq!(found.common_name, prefix.common_name());
    let nobody = NodePrefix::from_common_name("77/16").unwrap();
    assert_eq!(client.node_certificate(nobody).await.unwrap(), None);
    for name in ["", "1/16/", "0", "2001:db8:42:1::/64"] {
        let name = json!({ "name": name });
        let outcome: Result<Value, _> = client.get("/v1/certificates/node", &name).await;
        assert_eq!(refused(outcome), (400, "bad-request".into()), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_of_others_and_of_other_times_are_no_identity() {
    let ours = authority();
    let registry = TestRegistry::of(&ours, "grace-days = 100\n", PATIENCE).await;
    let now = wall();
    let (past, future) = (now.minus(200 * DAY), now.plus(200 * DAY));
    for (name, node) in [
        ("of another authority", node(&authority(), past, future)),
        ("expired", node(&ours, past, now.minus(DAY))),
        ("expired for long", node(&ours, past, now.minus(150 * DAY))),
        ("not valid yet", node(&ours, now.plus(DAY), future)),
    ] {
        let outcome = registry
            .as_node(&node)
            .parameters(None, Duration::ZERO)
            .await;
        assert_eq!(refused(outcome), (401, "not-identified".into()), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_certificate_ends_at_once_on_an_open_connection_and_another_one_needs_a_token() {
    let registry = TestRegistry::start().await;
    let node = registry.enrol().await;
    let client = registry.as_node(&node);
    client.parameters(None, Duration::ZERO).await.unwrap();

    let name = json!({"name": node.certificate.serial().to_string()});
    let operator = registry.operator();
    operator
        .post_for_nothing("/v1/admin/certificates/revoke", &name)
        .await
        .unwrap();

    let outcome = client.parameters(None, Duration::ZERO).await;
    assert_eq!(refused(outcome), (401, "not-identified".into()));
    let renewal = client.renew(None).await;
    assert_eq!(refused(renewal), (401, "not-current".into()));

    let new = json!({"email": "user@example.com", "node": "0/16"});
    let made: MadeToken = operator.post("/v1/admin/tokens", &new).await.unwrap();
    let request = CertificateRequest::make(&node.key, None, &Subject::default()).unwrap();
    let stranger = registry.client();
    let same_key = stranger.enrol(&request, Some(&made.token), None);
    assert_eq!(refused(same_key.await), (403, "revoked-key".into()));
    let (key, request) = newcomer();
    let issued = stranger.enrol(&request, Some(&made.token), None);
    let certificate = NodeCertificate::from_pem(&issued.await.unwrap().certificate).unwrap();
    assert_eq!(certificate.prefix(), node.certificate.prefix());
    let node = TestNode { key, certificate };
    let client = registry.as_node(&node);
    assert!(
        client
            .parameters(None, Duration::ZERO)
            .await
            .unwrap()
            .is_some()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_ended_is_nobody() {
    let registry = TestRegistry::start().await;
    registry.enrol().await;
    let node = registry.enrol().await;

    let name = json!({"name": node.certificate.prefix().common_name()});
    let operator = registry.operator();
    operator
        .post_for_nothing("/v1/admin/certificates/revoke", &name)
        .await
        .unwrap();

    let client = registry.as_node(&node);
    assert_eq!(
        refused(client.parameters(None, Duration::ZERO).await).0,
        401
    );
    assert_eq!(refused(client.renew(None).await).0, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operators_paths_are_not_on_the_internet() {
    let registry = TestRegistry::start().await;
    let node = registry.enrol().await;

    for client in [registry.client(), registry.as_node(&node)] {
        let outcome: Result<Value, _> = client.get("/v1/admin/tokens", &()).await;
        assert_eq!(refused(outcome), (404, "not-found".into()));
    }
    assert!(
        registry
            .operator()
            .get::<Value>("/v1/admin/tokens", &())
            .await
            .is_ok()
    );
}
