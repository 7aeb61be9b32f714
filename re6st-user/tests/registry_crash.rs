//! The registry's process is killed at any moment under load: what it has told anybody is there again at the next start,
//! and nothing is half done.
//!
//! The test runs itself as the process that is killed, with the database in the environment.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs,
    reason = "a test ends where it fails"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command as Process, Stdio},
    thread,
    time::Duration,
};

use re6st_user::{
    certificate::{
        authority::Authority,
        key::{KeyAlgorithm, PrivateKey},
        node_prefix::NodePrefix,
        request::CertificateRequest,
        serial::Serial,
        subject::Subject,
    },
    rate::Rate,
    registry::{
        Registry, Request,
        rules::{
            Caller, CertificateName, CertificateSummary, Command, Randomness, Reply, Settings,
            TokenRight,
            token::{Email, Token},
        },
        store::Store,
    },
    time::{DAY, Timestamp},
};

const NOW: Timestamp = Timestamp(1_800_000_000);
const NETWORK: &str = "2001:db8:42::/48";
const DATABASE: &str = "RE6ST_TEST_DATABASE";
const ROUNDS: u64 = 12;

/// SplitMix64: tokens of tests need not be secret.
struct Random(u64);

impl Randomness for Random {
    fn fill(&mut self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(8) {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let octets = (mixed ^ (mixed >> 27)).to_be_bytes();
            chunk.copy_from_slice(&octets[..chunk.len()]);
        }
    }
}

fn open(database: &Path) -> Registry {
    let terms = re6st_user::certificate::authority::AuthorityTerms {
        network: NETWORK.parse().unwrap(),
        common_name: "test",
        subject: &Subject::default(),
        not_before: NOW.minus(DAY),
        not_after: NOW.plus(3_650 * DAY),
    };
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let authority = Authority::create(key, &terms).unwrap();
    let unlimited = Rate {
        count: 1,
        seconds: 0,
    };
    let settings = Settings {
        anonymous_prefix_length: 16,
        enrolments: unlimited,
        all_enrolments: unlimited,
        ..Settings::new(NETWORK.parse().unwrap())
    };
    let mut registry =
        Registry::open(database, settings, Box::new(authority)).expect("the database is whole");
    ask(&mut registry, vec![(Caller::Registry, Command::Time)]);
    registry
}

fn operator() -> Caller {
    Caller::Operator {
        name: "root".to_owned(),
    }
}

fn stranger() -> Caller {
    Caller::Anonymous {
        address: [192, 0, 2, 1].into(),
    }
}

/// All have to be done.
fn ask(registry: &mut Registry, requests: Vec<(Caller, Command)>) -> Vec<Reply> {
    let mut random = Random(u64::from(std::process::id()));
    let requests = requests
        .into_iter()
        .map(|(from, command)| Request { from, command });
    let handled = registry.handle(NOW, &mut random, requests.collect());
    handled
        .replies
        .into_iter()
        .map(|reply| reply.expect("done"))
        .collect()
}

fn newcomer(token: Option<Token>) -> (Caller, Command) {
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let request = CertificateRequest::make(&key, None, &Subject::default()).unwrap();
    let command = Command::Enrol {
        token,
        request: Box::new(request),
        location: None,
    };
    (stranger(), command)
}

/// Works without end, and tells what is done: `token EMAIL`, `enrolled PREFIX SERIAL EMAIL` or `ended PREFIX SERIAL`.
#[test]
fn the_process_that_is_killed() {
    let Some(database) = env::var_os(DATABASE) else {
        // the other test starts this one
        return;
    };
    let mut registry = open(Path::new(&database));
    let mut told = std::io::stdout();
    let mut random = Random(u64::from(std::process::id()));
    let mut tell = |line: &str| {
        // one write: a line is told whole or not at all
        told.write_all(format!("\n{line}\n").as_bytes()).unwrap();
        told.flush().unwrap();
    };
    for turn in 0.. {
        let email = format!("t{}-{turn}@example.com", std::process::id());
        let token = Token::generate(&mut random);
        let add = Command::AddToken {
            email: Email::parse(&email).unwrap(),
            token: Some(token.clone()),
            right: TokenRight::Newcomer {
                prefix_length: None,
            },
        };
        ask(&mut registry, vec![(operator(), add)]);
        tell(&format!("token {email}"));
        let batch = vec![newcomer(Some(token)), newcomer(None), newcomer(None)];
        let mut last = None;
        for reply in ask(&mut registry, batch) {
            let Reply::Issued { certificate, .. } = reply else {
                panic!("{reply:?}")
            };
            let email = certificate.email.as_deref().unwrap_or("-");
            tell(&format!(
                "enrolled {} {} {email}",
                certificate.common_name, certificate.serial
            ));
            last = (!certificate.registry).then_some(certificate);
        }
        let certificate = last.expect("not the first one");
        let prefix = NodePrefix::from_common_name(&certificate.common_name).unwrap();
        let end = Command::Revoke {
            which: CertificateName::Prefix(prefix),
        };
        ask(&mut registry, vec![(operator(), end)]);
        tell(&format!(
            "ended {} {}",
            certificate.common_name, certificate.serial
        ));
    }
}

/// A folder that ends with the test.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What was told before the process was killed.
fn run_and_kill(database: &Path, after: Duration) -> Vec<String> {
    let mut process = Process::new(env::current_exe().unwrap())
        .args(["--exact", "the_process_that_is_killed", "--nocapture"])
        .env(DATABASE, database)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let reader = thread::spawn(move || lines.map_while(Result::ok).collect::<Vec<String>>());
    kill_after(&mut process, database, after);
    reader.join().unwrap()
}

/// Some time after it has begun to write.
fn kill_after(process: &mut Child, database: &Path, after: Duration) {
    let log = database.with_extension("db-wal");
    for _ in 0..1000 {
        if log.exists() {
            break;
        }
        thread::sleep(Duration::from_millis(10));
    }
    thread::sleep(after);
    process.kill().expect("it was still at work");
    process.wait().unwrap();
}

fn list(database: &Path) -> (Vec<CertificateSummary>, BTreeSet<String>, BTreeSet<Serial>) {
    let mut registry = open(database);
    let list = Command::ListCertificates {
        after: None,
        limit: 10_000,
    };
    let questions = [list, Command::ListTokens, Command::FetchRevocations];
    let replies = ask(
        &mut registry,
        questions.map(|command| (Caller::Registry, command)).into(),
    );
    let [
        Reply::Certificates(certificates),
        Reply::Tokens(tokens),
        Reply::Revocations(document),
    ] = &replies[..]
    else {
        panic!("{replies:?}")
    };
    let tokens = tokens.iter().map(|token| token.email.clone()).collect();
    let revoked = document
        .revoked
        .iter()
        .map(|revoked| revoked.serial)
        .collect();
    let certificates = certificates.clone();
    registry.close().unwrap();
    (certificates, tokens, revoked)
}

#[test]
fn nothing_told_is_lost_and_nothing_is_half_done() {
    let folder = Folder(env::temp_dir().join(format!("re6st-crash-{}", std::process::id())));
    fs::create_dir(&folder.0).unwrap();
    let database = folder.0.join("registry.db");
    Store::create(&database).unwrap();
    let mut emails = BTreeSet::new();
    let mut enrolled: BTreeMap<Serial, (String, String)> = BTreeMap::new();
    let mut ended = BTreeSet::new();
    for round in 0..ROUNDS {
        // a different moment each time
        let after = Duration::from_micros(
            1_000 + round * round * 900 + u64::from(std::process::id()) % 1_000,
        );
        for line in run_and_kill(&database, after) {
            let words: Vec<&str> = line.split(' ').collect();
            let serial = |text: &str| Serial::new(text.parse().unwrap()).unwrap();
            match words[..] {
                ["token", email] => {
                    emails.insert(email.to_owned());
                }
                ["enrolled", name, number, email] => {
                    enrolled.insert(serial(number), (name.to_owned(), email.to_owned()));
                }
                ["ended", _, number] => {
                    ended.insert(serial(number));
                }
                _ => {}
            }
        }

        let (certificates, tokens, revoked) = list(&database);

        let by_serial: BTreeMap<Serial, &CertificateSummary> = certificates
            .iter()
            .map(|certificate| (certificate.serial, certificate))
            .collect();
        assert_eq!(
            by_serial.len(),
            certificates.len(),
            "two certificates with one serial number"
        );
        for (serial, (name, _)) in &enrolled {
            match by_serial.get(serial) {
                Some(certificate) => {
                    assert_eq!(&certificate.common_name, name);
                    assert!(!ended.contains(serial), "the end of {serial} is lost");
                    assert!(!revoked.contains(serial), "{serial} is half ended");
                }
                None => assert!(revoked.contains(serial), "{serial} is lost"),
            }
        }
        assert!(
            ended.iter().all(|serial| revoked.contains(serial)),
            "a revocation is lost"
        );
        // a token is there, or else the certificate it was exchanged for: never both, never neither
        let holders: BTreeSet<&str> = certificates
            .iter()
            .filter_map(|certificate| certificate.email.as_deref())
            .collect();
        for email in &emails {
            assert!(
                tokens.contains(email) != holders.contains(email.as_str()),
                "the token of {email}"
            );
        }
    }
    assert!(
        enrolled.len() > 50,
        "{} were enrolled: too few to show anything",
        enrolled.len()
    );
    assert!(!ended.is_empty());
}
