//! What the operations are given, and who may ask for what.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use axum::http::StatusCode;
use tokio::sync::{Mutex, watch};

use super::{
    identity::{self, Need, Origin, Peer},
    operation::{Server, Who},
    problem::Problem,
};
use crate::{
    certificate::node::NodeCertificate,
    io::clock::{Clock, wall},
    registry::{
        engine::Engine,
        location::{Locations, Place},
        publication::Published,
        rules::{Caller, Command, Refusal, Reply, community::Location, present::PresentNodes},
    },
};

/// For so long an answer on how the engine is holds.
const HEALTH_AGE: Duration = Duration::from_secs(1);

/// The server's state.
#[derive(Debug)]
pub struct Face {
    /// The rules and the store.
    pub engine: Engine,
    /// What is published.
    pub published: watch::Receiver<Published>,
    /// Where addresses are, if there is a database.
    pub locations: Option<Locations>,
    /// How many seconds after its end a certificate can be renewed.
    pub grace: u64,
    /// The server ends.
    pub stop: watch::Receiver<bool>,
    /// The nodes that are there.
    pub present: Mutex<PresentNodes>,
    /// What their times are of.
    pub clock: Clock,
    /// How the engine was, and when it was asked.
    pub health: Mutex<Option<(Instant, Result<(), Refusal>)>>,
}

impl Server for Face {
    type Caller = Caller;

    fn identify(&self, peer: &Peer, who: Who) -> Result<Caller, Problem> {
        let node = |need| {
            let caller = |certificate| Caller::Node {
                certificate: Box::new(certificate),
            };
            let introduce = |certificate: &NodeCertificate| {
                let caller = caller(certificate.clone());
                self.engine.tell(caller, Command::Introduce);
            };
            let published = self.published.borrow();
            identity::node(peer, &published, wall(), need, introduce).map(caller)
        };
        match (who, &peer.origin) {
            (Who::Anybody, Origin::Internet(address)) => {
                Ok(Caller::Anonymous { address: *address })
            }
            (Who::Anybody | Who::Operator, Origin::Host(name)) => {
                Ok(Caller::Operator { name: name.clone() })
            }
            (Who::Node, _) => node(Need::Membership),
            (Who::Holder, _) => node(Need::Renewal { grace: self.grace }),
            // these operations have no route there
            (Who::Operator, Origin::Internet(_)) => Err(Refusal::Forbidden.into()),
        }
    }
}

impl Face {
    /// Asks the rules.
    pub async fn ask(&self, caller: Caller, command: Command) -> Result<Reply, Problem> {
        Ok(self.engine.ask(caller, command).await?)
    }

    /// Whether the registry is at work. However many ask, the engine is asked once a second.
    pub async fn health(&self) -> Result<(), Problem> {
        let mut last = self.health.lock().await;
        let (_, health) = match last.take().filter(|(at, _)| at.elapsed() < HEALTH_AGE) {
            Some(known) => last.insert(known),
            None => last.insert((Instant::now(), self.engine.health().await)),
        };
        Ok(health.clone()?)
    }

    /// Where an address is, if the database knows.
    pub fn location(&self, address: IpAddr) -> Option<Location> {
        let Place { country, continent } = self.locations.as_ref()?.find(address);
        let known = country.is_some() || continent.is_some();
        known.then_some(Location { country, continent })
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let status = match &refusal {
            Refusal::Invalid(_) => StatusCode::BAD_REQUEST,
            Refusal::NotIdentified | Refusal::NotCurrent { .. } => StatusCode::UNAUTHORIZED,
            Refusal::BadToken
            | Refusal::Disabled(_)
            | Refusal::Forbidden
            | Refusal::RevokedKey { .. } => StatusCode::FORBIDDEN,
            Refusal::NotFound(_) | Refusal::NoSuchNode(_) => StatusCode::NOT_FOUND,
            Refusal::Conflict(_) => StatusCode::CONFLICT,
            Refusal::TooMany { .. } => StatusCode::TOO_MANY_REQUESTS,
            Refusal::Full { .. } | Refusal::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        let problem = Self::new(status, refusal.code(), refusal.to_string());
        match refusal {
            Refusal::TooMany { retry_after } => {
                problem.retry_after(Duration::from_secs(retry_after))
            }
            Refusal::Unavailable(_) => problem.retry_after(Duration::from_secs(10)),
            _ => problem,
        }
    }
}
