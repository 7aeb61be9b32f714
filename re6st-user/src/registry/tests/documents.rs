//! Signed documents, and waiting for the next one.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::time::timeout;

use super::support::TestRegistry;
use crate::{
    certificate::{document::Signed, revocations::RevocationList},
    io::clock::wall,
    registry::documents::NetworkParameters,
};

#[tokio::test(flavor = "multi_thread")]
async fn parameters_are_signed_and_tell_what_nodes_need() {
    let registry = TestRegistry::start().await;
    let node = registry.enrol().await;
    let ipv4 = json!({"set": {"ipv4": "10.42.0.0/16", "ipv4-subnet-bits": 8, "hello-interval": 7}});
    let operator = registry.operator();
    operator
        .post_for_nothing("/v1/admin/parameters", &ipv4)
        .await
        .unwrap();

    let envelope = registry
        .as_node(&node)
        .parameters(None, Duration::ZERO)
        .await;

    let envelope = envelope.unwrap().unwrap();
    let document: Signed<NetworkParameters> =
        Signed::verify(&envelope, &registry.authorities, wall(), None).unwrap();
    let parameters = document.content();
    assert_eq!(parameters.hello_interval(), Some(Duration::from_secs(7)));
    let networks: Vec<_> = parameters
        .networks()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(networks, ["2001:db8:42::/48", "10.42.0.0/16"]);
    let older: Result<Signed<NetworkParameters>, _> = Signed::verify(
        &envelope,
        &registry.authorities,
        wall(),
        Some(document.number()),
    );
    assert!(older.is_err(), "the same number again is no news");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_hears_of_a_change_at_once() {
    let registry = TestRegistry::start().await;
    let node = registry.enrol().await;
    let client = registry.as_node(&node);
    let envelope = client
        .parameters(None, Duration::ZERO)
        .await
        .unwrap()
        .unwrap();
    let held: Signed<NetworkParameters> =
        Signed::verify(&envelope, &registry.authorities, wall(), None).unwrap();

    let nothing = client.parameters(Some(held.number()), Duration::ZERO).await;
    assert_eq!(nothing.unwrap(), None);
    let waiting = client.parameters(Some(held.number()), Duration::from_secs(60));
    let change = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let hello = json!({"set": {"hello-interval": 7}});
        let operator = registry.operator();
        operator
            .post_for_nothing("/v1/admin/parameters", &hello)
            .await
            .unwrap();
        Instant::now()
    };
    let (newer, changed) = timeout(Duration::from_secs(30), async {
        tokio::join!(waiting, change)
    })
    .await
    .unwrap();

    let newer: Signed<NetworkParameters> = Signed::verify(
        &newer.unwrap().unwrap(),
        &registry.authorities,
        wall(),
        Some(held.number()),
    )
    .unwrap();
    assert_eq!(
        newer.content().hello_interval(),
        Some(Duration::from_secs(7))
    );
    assert!(changed.elapsed() < Duration::from_secs(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn revocations_are_told_to_everybody_in_both_forms() {
    let registry = TestRegistry::start().await;
    let node = registry.enrol().await;
    let name = json!({"name": node.certificate.serial().to_string()});
    let operator = registry.operator();
    operator
        .post_for_nothing("/v1/admin/certificates/revoke", &name)
        .await
        .unwrap();

    let client = registry.client();
    let envelope = client
        .revocations(None, Duration::ZERO)
        .await
        .unwrap()
        .unwrap();
    let list: Signed<RevocationList> =
        Signed::verify(&envelope, &registry.authorities, wall(), None).unwrap();

    let issuer = registry.authorities.iter().next().unwrap().key_id();
    assert!(list.content().contains(&issuer, node.certificate.serial()));
    let answer = registry
        .raw(b"GET /v1/crl HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .await;
    assert!(
        answer.contains("content-type: application/pkix-crl"),
        "{answer}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_does_not_keep_the_registry_from_ending() {
    let registry = TestRegistry::start().await;
    let node = registry.enrol().await;
    let client = registry.as_node(&node);
    let waiting = tokio::spawn(async move {
        client
            .parameters(Some(u64::MAX), Duration::from_secs(60))
            .await
    });
    tokio::time::sleep(Duration::from_millis(300)).await;

    let begin = Instant::now();
    let ended = timeout(Duration::from_secs(20), registry.end()).await;

    assert!(ended.is_ok() && begin.elapsed() < Duration::from_secs(10));
    assert_eq!(waiting.await.unwrap().unwrap(), None);
}
