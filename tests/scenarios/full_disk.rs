//! The registry's disk gets full: what is asked then is refused with words, nothing of it has happened, and the registry
//! goes on by itself once there is room. (A small tmpfs, in a mount namespace of its own.)

use std::{fs, path::Path};

use anyhow::Result;
use re6st_user::{
    certificate::{
        authority::{Authority, AuthorityTerms},
        key::{KeyAlgorithm, PrivateKey},
        request::CertificateRequest,
        subject::Subject,
    },
    rate::Rate,
    registry::{
        Registry, Request,
        rules::{Caller, Command, Issuer, Randomness, Refusal, Reply, Settings},
        store::Store,
    },
    time::{DAY, Timestamp},
};
use testbed::{
    host::Testbed,
    mounts::{Mounts, cover},
};

const NOW: Timestamp = Timestamp(1_800_000_000);
const NETWORK: &str = "2001:db8:42::/48";

/// Nothing here is secret.
struct Counting(u8);

impl Randomness for Counting {
    fn fill(&mut self, buffer: &mut [u8]) {
        for octet in buffer {
            self.0 = self.0.wrapping_add(1);
            *octet = self.0;
        }
    }
}

fn authority() -> Box<dyn Issuer> {
    let terms = AuthorityTerms {
        network: NETWORK.parse().unwrap(),
        common_name: "test",
        subject: &Subject::default(),
        not_before: NOW.minus(DAY),
        not_after: NOW.plus(3_650 * DAY),
    };
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    Box::new(Authority::create(key, &terms).unwrap())
}

fn open(path: &Path) -> Registry {
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
    if !path.exists() {
        Store::create(path).unwrap();
    }
    let mut registry = Registry::open(path, settings, authority()).unwrap();
    ask(&mut registry, Command::Time).unwrap();
    registry
}

fn ask(registry: &mut Registry, command: Command) -> Result<Reply, Refusal> {
    let request = Request {
        from: Caller::Registry,
        command,
    };
    let mut handled = registry.handle(NOW, &mut Counting(0), vec![request]);
    handled.replies.pop().unwrap()
}

fn enrol(registry: &mut Registry) -> Result<u64, Refusal> {
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let request = CertificateRequest::make(&key, None, &Subject::default()).unwrap();
    let command = Command::Enrol {
        token: None,
        request: Box::new(request),
        location: None,
    };
    match ask(registry, command)? {
        Reply::Issued { certificate, .. } => Ok(certificate.serial.number()),
        other => panic!("{other:?}"),
    }
}

fn certificates(registry: &mut Registry) -> Reply {
    let list = Command::ListCertificates {
        after: None,
        limit: 10_000,
    };
    ask(registry, list).unwrap()
}

#[test]
fn a_registry_whose_disk_is_full() -> Result<()> {
    let testbed = Testbed::new()?;
    let host = testbed.host("registry")?;
    let disk = host.directory();
    let mounts = Mounts::new(|| cover(disk, "size=2m"))?;
    mounts.enter(|| fill(disk))
}

fn fill(disk: &Path) {
    let database = disk.join("registry.db");
    let ballast = disk.join("ballast");
    let mut registry = open(&database);
    assert_eq!(enrol(&mut registry), Ok(1));
    // all but some room for the log
    fs::write(&ballast, vec![0; 1_200_000]).unwrap();

    let refusal = (0..2_000)
        .find_map(|_| enrol(&mut registry).err())
        .expect("a disk of 2 MB gets full");
    let full = certificates(&mut registry);
    for _ in 0..20 {
        assert_eq!(
            enrol(&mut registry).as_ref().err(),
            Some(&refusal),
            "it stays so"
        );
    }

    assert!(
        matches!(&refusal, Refusal::Unavailable(words) if words.contains("no space is left")),
        "{refusal}"
    );
    assert_eq!(
        certificates(&mut registry),
        full,
        "nothing of it has happened"
    );
    let Reply::Certificates(list) = &full else {
        panic!("{full:?}")
    };
    let last = list
        .iter()
        .map(|certificate| certificate.serial.number())
        .max()
        .unwrap();

    fs::remove_file(&ballast).unwrap();
    assert_eq!(
        enrol(&mut registry),
        Ok(last + 1),
        "it goes on, and no number was lost"
    );
    let memory = certificates(&mut registry);
    registry.close().unwrap();
    let mut registry = open(&database);
    assert_eq!(certificates(&mut registry), memory, "memory and disk agree");
}
