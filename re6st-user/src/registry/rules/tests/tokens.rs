//! Tokens are asked for, given and taken back.

use super::{
    super::{
        Change, Notice,
        audit::Action,
        token::{Email, Token},
    },
    *,
};

fn email(text: &str) -> Email {
    Email::parse(text).expect("an address")
}

fn add(token: Option<&str>, prefix_length: Option<u8>) -> Command {
    Command::AddToken {
        email: email("a@example.com"),
        token: token.map(|text| Token::parse(text).expect("a token")),
        right: TokenRight::Newcomer { prefix_length },
    }
}

#[test]
fn by_mail() {
    let mut world = World::new();

    let outcome = world.outcome(
        &stranger(),
        Command::RequestToken {
            email: email("b@example.com"),
        },
    );

    assert_eq!(
        outcome.reply,
        Ok(Reply::Done),
        "the answer does not tell the token"
    );
    let [Notice::Mail { email, token }] = &outcome.notices[..] else {
        panic!("{outcome:?}")
    };
    assert_eq!(email.as_str(), "b@example.com");
    let (_, request) = newcomer();
    let reply = world.ask(&stranger(), enrol(Some(token.clone()), request));
    assert!(
        matches!(reply, Ok(Reply::Issued { certificate, .. }) if certificate.email.as_deref() == Some("b@example.com"))
    );
}

#[test]
fn mails_are_limited_by_sender_and_by_address() {
    let mut world = World::with(|settings| {
        settings.token_requests = Rate {
            count: 2,
            seconds: 600,
        };
        settings.mails = Rate {
            count: 1,
            seconds: 600,
        };
    });
    let mut ask = |from_: &str, to: &str| {
        world
            .ask(&from(from_), Command::RequestToken { email: email(to) })
            .map(|_| ())
    };
    assert_eq!(ask("192.0.2.1", "a@example.com"), Ok(()));
    let flood = ask("198.51.100.1", "A@Example.com");
    assert!(
        matches!(flood, Err(Refusal::TooMany { retry_after: 600 })),
        "{flood:?}"
    );
    assert_eq!(ask("192.0.2.1", "b@example.com"), Ok(()));
    assert_eq!(
        ask("192.0.2.1", "c@example.com"),
        Err(Refusal::TooMany { retry_after: 300 })
    );
    assert_eq!(
        ask("198.51.100.1", "c@example.com"),
        Ok(()),
        "who was refused took nothing of hers"
    );
}

/// Who floods from everywhere takes nothing of what is kept for an address.
#[test]
fn mails_that_all_together_are_refused_cost_an_address_nothing() {
    let mut world = World::with(|settings| {
        settings.all_token_requests = Rate {
            count: 1,
            seconds: 60,
        };
        settings.mails = Rate {
            count: 1,
            seconds: 3600,
        };
    });
    let mut ask = |seconds: u64, to: &str| {
        world.now = START.plus(seconds);
        world
            .ask(&stranger(), Command::RequestToken { email: email(to) })
            .map(|_| ())
    };
    assert_eq!(ask(0, "a@example.com"), Ok(()));
    for _ in 0..3 {
        assert_eq!(
            ask(1, "b@example.com"),
            Err(Refusal::TooMany { retry_after: 59 })
        );
    }
    assert_eq!(ask(60, "b@example.com"), Ok(()));
}

#[test]
fn the_operator_lists_and_deletes() {
    let mut world = World::new();
    let Ok(Reply::Token(token)) = world.operate(add(None, Some(20))) else {
        panic!("no token")
    };
    let Ok(Reply::Tokens(list)) = world.operate(Command::ListTokens) else {
        panic!("no list")
    };
    assert_eq!(list.len(), 1);
    assert_eq!((list[0].id, list[0].prefix_length), (token.digest(), 20));
    assert!(
        !serde_json::to_string(&list)
            .expect("JSON")
            .contains(token.reveal())
    );

    assert_eq!(
        world.operate(Command::DeleteToken { token: list[0].id }),
        Ok(Reply::Done)
    );
    let again = world.operate(Command::DeleteToken { token: list[0].id });
    assert!(matches!(again, Err(Refusal::NotFound(_))), "{again:?}");
}

#[test]
fn the_operators_own_token() {
    let mut world = World::new();
    let word = "k3v9x2m7q1z8w4t6y5p0";
    assert!(
        matches!(
            world.operate(add(Some("abcdefgh"), None)),
            Err(Refusal::Invalid(_))
        ),
        "too easy"
    );
    assert!(world.operate(add(Some(word), None)).is_ok());
    assert!(matches!(
        world.operate(add(Some(word), None)),
        Err(Refusal::Conflict(_))
    ));
    assert!(matches!(
        world.operate(add(None, Some(0))),
        Err(Refusal::Invalid(_))
    ));
    assert!(matches!(
        world.operate(add(None, Some(81))),
        Err(Refusal::Invalid(_))
    ));
}

#[test]
fn their_number_is_bounded() {
    let mut world = World::with(|settings| settings.maximum_tokens = 2);
    for _ in 0..2 {
        assert!(world.operate(add(None, None)).is_ok());
    }
    assert!(matches!(
        world.operate(add(None, None)),
        Err(Refusal::Unavailable(_))
    ));
}

#[test]
fn strangers_and_nodes_have_no_part_in_it() {
    let mut world = World::new();
    let node = world.enrol();
    for caller in [stranger(), node.caller()] {
        for command in [
            add(None, None),
            Command::ListTokens,
            Command::GetParameters,
            Command::Time,
        ] {
            assert_eq!(world.ask(&caller, command), Err(Refusal::Forbidden));
        }
    }
}

/// How often a refused token stands in the audit log for a command.
fn refusals_noted(world: &mut World, from: &Caller, token: &str) -> usize {
    let token = Token::parse(token).expect("a token");
    let outcome = world.outcome(from, enrol(Some(token), newcomer().1));
    assert_eq!(outcome.reply.err(), Some(Refusal::BadToken));
    let refused = |change: &&Change| matches!(change, Change::Audit(entry) if entry.action == Action::TokenRefused);
    assert!(outcome.changes.iter().all(|change| refused(&change)));
    outcome.changes.len()
}

#[test]
fn refused_tokens_are_in_the_audit_log_which_guessers_cannot_fill() {
    let mut world = World::new();
    let guess = "k3v9x2m7q1z8w4t6y5p0";

    assert_eq!(refusals_noted(&mut world, &stranger(), guess), 1);
    let noted: usize = (0..1_000)
        .map(|_| refusals_noted(&mut world, &stranger(), guess))
        .sum();
    assert_eq!(noted, 4, "of one network");
    let noted: usize = (0..1_000)
        .map(|network| {
            let address = format!("10.{}.{}.1", network / 256, network % 256);
            refusals_noted(&mut world, &from(&address), guess)
        })
        .sum();
    assert_eq!(noted, 95, "of all together");
    world.pass(86_400);
    assert_eq!(refusals_noted(&mut world, &stranger(), guess), 1);
}
