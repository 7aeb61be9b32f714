//! How often somebody may ask, in bounded memory.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use crate::{
    rate::{Bucket, Rate},
    time::{Time, Timestamp},
};

/// A rate for each of many, and one for all together.
#[derive(Debug)]
pub struct Limiter<K> {
    capacity: usize,
    each: Rate,
    all: Rate,
    together: Bucket,
    buckets: BTreeMap<K, Bucket>,
    swept: Timestamp,
}

impl<K: Ord> Limiter<K> {
    /// At most so many are remembered; beyond, strangers are refused until others can be forgotten.
    pub const CAPACITY: usize = 16_384;

    /// Nobody has asked yet.
    pub const fn new(each: Rate, all: Rate) -> Self {
        Self::with_capacity(each, all, Self::CAPACITY)
    }

    /// For askers of whom there are so many at most.
    pub const fn with_capacity(each: Rate, all: Rate, capacity: usize) -> Self {
        Self {
            capacity,
            each,
            all,
            together: Bucket::NEW,
            buckets: BTreeMap::new(),
            swept: Timestamp(0),
        }
    }

    /// Whether one could be taken.
    ///
    /// # Errors
    ///
    /// Too early: the seconds to wait.
    pub fn check(&self, asker: &K, now: Timestamp) -> Result<(), u64> {
        let bucket = self.buckets.get(asker).copied().unwrap_or_default();
        self.taken(bucket, now).map(drop)
    }

    /// Takes one for this asker.
    ///
    /// # Errors
    ///
    /// Too early: the seconds to wait. A refused one takes nothing of what all share.
    pub fn take(&mut self, asker: K, now: Timestamp) -> Result<(), u64> {
        let bucket = match self.buckets.get(&asker) {
            Some(bucket) => *bucket,
            None => {
                self.make_room(now)?;
                Bucket::default()
            }
        };
        let (bucket, together) = self.taken(bucket, now)?;
        self.together = together;
        if self.each.seconds > 0 {
            self.buckets.insert(asker, bucket);
        }
        Ok(())
    }

    /// An asker's bucket, and that of all, after one is taken.
    fn taken(&self, mut bucket: Bucket, now: Timestamp) -> Result<(Bucket, Bucket), u64> {
        let mut together = self.together;
        let taken = bucket.take(self.each, time(now));
        taken
            .and_then(|()| together.take(self.all, time(now)))
            .map_err(|wait| wait.as_secs() + u64::from(wait.subsec_nanos() > 0))?;
        Ok((bucket, together))
    }

    /// Forgets who owes nothing, at most once a second.
    fn make_room(&mut self, now: Timestamp) -> Result<(), u64> {
        if self.buckets.len() >= self.capacity && self.swept != now {
            self.swept = now;
            self.buckets.retain(|_, bucket| !bucket.is_idle(time(now)));
        }
        if self.buckets.len() >= self.capacity {
            return Err(1);
        }
        Ok(())
    }
}

/// Rates know spans of time alone: any origin will do.
fn time(now: Timestamp) -> Time {
    Time(0) + Duration::from_secs(now.0)
}

/// The network an address counts for: what one subscriber has, /64 of IPv6, and /24 of IPv4.
pub fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => Ipv4Addr::from_bits(address.to_bits() & !0xff).into(),
        IpAddr::V6(address) => {
            Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into()
        }
    }
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test ends where it fails")]
mod tests {
    use super::*;

    const MINUTE: Rate = Rate {
        count: 3,
        seconds: 60,
    };
    const FREE: Rate = Rate {
        count: 1,
        seconds: 0,
    };

    #[test]
    fn a_burst_then_one_each_share_of_the_time() {
        let mut limiter = Limiter::new(MINUTE, FREE);
        let start = Timestamp(1_800_000_000);

        for _ in 0..3 {
            assert_eq!(limiter.take("a", start), Ok(()));
        }
        assert_eq!(limiter.take("a", start), Err(20));
        assert_eq!(limiter.take("b", start), Ok(()), "another one is not meant");
        assert_eq!(limiter.take("a", start.plus(19)), Err(1));
        assert_eq!(limiter.take("a", start.plus(20)), Ok(()));
        assert_eq!(limiter.take("a", start.plus(20)), Err(20));
        for _ in 0..3 {
            assert_eq!(limiter.take("a", start.plus(1000)), Ok(()));
        }
    }

    #[test]
    fn all_together() {
        let mut limiter = Limiter::new(FREE, MINUTE);
        for asker in 0..3 {
            assert_eq!(limiter.take(asker, Timestamp(0)), Ok(()));
        }
        assert_eq!(limiter.take(3, Timestamp(0)), Err(20));
    }

    #[test]
    fn what_one_is_refused_costs_the_others_nothing() {
        let mut limiter = Limiter::new(
            Rate {
                count: 1,
                seconds: 60,
            },
            Rate {
                count: 2,
                seconds: 60,
            },
        );
        assert_eq!(limiter.take("greedy", Timestamp(0)), Ok(()));
        for _ in 0..100 {
            assert_eq!(limiter.take("greedy", Timestamp(0)), Err(60));
        }
        assert_eq!(limiter.take("modest", Timestamp(0)), Ok(()));
    }

    #[test]
    fn memory_is_bounded() {
        let mut limiter = Limiter::new(MINUTE, FREE);
        let admitted = (0..100_000).filter(|asker| limiter.take(*asker, Timestamp(0)).is_ok());
        assert_eq!(admitted.count(), Limiter::<i32>::CAPACITY);
        assert_eq!(
            limiter.take(5, Timestamp(0)),
            Ok(()),
            "who is known may go on"
        );
        assert_eq!(
            limiter.take(200_000, Timestamp(100)),
            Ok(()),
            "the others are forgotten"
        );
        assert_eq!(limiter.buckets.len(), 1);
    }

    #[test]
    fn a_clock_that_was_wrong_once_locks_nobody_out() {
        let mut limiter = Limiter::new(MINUTE, FREE);
        assert_eq!(limiter.take("a", Timestamp(1_840_000_000)), Ok(()));
        let right = Timestamp(1_800_000_000);
        for _ in 0..3 {
            assert_eq!(limiter.take("a", right), Ok(()));
        }
        assert_eq!(limiter.take("a", right), Err(20));
        assert_eq!(limiter.take("a", right.minus(30)), Err(50), "a little");
    }

    #[test]
    fn nothing_and_everything() {
        let mut none = Limiter::new(
            Rate {
                count: 0,
                seconds: 1,
            },
            FREE,
        );
        assert!(none.take((), Timestamp(0)).is_err());
        let mut any = Limiter::new(FREE, FREE);
        assert!((0..1000).all(|_| any.take((), Timestamp(0)).is_ok()));
        assert!(any.take((), Timestamp(u64::MAX)).is_ok());
    }

    #[test]
    fn addresses_of_one_subscriber_count_together() {
        for (address, network) in [
            ("192.0.2.77", "192.0.2.0"),
            ("::ffff:192.0.2.77", "192.0.2.0"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ] {
            let address: IpAddr = address.parse().expect("an address");
            assert_eq!(network_of(address).to_string(), network);
        }
    }
}
