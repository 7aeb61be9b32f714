//! Slow, idle and too many connections; a server that ends.

use std::time::{Duration, Instant};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{sleep, timeout},
};

use super::support::{TestRegistry, newcomer, read_all};
use crate::registry::{
    config::RegistryConfig,
    http::serve::Patience,
    server::{OpenRegistry, PATIENCE},
};

const IMPATIENT: Patience = Patience {
    handshake: Duration::from_millis(500),
    head: Duration::from_millis(500),
    body: Duration::from_millis(500),
    ..PATIENCE
};

#[tokio::test(flavor = "multi_thread")]
async fn whoever_does_not_shake_hands_is_cut_off() {
    let registry = TestRegistry::with("", IMPATIENT).await;
    let mut silent = TcpStream::connect(registry.address).await.unwrap();
    let mut slow = TcpStream::connect(registry.address).await.unwrap();
    slow.write_all(b"\x16\x03\x01").await.unwrap();

    for stream in [&mut silent, &mut slow] {
        let mut buffer = [0; 16];
        let end = timeout(Duration::from_secs(10), stream.read(&mut buffer)).await;
        assert!(matches!(end, Ok(Ok(0) | Err(_))), "{end:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_trickles_in_is_cut_off() {
    let registry = TestRegistry::with("", IMPATIENT).await;
    let mut stream = registry.connect().await;
    let begin = Instant::now();
    let request =
        b"GET /v1/health HTTP/1.1\r\nHost: x\r\nX-Slow: 0123456789012345678901234567890123456789";
    for octet in request {
        if stream.write_all(&[*octet]).await.is_err() {
            break;
        }
        stream.flush().await.ok();
        sleep(Duration::from_millis(50)).await;
    }

    let answer = read_all(&mut stream, Duration::from_secs(5)).await;

    assert!(!answer.contains(" 200 "), "{answer}");
    assert!(begin.elapsed() < Duration::from_secs(30));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let registry = TestRegistry::with("", IMPATIENT).await;
    let mut stream = registry.connect().await;
    let head = "POST /v1/tokens HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{";
    stream.write_all(head.as_bytes()).await.unwrap();

    let answer = read_all(&mut stream, Duration::from_secs(5)).await;

    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_with_too_many_connections_only_hurts_itself() {
    let few =
        "anonymous-prefix-length = 16\n[limits]\nconnections = 40\nconnections-per-source = 10\n";
    let registry = TestRegistry::with(few, PATIENCE).await;
    let node = registry.enrol().await;
    let client = registry.as_node(&node);
    client.parameters(None, Duration::ZERO).await.unwrap();

    let mut crowd = Vec::new();
    for _ in 0..60 {
        crowd.push(registry.connect().await);
    }

    // newcomers are served, also from there, and a node keeps its connection
    let (_, request) = newcomer();
    registry.client().enrol(&request, None, None).await.unwrap();
    client.parameters(None, Duration::ZERO).await.unwrap();
    let mut open = 0;
    for stream in &mut crowd {
        let mut buffer = [0; 16];
        if timeout(Duration::from_millis(20), stream.read(&mut buffer))
            .await
            .is_err()
        {
            open += 1;
        }
    }
    assert!((1..=10).contains(&open), "{open}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_there_after_the_end_and_there_is_one_file() {
    let registry = TestRegistry::start().await;
    let client = registry.client();
    let enrolling = tokio::spawn(async move {
        let mut enrolled = 0;
        loop {
            let (_, request) = newcomer();
            // the last ones meet the end of the server, or its limits
            match client.enrol(&request, None, None).await {
                Ok(_) => enrolled += 1,
                Err(_) => return enrolled,
            }
        }
    });
    sleep(Duration::from_millis(300)).await;

    let registry = registry.restart().await;

    let enrolled: usize = enrolling.await.unwrap();
    let nodes: Vec<serde_json::Value> = registry
        .operator()
        .get("/v1/admin/certificates", &())
        .await
        .unwrap();
    assert!(
        enrolled > 0 && nodes.len() >= enrolled,
        "{enrolled} {}",
        nodes.len()
    );
    let directory = registry.end().await;
    let left = std::fs::read_dir(directory.path()).unwrap();
    let mut left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(
        left,
        [
            "ca.crt",
            "ca.key",
            "registry.db",
            "registry.mark",
            "registry.toml"
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn only_one_process_has_a_database() {
    let registry = TestRegistry::start().await;
    let directory = registry.directory.path();
    let other = tempfile::tempdir().unwrap();
    let database = directory.join("registry.db");
    std::os::unix::fs::symlink(&database, other.path().join("linked.db")).unwrap();
    std::fs::hard_link(&database, directory.join("hard.db")).unwrap();
    let config = std::fs::read_to_string(directory.join("registry.toml")).unwrap();
    for name in [
        "registry.db",
        "hard.db",
        other.path().join("linked.db").to_str().unwrap(),
    ] {
        let text = config.replace("registry.db", name);
        let config = RegistryConfig::parse(&text, directory).unwrap();

        let second = OpenRegistry::open(&config);

        let error = second.unwrap_err().to_string();
        assert!(error.contains("already open"), "{name}: {error}");
    }
}
