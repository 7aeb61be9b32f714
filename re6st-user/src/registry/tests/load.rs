//! Many at once. The bounds here are wide, for machines that do other work; the numbers are printed.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{io::AsyncWriteExt as _, task::JoinSet};

use super::support::{TestNode, TestRegistry, newcomer};
use crate::registry::server::PATIENCE;

const UNLIMITED: &str = "anonymous-prefix-length = 16\n[limits]\nconnections-per-source = 2000\n\
                         enrolments = { count = 1, seconds = 0 }\nall-enrolments = { count = 1, seconds = 0 }\n";

/// The median time a node waits for the parameters.
async fn latency(registry: &TestRegistry, node: &TestNode) -> Duration {
    let client = registry.as_node(node);
    let mut times = Vec::new();
    for _ in 0..300 {
        let begin = Instant::now();
        client.parameters(None, Duration::ZERO).await.unwrap();
        times.push(begin.elapsed());
    }
    times.sort();
    times[times.len() / 2]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_slow_and_idle_connections_slow_nobody_down() {
    let registry = TestRegistry::with(UNLIMITED, PATIENCE).await;
    let node = registry.enrol().await;
    let before = latency(&registry, &node).await;
    let mut crowd = Vec::new();
    for number in 0..1000 {
        let mut stream = registry.connect().await;
        // idle, in the middle of a head, in the middle of a body
        let sent: &[u8] = match number % 3 {
            0 => b"",
            1 => b"GET /v1/health HT",
            _ => b"POST /v1/tokens HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{",
        };
        stream.write_all(sent).await.unwrap();
        crowd.push(stream);
    }

    let among = latency(&registry, &node).await;

    println!("median of a fetch: {before:?} alone, {among:?} among 1000 slow connections");
    assert!(
        among < before * 2 + Duration::from_millis(2),
        "{before:?} {among:?}"
    );
    drop(crowd);
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_are_fetched_thousands_of_times_a_second() {
    const FETCHES: usize = 4_000;
    let registry = Arc::new(TestRegistry::with(UNLIMITED, PATIENCE).await);
    let mut nodes = Vec::new();
    for _ in 0..8 {
        nodes.push(registry.enrol().await);
    }
    let clients: Vec<_> = nodes.iter().map(|node| registry.as_node(node)).collect();
    for client in &clients {
        client.parameters(None, Duration::ZERO).await.unwrap();
    }

    let begin = Instant::now();
    let mut tasks = JoinSet::new();
    let count = clients.len();
    for client in clients {
        tasks.spawn(async move {
            for _ in 0..FETCHES / count {
                client.parameters(None, Duration::ZERO).await.unwrap();
            }
        });
    }
    tasks.join_all().await;

    let rate = FETCHES as f64 / begin.elapsed().as_secs_f64();
    println!("{rate:.0} fetches of the parameters a second, clients included");
    assert!(rate > 300.0, "{rate}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_newcomers_are_enrolled_together() {
    const NEWCOMERS: usize = 512;
    let registry = Arc::new(TestRegistry::with(UNLIMITED, PATIENCE).await);
    let begin = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..32 {
        let registry = Arc::clone(&registry);
        tasks.spawn(async move {
            let client = registry.client();
            let mut names = Vec::new();
            for _ in 0..NEWCOMERS / 32 {
                let (_, request) = newcomer();
                let issued = client.enrol(&request, None, None).await.unwrap();
                names.push(issued.common_name);
            }
            names
        });
    }
    let mut names: Vec<_> = tasks.join_all().await.concat();

    let rate = NEWCOMERS as f64 / begin.elapsed().as_secs_f64();
    println!("{rate:.0} enrolments a second, clients included");
    assert!(rate > 20.0, "{rate}");
    names.sort();
    names.dedup();
    assert_eq!(names.len(), NEWCOMERS);
}
