//! Filters: what a node announces, accepts and installs (RFC 8966 appendix C).

use std::{thread, time::Duration};

use anyhow::Result;
use serde_json::Value;
use testbed::{
    configuration::Filter,
    internet::IpVersion::*,
    node::{Encapsulation::*, Node},
    traffic::ping,
};

use crate::{
    babel_nodes::{assert_reaches, start, wait_until},
    meshes::Chain,
};

fn rule(on: &str, to: &str, action: &str) -> Filter {
    Filter {
        on: on.into(),
        to: Some(to.into()),
        action: action.into(),
        add_metric: None,
    }
}

/// The way in use to a prefix, as the controller shows it; `Null` if there is none.
fn selected(node: &Node, to: &str) -> Result<Value> {
    let routes = node.list(&["routes", to])?;
    let candidates = routes
        .iter()
        .filter(|route| route["to"] == to)
        .flat_map(|route| route["candidates"].as_array().into_iter().flatten());
    let mut used = candidates.filter(|candidate| candidate["selected"] == true);
    Ok(used.next().cloned().unwrap_or_default())
}

/// Whether the kernel's table has a prefix from Babel.
fn in_kernel(node: &Node, to: &str) -> Result<bool> {
    let family = if to.contains(':') { "-6" } else { "-4" };
    let route = node
        .host
        .ip(&[family, "route", "show", to, "proto", "babel"])?;
    Ok(route.contains("re6st0"))
}

#[test]
fn what_filters_let_through() -> Result<()> {
    let mut chain = Chain::speaking((Fou, V4), (Gre, V6))?;
    // `b` keeps the IPv4 subnet of `a` to itself
    chain.b.babel().filters = vec![rule("announce", "10.42.1.0/24", "deny")];
    // `c` wants nothing to do with that of `b`, finds `a` far away, and leaves the route to `b` to others
    let farther = Filter {
        add_metric: Some(10_000),
        ..rule("accept", "2001:db8:42:1::/64", "allow")
    };
    chain.c.babel().filters = vec![
        rule("accept", "10.42.2.0/24", "deny"),
        farther,
        rule("install", "2001:db8:42:2::/64", "deny"),
    ];
    let _controllers = start(&chain.nodes())?;

    wait_until("there are routes from end to end", || {
        Ok(in_kernel(&chain.c, "2001:db8:42:1::/64")? && in_kernel(&chain.a, "10.42.3.0/24")?)
    })?;
    // whatever else comes has come
    thread::sleep(Duration::from_secs(2));

    // announced by `b`, or not
    assert!(in_kernel(&chain.b, "10.42.1.0/24")?);
    assert_eq!(selected(&chain.c, "10.42.1.0/24")?, Value::Null);
    // accepted by `c`, or not
    assert!(in_kernel(&chain.a, "10.42.2.0/24")?);
    assert_eq!(selected(&chain.c, "10.42.2.0/24")?, Value::Null);
    let far = selected(&chain.c, "2001:db8:42:1::/64")?;
    assert!(
        far["metric"].as_u64().is_some_and(|metric| metric > 10_000),
        "{far}"
    );
    // installed by `c`, or not
    assert_ne!(selected(&chain.c, "2001:db8:42:2::/64")?, Value::Null);
    assert!(!in_kernel(&chain.c, "2001:db8:42:2::/64")?);
    // without any route ping does not even begin
    let refused = ping(&chain.c.host, chain.b.address(V6), 2, &[]);
    assert!(!refused.is_ok_and(|answers| answers.received > 0));
    // and what no filter is about works
    assert_reaches(&chain.a.host, chain.c.address(V6), 5);
    Ok(())
}
