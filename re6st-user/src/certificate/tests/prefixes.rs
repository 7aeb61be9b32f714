//! Networks, prefixes and addresses.

use proptest::prelude::*;

use crate::certificate::{
    network::{Ipv4Network, Network, NetworkError, SubjectSerial},
    node_prefix::{NodePrefix, NodePrefixError},
};

fn network() -> Network {
    "2001:db8:42::/48".parse().unwrap()
}

/// Big-endian octets without leading zeros.
fn octets(serial: u128) -> Vec<u8> {
    let octets = serial.to_be_bytes();
    octets[octets.iter().position(|octet| *octet != 0).unwrap()..].to_vec()
}

#[test]
fn the_serial_number_of_an_authority_is_a_one_and_the_networks_bits() {
    for (prefix, serial) in [
        ("2001:db8:42::/48", 0x0001_2001_0db8_0042),
        ("::/0", 1),
        ("::/3", 0b1000),
        ("fd00::/8", 0x1fd),
        ("2001:db8::/119", 1 << 119 | 0x2001_0db8 << 87),
    ] {
        let network: Network = prefix.parse().unwrap();

        assert_eq!(network.serial(), serial, "{prefix}");
        assert_eq!(Network::from_serial(&octets(serial)), Ok(network));
        // DER puts a zero in front of a high bit
        let with_sign = [vec![0], octets(serial)].concat();
        assert_eq!(Network::from_serial(&with_sign), Ok(network));
    }
}

#[test]
fn other_serial_numbers_are_not_networks() {
    for octets in [&[][..], &[0], &[0, 0], &[2; 16], &[1; 17], &[0xff; 20]] {
        assert_eq!(Network::from_serial(octets), Err(NetworkError::Serial));
    }
}

#[test]
fn a_network_is_a_prefix_without_host_bits() {
    for (text, error) in [
        ("2001:db8:42::1/48", NetworkError::HostBits),
        ("2001:db8:42::/121", NetworkError::TooLong),
        ("10.42.0.0/16", NetworkError::Syntax),
        ("2001:db8:42::", NetworkError::Syntax),
    ] {
        assert_eq!(text.parse::<Network>(), Err(error), "{text}");
    }
}

#[test]
fn a_nodes_address_is_the_first_of_its_subnet() {
    for (name, bits, subnet, address) in [
        (
            "0/16",
            "0000000000000000",
            "2001:db8:42::/64",
            "2001:db8:42::1/64",
        ),
        (
            "1/16",
            "0000000000000001",
            "2001:db8:42:1::/64",
            "2001:db8:42:1::1/64",
        ),
        (
            "5/18",
            "000000000000000101",
            "2001:db8:42:1:4000::/66",
            "2001:db8:42:1:4000::1/66",
        ),
        (
            "1/1",
            "1",
            "2001:db8:42:8000::/49",
            "2001:db8:42:8000::1/49",
        ),
    ] {
        let prefix = NodePrefix::from_common_name(name).unwrap();

        assert_eq!(prefix.to_string(), bits);
        assert_eq!(bits.parse(), Ok(prefix));
        assert_eq!(prefix.common_name(), name);
        assert_eq!(prefix.subnet(&network()), Some(subnet.parse().unwrap()));
        assert_eq!(prefix.address(&network()), Some(address.parse().unwrap()));
    }
}

#[test]
fn a_node_of_one_address_has_that() {
    let prefix = NodePrefix::new(6, 80).unwrap();

    assert_eq!(
        prefix.address(&network()),
        Some("2001:db8:42::6/128".parse().unwrap())
    );
}

#[test]
fn a_prefix_longer_than_an_address_has_none() {
    let prefix = NodePrefix::new(6, 81).unwrap();

    assert_eq!(prefix.subnet(&network()), None);
    assert_eq!(prefix.address(&network()), None);
}

#[test]
fn a_common_name_is_written_in_one_way_only() {
    let too_long = format!("{}/128", "9".repeat(40));
    for (name, error) in [
        ("", NodePrefixError::CommonName),
        ("1", NodePrefixError::CommonName),
        ("/", NodePrefixError::CommonName),
        ("1/", NodePrefixError::CommonName),
        ("/16", NodePrefixError::CommonName),
        ("01/16", NodePrefixError::CommonName),
        ("1/016", NodePrefixError::CommonName),
        ("00/16", NodePrefixError::CommonName),
        ("+1/16", NodePrefixError::CommonName),
        ("-1/16", NodePrefixError::CommonName),
        (" 1/16", NodePrefixError::CommonName),
        ("1/16 ", NodePrefixError::CommonName),
        ("1/16/1", NodePrefixError::CommonName),
        ("0x1/16", NodePrefixError::CommonName),
        ("١/16", NodePrefixError::CommonName),
        ("0/0", NodePrefixError::CommonName),
        ("1/0", NodePrefixError::Overflow),
        ("65536/16", NodePrefixError::Overflow),
        (&too_long, NodePrefixError::Overflow),
        ("1/129", NodePrefixError::TooLong),
        ("1/300", NodePrefixError::TooLong),
    ] {
        assert_eq!(NodePrefix::from_common_name(name), Err(error), "{name}");
    }
}

#[test]
fn bits_are_zeros_and_ones() {
    for (bits, error) in [
        ("2", NodePrefixError::Digit),
        ("0 1", NodePrefixError::Digit),
        ("reserved", NodePrefixError::Digit),
        (&"0".repeat(129), NodePrefixError::TooLong),
        (&"0".repeat(300), NodePrefixError::TooLong),
    ] {
        assert_eq!(bits.parse::<NodePrefix>(), Err(error), "{bits}");
    }
}

#[test]
fn the_root_has_no_parent_and_a_leaf_no_children() {
    let leaf = NodePrefix::new(u128::MAX, 128).unwrap();

    assert_eq!(NodePrefix::ROOT.parent(), None);
    assert_eq!(NodePrefix::ROOT.sibling(), None);
    assert_eq!(NodePrefix::ROOT.to_string(), "");
    assert_eq!("".parse(), Ok(NodePrefix::ROOT));
    assert_eq!(leaf.children(), None);
    assert_eq!(
        leaf.sibling(),
        Some(NodePrefix::new(u128::MAX - 1, 128).unwrap())
    );
}

#[test]
fn a_node_has_an_ipv4_subnet_by_its_serial_number() {
    for (prefix, bits, serial, address) in [
        ("10.42.0.0/16", 8, 1, Some("10.42.1.1/24")),
        ("10.42.0.0/16", 8, 0, Some("10.42.0.1/24")),
        ("10.42.0.0/16", 8, 255, Some("10.42.255.1/24")),
        ("10.42.0.0/16", 8, 256, None),
        ("10.42.0.0/16", 15, 3, Some("10.42.0.6/31")),
        ("10.42.0.0/16", 16, 3, Some("10.42.0.3/32")),
        ("10.42.0.0/16", 0, 0, Some("10.42.0.1/16")),
        ("10.42.0.0/16", 0, 1, None),
        ("0.0.0.0/0", 0, 0, Some("0.0.0.1/0")),
    ] {
        let network = Ipv4Network::new(prefix.parse().unwrap(), bits).unwrap();
        let expected = address.map(|address| address.parse().unwrap());

        assert_eq!(
            network.address(SubjectSerial(serial)),
            expected,
            "{prefix} {bits} {serial}"
        );
    }
    for (prefix, bits) in [
        ("10.42.0.1/16", 8),
        ("10.42.0.0/16", 17),
        ("10.42.0.0/25", 8),
    ] {
        assert!(
            Ipv4Network::new(prefix.parse().unwrap(), bits).is_err(),
            "{prefix} {bits}"
        );
    }
}

prop_compose! {
    fn any_prefix()(bits in "[01]{0,128}") -> (String, NodePrefix) {
        let prefix = bits.parse().unwrap();
        (bits, prefix)
    }
}

proptest! {
    #[test]
    fn a_prefix_is_its_bits_as_text(
        (bits, prefix) in any_prefix(),
        (other_bits, other) in any_prefix(),
    ) {
        prop_assert_eq!(prefix.to_string(), bits.clone());
        prop_assert_eq!(NodePrefix::new(prefix.number(), prefix.length()), Ok(prefix));
        prop_assert_eq!(prefix.cmp(&other), bits.cmp(&other_bits));
        prop_assert_eq!(prefix.contains(&other), other_bits.starts_with(&bits));
        for (index, digit) in (0_u8..).zip(bits.bytes()) {
            prop_assert_eq!(prefix.bit(index), Some(digit == b'1'));
        }
        prop_assert_eq!(prefix.bit(prefix.length()), None);
        if let Some(children) = prefix.children() {
            prop_assert_eq!(children[0].to_string(), format!("{bits}0"));
            prop_assert_eq!(children[1].to_string(), format!("{bits}1"));
            prop_assert_eq!(children[0].sibling(), Some(children[1]));
            prop_assert_eq!(children[1].sibling(), Some(children[0]));
            prop_assert_eq!(children[1].parent(), Some(prefix));
        }
        if prefix != NodePrefix::ROOT {
            prop_assert_eq!(NodePrefix::from_common_name(&prefix.common_name()), Ok(prefix));
        }
    }
}
