//! What holds of what nodes say of themselves and to each other, whoever sent it.

use std::sync::LazyLock;

use re6st_user::{
    certificate::{
        key::{KeyAlgorithm, PrivateKey},
        node_prefix::NodePrefix,
        record::{MAX_ADDRESSES, NodeRecord, Whereabouts},
        request::CertificateRequest,
        revocations::RevocationList,
        static_key::StaticKey,
        subject::Subject,
        verify::Authorities,
    },
    mesh::{
        QuestionId,
        message::{Content, MAX_DESTINATIONS, Message, Unproven},
    },
};

use super::certificate::{ISSUER, NOW, TERMS};

/// A node that is believed, and what it says.
struct Speaker {
    authorities: Authorities,
    record: NodeRecord,
    message: Vec<u8>,
}

/// Whom it says that to.
static LISTENER: LazyLock<NodePrefix> = LazyLock::new(|| NodePrefix::new(6, 16).expect("a prefix"));
static SPEAKER: LazyLock<Speaker> = LazyLock::new(|| {
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).expect("a key");
    let fixed = StaticKey::generate().expect("a key").public_key();
    let request = CertificateRequest::make(&key, Some(fixed), &Subject::default());
    let certificate = ISSUER.issue_node((&request.expect("a request")).into(), &TERMS);
    let certificate = certificate.expect("a certificate");
    let whereabouts = Whereabouts {
        addresses: vec!["192.0.2.7:4754".parse().expect("an address")],
        open: true,
        country: None,
    };
    let network = ISSUER.certificate().network();
    let record = NodeRecord::sign(whereabouts, &certificate, &key, &network, NOW);
    let record = record.expect("a record");
    let question = Content::Question {
        destinations: vec![*LISTENER],
        reach_us: true,
    };
    let message = Message::sign(&question, QuestionId(9), *LISTENER, &record, &key, NOW);
    Speaker {
        authorities: Authorities::new(ISSUER.certificate().clone()),
        record,
        message: message.expect("a message"),
    }
});

/// The same, with some octets changed: the first two say from where on.
fn changed(good: &[u8], by: &[u8]) -> Vec<u8> {
    let mut octets = good.to_vec();
    let Some((at, by)) = by.split_first_chunk() else {
        return octets;
    };
    let at = usize::from(u16::from_be_bytes(*at)) % octets.len().max(1);
    for (octet, by) in octets.iter_mut().skip(at).zip(by) {
        *octet ^= by;
    }
    octets
}

fn verify(octets: &[u8]) -> bool {
    let revoked = RevocationList::default();
    match NodeRecord::verify(octets, &SPEAKER.authorities, &revoked, NOW) {
        Ok(record) => {
            assert_eq!(record.octets(), octets);
            assert!(record.whereabouts().addresses.len() <= MAX_ADDRESSES);
            true
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            false
        }
    }
}

fn open(octets: &[u8]) -> bool {
    let revoked = RevocationList::default();
    let authorities = &SPEAKER.authorities;
    let source = SPEAKER.record.node().address(&authorities.network());
    let source = source.expect("a node of the network").addr().into();
    let message = Unproven::read(octets, *LISTENER, NOW);
    match message.and_then(|it| it.prove(source, authorities, &revoked, NOW)) {
        Ok(message) => {
            if let Content::Question { destinations, .. } = message.content {
                assert!(destinations.len() <= MAX_DESTINATIONS);
            }
            true
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            false
        }
    }
}

/// A record is refused with words or passed on as it came; of a good one every octet counts.
pub fn node_record(octets: &[u8]) {
    verify(octets);
    let good = SPEAKER.record.octets();
    let changed = changed(good, octets);
    assert_eq!(verify(&changed), changed == good);
}

/// The same of a message to another node.
pub fn mesh_message(octets: &[u8]) {
    open(octets);
    let good = &SPEAKER.message;
    let changed = changed(good, octets);
    assert_eq!(open(&changed), changed == *good);
}
