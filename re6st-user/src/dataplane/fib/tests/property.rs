//! Random routes come and go. After each single write, every packet takes the route it had or the route it will have.

use proptest::prelude::*;

use super::*;

/// What routes mean, in the plainest way.
#[derive(Default)]
pub struct Model {
    routes: Vec<(RouteKey, u32)>,
}

impl Model {
    pub fn set(&mut self, key: RouteKey, next_hop: Option<u32>) {
        self.routes.retain(|(other, _)| *other != key);
        self.routes.extend(next_hop.map(|next_hop| (key, next_hop)));
    }

    /// Of all routes that match, the one with the longest destination, then the longest source.
    pub fn lookup(&self, to: IpAddr, from: IpAddr) -> u32 {
        let matching = self.routes.iter().filter(|(key, _)| {
            key.to().contains(&to) && key.from().is_none_or(|source| source.contains(&from))
        });
        let length = |prefix: IpNet| i32::from(prefix.prefix_len());
        matching
            .max_by_key(|(key, _)| (length(key.to()), key.from().map_or(-1, length)))
            .map_or(0, |(_, next_hop)| *next_hop)
    }
}

/// Addresses that differ where the prefixes below end. The array covers 4 bits, 2001:db8:42:?000::/52.
fn ipv6_addresses() -> Vec<u128> {
    let mut addresses = Vec::new();
    for network in [
        0x2001_0db8_0042,
        0x2001_0db8_0043,
        0x2001_0db9_0042,
        0x3000_0000_0000_u128,
    ] {
        let inside = network == 0x2001_0db8_0042;
        let subnets: &[u128] = if inside {
            &[
                0x0000, 0x0001, 0x0100, 0x0800, 0x1000, 0x1001, 0x2000, 0x7800, 0x8000, 0xf000,
            ]
        } else {
            &[0x1000]
        };
        for subnet in subnets {
            addresses.push(network << 80 | subnet << 64 | 1);
            addresses.push(network << 80 | subnet << 64 | 1 << 63);
        }
    }
    addresses
}

const IPV4_ADDRESSES: [u32; 5] = [
    0x0a2a_0101,
    0x0a2a_0201,
    0x0a2b_0101,
    0xc000_0201,
    0x0a2a_0180,
];

fn samples() -> Vec<IpAddr> {
    let ipv6 = ipv6_addresses()
        .into_iter()
        .map(|bits| IpAddr::V6(bits.into()));
    let ipv4 = IPV4_ADDRESSES
        .into_iter()
        .map(|bits| IpAddr::V4(bits.into()));
    ipv6.chain(ipv4).collect()
}

/// Sources: fewer addresses, the same kinds.
fn sources() -> Vec<IpAddr> {
    samples().into_iter().step_by(3).collect()
}

fn prefixes() -> impl Strategy<Value = IpNet> {
    let ipv6_lengths =
        prop::sample::select(vec![0_u8, 16, 32, 47, 48, 49, 51, 52, 53, 56, 64, 65, 128]);
    let ipv6 = (prop::sample::select(ipv6_addresses()), ipv6_lengths)
        .prop_map(|(bits, length)| IpNet::new_assert(IpAddr::V6(bits.into()), length));
    let ipv4_lengths = prop::sample::select(vec![0_u8, 8, 16, 24, 25, 32]);
    let ipv4 = (prop::sample::select(IPV4_ADDRESSES.to_vec()), ipv4_lengths)
        .prop_map(|(bits, length)| IpNet::new_assert(IpAddr::V4(bits.into()), length));
    prop_oneof![6 => ipv6, 1 => ipv4]
}

/// A route to set, or without a next hop one to remove.
pub fn changes() -> impl Strategy<Value = Vec<(RouteKey, Option<u32>)>> {
    let from = prop_oneof![2 => Just(None), 1 => prefixes().prop_map(Some)];
    let next_hop = prop_oneof![3 => (1_u32..7).prop_map(Some), 2 => Just(None)];
    let change = (prefixes(), from, next_hop)
        .prop_filter_map("families", |(to, from, next_hop)| {
            Some((RouteKey::new(to, from).ok()?, next_hop))
        });
    prop::collection::vec(change, 1..40)
}

/// All packets there are: a next hop for each.
pub fn answers(lookup: impl Fn(IpAddr, IpAddr) -> u32) -> Vec<u32> {
    let sources = sources();
    let samples = samples();
    let pairs = samples
        .iter()
        .flat_map(|to| sources.iter().map(move |from| (*to, *from)));
    pairs
        .filter(|(to, from)| to.is_ipv4() == from.is_ipv4())
        .map(|(to, from)| lookup(to, from))
        .collect()
}

pub fn map_answers(maps: &MemoryMaps) -> Vec<u32> {
    answers(|to, from| {
        let family = if to.is_ipv4() {
            Family::Ipv4
        } else {
            Family::Ipv6
        };
        maps.route(family, to.into(), from.into())
    })
}

fn follows(
    network: Option<(Ipv6Net, u8)>,
    changes: Vec<(RouteKey, Option<u32>)>,
) -> Result<(), TestCaseError> {
    let mut fib = Fib::new(network);
    let mut maps = maps(network);
    let mut model = Model::default();
    let mut before = answers(|_, _| 0);
    for (key, next_hop) in changes {
        model.set(key, next_hop);
        let after = answers(|to, from| model.lookup(to, from));
        let writes = match next_hop {
            Some(next_hop) => fib.insert(Route { key, next_hop }),
            None => fib.remove(key),
        };
        for (number, write) in writes.iter().enumerate() {
            prop_assert!(
                maps.write(*write),
                "write {number} of {writes:?} changes nothing"
            );
            for (packet, answer) in map_answers(&maps).into_iter().enumerate() {
                prop_assert!(
                    answer == before[packet] || answer == after[packet],
                    "packet {packet} takes {answer} after write {number} of {writes:?}, \
                     neither {} as before nor {} as afterwards",
                    before[packet],
                    after[packet],
                );
            }
        }
        prop_assert_eq!(map_answers(&maps), after.clone());
        prop_assert_eq!(fib.trie_entries(), maps.trie_entries());
        prop_assert_eq!(fib.len(), model.routes.len());
        prop_assert_eq!(fib.get(key), next_hop);
        before = after;
    }
    let mut fresh = MemoryMaps::new(maps.settings);
    fib.contents().for_each(|write| {
        fresh.write(write);
    });
    prop_assert!(
        fresh.same_routes(&maps),
        "the contents are not what the writes made"
    );
    for (key, _) in std::mem::take(&mut model.routes) {
        fib.remove(key).into_iter().for_each(|write| {
            maps.write(write);
        });
    }
    prop_assert_eq!((maps.trie_entries(), maps.slots_in_use()), (0, 0));
    prop_assert_eq!((fib.len(), fib.trie_entries()), (0, 0));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn every_packet_takes_its_old_or_its_new_route_at_every_moment(changes in changes()) {
        follows(array(4), changes)?;
    }

    #[test]
    fn the_same_without_an_array(changes in changes()) {
        follows(None, changes)?;
    }

    #[test]
    fn the_same_where_slots_are_shorter_than_most_prefixes(changes in changes()) {
        follows(array(1), changes)?;
    }
}
