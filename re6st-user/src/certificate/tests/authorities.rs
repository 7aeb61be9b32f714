//! The file of authorities.

use super::*;
use crate::certificate::error::FormError;

#[test]
fn several_authorities_are_kept_in_one_file() {
    let first = new_authority();
    let second = first.succeed(new_key(), NOW, NOW.plus(DAY)).unwrap();
    let text = first.certificate().to_pem() + &second.certificate().to_pem();

    let authorities = Authorities::from_pem(&text).unwrap();

    assert_eq!(authorities.to_pem(), text);
    assert_eq!(authorities.network().to_string(), NETWORK);
    let read: Vec<_> = authorities.iter().collect();
    assert_eq!(read, [first.certificate(), second.certificate()]);
}

#[test]
fn an_authority_twice_is_there_once() {
    let pem = new_authority().certificate().to_pem();

    let authorities = Authorities::from_pem(&pem.repeat(2)).unwrap();

    assert_eq!(authorities.to_pem(), pem);
}

#[test]
fn other_files_are_refused() {
    let authority = new_authority();
    let pem = authority.certificate().to_pem();
    let foreign = authority_of("2001:db8:43::/48", new_key());
    for text in [
        String::new(),
        "text".to_owned(),
        new_node(&authority).to_pem(),
        pem.clone() + &new_node(&authority).to_pem(),
        pem.clone() + &foreign.certificate().to_pem(),
        pem.clone() + &authority.key().to_pem(),
        pem.repeat(5),
    ] {
        assert!(Authorities::from_pem(&text).is_err(), "{text}");
    }
    let large = Authorities::from_pem(&pem.repeat(1000));
    assert!(matches!(large, Err(FormError::TooLarge { .. })));
}

#[test]
fn expired_authorities_are_dropped_but_never_the_last() {
    let first = new_authority();
    let until = NOW.plus(5000 * DAY);
    let second = first.succeed(new_key(), NOW, until).unwrap();
    let text = first.certificate().to_pem() + &second.certificate().to_pem();
    let mut authorities = Authorities::from_pem(&text).unwrap();
    let last = first.certificate().not_after();

    assert!(!authorities.prune(last));
    assert!(authorities.prune(last.plus(1)));
    assert_eq!(authorities.to_pem(), second.certificate().to_pem());
    assert!(!authorities.prune(until.plus(1)));
    assert_eq!(authorities.to_pem(), second.certificate().to_pem());
}
