//! The meshes the scenarios begin with.

use anyhow::Result;
use testbed::{
    host::Testbed,
    internet::Internet,
    link::LinkOptions,
    node::{Node, TunnelKind, tunnel},
};

/// Three nodes in a row: `a` and `c` have tunnels to the relay `b` only.
pub struct Chain {
    pub internet: Internet,
    pub a: Node,
    pub b: Node,
    pub c: Node,
}

impl Chain {
    /// Configured, but not loaded: tunnels `a`-`b` and `b`-`c` of these kinds.
    pub fn new(first: TunnelKind, second: TunnelKind) -> Result<Self> {
        Self::with_links(first, second, LinkOptions::default())
    }

    /// The same with uplinks of one's own choice.
    pub fn with_links(first: TunnelKind, second: TunnelKind, options: LinkOptions) -> Result<Self> {
        let testbed = Testbed::new()?;
        let internet = Internet::new(&testbed)?;
        let node = |name, number| Node::with_link(&testbed, &internet, name, number, options);
        let (mut a, mut b, mut c) = (node("a", 1)?, node("b", 2)?, node("c", 3)?);
        tunnel(&mut a, &mut b, first)?;
        tunnel(&mut b, &mut c, second)?;
        a.route(&b, &b);
        a.route(&c, &b);
        b.route(&a, &a);
        b.route(&c, &c);
        c.route(&b, &b);
        c.route(&a, &b);
        Ok(Self { internet, a, b, c })
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

    pub fn nodes(&self) -> [&Node; 3] {
        [&self.a, &self.b, &self.c]
    }
}
