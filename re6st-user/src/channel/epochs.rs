//! One direction's epochs: which keys it has, had, and will have.

use std::collections::VecDeque;

use zeroize::Zeroize as _;

use super::{
    keys::{Key, Secret},
    window::Window,
    wire::packet::Transport,
};
use crate::time::Time;

/// How many epochs further than the last one known a packet may be: so many times the sender may have changed its keys while
/// nothing came through.
pub const MAX_AHEAD: usize = 32;
/// How many epochs before the current one are kept, each for [`SessionSettings::keep_previous`].
pub const MAX_PAST: usize = 4;
/// The labels of epochs from 1 on.
const LABELS: u64 = 255;

/// Which keys of a direction: 0 is the handshake's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Epoch(pub u64);

impl Epoch {
    /// As in a packet's second octet: 0 for epoch 0 alone, then 1 to 255 over and over.
    pub const fn label(self) -> u8 {
        match self.0.checked_sub(1) {
            None => 0,
            Some(number) => (number % LABELS + 1) as u8,
        }
    }

    const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// Why a packet is not opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum NotOpened {
    /// Its epoch has no keys, no longer or not yet.
    UnknownEpoch,
    /// It was not made with its epoch's key, or was changed.
    Forged,
    /// The cryptographic library has failed.
    Library,
}

/// A secret of the chain, its epoch, and its key.
pub(super) struct Keys {
    pub epoch: Epoch,
    pub secret: Secret,
    pub key: Key,
}

impl Keys {
    fn new(epoch: Epoch, secret: Secret) -> Option<Self> {
        let key = secret.key()?;
        Some(Self { epoch, secret, key })
    }

    /// The secret of the epoch after, if there is one yet: that of epoch 1 is made elsewhere.
    fn following(epoch: Epoch, secret: &Secret, first: Option<&Secret>) -> Option<Secret> {
        match epoch {
            Epoch(0) => first.cloned(),
            _ => Some(secret.ratchet()),
        }
    }
}

/// The sending end.
pub(super) struct Sender {
    pub keys: Keys,
    /// The secret of epoch 1, while we are in epoch 0 and know it.
    pub first: Option<Secret>,
    /// The counter of the next packet.
    pub counter: u64,
    /// When the epoch began.
    pub since: Time,
    /// Packets of this epoch.
    pub packets: u64,
}

impl Sender {
    /// Goes to the next epoch, if there is one.
    pub fn advance(&mut self, now: Time) -> Option<()> {
        let epoch = self.keys.epoch;
        let secret = Keys::following(epoch, &self.keys.secret, self.first.as_ref())?;
        self.keys = Keys::new(epoch.next(), secret)?;
        self.first = None;
        self.since = now;
        self.packets = 0;
        Some(())
    }
}

/// Keys of an epoch that is over.
struct Past {
    epoch: Epoch,
    key: Key,
    until: Time,
}

/// The receiving end.
pub(super) struct Receiver {
    pub keys: Keys,
    /// The secret of epoch 1, while we are in epoch 0 and know it.
    pub first: Option<Secret>,
    /// The secrets of the epochs that follow, as far as somebody has asked for them: so that many forged packets cost no
    /// more than one.
    ahead: Vec<Secret>,
    /// Newest first.
    past: VecDeque<Past>,
    pub window: Window,
}

/// Where a packet's key is.
#[derive(Clone, Copy)]
enum Place {
    Current,
    Past(usize),
    /// So many epochs further; 1 at least.
    Ahead(usize),
}

impl Receiver {
    fn place(&self, label: u8) -> Option<Place> {
        let current = self.keys.epoch;
        if label == current.label() {
            return Some(Place::Current);
        }
        let past = self.past.iter().position(|it| it.epoch.label() == label);
        if let Some(place) = past {
            return Some(Place::Past(place));
        }
        let distance = match (label, current.label()) {
            (0, _) => return None,
            (label, current) if label > current => u64::from(label - current),
            // from 0 no label is behind
            (label, current) => u64::from(label) + LABELS - u64::from(current),
        };
        let distance = usize::try_from(distance).ok()?;
        (distance <= MAX_AHEAD).then_some(Place::Ahead(distance))
    }

    /// The secret so many epochs further.
    fn ahead(&mut self, distance: usize) -> Option<&Secret> {
        // no moves while it grows: they would leave copies behind
        if self.ahead.capacity() == 0 {
            self.ahead.reserve_exact(MAX_AHEAD);
        }
        while self.ahead.len() < distance.min(MAX_AHEAD) {
            let epoch = Epoch(self.keys.epoch.0 + self.ahead.len() as u64);
            let last = self.ahead.last().unwrap_or(&self.keys.secret);
            let next = Keys::following(epoch, last, self.first.as_ref())?;
            self.ahead.push(next);
        }
        self.ahead.get(distance.checked_sub(1)?)
    }

    /// A packet has come that is so many epochs further. The keys of the epochs between are kept like those of the current.
    fn follow(&mut self, distance: usize, key: Key, until: Time) -> Option<()> {
        let mut key = Some(key);
        for step in 1..=distance {
            let secret = self.ahead.get(step - 1)?.clone();
            let found = match step == distance {
                true => key.take()?,
                false => secret.key()?,
            };
            let next = Keys {
                epoch: self.keys.epoch.next(),
                secret,
                key: found,
            };
            let before = std::mem::replace(&mut self.keys, next);
            self.past.push_front(Past {
                epoch: before.epoch,
                key: before.key,
                until,
            });
            self.past.truncate(MAX_PAST);
        }
        self.ahead.drain(..distance.min(self.ahead.len()));
        self.first = None;
        Some(())
    }
}

impl Sender {
    /// In epoch 0. `first` is the secret of epoch 1, if it is known.
    pub fn new(secret: Secret, first: Option<Secret>, now: Time) -> Option<Self> {
        Some(Self {
            first,
            keys: Keys::new(Epoch(0), secret)?,
            counter: 0,
            since: now,
            packets: 0,
        })
    }
}

impl Receiver {
    /// In epoch 0. `first` is the secret of epoch 1, if it is known.
    pub fn new(secret: Secret, first: Option<Secret>) -> Option<Self> {
        Some(Self {
            first,
            keys: Keys::new(Epoch(0), secret)?,
            ahead: Vec::new(),
            past: VecDeque::new(),
            window: Window::new(),
        })
    }

    /// When the next keys of epochs that are over are to be erased.
    pub fn next_deadline(&self) -> Option<Time> {
        self.past.iter().map(|past| past.until).min()
    }

    /// Erases those whose time is over.
    pub fn erase(&mut self, now: Time) {
        self.past.retain(|past| now < past.until);
    }
}

impl Receiver {
    /// Opens a packet; if it is of a later epoch, that is the current one from now on, and the keys of those before are kept
    /// until the time that is given. Its counter is for the caller to check and note.
    pub fn open(
        &mut self,
        packet: &Transport<'_>,
        until: Time,
    ) -> Result<(Epoch, Vec<u8>), NotOpened> {
        let with = |key: &Key| {
            key.open(packet.counter, packet.header, packet.sealed)
                .ok_or(NotOpened::Forged)
        };
        match self.place(packet.label).ok_or(NotOpened::UnknownEpoch)? {
            Place::Current => Ok((self.keys.epoch, with(&self.keys.key)?)),
            Place::Past(at) => {
                let past = self.past.get(at).ok_or(NotOpened::UnknownEpoch)?;
                Ok((past.epoch, with(&past.key)?))
            }
            Place::Ahead(distance) => {
                let secret = self.ahead(distance).ok_or(NotOpened::UnknownEpoch)?;
                let key = secret.key().ok_or(NotOpened::Library)?;
                let mut plaintext = with(&key)?;
                if self.follow(distance, key, until).is_none() {
                    plaintext.zeroize();
                    return Err(NotOpened::Library);
                }
                Ok((self.keys.epoch, plaintext))
            }
        }
    }
}
