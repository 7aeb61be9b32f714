//! The meshes the scenarios begin with.

use anyhow::Result;
use testbed::{
    host::Testbed,
    internet::{Internet, IpVersion::*},
    link::{LinkOptions, link},
    node::{Encapsulation::*, Node, TunnelKind, tunnel},
    process::Process,
};

use crate::babel_nodes::{start, wait_for_both};

/// An Internet and nodes on it, numbered from 1 on.
pub fn nodes<const N: usize>(names: [&str; N]) -> Result<(Internet, [Node; N])> {
    nodes_with_links(names, LinkOptions::default())
}

fn nodes_with_links<const N: usize>(
    names: [&str; N],
    options: LinkOptions,
) -> Result<(Internet, [Node; N])> {
    let testbed = Testbed::new()?;
    let internet = Internet::new(&testbed)?;
    let nodes: Vec<Node> = (1..)
        .zip(names)
        .map(|(number, name)| Node::with_link(&testbed, &internet, name, number, options))
        .collect::<Result<_>>()?;
    Ok((internet, nodes.try_into().expect("one for each name")))
}

/// Nodes in a row with a tunnel from each to the next, of these kinds; they speak Babel.
pub fn speaking<const N: usize>(
    names: [&str; N],
    kinds: &[TunnelKind],
) -> Result<(Internet, [Node; N])> {
    let (internet, mut nodes) = nodes(names)?;
    join(&mut nodes, kinds)?;
    nodes.iter_mut().for_each(|node| node.speak_babel(&[]));
    Ok((internet, nodes))
}

/// The same with static routes in place of Babel: each node's to all others.
pub fn row<const N: usize>(
    names: [&str; N],
    kinds: &[TunnelKind],
) -> Result<(Internet, [Node; N])> {
    let (internet, mut nodes) = nodes(names)?;
    join(&mut nodes, kinds)?;
    route(&mut nodes);
    Ok((internet, nodes))
}

fn join(nodes: &mut [Node], kinds: &[TunnelKind]) -> Result<()> {
    assert_eq!(kinds.len() + 1, nodes.len());
    for (place, kind) in kinds.iter().enumerate() {
        let [first, second] = nodes.get_disjoint_mut([place, place + 1])?;
        tunnel(first, second, *kind)?;
    }
    Ok(())
}

/// Whoever is farther along the row is reached by the next node, the others by the one before.
fn route(nodes: &mut [Node]) {
    let known: Vec<_> = nodes
        .iter()
        .map(|node| (node.number, node.host.name().to_owned()))
        .collect();
    for (place, node) in nodes.iter_mut().enumerate() {
        for (other, (number, _)) in known.iter().enumerate() {
            if other != place {
                let via = if other > place { place + 1 } else { place - 1 };
                node.route_number(*number, &known[via].1);
            }
        }
    }
}

/// Four nodes that speak Babel, each with tunnels to the next and the one before.
pub fn ring() -> Result<(Internet, [Node; 4])> {
    let (internet, mut nodes) = speaking(["a", "b", "c", "d"], &[(Fou, V4); 3])?;
    let [a, .., d] = &mut nodes;
    tunnel(d, a, (Fou, V4))?;
    Ok((internet, nodes))
}

/// Two nodes with a plain link, `lan0`, on which they speak Babel.
pub fn lan() -> Result<(Internet, [Node; 2])> {
    let (internet, mut nodes) = nodes(["a", "b"])?;
    let [a, b] = &mut nodes;
    plain_link(a, b, "lan0")?;
    Ok((internet, nodes))
}

/// Joins two nodes by a plain link on which they speak Babel.
pub fn plain_link(a: &mut Node, b: &mut Node, interface: &str) -> Result<()> {
    let (one, other) = ((&a.host, interface), (&b.host, interface));
    link(one, other, LinkOptions::default())?;
    a.speak_babel(&[interface]);
    b.speak_babel(&[interface]);
    Ok(())
}

/// `a` has a tunnel to the relay `b`, and `b` has a plain link to `c`, `lan0`; Babel has found the ways.
pub struct Mixed {
    pub internet: Internet,
    pub a: Node,
    pub b: Node,
    pub c: Node,
    pub controllers: Vec<Process>,
}

impl Mixed {
    /// What has to be so before they start is prepared.
    pub fn new(prepare: impl FnOnce([&mut Node; 3]) -> Result<()>) -> Result<Self> {
        let (internet, [mut a, mut b, mut c]) = nodes(["a", "b", "c"])?;
        tunnel(&mut a, &mut b, (Fou, V4))?;
        a.speak_babel(&[]);
        plain_link(&mut b, &mut c, "lan0")?;
        prepare([&mut a, &mut b, &mut c])?;
        let controllers = start(&[&a, &b, &c])?;
        wait_for_both(&a, &c, &controllers)?;
        Ok(Self {
            internet,
            a,
            b,
            c,
            controllers,
        })
    }
}

/// Three nodes in a row: `a` and `c` have tunnels to the relay `b` only.
pub struct Chain {
    pub internet: Internet,
    pub a: Node,
    pub b: Node,
    pub c: Node,
}

impl Chain {
    /// Configured, but not loaded: tunnels `a`-`b` and `b`-`c` of these kinds, and static routes.
    pub fn new(first: TunnelKind, second: TunnelKind) -> Result<Self> {
        Self::with_links(first, second, LinkOptions::default())
    }

    /// The same with uplinks of one's own choice.
    pub fn with_links(first: TunnelKind, second: TunnelKind, options: LinkOptions) -> Result<Self> {
        let (internet, mut nodes) = nodes_with_links(["a", "b", "c"], options)?;
        join(&mut nodes, &[first, second])?;
        route(&mut nodes);
        Ok(Self::of(internet, nodes))
    }

    /// The same, loaded on all nodes.
    pub fn loaded(first: TunnelKind, second: TunnelKind) -> Result<Self> {
        let chain = Self::new(first, second)?;
        chain.load()?;
        Ok(chain)
    }

    /// Loads all nodes.
    pub fn load(&self) -> Result<()> {
        for node in self.nodes() {
            node.load()?;
        }
        Ok(())
    }

    /// The same chain with Babel in place of static routes.
    pub fn speaking(first: TunnelKind, second: TunnelKind) -> Result<Self> {
        let (internet, nodes) = speaking(["a", "b", "c"], &[first, second])?;
        Ok(Self::of(internet, nodes))
    }

    /// Starts the controllers, and waits until `a` and `c` reach each other.
    pub fn start(&self) -> Result<Vec<Process>> {
        let controllers = start(&self.nodes())?;
        for (from, to) in [(&self.a, &self.c), (&self.c, &self.a)] {
            wait_for_both(from, to, &controllers)?;
        }
        Ok(controllers)
    }

    fn of(internet: Internet, [a, b, c]: [Node; 3]) -> Self {
        Self { internet, a, b, c }
    }

    pub fn nodes(&self) -> [&Node; 3] {
        [&self.a, &self.b, &self.c]
    }
}
