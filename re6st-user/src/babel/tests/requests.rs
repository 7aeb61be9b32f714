//! Requests for newer sequence numbers (RFC 8966 sections 3.8.1.2 and 3.8.2): who answers, who is asked, how often.

use std::{net::Ipv6Addr, time::Duration};

use super::{
    bench::{Bench, OTHER, THIRD, requests, retraction, update, updates},
    network::{prefix, router_id},
};
use crate::babel::{message::Message, quantities::SequenceNumber};

fn request(number: u16, origin: usize, hop_count: u8) -> Message {
    Message::SequenceNumberRequest {
        route: prefix(100),
        router_id: router_id(origin),
        sequence_number: SequenceNumber(number),
        hop_count,
    }
}

#[test]
fn a_request_for_a_newer_number_is_passed_on_once_and_not_for_ever() {
    // section 3.8.1.2
    let mut bench = Bench::new(|_, lan| lan.split_horizon = false);
    bench.meet(OTHER);
    bench.meet(THIRD);
    bench.hear(OTHER, &[update(OTHER, 100, 5, 7, 10)]);
    bench.wait(Duration::from_millis(200));
    bench.said();
    bench.hear(THIRD, &[request(8, 5, 1)]);
    bench.wait(Duration::from_millis(50));
    assert_eq!(requests(&bench.said()), [], "its way ends here");
    for _ in 0..3 {
        bench.hear(THIRD, &[request(8, 5, 9)]);
    }
    bench.wait(Duration::from_millis(50));
    assert_eq!(requests(&bench.said()), [(prefix(100), 8, 8)]);
    bench.hear(OTHER, &[update(OTHER, 100, 5, 8, 10)]);
    bench.wait(Duration::from_millis(50));
    let answered = bench
        .sent()
        .into_iter()
        .any(|(to, messages)| to == THIRD && updates(&messages, 100) == [(8, 106)]);
    assert!(answered, "who asked hears of it at once");
}

const FOURTH: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 4);

/// A route by OTHER that is used, and one by THIRD that is not feasible.
fn one_feasible() -> Bench {
    let mut bench = Bench::new(|_, lan| lan.split_horizon = false);
    for neighbour in [OTHER, THIRD, FOURTH] {
        bench.meet(neighbour);
    }
    bench.hear(OTHER, &[update(OTHER, 100, 5, 7, 10)]);
    bench.hear(THIRD, &[update(THIRD, 100, 5, 7, 300)]);
    bench.wait(Duration::from_millis(200));
    bench.said();
    bench
}

/// Who is asked for a newer number now.
fn asked(bench: &mut Bench) -> Vec<Ipv6Addr> {
    bench.wait(Duration::from_millis(50));
    let sent = bench.sent().into_iter();
    sent.flat_map(|(to, messages)| vec![to; requests(&messages).len()])
        .collect()
}

#[test]
fn who_took_back_what_it_was_asked_for_is_asked_again() {
    let mut bench = one_feasible();
    bench.hear(FOURTH, &[request(8, 5, 9)]);
    assert_eq!(asked(&mut bench), [OTHER]);

    bench.hear(OTHER, &[Message::RetractAll, update(OTHER, 100, 5, 7, 300)]);

    let asked = asked(&mut bench);
    assert!(asked.contains(&OTHER), "it may have forgotten: {asked:?}");
}

#[test]
fn who_takes_back_the_route_it_was_asked_for_blocks_nobody_else() {
    // section 3.8.2.1
    for taken_back in [retraction(100), Message::RetractAll] {
        let mut bench = one_feasible();
        bench.hear(FOURTH, &[request(8, 5, 9)]);
        assert_eq!(asked(&mut bench), [OTHER]);
        bench.hear(OTHER, &[taken_back]);
        assert_eq!(asked(&mut bench), [THIRD], "at once");
        bench.hear(OTHER, &[update(OTHER, 100, 5, 6, 500)]);
        assert_eq!(asked(&mut bench), [OTHER], "it has another");
        bench.hear(THIRD, &[update(THIRD, 100, 5, 8, 300)]);
        bench.wait(Duration::from_millis(50));
        let answered = |(to, messages): &(Ipv6Addr, Vec<Message>)| {
            *to == FOURTH && updates(messages, 100) == [(8, 396)]
        };
        assert!(bench.sent().iter().any(answered));
    }
}

#[test]
fn all_who_have_a_route_are_asked_if_none_is_feasible() {
    // section 3.8.2.1
    let mut bench = one_feasible();
    bench.hear(FOURTH, &[update(FOURTH, 100, 5, 7, 500)]);
    assert!(asked(&mut bench).is_empty(), "there is a better one");
    bench.hear(OTHER, &[retraction(100)]);
    let mut all = asked(&mut bench);
    all.sort();
    assert_eq!(all, [THIRD, FOURTH]);
}

#[test]
fn a_request_that_comes_again_is_passed_on_again_but_not_at_once() {
    let mut bench = one_feasible();
    bench.hear(FOURTH, &[request(8, 5, 9)]);
    assert_eq!(asked(&mut bench), [OTHER]);
    bench.hear(FOURTH, &[request(8, 5, 9)]);
    assert!(asked(&mut bench).is_empty(), "a duplicate");
    bench.wait(Duration::from_secs(1));
    bench.hear(FOURTH, &[request(8, 5, 9)]);
    assert_eq!(asked(&mut bench), [OTHER], "the first was lost");
}

#[test]
fn a_request_that_our_route_satisfies_is_answered() {
    // section 3.8.1.2: as new as asked, or of another origin
    let mut bench = Bench::new(|_, lan| lan.split_horizon = false);
    bench.meet(OTHER);
    bench.meet(THIRD);
    bench.hear(OTHER, &[update(OTHER, 100, 5, 7, 10)]);
    bench.wait(Duration::from_millis(200));
    for asked in [request(7, 5, 9), request(9, 6, 9)] {
        bench.said();
        bench.hear(THIRD, &[asked]);
        bench.wait(Duration::from_millis(50));
        let said = bench.said();
        assert_eq!(updates(&said, 100), [(7, 106)]);
        assert_eq!(requests(&said), []);
    }
}

#[test]
fn a_request_of_ours_is_repeated_three_times_less_and_less_often() {
    // section 3.8.2.1 and appendix B
    let mut bench = Bench::new(|_, _| {});
    bench.meet(OTHER);
    bench.meet(THIRD);
    bench.hear(OTHER, &[update(OTHER, 100, 5, 7, 10)]);
    bench.hear(THIRD, &[update(THIRD, 100, 5, 7, 300)]);
    bench.wait(Duration::from_secs(1));
    bench.said();
    bench.hear(OTHER, &[retraction(100)]);
    let mut seconds = Vec::new();
    for second in 0..40 {
        bench.wait(Duration::from_secs(1));
        if !requests(&bench.said()).is_empty() {
            seconds.push(second);
        }
    }
    assert_eq!(seconds, [0, 2, 6, 14]);
}

#[test]
fn a_request_is_answered_by_a_route_that_was_not_in_use() {
    // whoever asked may have no way at all, so a newer route is used even if it is no better; whether it came before the
    // request or after it
    for metric in [10, 60] {
        for is_there in [true, false] {
            let mut bench = one_feasible();
            let newer = [update(THIRD, 100, 5, 8, metric)];
            if is_there {
                bench.hear(THIRD, &newer);
            }
            assert_eq!(bench.selected(100), Some(OTHER));
            bench.said();
            bench.hear(FOURTH, &[request(8, 5, 9)]);
            if !is_there {
                bench.hear(THIRD, &newer);
            }
            bench.wait(Duration::from_millis(50));
            let answered = |(to, messages): &(Ipv6Addr, Vec<Message>)| {
                *to == FOURTH && updates(messages, 100) == [(8, metric + 96)]
            };
            assert!(bench.sent().iter().any(answered), "{metric} {is_there}");
            assert_eq!(bench.selected(100), Some(THIRD));
        }
    }
}

#[test]
fn nobody_waits_for_a_route_that_is_avoided() {
    let mut bench = one_feasible();
    bench.hear(THIRD, &[update(THIRD, 100, 5, 8, 20_000)]);
    bench.hear(FOURTH, &[request(8, 5, 9)]);
    bench.wait(Duration::from_millis(50));
    assert_eq!(bench.selected(100), Some(OTHER));
}
