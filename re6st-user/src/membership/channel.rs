//! What channels to other nodes are made from, for whoever makes them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{credentials::Credentials, held::Held};
use crate::{
    certificate::{
        document::Signed,
        key::PrivateKey,
        network::Ipv4Network,
        node::NodeCertificate,
        node_prefix::NodePrefix,
        revocations::RevocationList,
        static_key::{StaticKey, StaticPublicKey},
        verify::Authorities,
    },
    channel,
    registry::documents::{NetworkParameters, PostQuantum},
};

/// Everything that channels are made from, as it is now. Two are equal if their generations are.
#[derive(Clone, Debug)]
pub struct ChannelStanding {
    /// Another one, and a higher one, whenever anything of the following is another.
    pub generation: u64,
    /// This node's X25519 key, which is the one in its certificate.
    pub static_key: Arc<StaticKey>,
    /// The key of this node's certificate.
    pub signing_key: Arc<PrivateKey>,
    /// This node's certificate. Whether it is valid now is not said.
    pub certificate: Arc<NodeCertificate>,
    /// Whom the node trusts.
    pub authorities: Arc<Authorities>,
    /// What is revoked.
    pub revoked: Arc<RevocationList>,
    /// Whether keys are to withstand quantum computers.
    pub post_quantum: PostQuantum,
    /// The network's IPv4, if it has one: each node has a subnet of it.
    pub ipv4: Option<Ipv4Network>,
    /// Signed documents, for nodes that do not have them.
    pub held: Arc<channel::Held>,
    /// The X25519 keys of other nodes that are known.
    pub keys: Arc<BTreeMap<NodePrefix, StaticPublicKey>>,
    /// The names of nodes that the registry does not know, as it said last.
    pub missing: Arc<BTreeSet<NodePrefix>>,
}

impl PartialEq for ChannelStanding {
    fn eq(&self, other: &Self) -> bool {
        self.generation == other.generation
    }
}

fn documents(held: &Held) -> channel::Held {
    let parameters = held.parameters.as_ref();
    let revocations = held.revocations.as_ref();
    channel::Held {
        parameters: parameters.map(|document| (document.number(), document.envelope().to_vec())),
        revocations: revocations.map(|document| (document.number(), document.envelope().to_vec())),
        successions: held.successions.clone(),
    }
}

/// Whether they are those that are held. Of a number there is one.
fn are_of(documents: &channel::Held, held: &Held) -> bool {
    let numbers = [&documents.parameters, &documents.revocations];
    let numbers = numbers.map(|document| document.as_ref().map(|document| document.0));
    let parameters = held.parameters.as_ref().map(Signed::number);
    let revocations = held.revocations.as_ref().map(Signed::number);
    numbers == [parameters, revocations] && documents.successions == held.successions
}

/// What there was before, put right: none if this node can have no channels.
pub fn again(
    before: Option<ChannelStanding>,
    credentials: &Credentials,
    held: &Held,
) -> Option<ChannelStanding> {
    let Some(mut standing) = before else {
        return first(credentials, held);
    };
    let mut is_another = false;
    if *standing.certificate != credentials.certificate {
        standing.certificate = Arc::new(credentials.certificate.clone());
        is_another = true;
    }
    if *standing.authorities != credentials.authorities {
        standing.authorities = Arc::new(credentials.authorities.clone());
        is_another = true;
    }
    if !are_of(&standing.held, held) {
        let number = |documents: &channel::Held| documents.revocations.as_ref().map(|it| it.0);
        let documents = documents(held);
        if number(&standing.held) != number(&documents) {
            standing.revoked = Arc::new(held.revoked().clone());
        }
        standing.held = Arc::new(documents);
        standing.post_quantum = post_quantum(held);
        standing.ipv4 = held.network().and_then(NetworkParameters::ipv4);
        is_another = true;
    }
    if !Arc::ptr_eq(&standing.keys, held.node_keys.keys())
        || !Arc::ptr_eq(&standing.missing, held.node_keys.missing())
    {
        standing.keys = Arc::clone(held.node_keys.keys());
        standing.missing = Arc::clone(held.node_keys.missing());
        is_another = true;
    }
    standing.generation += u64::from(is_another);
    Some(standing)
}

fn first(credentials: &Credentials, held: &Held) -> Option<ChannelStanding> {
    let static_key = credentials.static_key.as_ref().ok()?;
    Some(ChannelStanding {
        generation: 1,
        static_key: Arc::clone(static_key),
        signing_key: Arc::clone(&credentials.key),
        certificate: Arc::new(credentials.certificate.clone()),
        authorities: Arc::new(credentials.authorities.clone()),
        revoked: Arc::new(held.revoked().clone()),
        post_quantum: post_quantum(held),
        ipv4: held.network().and_then(NetworkParameters::ipv4),
        held: Arc::new(documents(held)),
        keys: Arc::clone(held.node_keys.keys()),
        missing: Arc::clone(held.node_keys.missing()),
    })
}

fn post_quantum(held: &Held) -> PostQuantum {
    let network = held.network();
    network
        .map(NetworkParameters::post_quantum)
        .unwrap_or_default()
}
