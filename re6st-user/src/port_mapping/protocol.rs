//! One question to a router, and the end of what came of it. Bounded in time and in octets, also where the router is hostile: the
//! crates take answers of the router's address alone, and XML of a megabyte and 64 levels at most.

use std::{
    net::{IpAddr, SocketAddr},
    num::NonZeroU16,
    time::Duration,
};

use crab_nat::{InternetProtocol, PortMappingOptions, PortMappingType, TimeoutConfig, natpmp, pcp};
use igd_next::{
    AddPortError, PortMappingProtocol, SearchError, SearchOptions,
    aio::{
        Gateway,
        tokio::{Tokio, search_gateway},
    },
};

use super::{Mapping, Protocol, Wanted, answer::LIFETIME};

/// For PCP and NAT-PMP: 250 ms, doubled three times.
const PATIENCE: TimeoutConfig = TimeoutConfig {
    initial_timeout: Duration::from_millis(250),
    max_retries: 3,
    max_retry_timeout: None,
};
/// For a router to say that it knows UPnP, and how.
const SEARCH: Duration = Duration::from_secs(4);
/// Where a router is asked for that.
const SSDP_PORT: u16 = 1900;
/// What people see in the router's list of mappings.
const DESCRIPTION: &str = "re6st-ebpf";

/// A mapping, and for how many seconds it was given; 0 is for ever.
pub type Given = (Mapping, u32);

/// What came of a question.
pub type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Asks a router for a mapping; one that it gave before is renewed.
pub async fn ask(wanted: &Wanted, protocol: Protocol) -> Outcome<Given> {
    match protocol {
        Protocol::Pcp => ask_by_pcp(wanted).await,
        Protocol::NatPmp => ask_by_nat_pmp(wanted).await,
        Protocol::Upnp => ask_by_upnp(wanted).await,
    }
}

/// A mapping is not wanted any more.
pub async fn end(mapping: &Mapping) -> Outcome<()> {
    let wanted = &mapping.wanted;
    let (udp, port) = (InternetProtocol::Udp, port(wanted)?);
    match mapping.protocol {
        Protocol::Pcp => {
            let only = pcp::DropMappingRange::Single {
                protocol: udp,
                internal_port: port,
            };
            let client = IpAddr::V4(*wanted.to.ip());
            let (router, patience) = (wanted.router.into(), Some(PATIENCE));
            pcp::try_drop_mapping(router, client, wanted.nonce, only, patience).await?;
        }
        Protocol::NatPmp => {
            let (router, patience) = (wanted.router.into(), Some(PATIENCE));
            natpmp::try_drop_mapping(router, udp, Some(port), patience).await?;
        }
        Protocol::Upnp => {
            let gateway = gateway(wanted).await?;
            let udp = PortMappingProtocol::UDP;
            gateway.remove_port(udp, mapping.port).await?;
        }
    }
    Ok(())
}

fn port(wanted: &Wanted) -> Outcome<NonZeroU16> {
    Ok(NonZeroU16::try_from(wanted.to.port())?)
}

/// The same port outside is asked for; the router may give another.
fn options(port: NonZeroU16) -> PortMappingOptions {
    PortMappingOptions {
        external_port: Some(port),
        lifetime_seconds: Some(LIFETIME),
        timeout_config: Some(PATIENCE),
    }
}

async fn ask_by_pcp(wanted: &Wanted) -> Outcome<Given> {
    let port = port(wanted)?;
    let client = IpAddr::V4(*wanted.to.ip());
    let request =
        pcp::BaseMapRequest::new(wanted.router.into(), client, InternetProtocol::Udp, port);
    let given = pcp::port_mapping(request, Some(wanted.nonce), None, options(port)).await?;
    let PortMappingType::Pcp { external_ip, .. } = given.mapping_type() else {
        return Err("the answer has no address".into());
    };
    let mapping = Mapping {
        wanted: *wanted,
        protocol: Protocol::Pcp,
        address: external_ip,
        port: given.external_port().get(),
    };
    Ok((mapping, given.lifetime().max(1)))
}

async fn ask_by_nat_pmp(wanted: &Wanted) -> Outcome<Given> {
    let (router, port) = (wanted.router.into(), port(wanted)?);
    let given = natpmp::port_mapping(router, InternetProtocol::Udp, port, options(port)).await?;
    let address = natpmp::external_address(router, Some(PATIENCE)).await?;
    let mapping = Mapping {
        wanted: *wanted,
        protocol: Protocol::NatPmp,
        address: address.into(),
        port: given.external_port().get(),
    };
    Ok((mapping, given.lifetime().max(1)))
}

async fn ask_by_upnp(wanted: &Wanted) -> Outcome<Given> {
    let gateway = gateway(wanted).await?;
    let address = gateway.get_external_ip().await?;
    let (port, lifetime) = match map_by_upnp(&gateway, wanted, LIFETIME).await {
        Err(AddPortError::OnlyPermanentLeasesSupported) => {
            (map_by_upnp(&gateway, wanted, 0).await?, 0)
        }
        port => (port?, LIFETIME),
    };
    let mapping = Mapping {
        wanted: *wanted,
        protocol: Protocol::Upnp,
        address,
        port,
    };
    Ok((mapping, lifetime))
}

/// The same port outside, or if another host has it the next one that is free.
async fn map_by_upnp(
    gateway: &Gateway<Tokio>,
    wanted: &Wanted,
    lifetime: u32,
) -> Result<u16, AddPortError> {
    /// Nodes behind one NAT.
    const TRIES: u16 = 16;
    let (udp, to) = (PortMappingProtocol::UDP, SocketAddr::V4(wanted.to));
    let first = wanted.to.port();
    for port in (0..TRIES).filter_map(|more| first.checked_add(more)) {
        let outcome = gateway.add_port(udp, port, to, lifetime, DESCRIPTION);
        match outcome.await {
            Err(AddPortError::PortInUse) => {}
            outcome => return outcome.map(|()| port),
        }
    }
    Err(AddPortError::PortInUse)
}

/// Only the router itself is asked, and listened to.
async fn gateway(wanted: &Wanted) -> Outcome<Gateway<Tokio>> {
    let mut options = SearchOptions::default();
    options.bind_addr = SocketAddr::from((*wanted.to.ip(), 0));
    options.broadcast_address = SocketAddr::from((wanted.router, SSDP_PORT));
    options.timeout = Some(SEARCH);
    options.single_search_timeout = Some(SEARCH);
    let gateway = search_gateway(options).await?;
    match gateway.addr.ip() == IpAddr::V4(wanted.router) {
        true => Ok(gateway),
        false => Err(SearchError::InvalidResponse.into()),
    }
}
