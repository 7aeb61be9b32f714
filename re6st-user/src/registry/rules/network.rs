//! What all nodes do alike: parameters, communities, keys of Babel's MAC, and their publication.

use std::sync::Arc;

use serde_json::Value;

use super::{
    Caller, Change, Notice, Randomness, Refusal, Reply, Rules,
    audit::Action,
    community::Communities,
    mac_keys::{MacKey, MacKeys, next_step},
    packed_integer::pack,
    publication::{Content, Publication},
    require_operator,
};
use crate::time::Timestamp;

impl Rules {
    pub(super) fn fetch_parameters(&self, now: Timestamp, from: &Caller) -> Result<Reply, Refusal> {
        if require_operator(from).is_err() {
            self.present_node(now, from)?;
        }
        self.parameters()
    }

    pub(super) fn parameters(&self) -> Result<Reply, Refusal> {
        Ok(Reply::Parameters {
            document: Arc::clone(&self.publication()?.parameters),
            mac_keys: MacKeys::of(&self.state.mac_keys),
        })
    }

    pub(super) fn fetch_revocations(
        &self,
        now: Timestamp,
        from: &Caller,
    ) -> Result<Reply, Refusal> {
        if require_operator(from).is_err() {
            self.present_node(now, from)?;
        }
        Ok(Reply::Revocations(Arc::clone(
            &self.publication()?.revocations,
        )))
    }

    fn publication(&self) -> Result<&Publication, Refusal> {
        self.state.publication.as_ref().ok_or_else(|| {
            Refusal::Unavailable(
                "nothing is published yet; the registry is just starting".to_owned(),
            )
        })
    }

    pub(super) fn set_parameters(
        &mut self,
        now: Timestamp,
        from: &Caller,
        changes: &[(String, Option<Value>)],
    ) -> Result<Reply, Refusal> {
        let before = Arc::clone(&self.state.parameters);
        let after = Arc::new(before.with(changes)?);
        if before != after {
            self.change(Change::Parameters { before, after });
            let text: Vec<String> = changes
                .iter()
                .map(|(name, value)| match value {
                    Some(value) => format!("{name} = {value}"),
                    None => format!("{name} = default"),
                })
                .collect();
            self.audit(now, from, Action::ParametersSet, text.join(", "));
            self.publish(now, false)?;
        }
        self.parameters()
    }

    pub(super) fn set_communities(
        &mut self,
        now: Timestamp,
        from: &Caller,
        text: &str,
    ) -> Result<Reply, Refusal> {
        let communities = Communities::parse(text).map_err(Refusal::Invalid)?;
        let settings = &self.settings;
        settings
            .check_lengths(&communities)
            .map_err(Refusal::Invalid)?;
        let checked = communities.check(&self.state.tree, settings.maximum());
        checked.map_err(Refusal::Conflict)?;
        let before = Arc::clone(&self.state.communities);
        let after = Arc::new(communities);
        if before != after {
            self.audit(
                now,
                from,
                Action::CommunitiesSet,
                format!("lines: {}", after.text().lines().count()),
            );
            self.change(Change::Communities { before, after });
        }
        Ok(Reply::Done)
    }

    pub(super) fn rotate_mac_keys(
        &mut self,
        now: Timestamp,
        random: &mut dyn Randomness,
        from: &Caller,
        at_once: bool,
    ) -> Result<Reply, Refusal> {
        let before = self.state.mac_keys.clone();
        let after = if at_once {
            [Some(MacKey::generate(random)), None, None]
        } else {
            next_step(&before, random)
        };
        let step = MacKeys::of(&after).describe();
        self.change(Change::MacKeys { before, after });
        self.audit(now, from, Action::MacKeysRotated, step.to_owned());
        self.publish(now, true)?;
        self.parameters()
    }

    /// Gives what is published a new number, if anything of it has changed.
    pub(super) fn publish(
        &mut self,
        now: Timestamp,
        mac_keys_changed: bool,
    ) -> Result<(), Refusal> {
        let content = Content {
            network: self.settings.network.to_string(),
            registry_prefix: self
                .state
                .registry_prefix
                .map(|prefix| prefix.common_name()),
            shortest_prefix: self.state.tree.shortest_held(),
            authorities: self.settings.authorities.clone(),
            parameters: self.state.parameters.all(),
        };
        let before = self.state.publication.clone();
        let number_before = self.state.number;
        let number = self.settled(now).0;
        let number = number.max(number_before + 1).max(self.floor + 1);
        let after = Publication::succeed(
            before.as_ref(),
            number_before,
            number,
            content,
            &self.state.revocations,
            mac_keys_changed,
        );
        let Some(after) = after else {
            return Ok(());
        };
        self.notices.push(Notice::Parameters(number));
        if after.revocations.number == number {
            self.notices.push(Notice::Revocations(number));
        }
        let version = self.version(number)?;
        self.change(Change::Publication {
            before,
            number_before,
            after,
            version,
        });
        Ok(())
    }

    /// Publishes if the shortest prefix of a node is another than before: nodes believe no shorter name.
    pub(super) fn publish_shortest(
        &mut self,
        now: Timestamp,
        before: Option<u8>,
    ) -> Result<(), Refusal> {
        if self.state.tree.shortest_held() != before {
            self.publish(now, false)?;
        }
        Ok(())
    }

    /// The number as re6stnet's nodes take it.
    fn version(&self, number: u64) -> Result<Vec<u8>, Refusal> {
        let mut version = pack(number).ok_or_else(|| {
            Refusal::Unavailable("no number is left for another change".to_owned())
        })?;
        let signature = self.issuer.sign(&version).map_err(|error| {
            Refusal::Unavailable(format!("the network's number cannot be signed: {error}"))
        })?;
        version.extend(signature);
        Ok(version)
    }
}
