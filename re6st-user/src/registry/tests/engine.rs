//! The thread that decides: a registry without it is none.

use std::time::Duration;

use tokio::{sync::mpsc, time::timeout};

use super::support::{authority, files, newcomer};
use crate::{
    certificate::{
        error::IssueError,
        issue::{Identity, NodeTerms},
        node::NodeCertificate,
    },
    registry::{
        Registry,
        config::RegistryConfig,
        engine::{Engine, EngineError},
        keys::Keys,
        publication::Publisher,
        rules::{Caller, Command, Issuer, Refusal, issuer::Issued},
    },
};

/// Has a bug.
struct Faulty(std::sync::Arc<Keys>);

impl Issuer for Faulty {
    fn issue(&self, _: Identity<'_>, _: &NodeTerms) -> Result<Issued, IssueError> {
        panic!("a bug");
    }

    fn has_issued(&self, _: &NodeCertificate) -> bool {
        true
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, IssueError> {
        self.0.sign(message)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_thread_is_no_health_and_ends_whoever_waits_for_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = files(&directory, &authority(), "anonymous-prefix-length = 16\n");
    let config = RegistryConfig::from_path(&path).unwrap();
    let keys = std::sync::Arc::new(Keys::open(&config).unwrap());
    let settings = config.settings(keys.all());
    let issuer = Box::new(Faulty(keys.clone()));
    let registry = Registry::open(&config.database, settings, issuer).unwrap();
    let publisher = Publisher::new(keys);
    let (engine, thread) = Engine::start(registry, publisher, mpsc::unbounded_channel().0).unwrap();
    assert_eq!(engine.health().await, Ok(()));
    let patience = Duration::from_secs(60);
    let ended = engine.ended();
    tokio::pin!(ended);
    assert!(
        timeout(Duration::from_millis(50), &mut ended)
            .await
            .is_err()
    );

    let address = [192, 0, 2, 1].into();
    let command = Command::Enrol {
        token: None,
        request: Box::new(newcomer().1),
        location: None,
    };
    let reply = engine.ask(Caller::Anonymous { address }, command).await;

    assert!(matches!(reply, Err(Refusal::Unavailable(_))), "{reply:?}");
    timeout(patience, &mut ended).await.unwrap();
    let health = engine.health().await;
    assert!(matches!(health, Err(Refusal::Unavailable(_))), "{health:?}");
    let end = thread.end();
    assert!(matches!(end, Err(EngineError::Ended)), "{end:?}");
}
