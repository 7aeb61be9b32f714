//! Who may open tunnels at random to whom.
//!
//! A lot that everybody can check gives each node some others, to which it opens its random tunnels: as good as drawn from all, and no one
//! has a say in it, for names are given by the registry. So an attacker who wants tunnels to everybody is told from a node that was given
//! this one, and cannot fill the room of honest ones.

use crate::certificate::node_prefix::NodePrefix;

/// SplitMix64's finalizer: every bit of the argument counts for every bit of the result.
const fn mixed(bits: u64) -> u64 {
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

fn with(state: u64, node: NodePrefix) -> u64 {
    let number = node.number();
    [number as u64, (number >> 64) as u64, node.length().into()]
        .into_iter()
        .fold(state, |state, bits| {
            mixed(state.wrapping_add(0x9e37_79b9_7f4a_7c15) ^ bits)
        })
}

/// Whether the lot gives `callee` to `caller`, if it gives each about `given` of the `nodes` there are.
pub(super) fn gives(caller: NodePrefix, callee: NodePrefix, given: usize, nodes: usize) -> bool {
    if nodes <= given {
        return true;
    }
    let drawn = with(with(0, caller), callee);
    u128::from(drawn) * (nodes as u128) < (given as u128) << 64
}
