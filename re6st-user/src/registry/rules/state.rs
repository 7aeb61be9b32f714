//! Everything the rules know, in memory. It changes by [`Change`]s alone, and each can be taken back.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    certificate::{Certificate, Replaced},
    change::Change,
    community::Communities,
    mac_keys::Slots,
    parameters::Parameters,
    publication::Publication,
    subject_serials::SubjectSerials,
    token::{TokenDigest, TokenEntry},
    tree::{Block, PartitionError, Tree},
};
use crate::{
    certificate::{
        digest::KeyId, node_prefix::NodePrefix, revocations::Revocation, serial::Serial,
    },
    time::Timestamp,
};

/// What the store has.
#[derive(Debug)]
pub struct Stored {
    /// The partition of the prefix space.
    pub blocks: Vec<(NodePrefix, Block<Certificate>)>,
    /// Tokens.
    pub tokens: Vec<TokenEntry>,
    /// Revoked serial numbers.
    pub revocations: BTreeMap<Serial, Revocation>,
    /// Keys that never get a certificate again, with the serial number of one that was revoked.
    pub revoked_keys: BTreeMap<KeyId, Serial>,
    /// Certificates that were replaced before they expired.
    pub replaced: BTreeMap<Serial, Replaced>,
    /// The last serial number that was used.
    pub serial: u64,
    /// The prefix of the registry's own node.
    pub registry_prefix: Option<NodePrefix>,
    /// The number of the last publication, of ours or of re6stnet's.
    pub number: u64,
    /// Keys of Babel's MAC.
    pub mac_keys: Slots,
    /// The network's parameters.
    pub parameters: Parameters,
    /// The communities.
    pub communities: Communities,
    /// What was published last.
    pub publication: Option<Publication>,
    /// What the clock was last, as far as it is believed; none in a new database.
    pub clock: Option<Timestamp>,
}

/// An empty database.
impl Default for Stored {
    fn default() -> Self {
        Self {
            blocks: vec![(NodePrefix::ROOT, Block::Free)],
            tokens: Vec::new(),
            revocations: BTreeMap::new(),
            revoked_keys: BTreeMap::new(),
            replaced: BTreeMap::new(),
            serial: 0,
            registry_prefix: None,
            number: 0,
            mac_keys: [None, None, None],
            parameters: Parameters::default(),
            communities: Communities::default(),
            publication: None,
            clock: None,
        }
    }
}

/// Rows, and what finds them.
#[derive(PartialEq, Debug)]
pub(super) struct State {
    pub tree: Tree<Certificate>,
    /// Present certificates by serial number.
    pub serials: BTreeSet<(Serial, NodePrefix)>,
    pub subject_serials: SubjectSerials,
    /// Present certificates by the end of their validity.
    pub expiry: BTreeSet<(Timestamp, NodePrefix)>,
    /// Whose key each is.
    pub keys: BTreeSet<(KeyId, NodePrefix)>,
    pub tokens: BTreeMap<TokenDigest, TokenEntry>,
    /// Tokens by age.
    pub token_age: BTreeSet<(Timestamp, TokenDigest)>,
    pub revocations: BTreeMap<Serial, Revocation>,
    pub revoked_keys: BTreeMap<KeyId, Serial>,
    pub replaced: BTreeMap<Serial, Replaced>,
    /// Replaced certificates by node.
    pub replaced_of: BTreeSet<(NodePrefix, Serial)>,
    /// Replaced certificates by the end of their validity.
    pub replaced_expiry: BTreeSet<(Timestamp, Serial)>,
    /// The last serial number that was used.
    pub serial: u64,
    pub registry_prefix: Option<NodePrefix>,
    /// The number of the last publication.
    pub number: u64,
    pub mac_keys: Slots,
    pub parameters: Arc<Parameters>,
    pub communities: Arc<Communities>,
    pub publication: Option<Publication>,
    pub clock: Option<Timestamp>,
}

impl State {
    /// From the store, for prefixes of at most `maximum` bits.
    pub fn new(maximum: u8, stored: Stored) -> Result<Self, PartitionError> {
        let mut state = Self {
            tree: Tree::from_blocks(maximum, stored.blocks)?,
            serials: BTreeSet::new(),
            subject_serials: SubjectSerials::default(),
            expiry: BTreeSet::new(),
            keys: BTreeSet::new(),
            tokens: BTreeMap::new(),
            token_age: BTreeSet::new(),
            revocations: stored.revocations,
            revoked_keys: stored.revoked_keys,
            replaced: BTreeMap::new(),
            replaced_of: BTreeSet::new(),
            replaced_expiry: BTreeSet::new(),
            serial: stored.serial,
            registry_prefix: stored.registry_prefix,
            number: stored.number,
            mac_keys: stored.mac_keys,
            parameters: Arc::new(stored.parameters),
            communities: Arc::new(stored.communities),
            publication: stored.publication,
            clock: stored.clock,
        };
        let held: Vec<_> = state
            .tree
            .blocks(None)
            .filter_map(|(prefix, block)| match block {
                Block::Held(certificate) => Some((prefix, certificate.clone())),
                _ => None,
            })
            .collect();
        for (prefix, certificate) in held {
            state.index(prefix, &certificate);
            // re6stnet's registry notes down the serial number alone
            if state.revocations.contains_key(&certificate.serial) {
                let known = state.revoked_keys.entry(certificate.key);
                known.or_insert(certificate.serial);
            }
        }
        for (serial, replaced) in stored.replaced {
            state.put_replaced(serial, Some(replaced));
        }
        for entry in stored.tokens {
            state.put_token(entry.token.digest(), Some(entry));
        }
        Ok(state)
    }

    /// Makes a change, in memory.
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::Block { prefix, after, .. } => self.put_block(*prefix, after.clone()),
            Change::Token { digest, after, .. } => self.put_token(*digest, after.clone()),
            Change::Revocation { serial, after, .. } => self.put_revocation(*serial, *after),
            Change::RevokedKey { key, after, .. } => self.put_revoked_key(*key, *after),
            Change::Replaced { serial, after, .. } => self.put_replaced(*serial, *after),
            Change::Serial { after, .. } => self.serial = *after,
            Change::RegistryPrefix { after, .. } => self.registry_prefix = *after,
            Change::MacKeys { after, .. } => self.mac_keys = after.clone(),
            Change::Parameters { after, .. } => self.parameters = Arc::clone(after),
            Change::Communities { after, .. } => self.communities = Arc::clone(after),
            Change::Publication { after, .. } => {
                self.number = after.parameters.number;
                self.publication = Some(after.clone());
            }
            Change::Clock { after, .. } => self.clock = *after,
            Change::Audit(_) => {}
        }
    }

    /// Takes a change back, in memory. Of several, the last one goes first.
    pub fn undo(&mut self, change: &Change) {
        match change {
            Change::Block { prefix, before, .. } => self.put_block(*prefix, before.clone()),
            Change::Token { digest, before, .. } => self.put_token(*digest, before.clone()),
            Change::Revocation { serial, before, .. } => self.put_revocation(*serial, *before),
            Change::RevokedKey { key, before, .. } => self.put_revoked_key(*key, *before),
            Change::Replaced { serial, before, .. } => self.put_replaced(*serial, *before),
            Change::Serial { before, .. } => self.serial = *before,
            Change::RegistryPrefix { before, .. } => self.registry_prefix = *before,
            Change::MacKeys { before, .. } => self.mac_keys = before.clone(),
            Change::Parameters { before, .. } => self.parameters = Arc::clone(before),
            Change::Communities { before, .. } => self.communities = Arc::clone(before),
            Change::Publication {
                before,
                number_before,
                ..
            } => {
                self.number = *number_before;
                self.publication = before.clone();
            }
            Change::Clock { before, .. } => self.clock = *before,
            Change::Audit(_) => {}
        }
    }

    /// Who has the certificate with this serial number.
    pub fn by_serial(&self, serial: Serial) -> Option<NodePrefix> {
        let first = self.serials.range((serial, NodePrefix::ROOT)..).next();
        first
            .filter(|(found, _)| *found == serial)
            .map(|(_, prefix)| *prefix)
    }

    /// Whose key this is.
    pub fn by_key(&self, key: KeyId) -> Option<NodePrefix> {
        self.prefixes_of_key(key).next()
    }

    /// All whose key this is.
    pub fn prefixes_of_key(&self, key: KeyId) -> impl Iterator<Item = NodePrefix> {
        let from = self.keys.range((key, NodePrefix::ROOT)..);
        from.take_while(move |(found, _)| *found == key)
            .map(|(_, prefix)| *prefix)
    }

    /// The certificates of a node that were replaced and have not expired.
    pub fn replaced_of(&self, prefix: NodePrefix) -> impl Iterator<Item = Serial> {
        Serial::new(1)
            .into_iter()
            .flat_map(move |first| self.replaced_of.range((prefix, first)..))
            .take_while(move |(of, _)| *of == prefix)
            .map(|(_, serial)| *serial)
    }

    fn put_block(&mut self, prefix: NodePrefix, block: Option<Block<Certificate>>) {
        if let Some(Block::Held(certificate)) = &block {
            // the one that was there goes first: they may have numbers in common
            let before = self.tree.replace(prefix, None);
            self.unindex(prefix, before);
            self.index(prefix, certificate);
            self.tree.replace(prefix, block);
        } else {
            let before = self.tree.replace(prefix, block);
            self.unindex(prefix, before);
        }
    }

    fn index(&mut self, prefix: NodePrefix, certificate: &Certificate) {
        self.serials.insert((certificate.serial, prefix));
        self.subject_serials.insert(certificate.subject_serial);
        self.expiry.insert((certificate.not_after, prefix));
        self.keys.insert((certificate.key, prefix));
    }

    fn unindex(&mut self, prefix: NodePrefix, block: Option<Block<Certificate>>) {
        let Some(Block::Held(certificate)) = block else {
            return;
        };
        self.serials.remove(&(certificate.serial, prefix));
        self.subject_serials.remove(certificate.subject_serial);
        self.expiry.remove(&(certificate.not_after, prefix));
        self.keys.remove(&(certificate.key, prefix));
    }

    fn put_token(&mut self, digest: TokenDigest, entry: Option<TokenEntry>) {
        let created = entry.as_ref().map(|entry| entry.created);
        let before = match entry {
            Some(entry) => self.tokens.insert(digest, entry),
            None => self.tokens.remove(&digest),
        };
        if let Some(before) = before {
            self.token_age.remove(&(before.created, digest));
        }
        if let Some(created) = created {
            self.token_age.insert((created, digest));
        }
    }

    fn put_revocation(&mut self, serial: Serial, revocation: Option<Revocation>) {
        match revocation {
            Some(revocation) => self.revocations.insert(serial, revocation),
            None => self.revocations.remove(&serial),
        };
    }

    fn put_revoked_key(&mut self, key: KeyId, serial: Option<Serial>) {
        match serial {
            Some(serial) => self.revoked_keys.insert(key, serial),
            None => self.revoked_keys.remove(&key),
        };
    }

    fn put_replaced(&mut self, serial: Serial, replaced: Option<Replaced>) {
        let before = match replaced {
            Some(replaced) => self.replaced.insert(serial, replaced),
            None => self.replaced.remove(&serial),
        };
        if let Some(before) = before {
            self.replaced_of.remove(&(before.prefix, serial));
            self.replaced_expiry.remove(&(before.not_after, serial));
        }
        if let Some(replaced) = replaced {
            self.replaced_of.insert((replaced.prefix, serial));
            self.replaced_expiry.insert((replaced.not_after, serial));
        }
    }
}
