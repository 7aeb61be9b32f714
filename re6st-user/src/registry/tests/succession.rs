//! One authority takes over from another.

use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::time;

use super::support::{self, TestRegistry, authority, files, newcomer};
use crate::{
    certificate::{
        authority::Authority,
        document::Signed,
        key::{KeyAlgorithm, PrivateKey},
        node::NodeCertificate,
        revocations::RevocationList,
        succession,
        tls::Trust,
        verify::Authorities,
    },
    io::clock::wall,
    registry::{
        client::{Client, ClientError},
        config::RegistryConfig,
        documents::NetworkParameters,
        keys::{Keys, next_key},
        server::PATIENCE,
    },
    time::DAY,
};

/// An authority that ends so many seconds from now on, and its successor.
fn two(left: u64) -> (Authority, Authority) {
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let old = authority()
        .succeed(key, wall().minus(DAY), wall().plus(left))
        .unwrap();
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let new = old
        .succeed(key, wall().minus(DAY), wall().plus(3650 * DAY))
        .unwrap();
    (old, new)
}

/// What `registry ca succeed` writes.
fn announce(directory: &TempDir, old: &Authority, new: &Authority) {
    let path = |name: &str| directory.path().join(name);
    let statement = old.state_successor(new).unwrap();
    let text = old.certificate().to_pem()
        + &new.certificate().to_pem()
        + &succession::to_pem(statement.envelope());
    std::fs::write(path("ca.crt"), text).unwrap();
    std::fs::write(path("ca.key.next"), new.key().to_pem().as_bytes()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_learn_of_the_next_authority_by_the_word_of_the_present_one() {
    let (old, new) = two(100 * DAY);
    let directory = tempfile::tempdir().unwrap();
    let config = files(&directory, &old, "anonymous-prefix-length = 16\n");
    announce(&directory, &old, &new);
    let mut trusted = Authorities::new(old.certificate().clone());
    let registry = TestRegistry::serve(directory, config, trusted.clone(), PATIENCE).await;

    // whoever trusts the old one alone can still ask
    let statements = registry.client().successions().await.unwrap();
    assert!(trusted.follow(&statements[0], wall()).unwrap());
    assert_eq!(trusted.iter().count(), 2);

    // the old one would cut a certificate short
    let (key, request) = newcomer();
    let issued = registry.client().enrol(&request, None, None).await.unwrap();
    let certificate = NodeCertificate::from_pem(&issued.certificate).unwrap();
    assert!(certificate.not_after() > old.certificate().not_after());
    let issuer = trusted
        .verify_node(&certificate, &RevocationList::default(), wall(), 0)
        .unwrap();
    assert_eq!(issuer, new.certificate());

    // both sign what is published, and what it says of itself are both
    let only_new = Authorities::new(new.certificate().clone());
    let node = super::support::TestNode { key, certificate };
    let envelope = registry
        .as_node(&node)
        .parameters(None, Duration::ZERO)
        .await
        .unwrap()
        .unwrap();
    for authorities in [&registry.authorities, &only_new] {
        let document: Signed<NetworkParameters> =
            Signed::verify(&envelope, authorities, wall(), None).unwrap();
        let fingerprints = document.content().0["authorities"].as_array().unwrap();
        assert_eq!(fingerprints.len(), 2);
    }
    // a newcomer that trusts either gets both
    for authority in [&old, &new] {
        let newcomer = newcomer_of(&registry, authority);
        let seen = newcomer.authority().await.unwrap();
        assert_eq!(seen, *authority.certificate());
        assert_eq!(newcomer.authorities().await.unwrap().iter().count(), 2);
    }
}

fn newcomer_of(registry: &TestRegistry, authority: &Authority) -> Client {
    let trust = Trust::Fingerprint(authority.certificate().fingerprint());
    Client::newcomer(&registry.url(), trust).unwrap()
}

/// Its own second is 8 s away: long enough for a registry to start twice on a slow machine.
#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_runs_while_the_old_authority_expires_serves_on_by_the_new_one() {
    let (old, new) = two(8);
    let directory = tempfile::tempdir().unwrap();
    let config = files(&directory, &old, "anonymous-prefix-length = 16\n");
    let trusted = Authorities::new(old.certificate().clone());
    let registry = TestRegistry::serve(directory, config, trusted, PATIENCE).await;
    // its certificate is the old one's and cut short by it
    let node = registry.enrol().await;
    assert_eq!(node.certificate.not_after(), old.certificate().not_after());
    announce(&registry.directory, &old, &new);
    let mut registry = registry.restart().await;

    while wall() <= old.certificate().not_after() {
        time::sleep(Duration::from_millis(100)).await;
    }
    // the server changes its certificate within the second
    let newcomer = newcomer_of(&registry, &new);
    let begin = Instant::now();
    while let Err(error) = newcomer.authority().await {
        assert!(begin.elapsed() < Duration::from_secs(20), "{error}");
        time::sleep(Duration::from_millis(100)).await;
    }

    let outcome = newcomer_of(&registry, &old).authority().await;
    assert!(matches!(outcome, Err(ClientError::NotTrusted { .. })));
    let (_, request) = support::newcomer();
    let issued = newcomer.enrol(&request, None, None).await.unwrap();
    let certificate = NodeCertificate::from_pem(&issued.certificate).unwrap();
    let fresh = Authorities::new(new.certificate().clone());
    let nothing = RevocationList::default();
    assert!(fresh.verify_node(&certificate, &nothing, wall(), 0).is_ok());
    // who knew the old one alone, and was away, finds the new one and renews
    let outcome = registry.as_node(&node).renew(None).await;
    assert!(matches!(outcome, Err(ClientError::NotTrusted { .. })));
    let anybody = Client::newcomer(&registry.url(), Trust::FirstSeen).unwrap();
    for statement in anybody.successions().await.unwrap() {
        assert!(registry.authorities.follow(&statement, wall()).unwrap());
    }
    let refused = registry.as_node(&node).mac_keys().await;
    assert_eq!(
        support::refused(refused).0,
        401,
        "nothing else is its right"
    );
    let renewed = registry.as_node(&node).renew(None).await.unwrap();
    let renewed = NodeCertificate::from_pem(&renewed.certificate).unwrap();
    assert_eq!(renewed.prefix(), node.certificate.prefix());
    assert!(fresh.verify_node(&renewed, &nothing, wall(), 0).is_ok());
    // what it is told from now on names the new one alone once it was started again
    let node = support::TestNode {
        certificate: renewed,
        key: node.key,
    };
    let registry = registry.restart().await;
    let client = registry.as_node(&node);
    let envelope = client.parameters(None, Duration::ZERO);
    let document: Signed<NetworkParameters> =
        Signed::verify(&envelope.await.unwrap().unwrap(), &fresh, wall(), None).unwrap();
    let named = document.content().0["authorities"].as_array().unwrap();
    assert_eq!(*named, [new.certificate().fingerprint().to_string()]);
}

#[test]
fn the_keys_change_hands_in_the_second_after_the_old_authority_ends() {
    let (old, new) = two(100 * DAY);
    let directory = tempfile::tempdir().unwrap();
    let config = files(&directory, &old, "");
    let config = RegistryConfig::from_path(&config).unwrap();
    let end = old.certificate().not_after();
    let present = |keys: &Keys, moment| keys.present(moment).certificate().clone();

    let mut keys = Keys::open(&config).unwrap();
    assert_eq!(present(&keys, end.plus(DAY)), *old.certificate());
    assert_eq!(keys.successions(), Vec::<String>::new());

    let twin = Authority::from_pem(&new.certificate().to_pem(), &new.key().to_pem()).unwrap();
    keys.succeed(twin, wall()).unwrap();
    std::fs::write(&config.ca, keys.to_pem()).unwrap();
    std::fs::write(next_key(&config), new.key().to_pem().as_bytes()).unwrap();
    let opened = Keys::open(&config).unwrap();
    assert_eq!(opened.successions(), keys.successions());
    for (moment, first, count) in [
        (wall(), &old, 2),
        (end, &old, 2),
        (end.plus(1), &new, 1),
        (end.plus(365 * DAY), &new, 1),
        // a clock that is wrong once changes nothing for long
        (wall(), &old, 2),
    ] {
        assert_eq!(present(&opened, moment), *first.certificate());
        assert_eq!(opened.signing(moment).len(), count);
        assert_eq!(opened.named(moment).len(), count);
    }

    // the old key is gone, its word is not
    std::fs::rename(next_key(&config), &config.ca_key).unwrap();
    let mut keys = Keys::open(&config).unwrap();
    assert_eq!(present(&keys, wall()), *new.certificate());
    assert_eq!(keys.all().iter().count(), 2);
    // another one at once: whoever was away during both finds it step by step
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let third = new
        .succeed(key, wall().minus(DAY), wall().plus(5000 * DAY))
        .unwrap();
    let name = third.certificate().fingerprint();
    keys.succeed(third, wall()).unwrap();
    std::fs::write(&config.ca, keys.to_pem()).unwrap();
    let kept = std::fs::read_to_string(&config.ca).unwrap();
    let mut away = Authorities::new(old.certificate().clone());
    let late = new.certificate().not_after().plus(DAY);
    for statement in succession::statements(&kept).unwrap() {
        assert_eq!(away.follow(&statement, late), Ok(true));
    }
    assert_eq!(away, Authorities::from_pem(&kept).unwrap());
    assert!(away.iter().any(|known| known.fingerprint() == name));
}
