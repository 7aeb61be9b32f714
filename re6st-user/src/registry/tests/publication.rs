//! What is published and signed again, as time goes by.

use std::sync::Arc;

use x509_parser::{prelude::FromDer as _, revocation_list::CertificateRevocationList};

use super::support::{authority, files};
use crate::{
    certificate::serial::Serial,
    io::clock::wall,
    registry::{
        config::RegistryConfig,
        keys::Keys,
        publication::{Published, Publisher, X509List},
        rules::{
            mac_keys::MacKeys,
            publication::{ParametersDocument, RevocationsDocument, Revoked},
        },
    },
    time::{DAY, Timestamp},
};

const HOUR: u64 = 60 * 60;

/// A publisher for a network of which one certificate is revoked, and what it has published.
fn published(now: Timestamp) -> (Publisher, Published) {
    let directory = tempfile::tempdir().unwrap();
    let path = files(&directory, &authority(), "");
    let keys = Keys::open(&RegistryConfig::from_path(&path).unwrap()).unwrap();
    let mut publisher = Publisher::new(Arc::new(keys));
    let published = publish(&mut publisher, now, 1);
    (publisher, published)
}

/// Publishes that so many certificates are revoked, as document of this number.
fn publish(publisher: &mut Publisher, now: Timestamp, number: u64) -> Published {
    let parameters = ParametersDocument {
        number,
        content: serde_json::Map::new(),
    };
    let revoked = (1..=number).map(|serial| Revoked {
        serial: Serial::new(serial).unwrap(),
        at: now,
        not_after: now.plus(900 * DAY),
    });
    let revocations = RevocationsDocument {
        number,
        revoked: revoked.collect(),
    };
    publisher
        .publish(now, &parameters, &revocations, &MacKeys::default())
        .unwrap()
}

/// What a reader of X.509 finds.
#[derive(Debug)]
struct Read {
    number: u64,
    from: u64,
    until: u64,
    revoked: usize,
}

fn read(list: &X509List) -> Read {
    let (_, crl) = CertificateRevocationList::from_der(&list.der).unwrap();
    let seconds = |time: x509_parser::time::ASN1Time| u64::try_from(time.timestamp()).unwrap();
    Read {
        number: crl.crl_number().unwrap().try_into().unwrap(),
        from: seconds(crl.last_update()),
        until: seconds(crl.next_update().unwrap()),
        revoked: crl.iter_revoked_certificates().count(),
    }
}

#[test]
fn in_a_quiet_year_the_crl_is_signed_each_day_and_never_expires() {
    let start = wall();
    let (mut publisher, mut published) = published(start);
    let mut last = read(&published.crl);
    let mut signed = 0;

    for hour in 0..365 * 24 {
        let now = start.plus(hour * HOUR);
        if let Some(list) = publisher.renew_list(now, &published).unwrap() {
            signed += 1;
            published.crl = list;
            let next = read(&published.crl);
            assert!(next.number > last.number, "{last:?}, {next:?}");
            last = next;
        }
        assert!((last.from..last.until - DAY).contains(&now.0), "{last:?}");
        assert_eq!(last.revoked, 1);
    }

    assert_eq!(signed, 364);
}

#[test]
fn a_crl_of_a_clock_that_was_ahead_is_replaced_at_once_by_a_newer_one() {
    let start = wall();
    let (mut publisher, published) = published(start.plus(3 * DAY));
    let ahead = read(&published.crl);

    let list = publisher.renew_list(start, &published).unwrap();

    let list = read(&list.unwrap());
    assert_eq!(list.from, start.0);
    assert!(list.number > ahead.number, "{ahead:?}, {list:?}");
}

#[test]
fn whatever_is_published_the_next_crl_has_a_larger_number() {
    let start = wall();
    let (mut publisher, published) = published(start);
    let renewed = publisher.renew_list(start.plus(DAY), &published);
    let renewed = read(&renewed.unwrap().unwrap());

    // the documents' numbers follow the time as well, but know nothing of the lists signed meanwhile
    let changed = publish(&mut publisher, start.plus(DAY), 2);

    let changed = read(&changed.crl);
    assert!(changed.number > renewed.number, "{renewed:?}, {changed:?}");
    assert_eq!((renewed.revoked, changed.revoked), (1, 2));
}

#[test]
fn after_a_restart_the_crl_has_a_larger_number_than_before() {
    let start = wall();
    let (mut publisher, first) = published(start);
    let before = publisher.renew_list(start.plus(DAY), &first);

    let (_, after) = published(start.plus(2 * DAY));

    let (before, after) = (read(&before.unwrap().unwrap()), read(&after.crl));
    assert!(after.number > before.number, "{before:?}, {after:?}");
}
