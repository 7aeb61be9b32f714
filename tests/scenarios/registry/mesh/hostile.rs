//! Members with valid certificates who mean no good.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use anyhow::{Context as _, Result};
use re6st_user::{certificate::node::NodeCertificate, channel::Peer};
use testbed::{channel::Speaker, member::issuer_of};

use super::{
    super::{
        channels::outer_address,
        support::{node_file, wait_for},
    },
    PATIENCE, all_reach_all, joined, wait_for_ways,
};
use crate::{babel_nodes::wait_within, registry::members::Member};

/// The number of the first of them; the registry's first nodes are below.
const FIRST: u16 = 0x100;
/// How many there are.
const CROWD: u16 = 12;
/// Places for others' tunnels.
const PLACES: usize = 4;
/// UDP port at a node's address in the mesh where it is asked.
const QUESTIONS: u16 = 4755;

/// How many tunnels of others a node serves.
fn served(member: &Member) -> Result<usize> {
    let tunnels = &member.controller()?["mesh"]["tunnels"];
    let tunnels = tunnels.as_array().into_iter().flatten();
    Ok(tunnels.filter(|tunnel| tunnel["owner"] == "peer").count())
}

#[test]
fn a_crowd_of_members_that_wants_all_places_gets_no_more_than_there_are() -> Result<()> {
    let section = format!("client-count = 2\nmax-clients = {PLACES}\n");
    let (registry, members) = joined(&["a", "b", "c", "d"], &section)?;
    let victim = members.first().context("no node")?;
    let crowd = registry.newcomer("crowd")?;
    let issuer = issuer_of(&registry.host)?;
    let certificate = node_file(&victim.host, "cert.crt")?;
    let certificate = NodeCertificate::from_pem(&certificate)?;
    let own = outer_address(&crowd)?.parse()?;
    let target: IpAddr = outer_address(&victim.host)?.parse()?;

    let speakers = (FIRST..FIRST + CROWD).map(|number| {
        let peer = Peer {
            node: certificate.prefix(),
            addresses: vec![(target, 4754).into()],
            key: certificate.static_key(),
        };
        let from = SocketAddr::new(own, 20_000 + number);
        Speaker::start(&crowd, from, issuer.credentials(number)?, peer)
    });
    let _speakers = speakers.collect::<Result<Vec<_>>>()?;

    wait_within(PATIENCE, "refusals", || {
        Ok(victim.controller()?["mesh"]["refused_full"].as_u64() > Some(0))
    })
    .with_context(|| victim.said())?;
    assert!(served(victim)? <= PLACES, "{}", victim.status(&[])?);
    assert!(
        victim.said().contains("enough nodes are served"),
        "{}",
        victim.said()
    );
    all_reach_all(&members)
}

#[test]
fn a_flood_of_questions_over_the_mesh_costs_nobody_else_anything() -> Result<()> {
    const QUESTIONS_ASKED: usize = 5_000;
    let (_registry, members) = joined(&["a", "b", "c"], "")?;
    let [victim, .., hostile] = &members[..] else {
        anyhow::bail!("too few nodes");
    };
    let from = hostile.address()?;
    let socket = hostile
        .host
        .enter(|| UdpSocket::bind(format!("[{from}]:0")))??;
    let target = format!("[{}]:{QUESTIONS}", victim.address()?);

    for number in 0..QUESTIONS_ASKED {
        // what is no message, and what begins like one
        let mut question = vec![1, 1];
        question.extend(number.to_be_bytes().repeat(20));
        socket.send_to(&question, &target)?;
    }

    wait_for("refusals that are counted", || {
        let refused = &victim.controller()?["refused"];
        Ok(refused["mesh: a message that is not listened to"].as_u64() > Some(10))
    })
    .with_context(|| victim.status(&[]).unwrap_or_default())?;
    wait_for_ways(&members, 2)?;
    all_reach_all(&members)
}
