//! What people are told of a running node. Each answer is short: it is made within the loop.

use serde::Serialize;

use super::{
    control::{Question, Reloaded, RouteReport, Summary},
    controller::Controller,
};
use crate::{babel::output::Page, dataplane::bpf::error::chain as in_one_line};

impl Controller {
    /// The answer to a question, as JSON.
    pub(super) fn answer(&mut self, question: &Question) -> Vec<u8> {
        match question {
            Question::Summary => json(&self.summary()),
            Question::Reload => json(&match self.reload_and_say() {
                Ok(changes) => Reloaded::Changes(changes),
                Err(error) => Reloaded::Refused(in_one_line(error.as_ref())),
            }),
            Question::Neighbours { from } => json(&self.routing.neighbour_page(*from)),
            Question::Routes { from, near } => {
                let page = self.routing.route_page(self.now(), *from, *near);
                let items = page.items.into_iter().map(|route| RouteReport {
                    not_installed: self.installer.wishes.why_not(&route.route),
                    route,
                });
                json(&Page {
                    items: items.collect(),
                    next: page.next,
                })
            }
        }
    }

    fn summary(&self) -> Summary {
        let membership = self.membership.as_ref();
        let alone = self.solitude.is_said().then(|| self.why_alone());
        Summary {
            protocol: self.routing.summary(),
            not_installed: self.installer.wishes.not_as_wanted(),
            warnings: [
                self.routing.warnings(self.now()),
                self.troubles.warnings(),
                self.installer.wishes.warnings(),
                self.twins(self.now()),
                alone.into_iter().collect(),
                self.state.warning().into_iter().collect(),
                self.journal.warning().into_iter().collect(),
            ]
            .concat(),
            refused: self.transport.counters.clone(),
            installing: self.installer.counters,
            distances: self.journal.counters,
            registry: membership.map(|standing| standing.borrow().report.clone()),
        }
    }
}

fn json(answer: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(answer).unwrap_or_default()
}
