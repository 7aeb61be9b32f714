//! A clock that jumps: nothing that cannot be undone happens on its word.

use super::*;

const YEAR: u64 = 365 * DAY;
const JUMP: u64 = 470 * DAY;

impl World {
    /// The clock is set; time is looked at as often as the engine does.
    fn jump(&mut self, to: Timestamp) -> Outcome {
        self.now = to;
        self.outcome(&Caller::Registry, Command::Time)
    }
}

/// Two nodes, one of which has an older certificate as well, a token, and a revoked certificate.
fn world() -> (World, [Node; 2]) {
    let mut world = World::new();
    let nodes = [world.enrol(), world.enrol()];
    let (_, request) = newcomer();
    let command = Command::Renew {
        request: Some(request),
    };
    world.ask(&nodes[0].caller(), command).expect("another key");
    let add = Command::AddToken {
        email: Email::parse("a@example.com").expect("an address"),
        token: None,
        right: TokenRight::Newcomer {
            prefix_length: None,
        },
    };
    world.operate(add).expect("a token");
    let which = CertificateName::Serial(nodes[1].certificate.serial());
    world
        .operate(Command::Revoke { which })
        .expect("it is there");
    (world, nodes)
}

fn warnings(outcome: &Outcome) -> usize {
    let about_the_clock = |notice: &&super::super::Notice| matches!(notice, super::super::Notice::Warning(text) if text.contains("registry clock confirm"));
    outcome.notices.iter().filter(about_the_clock).count()
}

#[test]
fn a_clock_that_jumps_once_ends_nothing_and_all_is_as_before_when_it_is_right_again() {
    for days in [2, 8, 29, 150, 470, 3_000] {
        let (mut world, nodes) = world();
        let start = world.now;
        let before = format!("{:?}", world.rules.state);

        let said: usize = (0..100)
            .map(|minute| warnings(&world.jump(start.plus(days * DAY + minute * 60))))
            .sum();
        assert_eq!(said, 1, "{days} days: it is said once");
        assert_eq!(world.rules.next_deadline(), None, "nothing is due by it");
        let Ok(Reply::Clock(clock)) = world.operate(Command::GetClock) else {
            panic!("no clock")
        };
        assert!(clock.doubted && clock.seen == Some(start), "{clock:?}");
        world.jump(start.plus(60));

        assert_eq!(format!("{:?}", world.rules.state), before, "{days} days");
        let renew = world.ask(&nodes[0].caller(), Command::FetchParameters);
        assert!(renew.is_ok(), "{renew:?}");
        assert!(world.rules.next_deadline().is_some());
    }
}

#[test]
fn a_clock_that_is_behind_is_said_once_and_noted_only_if_the_operator_confirms_it() {
    for (days, behind) in [(0, 0), (1, 0), (2, 1), (91, 1), (600, 1)] {
        let (mut world, _) = world();
        let start = world.now;
        let before = format!("{:?}", world.rules.state);
        let clock = |world: &mut World, command| match world.operate(command) {
            Ok(Reply::Clock(clock)) => clock,
            other => panic!("no clock: {other:?}"),
        };

        let said: usize = (0..100)
            .map(|minute| warnings(&world.jump(start.minus(days * DAY).plus(minute))))
            .sum();

        assert_eq!(said, behind, "{days} days");
        let shown = clock(&mut world, Command::GetClock);
        assert_eq!((shown.doubted, shown.seen), (behind > 0, Some(start)));
        assert_eq!(format!("{:?}", world.rules.state), before, "{days} days");
        if behind > 0 {
            let shown = clock(&mut world, Command::ConfirmClock);
            assert_eq!((shown.doubted, shown.seen), (false, Some(world.now)));
            assert!(world.rules.next_deadline().is_some());
        }
    }
}

#[test]
fn what_is_asked_meanwhile_can_be_mended() {
    let mut world = World::new();
    let _registry = world.enrol();
    let node = world.enrol();
    let start = world.now;
    let number = world.number();
    world.jump(start.plus(JUMP));

    // its certificate is not valid yet by any right clock
    let early = world.enrol();
    assert_eq!(early.certificate.not_before(), world.now.minus(3_600));
    // a revocation is not lost because everything seems to have expired
    let which = CertificateName::Prefix(node.prefix());
    world
        .operate(Command::Revoke { which })
        .expect("it is there");
    assert_eq!(world.revoked(), [node.serial()]);
    // and no number runs away
    let meanwhile = world.number();
    assert!(
        (number + 1..number + 10).contains(&meanwhile),
        "{meanwhile}"
    );

    world.jump(start.plus(60));
    let again = world.ask(&stranger(), enrol(None, request_for(&early.key)));
    let mended = issued(again);
    assert_eq!(mended.prefix(), early.prefix());
    assert!(mended.not_before() < world.now);
    assert_eq!(mended.not_after(), world.now.plus(YEAR));
}

#[test]
fn a_clock_that_the_operator_confirms_is_believed() {
    let (mut world, _) = world();
    let start = world.now;
    world.jump(start.plus(JUMP));
    for caller in [stranger(), Caller::Registry] {
        let reply = world.ask(&caller, Command::ConfirmClock);
        assert_eq!(reply.is_ok(), matches!(caller, Caller::Registry));
    }

    let Ok(Reply::Tokens(tokens)) = world.operate(Command::ListTokens) else {
        panic!("no list")
    };
    assert!(tokens.is_empty(), "{tokens:?}");
    assert_eq!(world.revoked(), [0_u64; 0]);
    let Ok(Reply::Clock(clock)) = world.operate(Command::GetClock) else {
        panic!("no clock")
    };
    assert!(!clock.doubted && clock.seen == Some(world.now), "{clock:?}");
}

#[test]
fn a_registry_that_runs_never_doubts_its_clock() {
    let (mut world, _) = world();
    let end = world.now.plus(YEAR);
    while world.now < end {
        let next = world.rules.next_deadline().expect("something is due");
        let outcome = world.jump(next.max(world.now.plus(1)));
        assert_eq!(warnings(&outcome), 0);
    }
    let Ok(Reply::Tokens(tokens)) = world.operate(Command::ListTokens) else {
        panic!("no list")
    };
    assert!(tokens.is_empty(), "the token has ended in time");
}
