//! A node whose routes are all in its configuration: it speaks no protocol, but follows its host and takes up another file.

use anyhow::Result;
use nix::sys::signal::Signal;
use testbed::{internet::IpVersion::*, node::Encapsulation::*, traffic::ping};

use crate::{
    babel_nodes::{start, wait_for, wait_until},
    meshes::Chain,
};

#[test]
fn a_node_without_babel_follows_its_host_and_takes_up_other_routes() -> Result<()> {
    let mut chain = Chain::new((Fou, V4), (Gre, V6))?;
    let controllers = start(&chain.nodes())?;
    wait_for(&chain.a, &chain.c, V6, &controllers)?;

    // a static load would be stale on all three
    let other = ["link", "set", "eth0", "address", "02:00:00:00:02:98"];
    chain.b.host.ip(&other)?;
    chain.b.host.ip(&["link", "set", "eth0", "mtu", "1400"])?;
    wait_for(&chain.a, &chain.c, V6, &controllers)?;
    let to = chain.c.address(V6).to_string();
    wait_until("the host knows what the tunnel carries", || {
        let route = chain.b.host.ip(&["-6", "route", "get", &to])?;
        Ok(route.contains("mtu 1352"))
    })?;

    let routes = std::mem::take(&mut chain.a.configuration.routes);
    let told = chain.a.reload()?.success()?.stdout;
    assert!(told.contains("routes: changed"), "{told}");
    let reply = ping(&chain.a.host, chain.c.address(V6), 1, &[]);
    assert!(reply.is_err(), "without a route ping does not even begin");
    chain.a.configuration.routes = routes;
    chain.a.reload()?.success()?;
    wait_for(&chain.a, &chain.c, V6, &controllers)?;

    assert_eq!(chain.b.warnings()?, [""; 0]);
    let text = chain.b.re6st_user(&["status"])?.success()?.stdout;
    assert!(!text.contains("Babel"), "{text}");
    chain.a.speak_babel(&[]);
    let refused = chain.a.reload()?.stderr;
    assert!(
        refused.contains("[babel] has come or gone, which needs a restart"),
        "{refused}"
    );
    Ok(())
}

#[test]
fn what_babel_had_found_goes_with_it() -> Result<()> {
    let mut chain = Chain::speaking((Fou, V4), (Gre, V6))?;
    let mut controllers = chain.start()?;
    wait_for(&chain.b, &chain.c, V6, &controllers)?;
    controllers.remove(1).stop(Signal::SIGTERM)?;
    let found = ["-6", "route", "show", "proto", "babel"];
    assert!(!chain.b.host.ip(&found)?.is_empty(), "they outlive a node");
    chain.b.configuration.babel = None;

    controllers.insert(1, chain.b.start_node()?);

    wait_until("they are gone", || Ok(chain.b.host.ip(&found)?.is_empty()))?;
    assert_eq!(chain.b.warnings()?, [""; 0]);
    Ok(())
}
