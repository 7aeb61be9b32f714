//! What a registry that was restored from an old backup learns of what it has given away since: from its mark beside the
//! database, from the certificates that nodes show, and from the signed documents that they hand back.

use super::{
    Caller, Change, Mark, Newer, Notice, Randomness, Refusal, Reply, Rules, audit::Action,
    certificate::Certificate, mac_keys::MacKey, parameters::Parameters, tree::Block,
};
use crate::{
    certificate::{node::NodeCertificate, revocations::RevocationList, serial::Serial},
    time::Timestamp,
};

/// How long newcomers wait after a backup was restored, in seconds: nodes are to come first.
const PAUSE: u64 = 600;
/// Serial numbers that are left out above the highest that is seen: others may not have been seen yet.
const MARGIN: u64 = 1_000;

impl Rules {
    /// What has been given away so far.
    pub fn mark(&self) -> Mark {
        Mark {
            serial: self.state.serial,
            number: self.state.number.max(self.floor),
        }
    }

    /// Takes up what was given away before, if that is more than the database knows.
    pub(super) fn go_on_from(&mut self, now: Timestamp, mark: Mark) {
        self.floor = self.floor.max(mark.number);
        if self.state.serial < mark.serial {
            self.change(Change::Serial {
                before: self.state.serial,
                after: mark.serial,
            });
        }
        self.paused_until = now.plus(PAUSE);
        let subject = format!("serial {} number {}", mark.serial, mark.number);
        self.audit(now, &Caller::Registry, Action::Restored, subject);
        self.notices.push(Notice::Warning(
            "the database is older than what this registry has given away: an old backup was restored. Nodes are asked for \
             what was published since; those it does not know are taken up again as they come; newcomers wait for ten minutes"
                .to_owned(),
        ));
    }

    /// Newcomers wait, so that nobody gets the prefix of a node that is still to come.
    pub(super) fn check_pause(&self, now: Timestamp) -> Result<(), Refusal> {
        if now < self.paused_until && self.paused_until.since(now) <= PAUSE {
            return Err(Refusal::Unavailable(
                "it was restored from a backup and waits for its nodes; try again in ten minutes"
                    .into(),
            ));
        }
        Ok(())
    }

    /// A node has shown its certificate: one that is valid and not revoked, but which the database does not know, was issued
    /// after the backup. Its node gets its place again, unless somebody else has that.
    pub(super) fn introduce(&mut self, now: Timestamp, from: &Caller) -> Result<Reply, Refusal> {
        let Caller::Node { certificate } = from else {
            return Err(Refusal::NotIdentified);
        };
        let (serial, prefix) = (certificate.serial(), certificate.prefix());
        let known = self.holder(now, from).is_ok()
            || self.is_revoked(serial)
            || self.check_key(certificate.public_key().id()).is_err()
            || certificate.not_after() < now;
        // one that another serial number of the same node has replaced is of a node that is there
        let replaced = self.state.tree.holder(&prefix).is_some_and(|present| {
            serial < present.serial && certificate.subject_serial() == present.subject_serial
        });
        if known || replaced {
            return Ok(Reply::Done);
        }
        let name = format!("node {} serial {serial}", prefix.common_name());
        let shortest = self.state.tree.shortest_held();
        if self.adopt(certificate) {
            self.raise_serial(serial);
            self.audit(now, from, Action::Adopted, name);
            self.publish_shortest(now, shortest)?;
        } else {
            self.notices.push(Notice::Warning(format!(
                "{name} shows a certificate that the database does not know, and its place is taken: was an old backup \
                 restored? It has to enrol again"
            )));
        }
        Ok(Reply::Done)
    }

    /// Gives a node the place that its certificate tells, if it is free.
    fn adopt(&mut self, shown: &NodeCertificate) -> bool {
        let prefix = shown.prefix();
        if self.state.subject_serials.contains(shown.subject_serial()) {
            return false;
        }
        if self.state.tree.get(&prefix) != Some(&Block::Free) {
            let mut log = Vec::new();
            let found = self.state.tree.allocate(0, prefix, &mut log);
            self.note_blocks(log);
            if found != Ok(prefix) {
                return false;
            }
        }
        let certificate = Certificate {
            serial: shown.serial(),
            subject_serial: shown.subject_serial(),
            not_before: shown.not_before(),
            not_after: shown.not_after(),
            key: shown.public_key().id(),
            static_key: shown.static_key(),
            email: None,
            enrolled: shown.serial(),
        };
        self.change(Change::Block {
            prefix,
            before: Some(Block::Free),
            after: Some(Block::Held(certificate)),
            pem: Some(shown.to_pem().into()),
        });
        true
    }

    fn raise_serial(&mut self, seen: Serial) {
        let before = self.state.serial;
        if before < seen.number() {
            self.change(Change::Serial {
                before,
                after: seen.number().saturating_add(MARGIN),
            });
        }
    }

    /// A node hands back what was published after the backup. The parameters and what is revoked are taken from it; the keys
    /// of Babel's MAC, which are not in it, are made anew.
    pub(super) fn hand_back(
        &mut self,
        now: Timestamp,
        random: &mut dyn Randomness,
        from: &Caller,
        newer: &Newer,
    ) -> Result<Reply, Refusal> {
        if newer.number <= self.state.number {
            return Ok(Reply::Done);
        }
        let subject = format!("number {}, after {}", newer.number, self.state.number);
        self.audit(now, from, Action::Restored, subject);
        self.notices.push(Notice::Warning(format!(
            "a node has handed back what this registry published with number {}, after the {} it has: an old backup was \
             restored. It goes on from there, with another key of Babel's MAC",
            newer.number, self.state.number
        )));
        let before = self.state.parameters.clone();
        if before.all() != newer.parameters {
            let after = Parameters::stored(newer.parameters.clone()).into();
            self.change(Change::Parameters { before, after });
        }
        self.take_revocations(now, &newer.revocations);
        self.change(Change::MacKeys {
            before: self.state.mac_keys.clone(),
            after: [Some(MacKey::generate(random)), None, None],
        });
        self.floor = self.floor.max(newer.number);
        self.publish(now, true)?;
        Ok(Reply::Done)
    }

    fn take_revocations(&mut self, now: Timestamp, list: &RevocationList) {
        for (serial, revocation) in list.all() {
            if self.is_revoked(serial) || revocation.not_after < self.settled(now) {
                continue;
            }
            self.change(Change::Revocation {
                serial,
                before: None,
                after: Some(revocation),
            });
            self.raise_serial(serial);
            let present = self.state.by_serial(serial);
            let present = present.and_then(|prefix| Some(self.state.tree.holder(&prefix)?.key));
            let replaced = self.state.replaced.get(&serial);
            let replaced = replaced.and_then(|replaced| replaced.key);
            if let Some(key) = present.or(replaced)
                && self.check_key(key).is_ok()
            {
                self.change(Change::RevokedKey {
                    key,
                    before: None,
                    after: Some(serial),
                });
            }
        }
    }
}
