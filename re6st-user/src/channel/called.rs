//! Where we have called lately. A NAT or a firewall before us lets in what comes from there, as it would an answer; so it says
//! nothing of whether others reach us.

use std::{collections::HashMap, net::IpAddr, time::Duration};

use crate::time::Time;

/// NATs forget within that (RFC 4787, REQ-5, recommends five minutes).
const MEMORY: Duration = Duration::from_secs(300);
/// So many addresses are remembered.
const MOST: usize = 1_024;

/// Addresses, and when we called there last.
#[derive(Debug, Default)]
pub(super) struct Called(HashMap<IpAddr, Time>);

impl Called {
    pub fn note(&mut self, now: Time, address: IpAddr) {
        let address = address.to_canonical();
        if self.0.len() >= MOST && !self.0.contains_key(&address) {
            self.0.retain(|_, at| now.since(*at) < MEMORY);
            let oldest = self.0.iter().min_by_key(|(_, at)| **at);
            if let Some(oldest) = oldest.map(|(address, _)| *address)
                && self.0.len() >= MOST
            {
                self.0.remove(&oldest);
            }
        }
        self.0.insert(address, now);
    }

    pub fn lately(&self, now: Time, address: IpAddr) -> bool {
        let at = self.0.get(&address.to_canonical());
        at.is_some_and(|at| now.since(*at) < MEMORY)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn it_is_bounded_and_the_oldest_goes_first() {
        let address = |number: usize| IpAddr::V4(Ipv4Addr::from_bits(number as u32));
        let mut called = Called::default();
        for number in 0..=MOST {
            called.note(Time(number as u64), address(number));
        }
        let now = Time(MOST as u64);
        assert_eq!(called.0.len(), MOST);
        assert!(!called.lately(now, address(0)));
        assert!(called.lately(now, address(1)));
        assert!(!called.lately(now + MEMORY, address(MOST)));
    }
}
