//! Newcomers: by token, by mail, anonymously, and what does not get a certificate.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::time;

use super::support::{TestRegistry, newcomer, refused};
use crate::{
    certificate::{node::NodeCertificate, revocations::RevocationList, tls::Trust},
    io::clock::wall,
    registry::{
        api::{NodeEntry, WaitingToken},
        client::{Client, ClientError},
        server::PATIENCE,
    },
};

#[tokio::test(flavor = "multi_thread")]
async fn a_token_gives_one_certificate() {
    let registry = TestRegistry::with("", PATIENCE).await;
    let token = registry.token().await;
    let (key, request) = newcomer();

    let issued = registry
        .client()
        .enrol(&request, Some(&token), None)
        .await
        .unwrap();

    let certificate = NodeCertificate::from_pem(&issued.certificate).unwrap();
    assert_eq!(certificate.public_key(), key.public_key());
    let nobody = RevocationList::default();
    registry
        .authorities
        .verify_node(&certificate, &nobody, wall(), 0)
        .unwrap();
    assert_eq!(issued.common_name, "0/16");
    assert_eq!(issued.subnet.unwrap().to_string(), "2001:db8:42::/64");

    let (_, other) = newcomer();
    let again = registry.client().enrol(&other, Some(&token), None).await;
    assert_eq!(refused(again), (403, "bad-token".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_did_not_hear_the_answer_gets_the_same_certificate_again() {
    let registry = TestRegistry::with("", PATIENCE).await;
    let token = registry.token().await;
    let (_, request) = newcomer();

    let first = registry
        .client()
        .enrol(&request, Some(&token), None)
        .await
        .unwrap();
    let second = registry
        .client()
        .enrol(&request, Some(&token), None)
        .await
        .unwrap();

    assert_eq!(first, second);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_enrolment_leaves_the_token_good() {
    let registry = TestRegistry::with("", PATIENCE).await;
    let token = registry.token().await;
    let spoilt = json!({"request": "no request", "token": token});

    let failed: Result<Value, _> = registry.client().post("/v1/certificates", &spoilt).await;

    assert_eq!(refused(failed), (400, "bad-certificate-request".into()));
    let (_, request) = newcomer();
    registry
        .client()
        .enrol(&request, Some(&token), None)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_refused_unless_the_operator_lets_them_in() {
    let closed = TestRegistry::with("", PATIENCE).await;
    let (_, request) = newcomer();

    let outcome = closed.client().enrol(&request, None, None).await;
    assert_eq!(refused(outcome), (403, "disabled".into()));
    let outcome = closed.client().enrol(&request, Some("guess"), None).await;
    assert_eq!(refused(outcome), (403, "bad-token".into()));
    let outcome = closed.client().request_token("user@example.com").await;
    assert_eq!(refused(outcome), (403, "disabled".into()));

    let open = TestRegistry::start().await;
    open.client().enrol(&request, None, None).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_comes_by_mail() {
    let mail = "[mail]\nfrom = \"registry@example.com\"\nmailbox = \"mailbox\"\n";
    let registry = TestRegistry::with(mail, PATIENCE).await;

    registry
        .client()
        .request_token("user@example.com")
        .await
        .unwrap();

    let path = registry.directory.path().join("mailbox");
    let mut text = String::new();
    for _ in 0..200 {
        text = std::fs::read_to_string(&path).unwrap_or_default();
        if text.ends_with("\n\n") {
            break;
        }
        time::sleep(Duration::from_millis(20)).await;
    }
    assert!(text.contains("To: user@example.com"), "{text}");
    let token = text.lines().find_map(|line| line.strip_prefix("    "));
    let token = token.unwrap_or_else(|| panic!("no token in {text}")).trim();
    let (_, request) = newcomer();
    registry
        .client()
        .enrol(&request, Some(token), None)
        .await
        .unwrap();
    let nodes: Vec<NodeEntry> = registry
        .operator()
        .get("/v1/admin/certificates", &())
        .await
        .unwrap();
    assert_eq!(nodes[0].email.as_deref(), Some("user@example.com"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_cannot_be_forged_through_the_address() {
    let mail = "[mail]\nfrom = \"registry@example.com\"\nmailbox = \"mailbox\"\n";
    let registry = TestRegistry::with(mail, PATIENCE).await;

    for address in [
        "user@example.com\nBcc: all@example.com",
        "user",
        "a@b, c@d",
        "",
    ] {
        let outcome = registry.client().request_token(address).await;
        assert_eq!(refused(outcome).0, 400, "{address:?}");
    }

    let tokens: Vec<WaitingToken> = registry
        .operator()
        .get("/v1/admin/tokens", &())
        .await
        .unwrap();
    assert!(tokens.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_community_is_that_of_the_address_where_it_is_known_and_else_of_the_word() {
    // the loopback network is in France
    let france = "0".repeat(96) + "01111111";
    let directory = tempfile::tempdir().unwrap();
    let places = directory.path().join("places.mmdb");
    std::fs::write(&places, crate::registry::location::tests::database(&france)).unwrap();
    let lines = format!(
        "anonymous-prefix-length = 8\n[location]\ndatabase = {:?}\n",
        places.to_str().unwrap()
    );
    let known = TestRegistry::with(&lines, PATIENCE).await;
    let unknown = TestRegistry::with("anonymous-prefix-length = 8\n", PATIENCE).await;
    let communities = json!({"text": "00 FR\n01 @AS\n1 *\n"});
    for registry in [&known, &unknown] {
        let operator = registry.operator();
        operator
            .post_for_nothing("/v1/admin/communities", &communities)
            .await
            .unwrap();
    }
    let enrol = async |registry: &TestRegistry, location| {
        let (_, request) = newcomer();
        let issued = registry
            .client()
            .enrol(&request, None, location)
            .await
            .unwrap();
        issued.common_name
    };

    // bits 00, 01 and 1 before the node's own eight
    assert_eq!(enrol(&known, None).await, "0/10");
    assert_eq!(enrol(&known, Some("CN,AS")).await, "1/10");
    assert_eq!(enrol(&unknown, None).await, "256/9");
    assert_eq!(enrol(&unknown, Some("CN,AS")).await, "256/10");
    let (_, request) = newcomer();
    let nonsense = unknown.client().enrol(&request, None, Some("Mars")).await;
    assert_eq!(refused(nonsense), (400, "bad-request".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_registry_of_the_right_authority_is_trusted() {
    let (ours, theirs) = (TestRegistry::start().await, TestRegistry::start().await);

    let by_fingerprint = |trusted: &TestRegistry| Trust::Fingerprint(trusted.fingerprint());
    let good = Client::newcomer(&ours.url(), by_fingerprint(&ours)).unwrap();
    let authority = good.authority().await.unwrap();
    assert_eq!(authority.fingerprint(), ours.fingerprint());
    assert_eq!(good.authorities().await.unwrap(), ours.authorities);

    for trust in [
        by_fingerprint(&ours),
        Trust::Authorities(ours.authorities.clone()),
    ] {
        let client = Client::newcomer(&theirs.url(), trust).unwrap();
        let outcome = client.authority().await;
        assert!(
            matches!(outcome, Err(ClientError::NotTrusted { .. })),
            "{outcome:?}"
        );
    }

    let anybody = Client::newcomer(&theirs.url(), Trust::FirstSeen).unwrap();
    let seen = anybody.authority().await.unwrap();
    assert_eq!(seen.fingerprint(), theirs.fingerprint());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_not_mailed_yet_when_the_registry_ends_is_mailed_when_it_is_back() {
    let mail = "[mail]\nfrom = \"registry@example.com\"\nmailbox = \"mailbox\"\n";
    let registry = TestRegistry::with(mail, PATIENCE).await;
    let mailbox = registry.directory.path().join("mailbox");
    let outbox = registry.directory.path().join("registry.outbox");
    std::fs::create_dir(&mailbox).unwrap();
    let client = registry.client();
    client.request_token("user@example.com").await.unwrap();
    let registry = registry.restart().await;
    assert!(mailbox.is_dir());

    // killed or ended, it finds what it had to do
    let authorities = registry.authorities.clone();
    let directory = registry.end().await;
    std::fs::remove_dir(&mailbox).unwrap();
    let config = directory.path().join("registry.toml");
    let _registry = TestRegistry::serve(directory, config, authorities, PATIENCE).await;

    let begin = Instant::now();
    while !std::fs::read_to_string(&mailbox).is_ok_and(|text| text.contains("--token")) {
        assert!(begin.elapsed() < Duration::from_secs(60), "no mail");
        time::sleep(Duration::from_millis(50)).await;
    }
    while std::fs::read_to_string(&outbox).unwrap() != "[]" {
        assert!(begin.elapsed() < Duration::from_secs(60), "it stays");
        time::sleep(Duration::from_millis(50)).await;
    }
}
