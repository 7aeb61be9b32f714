//! One authority takes over from another.

use std::time::Duration;

use super::support::{TestRegistry, authority, files, newcomer};
use crate::{
    certificate::{
        authority::Authority,
        document::Signed,
        key::{KeyAlgorithm, PrivateKey},
        node::NodeCertificate,
        revocations::RevocationList,
        timestamp::DAY,
        verify::Authorities,
    },
    registry::{
        client::{Client, Trust},
        documents::NetworkParameters,
        engine::now,
        server::PATIENCE,
    },
};

/// An authority with less than a year to go, and its successor.
fn two() -> (Authority, Authority) {
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let old = authority()
        .succeed(key, now().minus(DAY), now().plus(100 * DAY))
        .unwrap();
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let new = old
        .succeed(key, now().minus(DAY), now().plus(3650 * DAY))
        .unwrap();
    (old, new)
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_learn_of_the_next_authority_by_the_word_of_the_present_one() {
    let (old, new) = two();
    let directory = tempfile::tempdir().unwrap();
    let config = files(&directory, &old, "anonymous-prefix-length = 16\n");
    let both = old.certificate().to_pem() + &new.certificate().to_pem();
    std::fs::write(directory.path().join("ca.crt"), both).unwrap();
    let next = directory.path().join("ca.key.next");
    std::fs::write(next, new.key().to_pem().as_bytes()).unwrap();
    let mut trusted = Authorities::new(old.certificate().clone());
    let registry = TestRegistry::serve(directory, config, trusted.clone(), PATIENCE).await;

    // whoever trusts the old one alone can still ask
    let statements = registry.client().successions().await.unwrap();
    assert!(trusted.follow(&statements[0], now()).unwrap());
    assert_eq!(trusted.iter().count(), 2);

    // the old one would cut a certificate short
    let (key, request) = newcomer();
    let issued = registry.client().enrol(&request, None, None).await.unwrap();
    let certificate = NodeCertificate::from_pem(&issued.certificate).unwrap();
    assert!(certificate.not_after() > old.certificate().not_after());
    let issuer = trusted
        .verify_node(&certificate, &RevocationList::default(), now(), 0)
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
            Signed::verify(&envelope, authorities, now(), None).unwrap();
        let fingerprints = document.content().0["authorities"].as_array().unwrap();
        assert_eq!(fingerprints.len(), 2);
    }
    // a newcomer that trusts one gets both
    let trust = Trust::Fingerprint(old.certificate().fingerprint());
    let newcomer = Client::newcomer(&registry.url(), trust).unwrap();
    assert_eq!(newcomer.authorities().await.unwrap().iter().count(), 2);
}
