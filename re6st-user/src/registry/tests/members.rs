//! The thread of a member and a whole server.

use std::{
    fs,
    time::{Duration, Instant},
};

use serde_json::json;
use tempfile::TempDir;
use tokio::{sync::watch, time::timeout};

use super::support::TestRegistry;
use crate::{
    certificate::{
        key::{KeyAlgorithm, PrivateKey},
        node::NodeCertificate,
        node_prefix::NodePrefix,
        record::Whereabouts,
        request::CertificateRequest,
        static_key::{StaticKey, StaticPublicKey},
        subject::Subject,
    },
    config::Config,
    membership::shell::{Membership, Request, Requests, Standing},
    registry::{
        api::{NodeEntry, PresentNode},
        client::ClientError,
    },
};

/// A node with an X25519 key, and its files.
struct Node {
    folder: TempDir,
    fixed: StaticKey,
    prefix: NodePrefix,
}

impl Node {
    async fn enrol(registry: &TestRegistry) -> Self {
        let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
        let fixed = StaticKey::generate().unwrap();
        let subject = Subject::default();
        let request = CertificateRequest::make(&key, Some(fixed.public_key()), &subject).unwrap();
        let issued = registry.client().enrol(&request, None, None).await.unwrap();
        let certificate = NodeCertificate::from_pem(&issued.certificate).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let address = certificate
            .prefix()
            .address(&registry.authorities.network());
        let text = format!(
            "addresses = [\"{}\"]\ninterfaces = [\"eth0\"]\nnetworks = [\"2001:db8:42::/48\"]\n[babel]\n[registry]\n\
             url = \"{}\"\nca = \"ca.crt\"\ncert = \"cert.crt\"\nkey = \"cert.key\"\n",
            address.unwrap(),
            registry.url()
        );
        for (name, text) in [
            ("node.toml", text.as_str()),
            ("ca.crt", &registry.authorities.to_pem()),
            ("cert.crt", &issued.certificate),
            ("cert.key", &key.to_pem()),
            ("x25519.key", &fixed.to_pem()),
        ] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        Self {
            folder,
            fixed,
            prefix: certificate.prefix(),
        }
    }

    fn open(&self) -> Membership {
        let folder = self.folder.path();
        let config = Config::from_path(&folder.join("node.toml")).unwrap();
        let (registry, babel) = (config.registry.as_ref().unwrap(), config.babel.as_ref());
        Membership::open(registry, babel.unwrap(), &config, folder, 7).unwrap()
    }

    async fn start(&self) -> (watch::Receiver<Standing>, Requests) {
        let (mut standing, requests) = self.open().start().unwrap();
        let is_there = |standing: &Standing| standing.report.mac_keys.is_some();
        wait(&mut standing, is_there).await;
        (standing, requests)
    }
}

async fn wait(
    standing: &mut watch::Receiver<Standing>,
    is_so: impl FnMut(&Standing) -> bool,
) -> Standing {
    let news = standing.wait_for(is_so);
    let news = timeout(Duration::from_secs(20), news).await;
    news.unwrap().unwrap().clone()
}

fn key(standing: &Standing, node: NodePrefix) -> Option<StaticPublicKey> {
    standing.channel.as_ref()?.keys.get(&node).copied()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_waits_for_news_learns_the_key_of_another_in_seconds_and_keeps_it() {
    let registry = TestRegistry::start().await;
    let (node, other) = (Node::enrol(&registry).await, Node::enrol(&registry).await);
    let (mut standing, requests) = node.start().await;
    // by now the registry is asked to wait for news, a minute long
    tokio::time::sleep(Duration::from_secs(1)).await;

    let begin = Instant::now();
    assert!(requests.send(Request::NodeKey(other.prefix)));
    let known = wait(&mut standing, |standing| {
        key(standing, other.prefix).is_some()
    });
    let known = known.await;

    assert_eq!(key(&known, other.prefix), Some(other.fixed.public_key()));
    assert!(begin.elapsed() < Duration::from_secs(20));
    let nobody = NodePrefix::from_common_name("77/16").unwrap();
    assert!(requests.send(Request::NodeKey(nobody)));
    let is_missing = |standing: &Standing| {
        let channel = standing.channel.as_ref();
        channel.is_some_and(|channel| channel.missing.contains(&nobody))
    };
    wait(&mut standing, is_missing).await;
    // what is asked for at the next start
    let kept = node.open().standing();
    assert_eq!(key(&kept, other.prefix), Some(other.fixed.public_key()));
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_learn_from_the_registry_where_others_are() {
    let registry = TestRegistry::start().await;
    let (node, other) = (Node::enrol(&registry).await, Node::enrol(&registry).await);
    let (mut standing, requests) = node.start().await;
    let (mut of_other, requests_of_other) = other.start().await;
    let somewhere = |port: u16| Whereabouts {
        addresses: vec![([192, 0, 2, 7], port).into()],
        ..Whereabouts::default()
    };

    assert!(requests_of_other.send(Request::Whereabouts(somewhere(1))));
    wait(&mut of_other, |standing| standing.presence.own.is_some()).await;
    assert!(requests.send(Request::Whereabouts(somewhere(2))));
    // whoever was told first is told again
    let known = async {
        loop {
            assert!(requests.send(Request::Others(8)));
            let generation = standing.borrow_and_update().presence.generation;
            let news = |standing: &Standing| standing.presence.generation > generation;
            let now = wait(&mut standing, news).await;
            if let [record] = &now.presence.others[..] {
                return record.clone();
            }
        }
    };
    let known = timeout(Duration::from_secs(20), known).await.unwrap();

    assert_eq!(known.node(), other.prefix);
    assert_eq!(known.whereabouts(), &somewhere(1));
    assert_eq!(known.static_key(), other.fixed.public_key());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_sees_which_nodes_are_there() {
    let registry = TestRegistry::start().await;
    let node = Node::enrol(&registry).await;
    let (_standing, requests) = node.start().await;
    let operator = registry.operator();
    let seen = async || -> Vec<PresentNode> { operator.get("/v1/admin/nodes", &()).await.unwrap() };
    assert_eq!(seen().await, [], "it has not said where it is");

    assert!(requests.send(Request::Whereabouts(Whereabouts {
        addresses: vec![([192, 0, 2, 7], 4754).into()],
        country: "FR".parse().ok(),
        open: false,
    })));
    let there = async {
        loop {
            if let [node] = &seen().await[..] {
                return node.clone();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let there = timeout(Duration::from_secs(20), there).await.unwrap();

    assert_eq!(there.common_name, node.prefix.common_name());
    assert_eq!(there.addresses, [([192, 0, 2, 7], 4754).into()]);
    assert_eq!(there.country.as_deref(), Some("FR"));
    assert_eq!(there.version.as_deref(), Some(env!("CARGO_PKG_VERSION")));
    let certificate: NodeEntry = operator
        .get("/v1/admin/certificate", &json!({"name": there.common_name}))
        .await
        .unwrap();
    let shown = (certificate.serial, certificate.not_after);
    assert_eq!((there.serial, there.not_after), shown);
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_from_others_are_judged_and_refused_ones_counted() {
    let registry = TestRegistry::start().await;
    let node = Node::enrol(&registry).await;
    let (mut standing, requests) = node.start().await;

    assert!(requests.send(Request::Document(b"nonsense".to_vec())));

    wait(&mut standing, |standing| {
        standing.report.refused_documents == 1
    })
    .await;
    // those who ask too much are told
    let mut flood = (0..10_000).map(|_| requests.send(Request::Document(vec![0; 8])));
    assert!(!flood.all(|taken| taken));
}

#[tokio::test]
async fn a_node_that_says_where_it_is_all_the_time_is_told_to_wait() {
    let registry = TestRegistry::start().await;
    let node = registry.enrol().await;
    let client = registry.as_node(&node);
    let mut refused = None;
    for _ in 0..200 {
        refused = client.presence(None, 1).await.err();
        if refused.is_some() {
            break;
        }
    }
    let status = match &refused {
        Some(ClientError::Refused { status, .. }) => Some(status.as_u16()),
        _ => None,
    };
    assert_eq!(status, Some(429), "{refused:?}");
}
