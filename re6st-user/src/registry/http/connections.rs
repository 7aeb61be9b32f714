//! Who holds how many connections, and who has to go when there is no room: pure bookkeeping.
//!
//! Nodes of the network and strangers (who have not shown a node's certificate yet, or have none) have places of their own, so
//! whatever strangers do costs no node its place. A newcomer is never turned away: with all places of its kind taken, the
//! connection goes that has waited longest without having a request answered, of the source that holds the most, of the site
//! that holds the most. So whoever opens thousands of connections only takes places from itself.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, HashMap},
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use tokio::sync::watch;

use crate::registry::rules::limits::network_of;

/// How many connections there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Of strangers, in all.
    pub strangers: usize,
    /// Of nodes, in all.
    pub nodes: usize,
    /// Of one [`Source`].
    pub per_source: usize,
}

/// Whom a connection counts for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// An IPv4 address, or the first 64 bits of an IPv6 address: a site has at least so many addresses.
    Address(IpAddr),
    /// A node of the network by its certificate's fingerprint: many of them may share an address.
    Node([u8; 32]),
}

impl Source {
    /// Of a peer without certificate.
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(address) => Self::Address(network_of(address.into())),
            address => Self::Address(address),
        }
    }

    /// What somebody may have many sources of: 48 bits of an IPv6 address, 24 of an IPv4 address.
    fn site(self) -> Self {
        match self {
            Self::Address(IpAddr::V6(address)) => {
                let site = address.to_bits() >> 80 << 80;
                Self::Address(Ipv6Addr::from_bits(site).into())
            }
            Self::Address(address) => Self::Address(network_of(address)),
            node @ Self::Node(_) => node,
        }
    }

    const fn is_node(self) -> bool {
        matches!(self, Self::Node(_))
    }
}

/// All connections.
#[derive(Clone, Debug)]
pub struct Connections {
    table: Arc<Mutex<Table>>,
}

#[derive(Debug)]
struct Table {
    next: u64,
    places: HashMap<u64, Place>,
    strangers: Kind,
    nodes: Kind,
    per_source: usize,
    evicted: u64,
}

/// Who goes first: whether a request of it is being answered; since when it has been waiting for a request, or for the answer
/// to one; its number.
type Rank = (bool, Instant, u64);

/// How many connections there are, and which of them has to go first: the largest of these has to give one.
type Size = (usize, Reverse<Rank>);

/// The places of nodes, or of strangers.
#[derive(Debug)]
struct Kind {
    bound: usize,
    taken: usize,
    sites: HashMap<Source, Site>,
    /// The sites by their sizes.
    by_size: BTreeSet<(Size, Source)>,
}

/// The places of a site.
#[derive(Debug, Default)]
struct Site {
    taken: usize,
    sources: HashMap<Source, BTreeSet<Rank>>,
    /// The sources by their sizes.
    by_size: BTreeSet<(Size, Source)>,
}

#[derive(Debug)]
struct Place {
    source: Source,
    rank: Rank,
    close: watch::Sender<bool>,
}

/// A connection's place, free again when dropped.
#[derive(Debug)]
pub struct Ticket {
    number: u64,
    connections: Connections,
    closed: watch::Receiver<bool>,
}

impl Connections {
    /// Nobody is connected yet.
    pub fn new(bounds: Bounds) -> Self {
        let kind = |bound| Kind {
            bound,
            taken: 0,
            sites: HashMap::new(),
            by_size: BTreeSet::new(),
        };
        let table = Table {
            next: 0,
            places: HashMap::new(),
            strangers: kind(bounds.strangers),
            nodes: kind(bounds.nodes),
            per_source: bounds.per_source,
            evicted: 0,
        };
        Self {
            table: Arc::new(Mutex::new(table)),
        }
    }

    /// Gives a place to a new connection, if need be that of another, which is told to close.
    pub fn admit(&self, source: Source, now: Instant) -> Ticket {
        let mut table = self.lock();
        let number = table.next;
        table.next += 1;
        let (close, closed) = watch::channel(false);
        let place = Place {
            source,
            rank: (false, now, number),
            close,
        };
        table.put(place);
        Ticket {
            number,
            connections: self.clone(),
            closed,
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.lock().places.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many had to make room so far.
    pub fn evicted(&self) -> u64 {
        self.lock().evicted
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // nothing in here can panic half way
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn kind(&mut self, source: Source) -> &mut Kind {
        if source.is_node() {
            &mut self.nodes
        } else {
            &mut self.strangers
        }
    }

    /// Makes room, and takes it.
    fn put(&mut self, place: Place) {
        let (source, per_source) = (place.source, self.per_source);
        let kind = self.kind(source);
        let victim = if kind.held(source) >= per_source {
            kind.first(source)
        } else if kind.taken >= kind.bound {
            kind.greediest().and_then(|greediest| kind.first(greediest))
        } else {
            None
        };
        if let Some(victim) = victim.and_then(|(_, _, number)| self.take(number)) {
            victim.close.send_replace(true);
            self.evicted += 1;
        }
        self.kind(source).insert(source, place.rank);
        self.places.insert(place.rank.2, place);
    }

    fn take(&mut self, number: u64) -> Option<Place> {
        let place = self.places.remove(&number)?;
        self.kind(place.source).remove(place.source, place.rank);
        Some(place)
    }
}

/// None of those without any.
fn size(ranks: &BTreeSet<Rank>) -> Option<Size> {
    let first = ranks.first()?;
    Some((ranks.len(), Reverse(*first)))
}

impl Site {
    /// With the connection that goes first of the source that holds the most.
    fn size(&self) -> Option<Size> {
        let ((_, first), _) = self.by_size.last()?;
        Some((self.taken, *first))
    }
}

impl Kind {
    fn of(&self, source: Source) -> Option<&BTreeSet<Rank>> {
        self.sites.get(&source.site())?.sources.get(&source)
    }

    fn held(&self, source: Source) -> usize {
        self.of(source).map_or(0, BTreeSet::len)
    }

    /// The connection of a source that has to go first.
    fn first(&self, source: Source) -> Option<Rank> {
        self.of(source)?.first().copied()
    }

    /// The source that holds the most, of the site that holds the most; of equals the one that has waited longest.
    fn greediest(&self) -> Option<Source> {
        let (_, site) = self.by_size.last()?;
        let (_, source) = self.sites.get(site)?.by_size.last()?;
        Some(*source)
    }

    fn insert(&mut self, source: Source, rank: Rank) {
        self.change(source, |ranks| ranks.insert(rank));
    }

    fn remove(&mut self, source: Source, rank: Rank) {
        self.change(source, |ranks| ranks.remove(&rank));
    }

    /// Changes the connections of a source, and its place among all.
    fn change(&mut self, source: Source, change: impl FnOnce(&mut BTreeSet<Rank>) -> bool) {
        let name = source.site();
        let site = self.sites.entry(name).or_default();
        if let Some(size) = site.size() {
            self.by_size.remove(&(size, name));
        }
        let ranks = site.sources.entry(source).or_default();
        let before = ranks.len();
        if let Some(size) = size(ranks) {
            site.by_size.remove(&(size, source));
        }
        change(ranks);
        let after = ranks.len();
        match size(ranks) {
            Some(size) => {
                site.by_size.insert((size, source));
            }
            None => {
                site.sources.remove(&source);
            }
        }
        site.taken = site.taken - before + after;
        self.taken = self.taken - before + after;
        match site.size() {
            Some(size) => {
                self.by_size.insert((size, name));
            }
            None => {
                self.sites.remove(&name);
            }
        }
    }
}

impl Ticket {
    /// The connection has shown who it is.
    pub fn belongs_to(&self, source: Source) {
        let mut table = self.connections.lock();
        if let Some(place) = table.take(self.number) {
            table.put(Place { source, ..place });
        }
    }

    /// A request has arrived whole and is being answered, or it has been.
    pub fn set_answering(&self, answering: bool, now: Instant) {
        let mut table = self.connections.lock();
        if let Some(mut place) = table.take(self.number) {
            place.rank = (answering, now, self.number);
            table.kind(place.source).insert(place.source, place.rank);
            table.places.insert(self.number, place);
        }
    }

    /// Waits until the connection has to make room.
    pub async fn closed(&self) {
        // without a sender the place is gone, which is the same
        let _ = self.closed.clone().wait_for(|closed| *closed).await;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.connections.lock().take(self.number);
    }
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{Bounds, Connections, Source, Ticket};

    fn connections(bound: usize, per_source: usize) -> Connections {
        Connections::new(Bounds {
            strangers: bound,
            nodes: bound,
            per_source,
        })
    }

    fn source(text: &str) -> Source {
        Source::of(text.parse().unwrap())
    }

    fn is_closed(ticket: &Ticket) -> bool {
        *ticket.closed.borrow()
    }

    #[test]
    fn an_ipv6_site_and_an_ipv4_address_are_one_source() {
        assert_eq!(source("2001:db8::1"), source("2001:db8:0:0:ffff::2"));
        assert_ne!(source("2001:db8::1"), source("2001:db8:0:1::1"));
        assert_eq!(source("192.0.2.1"), source("::ffff:192.0.2.1"));
        assert_ne!(source("192.0.2.1"), source("192.0.2.2"));
    }

    #[test]
    fn a_source_over_its_bound_loses_its_own_longest_waiting_connection() {
        let connections = connections(100, 2);
        let start = Instant::now();
        let other = connections.admit(source("192.0.2.2"), start);
        let first = connections.admit(source("192.0.2.1"), start + Duration::from_secs(1));
        let second = connections.admit(source("192.0.2.1"), start + Duration::from_secs(2));
        first.set_answering(true, start + Duration::from_secs(3));
        first.set_answering(false, start + Duration::from_secs(3));

        let third = connections.admit(source("192.0.2.1"), start + Duration::from_secs(4));

        assert!(is_closed(&second));
        assert!(!is_closed(&first) && !is_closed(&third) && !is_closed(&other));
        assert_eq!((connections.len(), connections.evicted()), (3, 1));
    }

    #[test]
    fn when_all_places_are_taken_the_greediest_source_makes_room() {
        let connections = connections(4, 3);
        let now = Instant::now();
        let modest = connections.admit(source("192.0.2.2"), now);
        let greedy = [1, 2, 3].map(|second| {
            connections.admit(source("192.0.2.1"), now + Duration::from_secs(second))
        });

        let newcomer = connections.admit(source("192.0.2.3"), now + Duration::from_secs(9));

        assert!(is_closed(&greedy[0]));
        assert!(!is_closed(&modest) && !is_closed(&newcomer) && !is_closed(&greedy[1]));
    }

    #[test]
    fn a_request_that_is_being_answered_goes_last() {
        let connections = connections(100, 2);
        let now = Instant::now();
        let answering = connections.admit(source("192.0.2.1"), now);
        answering.set_answering(true, now);
        let idle = connections.admit(source("192.0.2.1"), now + Duration::from_secs(5));

        let _newcomer = connections.admit(source("192.0.2.1"), now + Duration::from_secs(6));

        assert!(is_closed(&idle));
        assert!(!is_closed(&answering));
    }

    #[test]
    fn nodes_count_for_themselves_and_not_for_their_address() {
        let connections = connections(100, 2);
        let now = Instant::now();
        let nodes = [1, 2, 3, 4].map(|number| {
            let ticket = connections.admit(source("192.0.2.1"), now);
            ticket.belongs_to(Source::Node([number; 32]));
            ticket
        });
        let _stranger = connections.admit(source("192.0.2.1"), now);

        assert!(!nodes.iter().any(is_closed));
        drop(nodes);
        assert_eq!(connections.len(), 1);
    }

    /// What strangers do, from wherever, costs no node its place, and nobody of another site.
    #[test]
    fn strangers_take_places_from_themselves_alone() {
        const NODES: u16 = 5_000;
        let connections = Connections::new(Bounds {
            strangers: 4_096,
            nodes: 60_000,
            per_source: 256,
        });
        let start = Instant::now();
        let nodes: Vec<Ticket> = (0..NODES)
            .map(|number| {
                let ticket = connections.admit(source("192.0.2.1"), start);
                let mut name = [0; 32];
                name[..2].copy_from_slice(&number.to_be_bytes());
                ticket.belongs_to(Source::Node(name));
                ticket.set_answering(number % 2 == 0, start);
                ticket
            })
            .collect();
        let newcomers = ["198.51.100.1", "2001:db8:1::1"].map(|text| {
            let later = start + Duration::from_millis(1);
            connections.admit(source(text), later)
        });

        // one site, a source of its own for each connection
        let mut flood = Vec::new();
        for number in 0..20_000_u32 {
            let address = format!("2001:db8:666:{:x}::1", number % 60_000);
            let later = start + Duration::from_secs(1) + Duration::from_micros(number.into());
            flood.push(connections.admit(source(&address), later));
        }

        assert!(!nodes.iter().any(is_closed));
        assert!(!newcomers.iter().any(is_closed));
        let open = flood.iter().filter(|ticket| !is_closed(ticket)).count();
        assert_eq!(open, 4_094);
        assert!(!is_closed(&flood[19_999]) && is_closed(&flood[0]));
        assert_eq!(connections.len(), usize::from(NODES) + 4_096);
    }

    #[test]
    fn too_many_nodes_cost_the_one_that_has_waited_longest() {
        let connections = Connections::new(Bounds {
            strangers: 2,
            nodes: 3,
            per_source: 2,
        });
        let start = Instant::now();
        let nodes: Vec<Ticket> = [2, 1, 3, 4]
            .map(|number| {
                let since = start + Duration::from_secs(number);
                let ticket = connections.admit(source("192.0.2.1"), since);
                ticket.belongs_to(Source::Node([number as u8; 32]));
                ticket
            })
            .into();
        let closed: Vec<bool> = nodes.iter().map(is_closed).collect();
        assert_eq!(closed, [false, true, false, false]);
        drop(nodes);
        assert!(connections.is_empty());
        let table = connections.lock();
        for kind in [&table.nodes, &table.strangers] {
            assert!(kind.sites.is_empty() && kind.by_size.is_empty());
        }
        assert_eq!((table.nodes.taken, table.strangers.taken), (0, 0));
    }

    #[test]
    fn places_are_free_again_when_tickets_are_dropped() {
        let connections = connections(2, 2);
        let now = Instant::now();
        for _ in 0..10 {
            drop(connections.admit(source("192.0.2.1"), now));
        }
        let one = connections.admit(source("192.0.2.1"), now);
        let two = connections.admit(source("192.0.2.1"), now);

        assert!(!is_closed(&one) && !is_closed(&two));
        assert_eq!(connections.evicted(), 0);
    }
}
