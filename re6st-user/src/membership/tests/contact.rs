//! When the registry is asked, and what happens while it is away.

use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;

use super::world::{World, mac_keys, parameters};
use crate::{
    membership::messages::{Action, Answer, Failure, FailureKind, Input, Keep, Question},
    time::{DAY, Now},
};

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn a_node_that_starts_learns_everything_at_once_and_then_waits_for_news() {
    let mut world = World::new(365);

    world.run(Duration::from_secs(1));

    let report = world
        .member
        .report(world.now.wall, "https://registry.example/");
    assert_eq!(report.parameters.unwrap().number, 1);
    assert_eq!(report.revocations.unwrap().number, 1);
    assert_eq!(report.mac_keys, Some("sign and accept one key"));
    assert_eq!(report.problem, None);
    let (_, last) = world.asked.last().unwrap();
    assert_eq!(
        *last,
        Question::Parameters {
            after: Some(1),
            wait: MINUTE
        }
    );
    // four questions, then one a minute
    assert_eq!(world.asked.len(), 4);
    world.run(MINUTE * 60);
    assert!(
        (60..=68).contains(&world.asked.len()),
        "{}",
        world.asked.len()
    );
}

#[test]
fn changed_parameters_are_there_as_soon_as_they_are_published() {
    let mut world = World::new(365);
    world.run(MINUTE);
    assert_eq!(
        world.member.babel_parameters().hello_interval,
        Duration::from_secs(15)
    );

    world.publish(2, 1, 1, &json!({"hello-interval": 4}));
    world.run(Duration::from_secs(1));

    let babel = world.member.babel_parameters();
    assert_eq!(babel.hello_interval, Duration::from_secs(4));
    // four Hellos, as always without a parameter
    assert_eq!(babel.update_interval, Duration::from_secs(16));
    assert_eq!(
        world.count(|question| matches!(question, Question::MacKeys { .. })),
        1
    );
}

#[test]
fn a_registry_that_is_away_for_months_is_asked_ever_more_rarely_and_found_in_minutes_when_it_is_back()
 {
    let mut world = World::new(365);
    world.run(MINUTE);
    world.take_down();
    world.asked.clear();

    world.run(MINUTE);
    let in_the_first_minute = world.asked.len();
    world.run_days(20);
    let all = world.asked.len();
    world.asked.clear();
    world.run_days(1);
    let in_a_day = world.asked.len();

    assert!(
        (3..=7).contains(&in_the_first_minute),
        "{in_the_first_minute}"
    );
    assert!((4_000..=9_000).contains(&all), "{all}");
    assert!((220..=400).contains(&in_a_day), "{in_a_day}");
    // said once, not 10,000 times
    assert_eq!(world.said.iter().filter(|text| *text == "no").count(), 1);
    // what was known is known
    assert_eq!(
        world.member.babel_parameters().hello_interval,
        Duration::from_secs(15)
    );

    world.registry.up = true;
    world.publish(9, 1, 1, &json!({"hello-interval": 3}));
    world.run(Duration::from_secs(451));
    assert_eq!(
        world.member.babel_parameters().hello_interval,
        Duration::from_secs(3)
    );
    assert!(world.has_said("the registry answers again"));
}

#[test]
fn nodes_do_not_all_come_back_in_the_same_second() {
    // all lost the registry in the same second, months ago; in which second of the ten minutes after it is back do they come?
    let mut seconds = std::collections::BTreeMap::<u64, u32>::new();
    let mut world = World::new(365);
    world.run(MINUTE);
    for seed in 0..300 {
        let mut node = world.restarted(seed);
        node.registry.up = false;
        node.run(Duration::from_secs(7200));
        node.asked.clear();
        node.run(Duration::from_secs(600));
        let (first, _) = node.asked[0];
        *seconds.entry(first.elapsed.0 / 1_000_000).or_default() += 1;
        world = node;
        world.registry.up = true;
    }
    let most = seconds.values().max().unwrap();
    assert!(*most <= 12, "{most} of 300 in one second: {seconds:?}");
}

#[test]
fn a_registry_that_does_not_wait_for_news_is_not_asked_in_a_tight_loop() {
    let mut world = World::new(365);
    world.registry.impatient = true;

    world.run(MINUTE * 60);

    assert!(world.asked.len() < 20, "{}", world.asked.len());
}

#[test]
fn a_registry_that_is_behind_is_given_back_what_it_has_lost() {
    let mut world = World::new(365);
    world.run(MINUTE);
    world.publish(9, 1, 1, &json!({"hello-interval": 3}));
    world.run(MINUTE);
    // it goes, and comes back as it was once
    world.take_down();
    world.run(MINUTE);
    world.registry.up = true;
    world.publish(1, 1, 1, &json!({"hello-interval": 15}));
    world.asked.clear();

    world.run(MINUTE * 10);

    let handed = world.count(|question| matches!(question, Question::HandBack));
    assert!((1..=12).contains(&handed), "{handed}");
    assert_eq!(world.member.held().parameters_number(), Some(9));
    let (parameters, revocations) = world.member.held().envelopes();
    assert!(parameters.contains("payload") && revocations.is_some());

    world.publish(10, 1, 1, &json!({"hello-interval": 4}));
    world.run(MINUTE * 20);
    assert_eq!(world.member.held().parameters_number(), Some(10));
    let report = world.member.report(world.now.wall, "");
    assert_eq!(report.problem, None);
    world.asked.clear();
    world.run(MINUTE * 60);
    assert_eq!(
        world.count(|question| matches!(question, Question::HandBack)),
        0
    );
}

#[test]
fn a_busy_registry_is_left_alone_as_long_as_it_asks_for() {
    let mut world = World::new(365);
    world.registry.busy = Some(Duration::from_secs(100));
    world.run(Duration::from_secs(99));
    assert_eq!(world.asked.len(), 1);
    world.run(Duration::from_secs(60));
    assert_eq!(world.asked.len(), 2);

    // nobody is sent away for months
    world.registry.busy = Some(Duration::from_secs(90 * DAY));
    world.run(Duration::from_secs(1000));
    world.registry.busy = None;
    world.run(Duration::from_secs(600));
    assert_eq!(world.member.held().parameters_number(), Some(1));
}

#[test]
fn a_clock_that_is_set_makes_the_node_try_at_once() {
    let mut world = World::new(365);
    world.registry.up = false;
    world.run_days(1);
    world.asked.clear();

    // two years back: nothing is valid yet, says TLS
    world.now.wall = world.now.wall.minus(730 * DAY);
    world.input(Input::Time);
    assert!(world.has_said("the clock of this host was set"));
    assert_eq!(world.asked.len(), 1);
    world.run(Duration::from_secs(7200));
    world.asked.clear();
    // and right again
    world.now.wall = world.now.wall.plus(730 * DAY);
    world.registry.up = true;
    world.run(Duration::from_secs(1));
    assert!(world.asked.len() >= 4, "{:?}", world.asked);
    assert_eq!(world.member.report(world.now.wall, "").problem, None);
}

#[test]
fn what_could_not_be_kept_is_kept_when_there_is_room() {
    let mut world = World::new(365);
    world.disk_full = true;
    world.run(MINUTE);
    let report = world.member.report(world.now.wall, "");
    assert!(
        report
            .warnings
            .iter()
            .any(|text| text.contains("disk full")),
        "{:?}",
        report.warnings
    );
    assert_eq!(report.parameters.unwrap().number, 1, "used all the same");

    world.publish(2, 1, 1, &json!({"hello-interval": 2}));
    world.run(MINUTE);
    world.disk_full = false;
    world.run(MINUTE * 2);

    let numbers: Vec<_> = world
        .kept
        .iter()
        .filter(|keep| matches!(keep, Keep::Parameters(_)))
        .collect();
    assert_eq!(numbers.len(), 1, "only the last one");
    let world = world.restarted(2);
    assert_eq!(world.member.held().parameters_number(), Some(2));
    assert_eq!(
        world.member.report(world.now.wall, "").warnings,
        Vec::<String>::new()
    );
}

#[test]
fn a_registry_that_says_at_once_is_left_alone_ever_longer() {
    let mut world = World::new(365);
    world.registry.busy = Some(Duration::ZERO);
    world.run(MINUTE * 60);
    assert!(world.asked.len() < 40, "{}", world.asked.len());
}

/// What a registry may answer, and what it answers to questions of another kind.
#[derive(Clone, Copy, Debug)]
enum Whim {
    Busy,
    Away,
    Untrusted,
    Refused,
    Same,
    Newer,
    Nothing,
    Else,
}

fn whim() -> impl Strategy<Value = Whim> {
    use Whim::*;
    prop::sample::select(vec![
        Busy, Away, Untrusted, Refused, Same, Newer, Newer, Nothing, Else,
    ])
}

impl Whim {
    fn answer(self, world: &World, question: Question, number: u64) -> Result<Answer, Failure> {
        let failure = |kind| {
            let message = "no".to_owned();
            Err(Failure { message, kind })
        };
        let document = |number| {
            let values = json!({"hello-interval": number % 60 + 1});
            parameters(&world.authority, number, number, number, &values)
        };
        match (self, question) {
            (Self::Busy, _) => failure(FailureKind::Busy(Duration::ZERO)),
            (Self::Away, _) => failure(FailureKind::Away),
            (Self::Untrusted, _) => failure(FailureKind::Untrusted),
            (Self::Refused, _) => failure(FailureKind::Refused),
            (Self::Nothing, _) => Ok(Answer::Document(None)),
            (Self::Else, _) => Ok(Answer::Certificate("something".to_owned())),
            (_, Question::HandBack) => Ok(Answer::Taken),
            (_, Question::MacKeys { .. }) => Ok(Answer::MacKeys(mac_keys("0a", None))),
            (_, Question::Presence { .. }) => Ok(Answer::Others(vec![vec![1; 100]; 9])),
            (_, Question::Renewal) => Ok(Answer::Certificate(world.registry.certificate.clone())),
            (_, Question::Successions) => Ok(Answer::Successions(vec![b"{}".to_vec(); 9])),
            (_, Question::Revocations { .. }) => {
                let list = super::world::revocations(&world.authority, number, &[5]);
                Ok(Answer::Document(Some(list)))
            }
            (Self::Newer, _) => Ok(Answer::Document(Some(document(number)))),
            (Self::Same, _) => {
                let held = world.member.held().parameters.as_ref();
                let same = held.map_or_else(|| document(number), |it| it.envelope().to_vec());
                Ok(Answer::Document(Some(same)))
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// A registry that answers at once is asked no more than once a second for long, whatever the answers are.
    #[test]
    fn no_answer_makes_a_node_ask_in_a_tight_loop(whims in prop::collection::vec(whim(), 1..6)) {
        let mut world = World::new(365);
        let mut now = world.now;
        let end = now.elapsed + MINUTE * 10;
        let mut asked = 0_u64;
        let mut pending = None;
        while now.elapsed < end {
            let input = match pending.take() {
                Some(question) => {
                    let whim = whims[usize::try_from(asked).unwrap() % whims.len()];
                    Input::Answered(whim.answer(&world, question, asked + 1))
                }
                None => Input::Time,
            };
            let mut actions = Vec::new();
            world.member.handle(now, input, &mut actions);
            for action in actions {
                if let Action::Ask(question) = action {
                    asked += 1;
                    pending = Some(question);
                }
            }
            let next = match pending {
                Some(_) => now.elapsed + Duration::from_millis(1),
                None => world.member.next_deadline(),
            };
            prop_assert!(next > now.elapsed, "it does not come to rest");
            now = Now {
                elapsed: next,
                wall: world.now.wall.plus(next.since(world.now.elapsed).as_secs()),
            };
        }
        prop_assert!(asked <= 640, "{asked} questions in ten minutes");
    }
}
