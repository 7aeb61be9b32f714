//! A newcomer gets a prefix and a certificate.

use super::{super::token::Token, *};

fn add_token(world: &mut World) -> Token {
    let command = Command::AddToken {
        email: super::super::token::Email::parse("a@example.com").expect("an address"),
        token: None,
        right: TokenRight::Newcomer {
            prefix_length: None,
        },
    };
    match world.operate(command) {
        Ok(Reply::Token(token)) => token,
        other => panic!("{other:?}"),
    }
}

fn tokens(world: &mut World) -> usize {
    match world.operate(Command::ListTokens) {
        Ok(Reply::Tokens(tokens)) => tokens.len(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_first_node_is_the_registrys_own() {
    let mut world = World::new();

    let first = world.enrol();
    let second = world.enrol();

    assert_eq!(first.prefix().common_name(), "0/16");
    assert_eq!(second.prefix().common_name(), "1/16");
    assert_eq!((first.serial(), second.serial()), (1, 2));
    assert_eq!(second.certificate.subject_serial().0, 1);
    assert!(
        world
            .summary(CertificateName::Prefix(first.prefix()))
            .expect("it is there")
            .registry
    );
    assert!(
        !world
            .summary(CertificateName::Prefix(second.prefix()))
            .expect("it is there")
            .registry
    );
}

#[test]
fn a_token_is_good_for_one_certificate() {
    let mut world = World::new();
    let token = add_token(&mut world);
    let (_, request) = newcomer();
    let (_, other) = newcomer();

    let reply = world.ask(&stranger(), enrol(Some(token.clone()), request));
    let again = world.ask(&stranger(), enrol(Some(token), other));

    assert_eq!(issued(reply).prefix().common_name(), "0/16");
    assert_eq!(again, Err(Refusal::BadToken));
    assert_eq!(tokens(&mut world), 0);
}

/// The answer may be lost on its way: who asks again with the same key gets the same certificate.
#[test]
fn asking_again_gives_the_same_certificate() {
    let mut world = World::new();
    let token = add_token(&mut world);
    let (_, request) = newcomer();

    let first = issued(world.ask(&stranger(), enrol(Some(token.clone()), request.clone())));
    let second = world.outcome(&stranger(), enrol(Some(token), request));

    let Ok(Reply::Present(summary)) = second.reply else {
        panic!("{second:?}")
    };
    assert_eq!(summary.serial, first.serial());
    assert_eq!(second.changes, []);
}

#[test]
fn a_token_outlives_an_enrolment_that_fails() {
    let mut world = World::with(|settings| settings.prefix_length = 1);
    for _ in 0..2 {
        let token = add_token(&mut world);
        let (_, request) = newcomer();
        world
            .ask(&stranger(), enrol(Some(token), request))
            .expect("half of the space");
    }
    let token = add_token(&mut world);
    let (_, request) = newcomer();

    let outcome = world.outcome(&stranger(), enrol(Some(token), request));

    assert!(
        matches!(outcome.reply, Err(Refusal::Full { length: 1, .. })),
        "{outcome:?}"
    );
    assert_eq!(outcome.changes, []);
    assert_eq!(tokens(&mut world), 1);
}

#[test]
fn a_token_ends() {
    let mut world = World::new();
    let token = add_token(&mut world);
    let lifetime = world.rules.settings.token_lifetime;
    assert_eq!(world.rules.next_end(), Some(START.plus(lifetime + 1)));

    world.now = START.plus(lifetime + 1);
    let (_, request) = newcomer();

    // even before the rules were told of the time
    assert_eq!(
        world.ask(&stranger(), enrol(Some(token), request)),
        Err(Refusal::BadToken)
    );
    world.operate(Command::ConfirmClock).expect("it is so late");
    assert_eq!(tokens(&mut world), 0);
}

#[test]
fn what_is_not_offered_is_refused() {
    let mut world = World::with(|settings| {
        settings.anonymous_prefix_length = 0;
        settings.prefix_length = 0;
    });
    let (_, request) = newcomer();
    let token = Token::parse("abcdefgh").expect("a token");
    for token in [None, Some(token)] {
        let reply = world.ask(&stranger(), enrol(token, request.clone()));
        assert!(matches!(reply, Err(Refusal::Disabled(_))), "{reply:?}");
    }
}

#[test]
fn anonymous_enrolments_are_slowed_down_by_network() {
    let mut world = World::with(|settings| {
        settings.enrolments = Rate {
            count: 2,
            seconds: 60,
        };
    });
    let mut ask = |address: &str| {
        let (_, request) = newcomer();
        world.ask(&from(address), enrol(None, request)).map(|_| ())
    };

    assert_eq!(ask("192.0.2.1"), Ok(()));
    assert_eq!(ask("192.0.2.77"), Ok(()));
    assert_eq!(ask("192.0.2.3"), Err(Refusal::TooMany { retry_after: 30 }));
    assert_eq!(ask("192.0.3.1"), Ok(()), "another network");
    assert_eq!(ask("2001:db8::1"), Ok(()));
    assert_eq!(ask("2001:db8::2"), Ok(()));
    assert_eq!(
        ask("2001:db8::3"),
        Err(Refusal::TooMany { retry_after: 30 })
    );
}

/// Guesses are counted, good tokens are not; but a network that guesses has no luck either.
fn guess(world: &mut World, address: &str, number: usize) -> Result<Reply, Refusal> {
    let token = Token::parse(&format!("guess{number}")).expect("a token");
    world.ask(&from(address), enrol(Some(token), newcomer().1))
}

#[test]
fn tokens_cannot_be_guessed_and_who_has_a_good_one_never_waits_for_those_who_try() {
    let mut world = World::with(|settings| {
        settings.enrolments = Rate {
            count: 3,
            seconds: 60,
        };
        settings.all_enrolments = Rate {
            count: 5,
            seconds: 60,
        };
    });
    for number in 0..3 {
        let reply = guess(&mut world, "192.0.2.1", number);
        assert_eq!(reply, Err(Refusal::BadToken));
    }
    let here = guess(&mut world, "192.0.2.2", 3);
    assert!(matches!(here, Err(Refusal::TooMany { .. })), "{here:?}");
    // from everywhere together
    for number in 4..6 {
        let reply = guess(&mut world, &format!("203.0.{number}.1"), number);
        assert_eq!(reply, Err(Refusal::BadToken));
    }
    let anywhere = guess(&mut world, "198.51.100.1", 6);
    assert!(
        matches!(anywhere, Err(Refusal::TooMany { .. })),
        "{anywhere:?}"
    );

    // of the same network of addresses, while nobody else gets through
    let token = add_token(&mut world);
    let reply = world.ask(&from("192.0.2.3"), enrol(Some(token), newcomer().1));
    assert!(matches!(reply, Ok(Reply::Issued { .. })), "{reply:?}");
}

#[test]
fn a_token_that_can_be_guessed_is_limited_as_guesses_are() {
    let weak = Token::stored("abcdefgh".to_owned());
    let entry = super::super::token::TokenEntry {
        token: weak.clone(),
        email: Email::stored("a@example.com".to_owned()),
        prefix_length: 16,
        created: START,
        node: None,
    };
    let mut world = World::with(|settings| {
        settings.enrolments = Rate {
            count: 1,
            seconds: 60,
        };
    });
    let stored = Stored {
        tokens: vec![entry],
        ..Stored::default()
    };
    let settings = world.rules.settings.clone();
    let authority = Box::new(authority("2001:db8:42::/48"));
    world.rules = Rules::restore(settings, authority, stored).expect("rules");
    world.pass(0);
    assert_eq!(guess(&mut world, "192.0.2.1", 0), Err(Refusal::BadToken));

    let (_, request) = newcomer();
    let enrol = || enrol(Some(weak.clone()), request.clone());
    let here = world.ask(&from("192.0.2.1"), enrol());
    let elsewhere = world.ask(&from("198.51.100.1"), enrol());

    assert!(matches!(here, Err(Refusal::TooMany { .. })), "{here:?}");
    assert!(elsewhere.is_ok(), "{elsewhere:?}");
}

#[test]
fn whose_clock_is_an_hour_behind_finds_the_certificate_valid() {
    let mut world = World::new();
    let node = world.enrol();
    world.pass(300 * DAY);
    let (_, request) = newcomer();
    let command = Command::Renew {
        request: Some(request),
    };
    let renewed = issued(world.ask(&node.caller(), command));
    assert_eq!(node.certificate.not_before(), START.minus(3_600));
    assert_eq!(renewed.not_before(), world.now.minus(3_600));
}

#[test]
fn what_the_disk_refused_can_be_taken_back() {
    let mut world = World::new();
    let token = add_token(&mut world);
    let (_, request) = newcomer();
    let before = format!("{:?}", world.rules.state);

    let outcome = world.outcome(&stranger(), enrol(Some(token), request));
    assert!(outcome.reply.is_ok());
    assert_ne!(format!("{:?}", world.rules.state), before);
    world.rules.undo(&outcome.changes);

    assert_eq!(format!("{:?}", world.rules.state), before);
}

#[test]
fn no_secret_is_in_what_is_shown_or_noted_down() {
    let mut world = World::new();
    let token = add_token(&mut world);
    let (_, request) = newcomer();

    let outcome = world.outcome(&stranger(), enrol(Some(token.clone()), request));

    assert!(!format!("{outcome:?}").contains(token.reveal()));
}

#[test]
fn the_number_of_a_node_is_the_smallest_that_is_free() {
    let mut world = World::new();
    world
        .operate(Command::SetParameters {
            changes: vec![
                ("ipv4".to_owned(), Some("10.42.0.0/16".into())),
                ("ipv4-subnet-bits".to_owned(), Some(8.into())),
            ],
        })
        .expect("an IPv4 network");
    let nodes: Vec<Node> = (0..4).map(|_| world.enrol()).collect();
    let which = CertificateName::Prefix(nodes[1].prefix());

    let ipv4 = world.summary(which).expect("it is there").ipv4;
    world
        .operate(Command::Revoke { which })
        .expect("it is there");
    let next = world.enrol();

    assert_eq!(
        ipv4.map(|address| address.to_string()).as_deref(),
        Some("10.42.1.1/24")
    );
    assert_eq!(next.certificate.subject_serial().0, 1);
    assert_eq!(next.prefix(), nodes[1].prefix(), "the hole is used again");
    assert_eq!(next.serial(), 5, "but serial numbers are not");
}
