//! openssl accepts what we issue, in its strictest mode, and refuses what it should.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a test says what it wants by stopping"
)]

use std::{
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
    process::{Command, id},
};

use rcgen::{
    CertificateParams, DnType, ExtendedKeyUsagePurpose, Issuer, KeyUsagePurpose, SanType,
    date_time_ymd,
};
use re6st_user::{
    certificate::{
        authority::{Authority, AuthorityTerms},
        issue::NodeTerms,
        key::{KeyAlgorithm, PrivateKey},
        network::SubjectSerial,
        node::{NodeCertificate, REGISTRY_NAME},
        node_prefix::NodePrefix,
        request::CertificateRequest,
        revocations::{Revocation, RevocationList},
        serial::Serial,
        static_key::StaticKey,
        subject::Subject,
    },
    time::{DAY, Timestamp},
};

/// 2026-01-01.
const NOW: Timestamp = Timestamp(1_767_225_600);
const ALGORITHMS: [KeyAlgorithm; 2] = [KeyAlgorithm::EcdsaP256, KeyAlgorithm::Rsa2048];

/// A folder with the files of an authority.
struct Folder {
    path: PathBuf,
    authority: Authority,
}

impl Folder {
    fn new(test: &str, algorithm: KeyAlgorithm) -> Self {
        let name = format!("re6st-openssl-{}-{test}-{algorithm:?}", id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        let terms = AuthorityTerms {
            network: "2001:db8:42::/48".parse().unwrap(),
            common_name: "test network",
            subject: &Subject::default(),
            not_before: NOW,
            not_after: NOW.plus(3650 * DAY),
        };
        let authority =
            Authority::create(PrivateKey::generate(algorithm).unwrap(), &terms).unwrap();
        fs::write(path.join("ca.crt"), authority.certificate().to_pem()).unwrap();
        Self { path, authority }
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path.join(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn node(&self, algorithm: KeyAlgorithm, number: u64) -> NodeCertificate {
        let mut subject = Subject::default();
        subject.push("O", "Node").unwrap();
        let static_key = StaticKey::generate().unwrap().public_key();
        let key = PrivateKey::generate(algorithm).unwrap();
        let request = CertificateRequest::make(&key, Some(static_key), &subject).unwrap();
        let text = self.file("node.csr", &request.to_pem());
        let checked = openssl(&["req", "-verify", "-noout", "-in"], &[&text]);
        assert!(checked.contains("verify OK"), "{checked}");
        let terms = NodeTerms {
            serial: Serial::new(number).unwrap(),
            prefix: NodePrefix::new(5, 16).unwrap(),
            subject_serial: SubjectSerial(3),
            not_before: NOW,
            not_after: NOW.plus(365 * DAY),
        };
        self.authority
            .issue_node((&request).into(), &terms)
            .unwrap()
    }

    /// What `openssl verify` says, an hour after now, in its strict mode.
    fn verify(&self, options: &[&str], certificate: &Path) -> String {
        let time = NOW.plus(3600).to_string();
        let authority = self.path.join("ca.crt");
        let mut arguments = vec!["verify", "-x509_strict", "-attime", &time, "-CAfile"];
        arguments.push(authority.to_str().unwrap());
        arguments.extend(options);
        openssl(&arguments, &[certificate])
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.path));
    }
}

/// What openssl says, on either output.
fn openssl(arguments: &[&str], files: &[&Path]) -> String {
    let output = Command::new("openssl")
        .args(arguments)
        .args(files)
        .output()
        .expect("openssl: `cargo xtask setup` installs it");
    let texts = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    texts.concat()
}

#[test]
fn a_node_is_accepted_as_client_and_as_server() {
    for algorithm in ALGORITHMS {
        let folder = Folder::new("node", algorithm);
        for key in ALGORITHMS {
            let node = folder.file("node.crt", &folder.node(key, 7).to_pem());

            for purpose in ["sslclient", "sslserver"] {
                let address = ["-verify_ip", "2001:db8:42:5::1"];
                let said = folder.verify(&[&["-purpose", purpose][..], &address].concat(), &node);

                assert!(said.ends_with(": OK\n"), "{purpose}: {said}");
            }
        }
    }
}

#[test]
fn the_registry_is_accepted_by_its_name_as_server_only() {
    for algorithm in ALGORITHMS {
        let folder = Folder::new("registry", algorithm);
        let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
        let until = NOW.plus(90 * DAY);
        let certificate = folder
            .authority
            .issue_registry(key.public_key(), Serial::new(9).unwrap(), NOW, until)
            .unwrap();
        let file = folder.file("registry.crt", &certificate.to_pem());

        let named = folder.verify(
            &["-purpose", "sslserver", "-verify_hostname", REGISTRY_NAME],
            &file,
        );
        let misnamed = folder.verify(
            &[
                "-purpose",
                "sslserver",
                "-verify_hostname",
                "x.re6st.internal",
            ],
            &file,
        );
        let client = folder.verify(&["-purpose", "sslclient"], &file);

        assert!(named.ends_with(": OK\n"), "{named}");
        assert!(
            misnamed.to_lowercase().contains("hostname mismatch"),
            "{misnamed}"
        );
        assert!(client.contains("purpose"), "{client}");
    }
}

#[test]
fn a_node_is_not_the_registry() {
    let folder = Folder::new("role", KeyAlgorithm::EcdsaP256);
    let node = folder.file(
        "node.crt",
        &folder.node(KeyAlgorithm::EcdsaP256, 7).to_pem(),
    );

    let said = folder.verify(
        &["-purpose", "sslserver", "-verify_hostname", REGISTRY_NAME],
        &node,
    );

    assert!(said.to_lowercase().contains("hostname mismatch"), "{said}");
}

#[test]
fn the_subject_is_written_as_re6stnet_writes_it() {
    let folder = Folder::new("subject", KeyAlgorithm::EcdsaP256);
    let node = folder.file(
        "node.crt",
        &folder.node(KeyAlgorithm::EcdsaP256, 7).to_pem(),
    );

    let text = openssl(&["x509", "-noout", "-text", "-in"], &[&node]);
    let subject = openssl(
        &[
            "x509",
            "-noout",
            "-subject",
            "-nameopt",
            "oneline,show_type",
            "-in",
        ],
        &[&node],
    );

    assert!(text.contains("Version: 3 (0x2)"), "{text}");
    assert!(text.contains("Serial Number: 7 (0x7)"), "{text}");
    assert!(
        text.contains("Subject: O = Node, serialNumber = 3, CN = 5/16"),
        "{text}"
    );
    assert!(text.contains("IP Address:2001:DB8:42:5:0:0:0:1"), "{text}");
    let typed = "O = UTF8STRING:Node, serialNumber = PRINTABLESTRING:3, CN = UTF8STRING:5/16";
    assert!(subject.contains(typed), "{subject}");
}

#[test]
fn the_authority_is_constrained_to_its_network() {
    for algorithm in ALGORITHMS {
        let folder = Folder::new("constraints", algorithm);
        let address = |text: &str| SanType::IpAddress(text.parse::<IpAddr>().unwrap());
        let host = |name: &str| SanType::DnsName(name.try_into().unwrap());
        for (name, permitted) in [
            (address("2001:db8:42:5::1"), true),
            (host("other.re6st.internal"), true),
            (address("2001:db8:43:5::1"), false),
            (address("10.42.5.1"), false),
            (host("www.example.com"), false),
        ] {
            let file = folder.file("other.crt", &signed_by(&folder.authority, name.clone()));

            let said = folder.verify(&[], &file);

            assert_eq!(said.ends_with(": OK\n"), permitted, "{name:?}: {said}");
            assert_eq!(
                said.contains("permitted subtree violation"),
                !permitted,
                "{said}"
            );
        }
    }
}

/// A certificate with any name, really signed by the authority.
fn signed_by(authority: &Authority, name: SanType) -> String {
    let mut issuer = CertificateParams::default();
    issuer.distinguished_name = rcgen::DistinguishedName::new();
    issuer
        .distinguished_name
        .push(DnType::CommonName, "test network");
    let issuer = Issuer::new(issuer, authority.key());
    let mut parameters = CertificateParams::default();
    parameters.not_before = date_time_ymd(2026, 1, 1);
    parameters.not_after = date_time_ymd(2027, 1, 1);
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    parameters.use_authority_key_identifier_extension = true;
    parameters.subject_alt_names = vec![name];
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let certificate = parameters.signed_by(&key, &issuer).unwrap();
    pem::encode(&pem::Pem::new("CERTIFICATE", certificate.der().to_vec()))
}

#[test]
fn the_revocation_list_is_obeyed() {
    for algorithm in ALGORITHMS {
        let folder = Folder::new("crl", algorithm);
        let issuer = folder.authority.certificate().key_id();
        let mut revoked = RevocationList::default();
        for number in 1..5 {
            let revocation = Revocation {
                at: NOW,
                not_after: NOW.plus(365 * DAY),
            };
            revoked.insert(issuer, Serial::new(number * 200).unwrap(), revocation);
        }
        let list = revoked
            .to_crl(&folder.authority, 7, NOW, NOW.plus(DAY))
            .unwrap();
        let list = folder.file("crl.pem", &pem::encode(&pem::Pem::new("X509 CRL", list)));
        let options = ["-crl_check", "-CRLfile", list.to_str().unwrap()];

        for (number, good) in [(7, true), (200, false), (201, true), (800, false)] {
            let certificate = folder.node(KeyAlgorithm::EcdsaP256, number);
            let node = folder.file("node.crt", &certificate.to_pem());

            let said = folder.verify(&options, &node);

            assert_eq!(said.ends_with(": OK\n"), good, "{number}: {said}");
            assert_eq!(said.contains("certificate revoked"), !good, "{said}");
        }
    }
}

#[test]
fn during_a_succession_nodes_of_both_authorities_are_accepted() {
    for algorithm in ALGORITHMS {
        let mut folder = Folder::new("succession", algorithm);
        let old = folder.node(KeyAlgorithm::EcdsaP256, 7);
        let key = PrivateKey::generate(algorithm).unwrap();
        let successor = folder
            .authority
            .succeed(key, NOW, NOW.plus(3650 * DAY))
            .unwrap();
        let both = folder.authority.certificate().to_pem() + &successor.certificate().to_pem();
        folder.file("ca.crt", &both);
        folder.authority = successor;
        let new = folder.node(KeyAlgorithm::EcdsaP256, 7);

        for certificate in [old, new] {
            let node = folder.file("node.crt", &certificate.to_pem());

            let said = folder.verify(&[], &node);

            assert!(said.ends_with(": OK\n"), "{said}");
        }
    }
}

#[test]
fn keys_are_read_by_openssl() {
    let folder = Folder::new("keys", KeyAlgorithm::EcdsaP256);
    let static_key = StaticKey::generate().unwrap();
    for (text, kind) in [
        (folder.authority.key().to_pem(), "Private-Key: (256 bit)"),
        (
            PrivateKey::generate(KeyAlgorithm::Rsa2048)
                .unwrap()
                .to_pem(),
            "Private-Key: (2048 bit",
        ),
        (static_key.to_pem(), "X25519 Private-Key:"),
    ] {
        let file = folder.file("some.key", &text);

        let said = openssl(&["pkey", "-noout", "-text", "-in"], &[&file]);

        assert!(said.contains(kind), "{said}");
    }
}
