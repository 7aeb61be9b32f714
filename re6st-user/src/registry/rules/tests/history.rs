//! Whatever happens, in whatever order: no prefix and no number is given twice, nothing is lost, and what the disk
//! refused has never happened.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{
    super::{community::Communities, state::State, tree::Block},
    *,
};

#[derive(Clone, Debug)]
enum Step {
    Enrol { community: u8 },
    Renew(prop::sample::Index),
    RevokeSerial(prop::sample::Index),
    End(prop::sample::Index),
    Communities(usize),
    Pass { days: u16 },
    RotateMacKeys,
}

fn step() -> impl Strategy<Value = (Step, bool)> {
    let any_node = any::<prop::sample::Index>;
    let step = prop_oneof![
        6 => (0..3_u8).prop_map(|community| Step::Enrol { community }),
        2 => any_node().prop_map(Step::Renew),
        1 => any_node().prop_map(Step::RevokeSerial),
        2 => any_node().prop_map(Step::End),
        1 => (0..3_usize).prop_map(Step::Communities),
        2 => (0..200_u16).prop_map(|days| Step::Pass { days }),
        1 => Just(Step::RotateMacKeys),
    ];
    // one in four finds the disk full
    (step, prop::bool::weighted(0.25))
}

const COMMUNITIES: [&str; 3] = ["", "00 FR\n1 *\n", "000 FR\n01 DE @EU\n11 *"];

impl World {
    fn command(&self, step: Step, nodes: &[Node]) -> Option<(Caller, Command)> {
        let node = |index: prop::sample::Index| {
            (!nodes.is_empty()).then(|| &nodes[index.index(nodes.len())])
        };
        Some(match step {
            Step::Enrol { community } => {
                let (_, request) = newcomer();
                let location = ["FR,EU", "IT,EU", "US,NA"][usize::from(community)];
                let location = super::super::community::Location::parse(location).ok();
                (
                    stranger(),
                    Command::Enrol {
                        token: None,
                        request,
                        location,
                    },
                )
            }
            Step::Renew(index) => (node(index)?.caller(), Command::Renew { request: None }),
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
            Step::Pass { .. } => (Caller::Registry, Command::Time),
            Step::RotateMacKeys => (operator(), Command::RotateMacKeys),
        })
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
                replaced: state.replaced.clone(),
                serial: state.serial,
                registry_prefix: state.registry_prefix,
                number: state.number,
                mac_keys: state.mac_keys.clone(),
                parameters: (*state.parameters).clone(),
                communities: Communities::parse(state.communities.text()).expect("communities"),
                publication: state.publication.clone(),
            },
        );
        assert_eq!(rebuilt.expect("a partition"), *state);
    }
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
        let mut nodes: Vec<Node> = Vec::new();
        let mut number = 0;
        for (step, disk_full) in steps {
            if let Step::Pass { days } = step {
                world.now = world.now.plus(u64::from(days) * DAY);
            }
            let Some((caller, command)) = world.command(step, &nodes) else {
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
                nodes.retain(|node| node.prefix() != certificate.prefix());
                let (key, _) = newcomer();
                nodes.push(Node { key, certificate });
            }
            let published = world.rules.state.number;
            prop_assert!(published >= number);
            number = published;
        }
    }
}
