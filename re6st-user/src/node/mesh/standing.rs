//! What the membership says that matters to the mesh: records of other nodes, who is expelled, whether the registry answers.

use std::{collections::BTreeSet, sync::Arc};

use super::{Controller, Input, known};
use crate::{
    certificate::{node_prefix::NodePrefix, revocations::RevocationList},
    membership::{exchange::Problem, messages::Topic},
    mesh::Source,
    time::Timestamp,
};

/// What was heard last.
#[derive(Debug, Default)]
pub struct Heard {
    /// Of the records.
    generation: u64,
    /// What is revoked; none if it is to be looked at again.
    revoked: Option<Arc<RevocationList>>,
    /// Whose certificates those are.
    expelled: BTreeSet<NodePrefix>,
    /// When the registry failed.
    failed_at: Option<Timestamp>,
}

impl Heard {
    /// A node has shown a good certificate: it is not expelled, or not any more.
    pub fn has_record(&mut self, node: NodePrefix) {
        if self.expelled.contains(&node) {
            self.revoked = None;
        }
    }
}

impl Controller {
    /// Takes what is news.
    pub(super) fn hear_membership(&mut self) {
        self.take_records();
        self.take_revocations();
        self.note_registry();
    }

    /// What the registry says of other nodes.
    fn take_records(&mut self) {
        let (Some(mesh), Some(standing)) = (&mut self.mesh, &self.membership) else {
            return;
        };
        let presence = standing.borrow().presence.clone();
        if presence.generation == mesh.standing.generation {
            return;
        }
        mesh.standing.generation = presence.generation;
        mesh.questions.own = presence.own;
        let mut peers = Vec::new();
        for record in presence.others.iter() {
            match mesh.learn(record) {
                true => peers.push(known(record)),
                false => self
                    .transport
                    .count("mesh: a record of a node that has signed a newer one"),
            }
        }
        let source = Source::Registry;
        self.mesh(Input::Learned { source, peers });
    }

    /// Who is not of the network any more.
    fn take_revocations(&mut self) {
        let told = self.peers.as_ref().and_then(|peers| peers.told());
        let (Some(mesh), Some(told)) = (&mut self.mesh, told) else {
            return;
        };
        let heard = &mut mesh.standing;
        let is_same = |before: &Arc<RevocationList>| Arc::ptr_eq(before, &told.revoked);
        if heard.revoked.as_ref().is_some_and(is_same) {
            return;
        }
        heard.revoked = Some(Arc::clone(&told.revoked));
        let expelled = mesh.keys.revoked(&told.revoked);
        if expelled == heard.expelled {
            return;
        }
        heard.expelled.clone_from(&expelled);
        self.mesh(Input::Expelled(expelled.into_iter().collect()));
    }

    /// Whether the registry has failed again.
    fn note_registry(&mut self) {
        let (Some(mesh), Some(standing)) = (&mut self.mesh, &self.membership) else {
            return;
        };
        let failed_at = {
            let report = &standing.borrow().report;
            failed_at(report.reachable, report.problem.as_ref())
        };
        let before = std::mem::replace(&mut mesh.standing.failed_at, failed_at);
        if failed_at.is_some() && failed_at != before {
            self.mesh(Input::RegistrySilent);
        }
    }
}

/// When the registry failed to say who is there, if it has not answered since.
fn failed_at(is_reachable: bool, problem: Option<&Problem>) -> Option<Timestamp> {
    let problem = problem?;
    let is_silent = !is_reachable || problem.topic == Some(Topic::Presence);
    is_silent.then_some(problem.at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registry_is_silent_if_it_is_away_or_says_nothing_of_others() {
        // whether it answered last, what went wrong, whether it is silent
        let cases = [
            (true, None, false),
            (false, None, false),
            (false, Some(None), true),
            (false, Some(Some(Topic::Parameters)), true),
            (true, Some(Some(Topic::Presence)), true),
            (true, Some(Some(Topic::Parameters)), false),
        ];
        for (is_reachable, topic, expected) in cases {
            let problem = topic.map(|topic| Problem {
                topic,
                at: Timestamp(7),
                message: String::new(),
            });
            let found = failed_at(is_reachable, problem.as_ref());
            assert_eq!(found, expected.then_some(Timestamp(7)), "{problem:?}");
        }
    }
}
