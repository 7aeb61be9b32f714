//! What attackers send: each weakness re6stnet's registry has (predictable secrets, secrets in URLs, unchecked requests,
//! trust in what a client says of itself, floods), and what HTTP itself invites to.

use std::{collections::HashSet, time::Duration};

use serde_json::{Value, json};

use super::support::{TestRegistry, newcomer, refused};
use crate::registry::{
    api::{AuditEntry, MAXIMUM_BODY},
    client::ClientError,
    server::PATIENCE,
};

/// A request with a body.
fn post(path: &str, fields: &str, body: &str) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n{fields}\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn statuses(answer: &str) -> Vec<u16> {
    let after = answer.split("HTTP/1.1 ").skip(1);
    after
        .filter_map(|line| line.get(..3)?.parse().ok())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_cannot_be_guessed() {
    let registry = TestRegistry::with("", PATIENCE).await;
    let mut tokens = HashSet::new();
    for _ in 0..50 {
        let token = registry.token().await;
        // 26 digits of base 32 are 128 bits
        assert_eq!(token.len(), 26, "{token}");
        assert!(
            token
                .bytes()
                .all(|digit| b"abcdefghijklmnopqrstuvwxyz234567".contains(&digit))
        );
        tokens.insert(token);
    }
    assert_eq!(tokens.len(), 50);

    let own = json!({"email": "user@example.com", "token": "password"});
    let weak: Result<Value, _> = registry.operator().post("/v1/admin/tokens", &own).await;
    assert_eq!(refused(weak).0, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_signed_by_another_key_is_refused() {
    let registry = TestRegistry::start().await;
    let (_, request) = newcomer();
    let mut der = request.der().to_vec();
    // the last octet of the signature
    *der.last_mut().unwrap() ^= 1;
    let pem = format!(
        "-----BEGIN CERTIFICATE REQUEST-----\n{}\n-----END CERTIFICATE REQUEST-----\n",
        data_encoding::BASE64.encode(&der)
    );

    let spoilt = json!({"request": pem});
    let outcome: Result<Value, _> = registry.client().post("/v1/certificates", &spoilt).await;

    assert_eq!(refused(outcome), (400, "bad-certificate-request".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subject_that_no_certificate_can_have_is_refused_by_any_right_and_the_registry_goes_on() {
    let registry = TestRegistry::start().await;
    let node = registry.enrol().await;
    let token = registry.token().await;
    for der in [
        &include_bytes!("../../../../fuzz/corpus/certificate_request/country-question-marks")[..],
        include_bytes!("../../../../fuzz/corpus/certificate_request/qualifier-question-mark"),
    ] {
        let pem = format!(
            "-----BEGIN CERTIFICATE REQUEST-----\n{}\n-----END CERTIFICATE REQUEST-----\n",
            data_encoding::BASE64.encode(der)
        );
        let (path, renewal) = ("/v1/certificates", "/v1/certificates/renew");
        let (stranger, member) = (registry.client(), registry.as_node(&node));
        for (client, path, body) in [
            (&stranger, path, json!({"request": pem})),
            (&stranger, path, json!({"request": pem, "token": token})),
            (&member, renewal, json!({"request": pem})),
        ] {
            let outcome: Result<Value, _> = client.post(path, &body).await;
            let expected = (400, "bad-certificate-request".into());
            assert_eq!(refused(outcome), expected, "{path}");
        }
    }
    let health: Value = registry.client().get("/v1/health", &()).await.unwrap();
    assert_eq!(health["network"], "2001:db8:42::/48");
    let (_, request) = newcomer();
    let enrolled = registry.client().enrol(&request, Some(&token), None).await;
    enrolled.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_in_a_url_is_refused_and_in_no_log() {
    let registry = TestRegistry::with("anonymous-prefix-length = 16\n", PATIENCE).await;
    let token = registry.token().await;
    let (_, request) = newcomer();
    let body = json!({"request": request.to_pem()}).to_string();

    let path = format!("/v1/certificates?token={token}");
    let answer = registry
        .raw(&post(&path, "Connection: close\r\n", &body))
        .await;
    assert_eq!(statuses(&answer), [400], "{answer}");

    registry
        .client()
        .enrol(&request, Some(&token), None)
        .await
        .unwrap();
    let lines: Vec<AuditEntry> = registry
        .operator()
        .get("/v1/admin/audit", &())
        .await
        .unwrap();
    assert!(lines.len() >= 2);
    for line in lines {
        let line = format!("{line:?}");
        assert!(!line.contains(&token), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_enrolments_is_slowed_down_whatever_the_sender_calls_itself() {
    let few = "anonymous-prefix-length = 16\n[limits]\nenrolments = { count = 3, seconds = 600 }\n";
    let registry = TestRegistry::with(few, PATIENCE).await;
    let mut last = String::new();
    for number in 1..=6 {
        let (_, request) = newcomer();
        let body = json!({"request": request.to_pem()}).to_string();
        let names = format!(
            "X-Forwarded-For: 198.51.100.{number}\r\nForwarded: for=198.51.100.{number}\r\n\
             X-Real-IP: 198.51.100.{number}\r\nConnection: close\r\n"
        );
        let request = post("/v1/certificates", &names, &body);
        let request = String::from_utf8(request).unwrap();
        let request = request.replace("Host: x", &format!("Host: 198.51.100.{number}"));
        last = registry.raw(request.as_bytes()).await;
        let expected = if number <= 3 { 201 } else { 429 };
        assert_eq!(statuses(&last), [expected], "{number}: {last}");
    }
    assert!(last.contains("retry-after: "), "{last}");

    let (_, request) = newcomer();
    let Err(error @ ClientError::Refused { retry_after, .. }) =
        registry.client().enrol(&request, None, None).await
    else {
        panic!("not refused");
    };
    assert!(retry_after > Some(Duration::from_secs(10)), "{error}");
    assert!(error.is_temporary());
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_tokens_is_slowed_down_too() {
    let few = "[limits]\nenrolments = { count = 3, seconds = 600 }\n";
    let registry = TestRegistry::with(few, PATIENCE).await;
    let (_, request) = newcomer();
    let mut outcomes = Vec::new();
    for guess in 0..5 {
        let guess = format!("guess{guess}");
        let outcome = registry.client().enrol(&request, Some(&guess), None).await;
        outcomes.push(refused(outcome).0);
    }
    assert_eq!(outcomes, [403, 403, 403, 429, 429]);
}

#[tokio::test(flavor = "multi_thread")]
async fn too_much_of_anything_is_refused_before_it_is_read() {
    let registry = TestRegistry::start().await;
    let request = post("/v1/certificates", "", &"x".repeat(MAXIMUM_BODY + 1));
    let answer = registry.raw(&request).await;
    assert_eq!(statuses(&answer), [413], "{answer}");

    // chunks do not tell their sum before
    let chunk = format!("8000\r\n{}\r\n", "x".repeat(0x8000));
    let chunks = format!(
        "POST /v1/tokens HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
         Transfer-Encoding: chunked\r\n\r\n{}0\r\n\r\n",
        chunk.repeat(3)
    );
    let answer = registry.raw(chunks.as_bytes()).await;
    assert_eq!(statuses(&answer), [413], "{answer}");

    let long = format!(
        "GET /v1/health HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n",
        "x".repeat(20 << 10)
    );
    assert_eq!(statuses(&registry.raw(long.as_bytes()).await), [431]);
    let many = format!(
        "GET /v1/health HTTP/1.1\r\nHost: x\r\n{}\r\n",
        "X: x\r\n".repeat(100)
    );
    assert_eq!(statuses(&registry.raw(many.as_bytes()).await), [431]);
    let path = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(20 << 10));
    let answer = registry.raw(path.as_bytes()).await;
    assert!(matches!(statuses(&answer)[..], [414 | 431]), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ambiguous_lengths_smuggle_nothing() {
    let registry = TestRegistry::start().await;
    let smuggled = "GET /v1/smuggled HTTP/1.1\r\nHost: x\r\n\r\n";
    for fields in [
        "Content-Length: 4\r\nContent-Length: 5\r\n",
        "Content-Length: 4, 5\r\n",
        "Content-Length: +4\r\n",
        "Content-Length: 0x4\r\n",
        "Transfer-Encoding: identity, chunked, identity\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding : chunked\r\n",
    ] {
        let request = format!(
            "POST /v1/tokens HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{fields}\r\n{{}}{smuggled}"
        );
        let answer = registry.raw(request.as_bytes()).await;
        let statuses = statuses(&answer);
        assert!(statuses.len() <= 1, "{fields}: {answer}");
        assert!(
            statuses.iter().all(|status| *status == 400),
            "{fields}: {answer}"
        );
    }
    // by RFC 9112 section 6.3 the transfer coding counts, and the connection ends
    let both = format!(
        "POST /v1/tokens HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
         Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n{smuggled}"
    );
    let answer = registry.raw(both.as_bytes()).await;
    println!("{answer}");
    assert!(
        statuses(&answer).iter().all(|status| *status == 400),
        "{answer}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_is_refused_in_one_form() {
    let registry = TestRegistry::start().await;
    for (method, path, expected) in [
        ("GET", "/", 404),
        ("GET", "/v1/nothing", 404),
        ("GET", "/v1/../v1/health", 404),
        ("GET", "/v1/health?x=1", 400),
        ("GET", "/v1/revocations?wait=61", 400),
        ("GET", "/v1/revocations?wait=-1", 400),
        ("GET", "/v1/revocations?after=x", 400),
        ("DELETE", "/v1/health", 405),
        ("POST", "/v1/health", 405),
        ("POST", "/v1/tokens", 415),
    ] {
        let request = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let answer = registry.raw(request.as_bytes()).await;
        assert_eq!(statuses(&answer), [expected], "{method} {path}: {answer}");
        let body = answer.split_once("\r\n\r\n").unwrap().1;
        let body: Value = serde_json::from_str(body).unwrap();
        assert!(body["error"]["code"].is_string() && body["error"]["message"].is_string());
    }
    for body in [
        "",
        "null",
        "[]",
        "[\"user@example.com\"]",
        "{\"email\": 1}",
        "{\"email\": \"a@b.c\", \"x\": 1}",
        "\u{0}",
    ] {
        let request = post("/v1/tokens", "Connection: close\r\n", body);
        let answer = registry.raw(&request).await;
        assert_eq!(statuses(&answer), [400], "{body}: {answer}");
    }
}
