//! Who gets no channel, or none any more, and what a peer may not say.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use re6st_user::{certificate::node::NodeCertificate, channel::Peer};
use serde_json::Value;
use testbed::channel::{self, Speaker};

use super::{
    super::{
        members::Member,
        support::{node_file, wait_for},
    },
    accepted_keys, add_peer, connected, issuer, name, outer, outer_address, peer, strangers,
};
use crate::babel_nodes::wait_within;

/// Routes by a neighbour.
const MANY: u16 = 8_000;

#[test]
fn a_revoked_node_is_cut_off_at_once_in_both_roles() -> Result<()> {
    for revoked_is_caller in [true, false] {
        let (registry, [a, b]) = connected()?;
        let (revoked, other) = match revoked_is_caller {
            true => (&a, &b),
            false => (&b, &a),
        };
        let serial = revoked.membership()?["certificate"]["serial"].to_string();

        registry.operate(&["cert", "revoke", &serial])?;

        let begin = Instant::now();
        wait_within(Duration::from_secs(10), "the end of the tunnel", || {
            Ok(!other.status(&["tunnels", "--json"])?.contains("sent"))
        })
        .with_context(|| other.said())?;
        assert!(begin.elapsed() < Duration::from_secs(10));
        let said = other.said();
        assert!(said.contains("its certificate is revoked"), "{said}");
        let said = revoked.said();
        assert!(said.contains("REVOKED"), "{said}");
    }
    Ok(())
}

#[test]
fn routes_that_still_lead_there_do_not_keep_a_revoked_node_in() -> Result<()> {
    let (registry, mut members) = strangers()?;
    let [a, b] = &members;
    add_peer(a, b)?;
    members.iter_mut().try_for_each(Member::start)?;
    let [a, b] = &members;
    // behind it is one who knows the way to many
    let many: Vec<_> = (0x4000..0x4000 + MANY)
        .map(channel::name)
        .collect::<Result<_>>()?;
    let host = registry.newcomer("c")?;
    let certificate = NodeCertificate::from_pem(&node_file(&b.host, "cert.crt")?)?;
    let peer = Peer {
        node: certificate.prefix(),
        addresses: vec![SocketAddr::new(outer(b)?.parse()?, 4754)],
        key: certificate.static_key(),
    };
    let own = SocketAddr::new(outer_address(&host)?.parse()?, 4754);
    let credentials = issuer(&registry)?.credentials(0x200)?;
    let _speaker = Speaker::start_before(&host, own, credentials, peer, &many)?;
    wait_for("the routes", || {
        Ok(a.controller()?["prefixes"].as_u64() > Some(MANY.into()))
    })?;
    let serial = b.membership()?["certificate"]["serial"].to_string();

    registry.operate(&["cert", "revoke", &serial])?;

    wait_within(Duration::from_secs(10), "the end", || {
        Ok(accepted_keys(a)?.is_empty())
    })
    .with_context(|| a.said())?;
    let said = a.said();
    assert!(!said.contains("not closed yet"), "{said}");
    Ok(())
}

#[test]
fn who_is_not_the_one_that_was_called_is_refused_by_name() -> Result<()> {
    let (registry, mut members) = strangers()?;
    let third = Member::new(&registry, "c", &["--anonymous"])?;
    let [a, b] = &members;
    let lines = format!(
        "\n[[peer]]\nnode    = \"{}\"\naddress = \"{}:4754\"\n",
        name(&third)?,
        outer(b)?
    );
    a.configure(|text| text + &lines)?;

    members.iter_mut().try_for_each(Member::start)?;

    let [a, b] = &members;
    wait_for("no answer", || Ok(a.said().contains("no answer")))
        .with_context(|| format!("{}\n{}", a.said(), b.said()))?;
    assert_ne!(peer(a)?["state"], "connected");
    let status: Value = serde_json::from_str(&b.status(&["--json"])?)?;
    let mut reasons = status["reasons"].as_array().into_iter().flatten();
    let refused = reasons
        .any(|reason| reason["name"] == "handshake_mac" && reason["packets"].as_u64() > Some(0));
    assert!(refused, "{status}");
    Ok(())
}

#[test]
fn what_a_peer_may_not_announce_is_ignored_and_said() -> Result<()> {
    const OTHERS: &str = "2001:db8:42:7777::/64";
    let (_registry, mut members) = strangers()?;
    let [a, b] = &members;
    add_peer(a, b)?;
    let announce = format!("announce = [{{ to = \"{OTHERS}\" }}, {{ to = \"::/0\" }}]");
    b.configure(|text| text.replacen("[babel]", &format!("[babel]\n{announce}"), 1))?;
    members.iter_mut().try_for_each(Member::start)?;
    let [a, b] = &members;
    a.reach(b)?;

    wait_for("the refusal", || {
        let text = a.status(&[])?;
        Ok(text.contains(OTHERS) && text.contains("WARNING"))
    })
    .with_context(|| a.status(&[]).unwrap_or_default())?;

    for prefix in [OTHERS, "::/0"] {
        let routes = a.status(&["routes", prefix])?;
        let mut rows = routes.lines().map(str::trim_start);
        let used = rows.any(|row| row.starts_with(prefix) && row.contains("in use"));
        assert!(!used, "{prefix}: {routes}");
    }
    let said = a.status(&[])?;
    let names_it = said
        .lines()
        .any(|line| line.contains("WARNING") && line.contains(&name(b).unwrap_or_default()));
    assert!(names_it, "{said}");
    Ok(())
}
