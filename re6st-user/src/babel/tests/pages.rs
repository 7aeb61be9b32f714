//! What people are shown of big tables: page by page, each of them short.

use std::collections::BTreeSet;

use super::{
    bench::{Bench, OTHER, THIRD, update},
    network::prefix,
};

/// A speaker with two neighbours that announce so many prefixes each.
fn speaker(prefixes: usize) -> Bench {
    let mut bench = Bench::new(|_, _| {});
    for (neighbour, router) in [(OTHER, 5), (THIRD, 6)] {
        bench.meet(neighbour);
        for n in 0..prefixes {
            bench.hear(neighbour, &[update(neighbour, n, router, 1, 0)]);
        }
    }
    bench
}

#[test]
fn the_pages_together_have_every_route_once() {
    let bench = speaker(3_000);
    let routes = bench.routes(None);
    let expected: BTreeSet<_> = (0..3_000).map(prefix).collect();
    let shown: BTreeSet<_> = routes.iter().map(|route| route.route).collect();
    assert!(shown.is_superset(&expected));
    assert_eq!(shown.len(), routes.len(), "none twice");
    assert_eq!(routes.len(), bench.speaker.totals().prefixes);
}

#[test]
fn no_page_is_long_however_big_the_table_or_rare_what_is_wanted() {
    let bench = speaker(20_000);
    let near = prefix(19_999).to();
    for near in [None, Some(near)] {
        let mut from = Some(0);
        while let Some(begin) = from {
            let page = bench.speaker.route_page(bench.now, begin, near);
            assert!(page.items.len() <= 256);
            let next = page.next.unwrap_or(begin);
            assert!(next - begin <= 8_192, "prefixes looked at");
            from = page.next;
        }
    }
}

#[test]
fn a_prefix_shows_what_lies_in_it_and_what_it_lies_in() {
    let bench = speaker(10);
    let of = |near: &str| {
        let near = near.parse().ok();
        let routes = bench.routes(near).into_iter();
        routes.map(|route| route.route).collect::<BTreeSet<_>>()
    };
    let one = prefix(3);
    let inside = format!("{}/128", one.to().addr());
    assert_eq!(of(&inside), BTreeSet::from([one]), "an address in it");
    assert_eq!(of("::/0").len(), bench.speaker.totals().prefixes);
    assert_eq!(of("2001:db8:ffff::/48"), BTreeSet::new());
    assert_eq!(of("10.0.0.0/8"), BTreeSet::new(), "another family");
}

#[test]
fn what_comes_after_the_end_is_empty() {
    let bench = speaker(1);
    for from in [1_000, u32::MAX] {
        let page = bench.speaker.route_page(bench.now, from, None);
        assert_eq!((page.items.len(), page.next), (0, None));
        let page = bench.speaker.neighbour_page(from);
        assert_eq!((page.items.len(), page.next), (0, None));
    }
}
