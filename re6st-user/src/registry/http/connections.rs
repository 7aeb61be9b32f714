//! Who holds how many connections, and who has to go when there is no room: pure bookkeeping.
//!
//! A newcomer is never turned away: with all places taken, the connection goes that has waited longest without having
//! a request answered, and of those one of the source that holds the most. So whoever opens thousands of connections
//! only takes places from itself.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use tokio::sync::watch;

/// How many connections there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// In all.
    pub total: usize,
    /// Of one [`Source`].
    pub per_source: usize,
}

/// Whom a connection counts for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
            IpAddr::V6(address) => {
                let site = address.to_bits() & !u128::from(u64::MAX);
                Self::Address(Ipv6Addr::from_bits(site).into())
            }
            address => Self::Address(address),
        }
    }
}

/// All connections.
#[derive(Clone, Debug)]
pub struct Connections {
    bounds: Bounds,
    table: Arc<Mutex<Table>>,
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    places: HashMap<u64, Place>,
    held: HashMap<Source, usize>,
    evicted: u64,
}

#[derive(Debug)]
struct Place {
    source: Source,
    /// Since when it has been waiting for a request, or for the answer to one.
    since: Instant,
    answering: bool,
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
    /// None yet.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            table: Arc::default(),
        }
    }

    /// Gives a place to a new connection, if need be that of another, which is told to close.
    pub fn admit(&self, source: Source, now: Instant) -> Ticket {
        let mut table = self.lock();
        if table.held.get(&source).copied().unwrap_or(0) >= self.bounds.per_source {
            table.evict(source);
        } else if table.places.len() >= self.bounds.total
            && let Some((&greediest, _)) = table.held.iter().max_by_key(|(_, held)| **held)
        {
            table.evict(greediest);
        }
        let number = table.next;
        table.next += 1;
        let (close, closed) = watch::channel(false);
        let place = Place {
            source,
            since: now,
            answering: false,
            close,
        };
        table.places.insert(number, place);
        *table.held.entry(source).or_insert(0) += 1;
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
    /// Frees the place of the source's connection that has waited longest, rather one whose request is not being
    /// answered.
    fn evict(&mut self, source: Source) {
        let of_source = self
            .places
            .iter()
            .filter(|(_, place)| place.source == source);
        let victim = of_source.min_by_key(|(_, place)| (place.answering, place.since));
        if let Some((&number, place)) = victim {
            place.close.send_replace(true);
            self.remove(number);
            self.evicted += 1;
        }
    }

    fn remove(&mut self, number: u64) {
        if let Some(place) = self.places.remove(&number) {
            self.release(place.source);
        }
    }

    fn release(&mut self, source: Source) {
        if let Some(held) = self.held.get_mut(&source) {
            *held -= 1;
            if *held == 0 {
                self.held.remove(&source);
            }
        }
    }
}

impl Ticket {
    /// The connection has shown who it is.
    pub fn belongs_to(&self, source: Source) {
        let mut table = self.connections.lock();
        if table.held.get(&source).copied().unwrap_or(0) >= self.connections.bounds.per_source {
            table.evict(source);
        }
        let Some(place) = table.places.get_mut(&self.number) else {
            return;
        };
        let before = std::mem::replace(&mut place.source, source);
        table.release(before);
        *table.held.entry(source).or_insert(0) += 1;
    }

    /// A request has arrived whole and is being answered, or it has been.
    pub fn set_answering(&self, answering: bool, now: Instant) {
        if let Some(place) = self.connections.lock().places.get_mut(&self.number) {
            place.answering = answering;
            place.since = now;
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
        self.connections.lock().remove(self.number);
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

    fn connections(total: usize, per_source: usize) -> Connections {
        Connections::new(Bounds { total, per_source })
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
