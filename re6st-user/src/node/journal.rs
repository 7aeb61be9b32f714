//! The file that feasibility distances are kept in: written to before what they allow is announced, so that a killed
//! controller that is started again knows how near it said to be.
//!
//! Nothing is forced to the disk: what a killed process has written stays in the kernel's memory, and after a new boot
//! there are no routes to go on with. The file grows by what changes, and is written anew when it has doubled.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use blake2::{Blake2s256, Digest as _};
use serde::Serialize;

use super::distances::{self, Unusable};
use crate::{babel::input::Distance, io::file, time::Time};

/// Its name in the state directory.
const NAME: &str = "distances";
/// Octets it may grow by beyond twice its first size.
const SLACK: u64 = 1 << 20;
/// Octets written in [`BUDGET_TIME`]: neighbours that change routes faster make us do without the file.
const BUDGET: u64 = 64 << 20;
const BUDGET_TIME: Duration = Duration::from_secs(60);
/// Octets of records in one frame of a new file.
const FRAME: usize = 1 << 16;
/// More is not read.
const LONGEST: u64 = 1 << 30;

/// For people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct JournalCounters {
    /// Distances that were there at the start.
    pub restored: usize,
    /// Whether the file of before was there and could not be used.
    pub unusable: bool,
    /// Octets written.
    pub octets: u64,
    /// Times the file was written anew.
    pub renewals: u64,
    /// Times it was given up, for an error or since too much had to be written.
    pub failures: u64,
}

/// What the meaning of a file depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Which boot of the machine.
    pub boot: [u8; 36],
    /// What interfaces' numbers stand for.
    pub interfaces: [u8; 8],
}

impl Origin {
    /// Of now, without interfaces.
    pub fn now() -> io::Result<Self> {
        let boot = fs::read("/proc/sys/kernel/random/boot_id")?;
        Ok(Self {
            boot: *boot
                .first_chunk()
                .ok_or_else(|| io::Error::other("the kernel's boot_id is too short"))?,
            interfaces: [0; 8],
        })
    }

    /// `interfaces`: anything that changes when their numbers do.
    pub fn with(mut self, interfaces: &[u8]) -> Self {
        let hash = Blake2s256::digest(interfaces);
        self.interfaces = hash.first_chunk().copied().unwrap_or_default();
        self
    }

    fn octets(&self) -> Vec<u8> {
        [&self.boot[..], &self.interfaces[..]].concat()
    }
}

/// What a life before has left.
#[derive(Debug)]
pub struct Former {
    path: PathBuf,
    octets: Option<Result<Vec<u8>, Unusable>>,
}

impl Former {
    /// Reads the file in a directory.
    pub fn read(directory: &Path) -> io::Result<Self> {
        let path = directory.join(NAME);
        let octets = match fs::metadata(&path) {
            Ok(metadata) if metadata.len() > LONGEST => Some(Err(Unusable::Damaged)),
            Ok(_) => Some(Ok(file::read(&path, LONGEST)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        Ok(Self { path, octets })
    }
}

/// The open file of records.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    origin: Origin,
    file: Option<File>,
    /// Records that have to be written before anything else is done.
    unwritten: Vec<u8>,
    size: u64,
    first_size: u64,
    budget: u64,
    budget_since: Time,
    /// Why there is no file.
    failure: Option<String>,
    /// For people.
    pub counters: JournalCounters,
}

impl Journal {
    /// Goes on from what a life before has left: all distances, or `None` if there may be more.
    pub fn open(former: Former, origin: Origin) -> (Self, Option<Vec<Distance>>, Option<Unusable>) {
        let path = former.path;
        let found = former.octets;
        let found = found.map(|octets| octets.and_then(|octets| read(&octets, &origin)));
        let (distances, unusable) = match found {
            Some(Ok(distances)) => (Some(distances), None),
            Some(Err(unusable)) => (None, Some(unusable)),
            None => (None, None),
        };
        let journal = Self {
            path,
            origin,
            file: None,
            unwritten: Vec::new(),
            size: 0,
            first_size: 0,
            budget: BUDGET,
            budget_since: Time(0),
            failure: None,
            counters: JournalCounters {
                restored: distances.as_ref().map_or(0, Vec::len),
                unusable: unusable == Some(Unusable::Damaged),
                ..JournalCounters::default()
            },
        };
        (journal, distances, unusable)
    }

    /// Interfaces' numbers stand for something else from now on: the file begins anew.
    pub fn renumber(&mut self, interfaces: &[u8]) {
        let origin = self.origin.clone().with(interfaces);
        if origin != self.origin {
            self.origin = origin;
            self.unwritten.clear();
            self.file = None;
        }
    }

    /// Whether it should be written anew, with all that is known.
    pub fn is_due(&self, now: Time) -> bool {
        match self.file {
            Some(_) => self.size > 2 * self.first_size + SLACK,
            None => self.budget > 0 || now.since(self.budget_since) > BUDGET_TIME,
        }
    }

    /// Whether it is to be looked at from time to time: it is not begun yet, was given up, or has grown.
    pub fn wants_attention(&self, now: Time) -> bool {
        self.file.is_none() || self.is_due(now)
    }

    /// What people should know, if it is done without the file.
    pub fn warning(&self) -> Option<String> {
        self.failure.clone()
    }

    /// Writes it anew; it takes the place of the one before at once.
    pub fn renew(&mut self, now: Time, distances: &[Distance]) {
        self.unwritten.clear();
        let mut octets = Vec::new();
        distances::frame(&self.origin.octets(), &mut octets);
        let mut payload = Vec::new();
        for distance in distances {
            distances::put(distance, &mut payload);
            if payload.len() >= FRAME {
                distances::frame(&payload, &mut octets);
                payload.clear();
            }
        }
        distances::frame(&payload, &mut octets);
        match self.replace(&octets) {
            Ok(file) => {
                self.file = Some(file);
                self.failure = None;
                self.size = octets.len() as u64;
                self.first_size = self.size;
                self.counters.renewals += 1;
                self.spend(now, octets.len());
            }
            Err(error) => self.give_up(now, &error.to_string()),
        }
    }

    fn replace(&self, octets: &[u8]) -> io::Result<File> {
        let scratch = self.path.with_extension("new");
        let mut file = File::create(&scratch)?;
        file.write_all(octets)?;
        fs::rename(&scratch, &self.path)?;
        Ok(file)
    }

    /// Notes a distance. [`Journal::flush`] must come before anything that relies on it.
    pub fn push(&mut self, distance: &Distance) {
        if self.file.is_some() {
            distances::put(distance, &mut self.unwritten);
        }
    }

    /// Writes what was noted.
    pub fn flush(&mut self, now: Time) {
        let Some(file) = self.file.as_mut().filter(|_| !self.unwritten.is_empty()) else {
            return;
        };
        let mut octets = Vec::with_capacity(self.unwritten.len() + 16);
        distances::frame(&self.unwritten, &mut octets);
        self.unwritten.clear();
        match file.write_all(&octets) {
            Ok(()) => {
                self.size += octets.len() as u64;
                self.spend(now, octets.len());
            }
            Err(error) => self.give_up(now, &error.to_string()),
        }
    }

    fn spend(&mut self, now: Time, octets: usize) {
        self.counters.octets += octets as u64;
        if now.since(self.budget_since) > BUDGET_TIME {
            self.budget = BUDGET;
            self.budget_since = now;
        }
        self.budget = self.budget.saturating_sub(octets as u64);
        if self.budget == 0 {
            self.give_up(now, "routes change too fast");
        }
    }

    /// A file that lacks something must not be found by the next life.
    fn give_up(&mut self, now: Time, why: &str) {
        let text = format!(
            "state: {}: {why}; a controller that is killed now will not know its feasibility distances",
            self.path.display()
        );
        eprintln!("{text}");
        self.failure = Some(text);
        self.counters.failures += 1;
        self.budget = 0;
        self.budget_since = now;
        if let Some(file) = self.file.take() {
            // whichever of the two works
            let _ = file.set_len(0);
        }
        if let Err(error) = fs::remove_file(&self.path)
            && error.kind() != io::ErrorKind::NotFound
        {
            eprintln!("state: remove {}: {error}", self.path.display());
        }
    }
}

fn read(octets: &[u8], origin: &Origin) -> Result<Vec<Distance>, Unusable> {
    let frames = distances::frames(octets)?;
    let (first, rest) = frames.split_first().ok_or(Unusable::Damaged)?;
    let (boot, interfaces) = first
        .split_at_checked(origin.boot.len())
        .ok_or(Unusable::Damaged)?;
    if boot != origin.boot {
        return Err(Unusable::OtherBoot);
    }
    let same_interfaces = interfaces == origin.interfaces;
    let mut all = Vec::new();
    for payload in rest {
        all.extend(distances::records(payload)?);
    }
    if !same_interfaces {
        // who was nearer is not known then
        all.iter_mut().for_each(|distance| distance.via = None);
    }
    Ok(all)
}

#[cfg(test)]
#[expect(clippy::expect_used, reason = "a test may end there")]
mod tests {
    use super::*;
    use crate::{
        babel::{
            input::InterfaceId,
            message::NextHop,
            quantities::{Metric, RouterId, SequenceNumber},
        },
        route::RouteKey,
    };

    const NOW: Time = Time(0);

    /// A directory that is gone when the test ends.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let name = format!("re6st-journal-{name}-{}", std::process::id());
            let path = std::env::temp_dir().join(name);
            fs::create_dir_all(&path).expect("a place for files");
            Self(path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn origin() -> Origin {
        Origin::now().expect("Linux has a boot_id").with(b"one")
    }

    fn distance(metric: u16) -> Distance {
        let prefix = "2001:db8::/64".parse().expect("a prefix");
        Distance {
            route: RouteKey::new(prefix, None).expect("one family"),
            router_id: RouterId::new([1; 8]).expect("not reserved"),
            sequence_number: SequenceNumber(1),
            metric: Metric(metric),
            via: Some((InterfaceId(3), NextHop::Ipv4([192, 0, 2, 1].into()))),
        }
    }

    fn open(
        directory: &Scratch,
        origin: Origin,
    ) -> (Journal, Option<Vec<Distance>>, Option<Unusable>) {
        Journal::open(Former::read(&directory.0).expect("readable"), origin)
    }

    fn reopen(directory: &Scratch, origin: Origin) -> (Option<Vec<Distance>>, Option<Unusable>) {
        let (_, distances, unusable) = open(directory, origin);
        (distances, unusable)
    }

    #[test]
    fn what_was_flushed_is_there_after_a_kill_and_nothing_else() {
        let directory = Scratch::new("flush");
        let (mut journal, before, _) = open(&directory, origin());
        assert_eq!(before, None);
        journal.renew(NOW, &[distance(100)]);
        journal.push(&distance(90));
        journal.flush(NOW);
        journal.push(&distance(80));
        drop(journal);
        let expected = vec![distance(100), distance(90)];
        assert_eq!(reopen(&directory, origin()), (Some(expected), None));
    }

    #[test]
    fn other_boots_and_other_interfaces_are_told_apart() {
        let directory = Scratch::new("origin");
        let (mut journal, ..) = open(&directory, origin());
        journal.renew(NOW, &[distance(100)]);
        let mut other = origin();
        other.boot = [b'x'; 36];
        assert_eq!(reopen(&directory, other), (None, Some(Unusable::OtherBoot)));
        let other = origin().with(b"two");
        let expected = Distance {
            via: None,
            ..distance(100)
        };
        assert_eq!(reopen(&directory, other), (Some(vec![expected]), None));
    }

    #[test]
    fn a_damaged_file_is_ignored_and_counted() {
        let directory = Scratch::new("damage");
        for octets in [&b""[..], b"x", &[0; 100]] {
            fs::write(directory.0.join(NAME), octets).expect("written");
            let (journal, distances, unusable) = open(&directory, origin());
            assert_eq!(
                (distances, unusable),
                (None, Some(Unusable::Damaged)),
                "{octets:?}"
            );
            assert!(journal.counters.unusable);
        }
    }

    #[test]
    fn it_is_written_anew_before_it_grows_without_bound() {
        let directory = Scratch::new("growth");
        let (mut journal, ..) = open(&directory, origin());
        journal.renew(NOW, &[]);
        assert!(!journal.is_due(NOW));
        while !journal.is_due(NOW) {
            for metric in 0..1000 {
                journal.push(&distance(metric));
            }
            journal.flush(NOW);
        }
        assert!(journal.counters.octets < 2 * SLACK);
        journal.renew(NOW, &[distance(5)]);
        assert_eq!(
            reopen(&directory, origin()),
            (Some(vec![distance(5)]), None)
        );
    }

    /// As they are learned: forty in a packet.
    #[test]
    fn fifty_thousand_routes_take_little_room_and_time() {
        const ROUTES: u32 = 50_000;
        let directory = Scratch::new("scale");
        let (mut journal, ..) = open(&directory, origin());
        journal.renew(NOW, &[]);
        let all: Vec<_> = (0..ROUTES)
            .map(|number| {
                let address =
                    std::net::Ipv6Addr::from_bits((0x2001_0db8 << 96) | u128::from(number) << 64);
                let prefix = ipnet::IpNet::new(address.into(), 64).expect("64 is a length");
                let next_hop = NextHop::Ipv6("fe80::1".parse().expect("an address"));
                Distance {
                    route: RouteKey::new(prefix, None).expect("one family"),
                    via: Some((InterfaceId(3), next_hop)),
                    ..distance(100)
                }
            })
            .collect();
        let begin = std::time::Instant::now();
        for packet in all.chunks(40) {
            packet.iter().for_each(|distance| journal.push(distance));
            journal.flush(NOW);
        }
        let taken = begin.elapsed();
        println!("{} octets in {taken:?}", journal.counters.octets);
        assert!(journal.counters.octets < 50 * u64::from(ROUTES));
        assert!(taken < Duration::from_secs(2), "{taken:?}");
        assert_eq!(reopen(&directory, origin()), (Some(all), None));
    }

    #[test]
    fn too_much_to_write_means_doing_without() {
        let directory = Scratch::new("budget");
        let (mut journal, ..) = open(&directory, origin());
        journal.renew(NOW, &[]);
        for _ in 0..=BUDGET / 30_000 {
            for metric in 0..1000 {
                journal.push(&distance(metric));
            }
            journal.flush(NOW);
        }
        assert_eq!(journal.counters.failures, 1);
        assert!(journal.counters.octets <= BUDGET + 100_000);
        assert!(!journal.is_due(NOW), "not at once");
        assert_eq!(reopen(&directory, origin()), (None, None));
    }
}
