//! Which prefix somebody gets (vectors seen from re6stnet 0.642), and that the prefix space stays a partition.

use std::str::FromStr as _;

use proptest::prelude::*;

use super::super::tree::{AllocateError, Block, PartitionError, Replacement, Tree};
use crate::certificate::node_prefix::NodePrefix;

fn prefix(bits: &str) -> NodePrefix {
    NodePrefix::from_str(bits).expect("bits")
}

/// Allocates, and gives the block to somebody.
fn take(tree: &mut Tree<()>, length: u8, community: &str) -> Result<String, AllocateError> {
    let mut log = Vec::new();
    let allocated = tree.allocate(length, prefix(community), &mut log)?;
    tree.hold(allocated, (), &mut log);
    Ok(allocated.to_string())
}

#[test]
fn six_bits_without_communities() {
    let mut tree = Tree::new(6);
    for (length, expected) in [
        (6, "000001"),
        (6, "000010"),
        (4, "0001"),
        (2, "01"),
        (3, "001"),
        (1, "1"),
        (6, "000011"),
    ] {
        assert_eq!(take(&mut tree, length, "").as_deref(), Ok(expected));
    }
    assert_eq!(
        tree.get(&prefix("000000")),
        Some(&Block::Reserved),
        "the address would be all zeros"
    );
    assert_eq!(take(&mut tree, 6, ""), Err(AllocateError::Full(6)));
}

#[test]
fn eight_bits_with_communities() {
    let mut tree = Tree::new(8);
    for (length, community, expected) in [
        (3, "00", "00000"),
        (3, "01", "01000"),
        (3, "00", "00001"),
        (2, "10", "1000"),
        (6, "01", "01001000"),
        (3, "01", "01010"),
    ] {
        assert_eq!(take(&mut tree, length, community).as_deref(), Ok(expected));
    }
}

#[test]
fn a_full_length_prefix_of_zeros_behind_the_community_is_reserved() {
    let mut tree = Tree::new(8);
    assert_eq!(take(&mut tree, 6, "11").as_deref(), Ok("11000001"));
    assert_eq!(tree.get(&prefix("11000000")), Some(&Block::Reserved));
}

#[test]
fn the_shortest_prefix_is_known_whatever_is_taken_and_released() {
    let mut tree = Tree::new(8);
    assert_eq!(tree.shortest_held(), None);
    for (length, community, shortest) in [(6, "01", 8), (3, "00", 5), (3, "00", 5), (1, "1", 2)] {
        take(&mut tree, length, community).expect("there is room");
        assert_eq!(tree.shortest_held(), Some(shortest));
    }
    for (released, shortest) in [("10", Some(5)), ("00000", Some(5)), ("00001", Some(8))] {
        tree.release(prefix(released), &mut Vec::new());
        assert_eq!(tree.shortest_held(), shortest);
    }
    tree.replace(prefix("01000000"), Some(Block::Held(())));
    tree.replace(prefix("01000000"), Some(Block::Held(())));
    tree.release(prefix("01000000"), &mut Vec::new());
    assert_eq!(tree.shortest_held(), Some(8), "01000001");
}

#[test]
fn lengths_that_are_none() {
    let mut tree = Tree::new(80);
    for (length, community) in [(0, ""), (81, ""), (80, "1"), (255, "1")] {
        assert!(matches!(
            take(&mut tree, length, community),
            Err(AllocateError::Length(_))
        ));
    }
}

#[test]
fn a_community_that_is_taken_as_a_whole_is_full() {
    let mut tree = Tree::new(8);
    assert_eq!(take(&mut tree, 1, "").as_deref(), Ok("0"));
    assert_eq!(take(&mut tree, 2, "01"), Err(AllocateError::Full(4)));
}

#[test]
fn free_siblings_are_joined() {
    let mut tree = Tree::new(8);
    for _ in 0..4 {
        take(&mut tree, 2, "").expect("a prefix");
    }
    let mut log = Vec::new();
    for bits in ["00", "11", "01"] {
        tree.release(prefix(bits), &mut log);
    }
    let blocks: Vec<String> = tree
        .blocks(None)
        .map(|(prefix, _)| prefix.to_string())
        .collect();
    assert_eq!(blocks, ["0", "10", "11"]);
    tree.release(prefix("10"), &mut log);
    assert_eq!(tree, Tree::new(8));
}

/// re6stnet joins later than we do, so its databases hold free siblings.
#[test]
fn what_was_not_joined_is_joined_at_once() {
    let free = ["000", "001", "01", "1"].map(|bits| (prefix(bits), Block::Free));
    let mut tree: Tree<()> = Tree::from_blocks(8, free).expect("a partition");
    let mut log = Vec::new();
    tree.merge_all(&mut log);
    assert_eq!(tree, Tree::new(8));
}

#[test]
fn blocks_that_are_no_partition_are_refused() {
    let read = |bits: &[&str]| {
        let blocks = bits.iter().map(|bits| (prefix(bits), Block::Held(())));
        Tree::from_blocks(4, blocks).map(|_| ())
    };
    assert_eq!(read(&["0", "10", "11"]), Ok(()));
    assert_eq!(read(&["0", "11"]), Err(PartitionError::Gap(prefix("10"))));
    assert_eq!(read(&["0", "10"]), Err(PartitionError::Gap(prefix("11"))));
    assert_eq!(read(&["10", "11"]), Err(PartitionError::Gap(prefix("0"))));
    assert_eq!(read(&[]), Err(PartitionError::Gap(prefix(""))));
    assert_eq!(
        read(&["0", "00", "1"]),
        Err(PartitionError::Overlap(prefix("0"), prefix("00")))
    );
    assert_eq!(
        read(&["", "1"]),
        Err(PartitionError::Overlap(prefix(""), prefix("1")))
    );
    assert_eq!(
        read(&["0", "10", "110", "1110", "11110", "11111"]),
        Err(PartitionError::TooLong(prefix("11110")))
    );
}

/// The partition: every string of `maximum` bits is in exactly one block.
fn assert_partition(tree: &Tree<u32>, maximum: u8) {
    let mut covered = 0_u128;
    for (prefix, _) in tree.blocks(None) {
        let first = prefix.number() << (maximum - prefix.length());
        assert_eq!(first, covered, "{prefix} begins where the one before ended");
        covered += 1 << (maximum - prefix.length());
    }
    assert_eq!(covered, 1 << maximum);
}

fn assert_no_free_siblings(tree: &Tree<u32>) {
    for (prefix, block) in tree.blocks(None) {
        if let (Block::Free, Some(sibling)) = (block, prefix.sibling()) {
            assert_ne!(
                tree.get(&sibling),
                Some(&Block::Free),
                "{prefix} and its sibling"
            );
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Allocate { length: u8, community: usize },
    Release(prop::sample::Index),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0..=10_u8, 0..4_usize).prop_map(|(length, community)| Step::Allocate { length, community }),
        2 => any::<prop::sample::Index>().prop_map(Step::Release),
    ];
    prop::collection::vec(step, 1..120)
}

proptest! {
    #[test]
    fn whatever_happens_it_is_a_partition_and_can_be_taken_back(steps in steps()) {
        const MAXIMUM: u8 = 10;
        let communities = ["", "00", "01", "101"].map(prefix);
        let mut tree = Tree::new(MAXIMUM);
        let mut held: Vec<NodePrefix> = Vec::new();
        for (number, step) in (0..).zip(steps) {
            let before = tree.clone();
            let mut log: Vec<Replacement<u32>> = Vec::new();
            match step {
                Step::Allocate { length, community } => {
                    let community = communities[community];
                    if let Ok(prefix) = tree.allocate(length, community, &mut log) {
                        prop_assert!(community.contains(&prefix));
                        prop_assert_eq!(prefix.length(), length + community.length());
                        prop_assert!(held.iter().all(|other| !other.overlaps(&prefix)), "given twice");
                        tree.hold(prefix, number, &mut log);
                        held.push(prefix);
                    }
                }
                Step::Release(index) if !held.is_empty() => {
                    let prefix = held.swap_remove(index.index(held.len()));
                    tree.release(prefix, &mut log);
                }
                Step::Release(_) => {}
            }
            assert_partition(&tree, MAXIMUM);
            assert_no_free_siblings(&tree);
            for prefix in &held {
                prop_assert!(tree.holder(prefix).is_some());
            }
            let mut back = tree.clone();
            for replacement in log.into_iter().rev() {
                back.replace(replacement.prefix, replacement.before);
            }
            prop_assert_eq!(back, before);
        }
        // a partition is recognized as one, and all that was given back is there again
        let blocks: Vec<_> = tree.blocks(None).map(|(prefix, block)| (prefix, block.clone())).collect();
        prop_assert_eq!(Tree::from_blocks(MAXIMUM, blocks), Ok(tree.clone()));
        for prefix in held {
            tree.release(prefix, &mut Vec::new());
        }
        assert_no_free_siblings(&tree);
        let taken = tree.blocks(None).filter(|(_, block)| **block != Block::Free).count();
        let reserved = tree.blocks(None).filter(|(_, block)| **block == Block::Reserved).count();
        prop_assert_eq!(taken, reserved);
    }
}
