//! Signed documents that go from node to node: who has a newer one says so, who wants it asks for its octets, part by part. One
//! of a kind is fetched at a time, from one peer; what it is worth is for others to verify.

use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use sha2::{Digest as _, Sha256};

use super::{
    input::Held,
    wire::message::{DocumentKind, Message},
};
use crate::{
    certificate::node_prefix::NodePrefix,
    rate::{Bucket, Rate},
    time::Time,
};

/// Octets of a part: fits in a packet on every way.
const PIECE: usize = 1_024;
/// Parts that answer one question.
const WINDOW: usize = 32;
/// A question is repeated after so long, and so often.
const REPEAT: Duration = Duration::from_millis(500);
const REPEATS: u8 = 5;
/// A document whose octets come more slowly than so many a second is given up, but not before that time has passed.
const SLOWEST: u64 = 64 << 10;
const PATIENCE: Duration = Duration::from_secs(10);
/// Questions of one peer that are answered.
const WANTS: Rate = Rate {
    count: 128,
    seconds: 2,
};
/// Statements about successors of a peer that are looked at.
const SUCCESSIONS: u64 = 16;
/// Octets of such a statement.
const SUCCESSION: u32 = 1 << 16;
/// Documents whose digests are remembered, so that nobody is given the same twice.
const REMEMBERED: usize = 64;
/// After a document that was of no use, a peer is not asked for so long; doubled with each.
const PENALTY: Duration = Duration::from_secs(10);
const MAX_PENALTY: Duration = Duration::from_secs(3_600);

/// What a peer has to do with documents.
#[derive(Clone, Debug, Default)]
pub(super) struct Exchange {
    /// The numbers it says it holds: parameters, revocations.
    pub has: [u64; 2],
    /// The statement to ask for next.
    pub succession: Option<u64>,
    not_before: Time,
    /// The same for statements about successors too.
    silent_until: Time,
    useless: u32,
    wants: Bucket,
}

impl Exchange {
    /// It says what it holds. Gives whether that is news.
    pub fn says(&mut self, has: [u64; 2]) -> bool {
        std::mem::replace(&mut self.has, has) != has
    }

    /// It may have other statements about successors than were seen.
    pub const fn look_for_successions(&mut self) {
        self.succession = Some(0);
    }

    /// Whether one more of its questions is answered.
    pub fn may_want(&mut self, now: Time) -> bool {
        self.wants.take(WANTS, now).is_ok()
    }

    /// Something was fetched from it: until it has proven useful the peer is not asked again.
    pub fn delivered(&mut self, now: Time) {
        let penalty = PENALTY * 2_u32.saturating_pow(self.useless.min(10));
        self.useless = self.useless.saturating_add(1);
        self.not_before = now + penalty.min(MAX_PENALTY);
    }

    /// It was asked and did not answer, or too slowly: it is not asked for anything for a while.
    pub fn gave_up(&mut self, now: Time) {
        self.delivered(now);
        self.silent_until = self.not_before;
    }

    /// What was fetched last was good, whoever it came from.
    pub const fn forgive(&mut self) {
        (self.not_before, self.silent_until, self.useless) = (Time(0), Time(0), 0);
    }
}

/// A document on its way.
#[derive(Debug)]
struct Fetch {
    from: NodePrefix,
    kind: DocumentKind,
    number: u64,
    total: Option<u32>,
    /// From the beginning.
    octets: Vec<u8>,
    /// Parts behind one that is missing, by where they begin.
    ahead: BTreeMap<u32, Vec<u8>>,
    /// Up to where was asked for.
    asked: usize,
    at: Time,
    repeats: u8,
    begun: Time,
}

/// What is to be done for a fetch.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Ask this peer.
    Ask(NodePrefix, DocumentKind, u64, u32),
    /// A document is whole.
    Whole(Vec<u8>),
    /// It is of no use: parts contradict each other, or it came before.
    Useless,
    /// This peer does not answer.
    GiveUp(NodePrefix),
}

/// All documents of a node: those it holds, and those on their way.
#[derive(Debug, Default)]
pub(super) struct Documents {
    held: Held,
    fetches: Vec<Fetch>,
    given: HashSet<[u8; 32]>,
}

impl Documents {
    /// Replaces what is held. Gives whether peers are to be told.
    pub fn hold(&mut self, held: Held) -> bool {
        let before = self.numbers();
        let successions = self.held.successions.len();
        self.held = held;
        let numbers = self.numbers();
        self.fetches.retain(|fetch| match index(fetch.kind) {
            Some(index) => fetch.number > numbers[index],
            None => true,
        });
        before != numbers || successions != self.held.successions.len()
    }

    /// The numbers of the parameters and of the revocations that are held; 0 if none are.
    pub fn numbers(&self) -> [u64; 2] {
        [&self.held.parameters, &self.held.revocations]
            .map(|document| document.as_ref().map_or(0, |(number, _)| *number))
    }

    /// The answers to a question.
    pub fn pieces(
        &self,
        kind: DocumentKind,
        number: u64,
        offset: u32,
    ) -> impl Iterator<Item = Message<'_>> {
        let of = |document: &'_ Option<(u64, Vec<u8>)>| -> Option<usize> {
            let (held, octets) = document.as_ref()?;
            (*held == number).then_some(octets.len())
        };
        let (there, octets): (bool, &[u8]) = match kind {
            DocumentKind::Parameters => match &self.held.parameters {
                Some((_, octets)) if of(&self.held.parameters).is_some() => (true, octets),
                _ => (false, &[]),
            },
            DocumentKind::Revocations => match &self.held.revocations {
                Some((_, octets)) if of(&self.held.revocations).is_some() => (true, octets),
                _ => (false, &[]),
            },
            DocumentKind::Successions => {
                let at = usize::try_from(number).unwrap_or(usize::MAX);
                // an empty one says that there is none
                (
                    true,
                    self.held.successions.get(at).map_or(&[], Vec::as_slice),
                )
            }
        };
        let total = u32::try_from(octets.len()).unwrap_or(u32::MAX);
        let rest = octets.get(offset as usize..).unwrap_or_default();
        let empty = there && octets.is_empty();
        let parts = rest.chunks(PIECE).take(WINDOW).enumerate();
        let pieces = parts.map(move |(part, octets)| Message::Piece {
            kind,
            number,
            offset: offset + (part * PIECE) as u32,
            total,
            octets,
        });
        let none = empty.then_some(Message::Piece {
            kind,
            number,
            offset: 0,
            total: 0,
            octets: &[],
        });
        pieces.chain(none)
    }

    /// Whether a peer could be asked for something.
    pub fn wants_of(&self, now: Time, exchange: &Exchange) -> Option<(DocumentKind, u64)> {
        let idle = |kind| !self.fetches.iter().any(|fetch| fetch.kind == kind);
        let kinds = [DocumentKind::Parameters, DocumentKind::Revocations];
        let numbers = kinds.iter().zip(exchange.has).zip(self.numbers());
        if now >= exchange.not_before {
            for ((kind, theirs), ours) in numbers {
                if theirs > ours && idle(*kind) {
                    return Some((*kind, theirs));
                }
            }
        }
        let kind = DocumentKind::Successions;
        let may = now >= exchange.silent_until && idle(kind);
        let next = exchange.succession.filter(|_| may)?;
        Some((kind, next))
    }

    /// Begins to fetch.
    pub fn fetch(
        &mut self,
        now: Time,
        from: NodePrefix,
        exchange: &mut Exchange,
        (kind, number): (DocumentKind, u64),
    ) -> Step {
        if kind == DocumentKind::Successions {
            exchange.succession = None;
        }
        self.fetches.push(Fetch {
            from,
            kind,
            number,
            total: None,
            octets: Vec::new(),
            ahead: BTreeMap::new(),
            asked: WINDOW * PIECE,
            at: now + REPEAT,
            repeats: 0,
            begun: now,
        });
        Step::Ask(from, kind, number, 0)
    }

    /// When a question is to be repeated.
    pub fn deadline(&self) -> Option<Time> {
        self.fetches.iter().map(|fetch| fetch.at).min()
    }

    /// A question to repeat, if one is due. A peer that does not answer is given up.
    pub fn time_out(&mut self, now: Time) -> Option<Step> {
        let due = self.fetches.iter().position(|fetch| fetch.at <= now)?;
        let fetch = self.fetches.get_mut(due)?;
        fetch.repeats += 1;
        fetch.at = now + REPEAT;
        if fetch.repeats > REPEATS || fetch.is_too_slow(now) {
            let fetch = self.fetches.swap_remove(due);
            return Some(Step::GiveUp(fetch.from));
        }
        Some(fetch.ask())
    }

    /// A peer is gone.
    pub fn forget(&mut self, peer: NodePrefix) {
        self.fetches.retain(|fetch| fetch.from != peer);
    }

    /// A part came.
    pub fn piece(
        &mut self,
        now: Time,
        from: NodePrefix,
        exchange: &mut Exchange,
        piece: &Message<'_>,
        limit: u32,
    ) -> Option<Step> {
        let Message::Piece {
            kind,
            number,
            offset,
            total,
            octets,
        } = *piece
        else {
            return None;
        };
        let at = self
            .fetches
            .iter()
            .position(|it| (it.from, it.kind, it.number) == (from, kind, number))?;
        let limit = match kind {
            DocumentKind::Successions => SUCCESSION,
            _ => limit,
        };
        let fetch = self.fetches.get_mut(at)?;
        if kind == DocumentKind::Successions && total == 0 {
            self.fetches.swap_remove(at);
            return None;
        }
        let before = fetch.octets.len();
        if !fetch.take(offset, total, octets, limit) {
            self.fetches.swap_remove(at);
            exchange.delivered(now);
            return Some(Step::Useless);
        }
        if fetch.octets.len() as u64 == u64::from(total) {
            let whole = self.fetches.swap_remove(at);
            return Some(self.whole(now, exchange, whole));
        }
        if fetch.is_too_slow(now) {
            return Some(Step::GiveUp(self.fetches.swap_remove(at).from));
        }
        // what was there already is no progress
        if fetch.octets.len() > before {
            fetch.at = now + REPEAT;
            fetch.repeats = 0;
        }
        (fetch.octets.len() >= fetch.asked).then(|| fetch.ask())
    }

    fn whole(&mut self, now: Time, exchange: &mut Exchange, whole: Fetch) -> Step {
        match whole.kind {
            DocumentKind::Successions => {
                let next = whole.number + 1;
                exchange.succession = (next < SUCCESSIONS).then_some(next);
            }
            _ => exchange.delivered(now),
        }
        let digest = Sha256::digest(&whole.octets).into();
        if self.held.successions.contains(&whole.octets) || self.given.contains(&digest) {
            return Step::Useless;
        }
        if self.given.len() >= REMEMBERED {
            self.given.clear();
        }
        self.given.insert(digest);
        Step::Whole(whole.octets)
    }
}

const fn index(kind: DocumentKind) -> Option<usize> {
    match kind {
        DocumentKind::Parameters => Some(0),
        DocumentKind::Revocations => Some(1),
        DocumentKind::Successions => None,
    }
}

impl Fetch {
    /// Others may have it, and nobody else is asked meanwhile.
    fn is_too_slow(&self, now: Time) -> bool {
        let total = u64::from(self.total.unwrap_or_default());
        now.since(self.begun) > PATIENCE + Duration::from_millis(total * 1_000 / SLOWEST)
    }

    fn ask(&mut self) -> Step {
        let offset = self.octets.len();
        self.asked = offset + WINDOW * PIECE;
        Step::Ask(self.from, self.kind, self.number, offset as u32)
    }

    /// False if the part cannot be one of the document.
    fn take(&mut self, offset: u32, total: u32, octets: &[u8], limit: u32) -> bool {
        let end = u64::from(offset) + octets.len() as u64;
        let fits = total <= limit && end <= u64::from(total) && !octets.is_empty();
        if !fits || *self.total.get_or_insert(total) != total {
            return false;
        }
        let here = self.octets.len();
        match (offset as usize).cmp(&here) {
            std::cmp::Ordering::Less => {}
            std::cmp::Ordering::Equal => {
                self.octets.extend_from_slice(octets);
                while let Some(first) = self.ahead.first_entry() {
                    let offset = *first.key() as usize;
                    if offset > self.octets.len() {
                        break;
                    }
                    let octets = first.remove();
                    if offset == self.octets.len() {
                        self.octets.extend(octets);
                    }
                }
            }
            std::cmp::Ordering::Greater => {
                if self.ahead.len() < WINDOW && (offset as usize) < self.asked {
                    self.ahead.insert(offset, octets.to_vec());
                }
            }
        }
        // parts that do not join could make more than there is
        self.octets.len() as u64 <= u64::from(total)
    }
}
