//! The operator's questions.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use super::support::{TestRegistry, newcomer, refused};
use crate::registry::{
    api::{AuditEntry, CommunitiesText, NodeEntry, ParametersEntry, WaitingToken},
    server::PATIENCE,
};

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_listed_without_their_secret_and_taken_back() {
    let registry = TestRegistry::with("", PATIENCE).await;
    let operator = registry.operator();
    let token = registry.token().await;

    let list: Value = operator.get("/v1/admin/tokens", &()).await.unwrap();
    assert!(!list.to_string().contains(&token));
    let tokens: Vec<WaitingToken> = serde_json::from_value(list).unwrap();
    let name = json!({"id": tokens[0].id});
    operator
        .post_for_nothing("/v1/admin/tokens/delete", &name)
        .await
        .unwrap();

    let (_, request) = newcomer();
    let outcome = registry.client().enrol(&request, Some(&token), None).await;
    assert_eq!(refused(outcome), (403, "bad-token".into()));
    let again = operator
        .post_for_nothing("/v1/admin/tokens/delete", &name)
        .await;
    assert_eq!(refused(again).0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_listed_page_by_page_and_shown_by_both_names() {
    let registry = TestRegistry::start().await;
    for _ in 0..5 {
        registry.enrol().await;
    }
    let operator = registry.operator();
    let page = |after: Option<&str>| json!({"limit": 2, "after": after.unwrap_or_default()});
    let first = json!({"limit": 2});
    let first: Vec<NodeEntry> = operator
        .get("/v1/admin/certificates", &first)
        .await
        .unwrap();
    let after = page(first.last().map(|last| last.common_name.as_str()));
    let second: Vec<NodeEntry> = operator
        .get("/v1/admin/certificates", &after)
        .await
        .unwrap();
    let names: Vec<_> = first
        .iter()
        .chain(&second)
        .map(|node| node.common_name.as_str())
        .collect();
    assert_eq!(names, ["0/16", "1/16", "2/16", "3/16"]);
    assert!(first[0].registry && !first[1].registry);

    for name in ["2/16".to_owned(), second[0].serial.to_string()] {
        let query = json!({"name": name});
        let shown: NodeEntry = operator.get("/v1/admin/certificate", &query).await.unwrap();
        assert_eq!(shown.common_name, "2/16");
        assert!(
            shown
                .certificate
                .unwrap()
                .starts_with("-----BEGIN CERTIFICATE-----")
        );
    }
    for wrong in ["9/16", "999", "x", "0", "1/0", ""] {
        let query = json!({"name": wrong});
        let outcome: Result<Value, _> = operator.get("/v1/admin/certificate", &query).await;
        assert!(matches!(refused(outcome).0, 400 | 404), "{wrong}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_are_set_unset_and_checked() {
    let registry = TestRegistry::start().await;
    let operator = registry.operator();
    let get = async || -> ParametersEntry {
        registry
            .operator()
            .get("/v1/admin/parameters", &())
            .await
            .unwrap()
    };
    let before = get().await;

    let set = json!({"set": {"hello-interval": 7}});
    operator
        .post_for_nothing("/v1/admin/parameters", &set)
        .await
        .unwrap();
    let changed = get().await;
    assert!(changed.number > before.number);
    assert_eq!(changed.content["parameters"]["hello-interval"], 7);
    let unset = json!({"set": {"hello-interval": null}});
    operator
        .post_for_nothing("/v1/admin/parameters", &unset)
        .await
        .unwrap();
    assert_eq!(
        get().await.content["parameters"]["hello-interval"],
        before.content["parameters"]["hello-interval"]
    );

    for wrong in [json!({"hello-interval": -1}), json!({"no-such-thing": 1})] {
        let set = json!({"set": wrong});
        let outcome = operator
            .post_for_nothing("/v1/admin/parameters", &set)
            .await;
        assert_eq!(refused(outcome).0, 400, "{set}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn communities_are_replaced_while_it_runs() {
    let registry = TestRegistry::start().await;
    let operator = registry.operator();
    let text = "0 FR\n1 *\n";

    operator
        .post_for_nothing("/v1/admin/communities", &json!({"text": text}))
        .await
        .unwrap();

    let told: CommunitiesText = operator.get("/v1/admin/communities", &()).await.unwrap();
    assert_eq!(told.text, text);
    for wrong in ["0 FR\n", "0 *\n0 FR\n", "2 *\n"] {
        let wrong = json!({"text": wrong});
        let outcome = operator
            .post_for_nothing("/v1/admin/communities", &wrong)
            .await;
        assert!(matches!(refused(outcome).0, 400 | 409), "{wrong}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_log_tells_who_did_what() {
    let registry = TestRegistry::start().await;
    registry.token().await;
    registry.enrol().await;
    let operator = registry.operator();
    operator
        .post_for_nothing("/v1/admin/mac-keys/rotate", &json!({}))
        .await
        .unwrap();

    let lines: Vec<AuditEntry> = operator.get("/v1/admin/audit", &()).await.unwrap();
    let actions: Vec<_> = lines.iter().map(|line| line.action.as_str()).collect();
    assert!(
        actions.ends_with(&["token-added", "enrolled", "mac-keys-rotated"]),
        "{actions:?}"
    );
    assert!(
        lines[lines.len() - 2].who.contains("127.0.0.1"),
        "{lines:?}"
    );
    let after = json!({"after": lines[0].id.to_string()});
    let rest: Vec<AuditEntry> = operator.get("/v1/admin/audit", &after).await.unwrap();
    assert_eq!(rest, lines[1..]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_socket_is_gone_afterwards() {
    let registry = TestRegistry::start().await;
    let socket = registry.directory.path().join("registry.sock");
    assert!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o170_000 == 0o140_000);

    let _directory = registry.end().await;

    assert!(!socket.exists());
}
