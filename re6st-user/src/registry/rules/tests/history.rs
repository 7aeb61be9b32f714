//! Whatever happens, in whatever order: no prefix and no number is given twice, nothing is lost, and what the disk
//! refused has never happened.

use std::{collections::BTreeSet, rc::Rc};

use proptest::prelude::*;

use super::{
    super::{community::Communities, state::State, tree::Block},
    *,
};

#[derive(Clone, Debug)]
enum Step {
    Enrol { community: u8 },
    EnrolAgain(prop::sample::Index),
    Renew(prop::sample::Index),
    Reissue(prop::sample::Index),
    RevokeSerial(prop::sample::Index),
    End(prop::sample::Index),
    Communities(usize),
    Pass { days: u16 },
    RotateMacKeys { at_once: bool },
}

/// Whose key a certificate is for.
enum Asker {
    Nobody,
    New(PrivateKey),
    Known(Rc<Node>),
}

fn step() -> impl Strategy<Value = (Step, bool)> {
    let any_node = any::<prop::sample::Index>;
    let step = prop_oneof![
        6 => (0..3_u8).prop_map(|community| Step::Enrol { community }),
        1 => any_node().prop_map(Step::EnrolAgain),
        2 => any_node().prop_map(Step::Renew),
        1 => any_node().prop_map(Step::Reissue),
        1 => any_node().prop_map(Step::RevokeSerial),
        2 => any_node().prop_map(Step::End),
        1 => (0..3_usize).prop_map(Step::Communities),
        2 => (0..200_u16).prop_map(|days| Step::Pass { days }),
        1 => any::<bool>().prop_map(|at_once| Step::RotateMacKeys { at_once }),
    ];
    // one in four finds the disk full
    (step, prop::bool::weighted(0.25))
}

const COMMUNITIES: [&str; 3] = ["", "00 FR\n1 *\n", "000 FR\n01 DE @EU\n11 *"];

impl World {
    /// What is asked, and for which key a certificate may be the answer.
    fn command(&mut self, step: Step, nodes: &[Rc<Node>]) -> Option<(Caller, Command, Asker)> {
        let node = |index: prop::sample::Index| {
            (!nodes.is_empty()).then(|| &nodes[index.index(nodes.len())])
        };
        let (caller, command) = match step {
            Step::Enrol { community } => {
                let (key, request) = newcomer();
                let location = ["FR,EU", "IT,EU", "US,NA"][usize::from(community)];
                let location = super::super::community::Location::parse(location).ok();
                let command = Command::Enrol {
                    token: None,
                    request,
                    location,
                };
                return Some((stranger(), command, Asker::New(key)));
            }
            Step::EnrolAgain(index) => {
                let node = node(index)?;
                let command = enrol(None, request_for(&node.key));
                return Some((stranger(), command, Asker::Known(Rc::clone(node))));
            }
            Step::Renew(index) => {
                let node = node(index)?;
                let command = Command::Renew { request: None };
                return Some((node.caller(), command, Asker::Known(Rc::clone(node))));
            }
            Step::Reissue(index) => {
                let add = Command::AddToken {
                    email: Email::parse("a@example.com").expect("an address"),
                    token: None,
                    right: TokenRight::Node(node(index)?.prefix()),
                };
                let Ok(Reply::Token(token)) = self.operate(add) else {
                    return None;
                };
                let (key, request) = newcomer();
                return Some((stranger(), enrol(Some(token), request), Asker::New(key)));
            }
            Step::RevokeSerial(index) => {
                let which = CertificateName::Serial(node(index)?.certificate.serial());
                (operator(), Command::Revoke { which })
            }
            Step::End(index) => {
                let which = CertificateName::Prefix(node(index)?.prefix());
                (operator(), Command::Revoke { which })
            }
            Step::Communities(number) => {
                let text = COMMUNITIES[number].to_owned();
                (operator(), Command::SetCommunities { text })
            }
            Step::Pass { .. } => (operator(), Command::ConfirmClock),
            Step::RotateMacKeys { at_once } => (operator(), Command::RotateMacKeys { at_once }),
        };
        Some((caller, command, Asker::Nobody))
    }

    /// All that has to be true at any time.
    fn assert_consistent(&self) {
        let state = &self.rules.state;
        let blocks: Vec<_> = state
            .tree
            .blocks(None)
            .map(|(prefix, block)| (prefix, block.clone()))
            .collect();
        let mut numbers = BTreeSet::new();
        let mut serials = BTreeSet::new();
        for (prefix, block) in &blocks {
            match block {
                Block::Held(certificate) => {
                    assert!(
                        numbers.insert(certificate.subject_serial),
                        "two nodes with one number"
                    );
                    assert!(
                        serials.insert(certificate.serial),
                        "two certificates with one serial number"
                    );
                    assert!(certificate.serial.number() <= state.serial);
                    let revoked = state.revocations.contains_key(&certificate.serial);
                    let key = state.revoked_keys.contains_key(&certificate.key);
                    assert!(key || !revoked, "a certificate without its key");
                    let expired = certificate.not_after < self.now;
                    assert!(revoked || !key || expired, "a key without its certificate");
                }
                Block::Free => {
                    let sibling = prefix
                        .sibling()
                        .and_then(|sibling| state.tree.get(&sibling));
                    assert_ne!(
                        sibling,
                        Some(&Block::Free),
                        "{prefix} and its sibling are free"
                    );
                }
                Block::Reserved => {}
            }
        }
        // made again from its rows it is the same: no index has gone astray, and the blocks are a partition
        let rebuilt = State::new(
            self.rules.settings.maximum(),
            Stored {
                blocks,
                tokens: state.tokens.values().cloned().collect(),
                revocations: state.revocations.clone(),
                revoked_keys: state.revoked_keys.clone(),
                replaced: state.replaced.clone(),
                serial: state.serial,
                registry_prefix: state.registry_prefix,
                number: state.number,
                mac_keys: state.mac_keys.clone(),
                parameters: (*state.parameters).clone(),
                communities: Communities::parse(state.communities.text()).expect("communities"),
                publication: state.publication.clone(),
                clock: state.clock,
            },
        );
        assert_eq!(rebuilt.expect("a partition"), *state);
    }
}

fn copy(key: &PrivateKey) -> PrivateKey {
    PrivateKey::from_pem(&key.to_pem()).expect("a key")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_happens(steps in prop::collection::vec(step(), 1..60)) {
        // seven bits of prefix in nine: the space gets full
        let mut world = World::with(|settings| {
            settings.network = "2001:db8:42::/119".parse().expect("a network");
            settings.anonymous_prefix_length = 5;
            settings.prefix_length = 5;
        });
        world.rules.issuer = Box::new(authority("2001:db8:42::/119"));
        let mut nodes: Vec<Rc<Node>> = Vec::new();
        let mut number = 0;
        let mut revoked = BTreeSet::new();
        for (step, disk_full) in steps {
            if let Step::Pass { days } = step {
                world.now = world.now.plus(u64::from(days) * DAY);
            }
            let Some((caller, command, asker)) = world.command(step, &nodes) else {
                continue;
            };
            let before = format!("{:?}", world.rules.state);
            let outcome = world.outcome(&caller, command);
            if disk_full || outcome.reply.is_err() {
                world.rules.undo(&outcome.changes);
                prop_assert_eq!(format!("{:?}", world.rules.state), before);
                continue;
            }
            world.assert_consistent();
            if let Ok(Reply::Issued { pem, .. }) = outcome.reply {
                let certificate = NodeCertificate::from_pem(&pem).expect("a certificate");
                let key = match asker {
                    Asker::New(key) => key,
                    Asker::Known(node) => copy(&node.key),
                    Asker::Nobody => panic!("a certificate for nobody"),
                };
                prop_assert_eq!(certificate.public_key(), key.public_key());
                prop_assert!(!revoked.contains(&key.public_key().id()), "a revoked key");
                nodes.push(Rc::new(Node { key, certificate }));
            }
            revoked.extend(world.rules.state.revoked_keys.keys().copied());
            let published = world.rules.state.number;
            prop_assert!(published >= number);
            number = published;
        }
    }
}
