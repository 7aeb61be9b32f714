//! Tells XDP how initiations of handshakes are judged, or that they are not.

use re6st_common::{handshake::SipKey, maps::Handshakes};

use super::{
    error::BpfError,
    maps::{Maps, access},
};
use crate::io::random;

/// What XDP is told of a node's channels. The cookie's secret is no part of it: it is made here, and leaves for the map alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandshakeKeys {
    /// The key of the MAC in initiations to this node, which follows from its public key.
    pub mac_key: SipKey,
    /// How many initiations without a valid cookie may come in a second, on each CPU; the others are answered with a cookie.
    /// 0: all are.
    pub rate: u32,
    /// How many of them may come at once after a time without any; 0 is taken as 1.
    pub burst: u32,
}

/// Has XDP judge initiations from now on, by these keys; `None`: all go to the controller again. The secret of cookies stays
/// as long as they are judged, also over a load, so that those that were given out are good.
///
/// # Errors
/// The map cannot be read or written.
pub fn set(maps: &Maps, keys: Option<&HandshakeKeys>) -> Result<(), BpfError> {
    let mut map = maps.handshakes()?;
    let told = access(map.get(&0, 0), "HANDSHAKES", 0)?;
    let next = keys.map_or_else(Handshakes::default, |keys| judged(told, keys));
    if next == told {
        return Ok(());
    }
    access(map.set(0, next, 0), "HANDSHAKES", 0)
}

fn judged(told: Handshakes, keys: &HandshakeKeys) -> Handshakes {
    let cookie_secret = match told.enabled {
        0 => {
            let mut octets = [0; 16];
            random::fill(&mut octets);
            SipKey::new(octets)
        }
        _ => told.cookie_secret,
    };
    Handshakes {
        enabled: 1,
        rate: keys.rate,
        burst: keys.burst,
        reserved: 0,
        mac_key: keys.mac_key,
        cookie_secret,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: HandshakeKeys = HandshakeKeys {
        mac_key: SipKey::new([1; 16]),
        rate: 100,
        burst: 10,
    };

    #[test]
    fn the_secret_of_cookies_stays_while_initiations_are_judged_and_is_another_after_that() {
        let first = judged(Handshakes::default(), &KEYS);
        let renewed = HandshakeKeys {
            mac_key: SipKey::new([2; 16]),
            rate: 0,
            ..KEYS
        };

        let second = judged(first, &renewed);
        let again = judged(Handshakes::default(), &KEYS);

        assert_eq!(second.cookie_secret, first.cookie_secret);
        assert_eq!((second.mac_key, second.rate), (renewed.mac_key, 0));
        assert_ne!(again.cookie_secret, first.cookie_secret);
        assert_ne!(first.cookie_secret, SipKey::default());
    }

    #[test]
    fn nothing_of_a_secret_is_shown() {
        let shown = format!("{:?}", judged(Handshakes::default(), &KEYS));
        assert!(shown.contains("cookie_secret: SipKey(..)"), "{shown}");
    }
}
