//! Certificates that are no good, shown by somebody who speaks the protocol as well as any node.

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use re6st_user::{
    certificate::{
        node::NodeCertificate,
        static_key::{StaticKey, StaticPublicKey},
        verify::Authorities,
    },
    channel::{ChannelCredentials, Peer},
    time::DAY,
};
use serde_json::Value;
use testbed::{
    channel::{Issuer, Speaker, name, wall},
    host::Host,
};

use super::{
    super::{
        clock,
        members::Member,
        support::{OPEN, RegistryHost, node_file, wait_for},
    },
    accepted_keys, add_peer, issuer, outer_address, peer, strangers,
};

/// The number of the first of those whose certificates are no good; the registry's first nodes are below.
const FIRST: u16 = 0x100;
/// The number of one whose certificate is good.
const GOOD: u16 = 0x200;

/// What is wrong with a certificate, and what a node makes of it.
struct Flaw {
    /// The counter of those that are refused for it.
    counter: &'static str,
    /// What log and `status peers` say.
    words: &'static str,
    /// For the node with this number.
    credentials: Box<dyn Fn(u16) -> Result<ChannelCredentials>>,
}

/// All that can be wrong with a certificate without a word of the registry.
fn flaws(registry: &RegistryHost) -> Result<[Flaw; 5]> {
    let (expired, early, stolen) = (issuer(registry)?, issuer(registry)?, issuer(registry)?);
    let self_made = Issuer::new("2001:db8:42::/48")?;
    let foreign = Issuer::new("2001:db8:43::/48")?;
    let now = wall()?;
    Ok([
        Flaw {
            counter: "refused_expired",
            words: "its certificate has expired",
            credentials: Box::new(move |number| {
                // the network may be as young as its registry is
                expired.credentials_between(number, now.minus(DAY), now.minus(DAY / 2))
            }),
        },
        Flaw {
            counter: "refused_not_yet_valid",
            words: "its certificate is not valid yet",
            credentials: Box::new(move |number| {
                early.credentials_between(number, now.plus(DAY), now.plus(2 * DAY))
            }),
        },
        Flaw {
            counter: "refused_unknown_authority",
            words: "its certificate is not of an authority of this network",
            credentials: Box::new(move |number| self_made.credentials(number)),
        },
        Flaw {
            counter: "refused_unknown_authority",
            words: "its certificate is not of an authority of this network",
            credentials: Box::new(move |number| foreign.credentials(number)),
        },
        Flaw {
            counter: "refused_other_key",
            words: "its certificate is for another key than the one it has",
            credentials: Box::new(move |number| {
                // the certificate was seen somewhere, its key was not
                let mut stolen = stolen.credentials(number)?;
                stolen.key = StaticKey::generate()?;
                Ok(stolen)
            }),
        },
    ])
}

/// Where the node with this number is on its host.
fn address(host: &Host, number: u16) -> Result<SocketAddr> {
    Ok(SocketAddr::new(
        outer_address(host)?.parse()?,
        20_000 + number,
    ))
}

/// Speaks for the node with this number; it calls the other one if it knows where that is.
fn speak(
    host: &Host,
    number: u16,
    credentials: ChannelCredentials,
    node: &NodeCertificate,
    target: Option<SocketAddr>,
) -> Result<Speaker> {
    let peer = Peer {
        node: node.prefix(),
        addresses: target.into_iter().collect(),
        key: node.static_key(),
    };
    Speaker::start(host, address(host, number)?, credentials, peer)
}

/// A node, and on hosts of their own those who show it what is no good.
struct Scene {
    registry: RegistryHost,
    node: Member,
    flaws: Vec<(Flaw, Host)>,
    certificate: NodeCertificate,
}

impl Scene {
    fn new() -> Result<Self> {
        let registry = RegistryHost::new(&OPEN, "")?;
        let node = Member::new(&registry, "node", &["--anonymous"])?;
        node.configure(|text| text.replace("interfaces = [\"lan0\"]", "interfaces = []"))?;
        let certificate = NodeCertificate::from_pem(&node_file(&node.host, "cert.crt")?)?;
        let hosts = ["expired", "early", "self-made", "foreign", "stolen"];
        let hosts = hosts.map(|name| registry.newcomer(name));
        let hosts = hosts.into_iter().collect::<Result<Vec<_>>>()?;
        let flaws = flaws(&registry)?.into_iter().zip(hosts).collect();
        Ok(Self {
            registry,
            node,
            flaws,
            certificate,
        })
    }

    /// Where the node is.
    fn target(&self) -> Result<SocketAddr> {
        Ok(SocketAddr::new(
            outer_address(&self.node.host)?.parse()?,
            4754,
        ))
    }

    /// What a speaker shows that would take the node for one of its own.
    fn credentials(&self, number: u16, flaw: &Flaw) -> Result<ChannelCredentials> {
        let mut credentials = (flaw.credentials)(number)?;
        credentials.authorities = Authorities::from_pem(&node_file(&self.node.host, "ca.crt")?)?;
        Ok(credentials)
    }

    /// Waits until each flaw was met, and checks that nobody has got anything.
    fn assert_refused(&self, speakers: &[Speaker]) -> Result<()> {
        let node = &self.node;
        for (flaw, _) in &self.flaws {
            let same = self.flaws.iter();
            let same = same.filter(|(other, _)| other.counter == flaw.counter);
            let same = same.count() as u64;
            wait_for(flaw.counter, || {
                Ok(node.controller()?["channels"][flaw.counter].as_u64() >= Some(same))
            })
            .with_context(|| node.said())?;
            assert!(node.said().contains("is refused: "), "{}", node.said());
        }
        let channels = node.controller()?["channels"].clone();
        for nothing in ["initiations_answered", "sessions_completed"] {
            assert_eq!(channels[nothing], 0, "{channels}");
        }
        assert!(speakers.iter().all(|speaker| !speaker.has_tunnel()));
        assert!(accepted_keys(node)?.is_empty());
        Ok(())
    }
}

#[test]
fn nobody_who_calls_gets_in_by_a_certificate_that_is_no_good() -> Result<()> {
    // arrange
    let mut scene = Scene::new()?;
    let target = scene.target()?;
    let mut speakers = Vec::new();
    for (number, (flaw, host)) in (FIRST..).zip(&scene.flaws) {
        let credentials = scene.credentials(number, flaw)?;
        speakers.push(speak(
            host,
            number,
            credentials,
            &scene.certificate,
            Some(target),
        )?);
    }

    // act
    scene.node.start()?;

    // assert
    scene.assert_refused(&speakers)?;
    assert_eq!(scene.node.peers()?.trim(), "", "nobody has become a peer");
    // one of the same kind gets in by a good certificate
    let (_, host) = scene.flaws.first().context("no host")?;
    let credentials = issuer(&scene.registry)?.credentials(GOOD)?;
    let good = speak(host, GOOD, credentials, &scene.certificate, Some(target))?;
    good.tunnel().with_context(|| scene.node.said())?;
    Ok(())
}

#[test]
fn nobody_who_is_called_gets_in_by_a_certificate_that_is_no_good() -> Result<()> {
    // arrange: the node names them all, with their keys, and where they are
    let mut scene = Scene::new()?;
    let mut speakers = Vec::new();
    for (number, (flaw, host)) in (FIRST..).zip(&scene.flaws) {
        let credentials = scene.credentials(number, flaw)?;
        let key = hexadecimal(&credentials.key.public_key());
        let lines = format!(
            "\n[[peer]]\nnode    = \"{}\"\naddress = \"{}\"\nkey     = \"{key}\"\n",
            name(number)?.common_name(),
            address(host, number)?
        );
        scene.node.configure(|text| text + &lines)?;
        speakers.push(speak(host, number, credentials, &scene.certificate, None)?);
    }

    // act
    scene.node.start()?;

    // assert: and each is said by name
    scene.assert_refused(&speakers)?;
    for (number, (flaw, host)) in (FIRST..).zip(&scene.flaws) {
        let called = name(number)?.common_name();
        let line = format!(
            "{called} at {} is refused: {}",
            address(host, number)?,
            flaw.words
        );
        let said = scene.node.said();
        assert!(said.contains(&line), "no {line:?} in {said}");
        let peers = scene.node.peers()?;
        let mut peers = peers.lines().map(serde_json::from_str::<Value>);
        let shown = peers.find_map(|peer| peer.ok().filter(|peer| peer["peer"] == called));
        let shown = shown.with_context(|| format!("{called} is not shown"))?;
        assert!(shown["why"].to_string().contains(flaw.words), "{shown}");
    }
    Ok(())
}

/// As the configuration has keys.
fn hexadecimal(key: &StaticPublicKey) -> String {
    key.octets().map(|octet| format!("{octet:02x}")).concat()
}

#[test]
fn a_node_whose_clock_is_years_off_says_that_the_others_certificate_is_not_valid_then() -> Result<()>
{
    const YEARS: u64 = 2 * 365 * DAY;
    for (ahead, words) in [
        (true, "its certificate has expired"),
        (
            false,
            "the authority of its certificate is not valid at this time",
        ),
    ] {
        // arrange: it needs nobody to tell it the other one's key
        let (_registry, mut members) = strangers()?;
        let [a, b] = &mut members;
        add_peer(a, b)?;
        let certificate = NodeCertificate::from_pem(&node_file(&b.host, "cert.crt")?)?;
        let key = certificate.static_key().context("no key")?;
        a.configure(|text| format!("{text}key     = \"{}\"\n", hexadecimal(&key)))?;
        let now = clock::now()?;

        // act
        clock::set(if ahead { now + YEARS } else { now - YEARS })?;
        a.start()?;
        clock::set(now)?;
        b.start()?;

        // assert
        wait_for("the reason", || {
            Ok(peer(a).is_ok_and(|peer| peer["why"].to_string().contains(words)))
        })
        .with_context(|| format!("{:?}\n{}\n---\n{}", peer(a), a.said(), b.said()))?;
        for member in [a, b] {
            assert!(accepted_keys(member)?.is_empty(), "{}", member.said());
        }
    }
    Ok(())
}
