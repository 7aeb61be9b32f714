//! `re6st-user status`: what is loaded, for people and for machines.

use std::{io::Write as _, path::Path, process::ExitCode};

use anyhow::{Result, bail};
use clap::Args;
use re6st_user::{
    dataplane::bpf::{
        InstanceName, Pins,
        manifest::{Mode, TcAttachment},
        node,
        status::{self, NodeState, ReasonStatus, Status},
    },
    node::control,
};

use crate::cli::{babel, membership, table::table};

/// Options of `status`.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  re6st-user status
  re6st-user status --instance re6st0 --routes
  re6st-user status --instance re6st0 --json")]
pub struct StatusArguments {
    /// The instance; all of them if not given.
    #[arg(long, value_parser = InstanceName::parse)]
    instance: Option<InstanceName>,
    /// Print JSON: one object for an instance, an array for all.
    #[arg(long)]
    json: bool,
    /// List all routes, however many.
    #[arg(long)]
    routes: bool,
}

/// Shows.
pub fn run(arguments: &StatusArguments, bpffs: &Path, sockets: &Path) -> Result<ExitCode> {
    let all = match &arguments.instance {
        Some(name) => vec![Pins::new(bpffs, name)],
        None => Pins::all(bpffs)?,
    };
    let mut statuses = Vec::new();
    for pins in &all {
        statuses.extend(status_of(pins, arguments.routes, sockets)?);
    }
    if let (Some(name), true) = (&arguments.instance, statuses.is_empty()) {
        bail!(
            "{name} is not loaded (nothing in {}/{name})",
            bpffs.display()
        );
    }
    let shown = if arguments.json {
        let json = match (&arguments.instance, statuses.as_slice()) {
            (Some(_), [status]) => serde_json::to_string_pretty(status)?,
            (_, statuses) => serde_json::to_string_pretty(statuses)?,
        };
        format!("{json}\n")
    } else if statuses.is_empty() {
        format!("no instance is loaded (nothing in {})\n", bpffs.display())
    } else {
        let texts = statuses.iter().map(|status| text(status, arguments.routes));
        texts.collect::<Vec<_>>().join("\n")
    };
    match std::io::stdout().write_all(shown.as_bytes()) {
        // the reader has seen enough (`| head`)
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {}
        outcome => outcome?,
    }
    Ok(match statuses.is_empty() {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    })
}

/// With what a running node tells of itself.
fn status_of(pins: &Pins, routes: bool, sockets: &Path) -> Result<Option<Status>> {
    let instance = pins.instance();
    let holder = node::holder(&node::lock(sockets, instance))?;
    let Some(mut status) = status::status(pins, routes, holder)? else {
        return Ok(None);
    };
    match control::ask(&control::path(sockets, instance)) {
        Ok(None) if holder.is_some() => status
            .warnings
            .push("the controller has not begun to answer".to_owned()),
        Ok(controller) => status.controller = controller,
        Err(error) => status
            .warnings
            .push(format!("the controller does not answer: {error}")),
    }
    let trouble = status.controller.as_ref().map(|told| &told["warnings"]);
    for told in trouble
        .and_then(|trouble| trouble.as_array())
        .into_iter()
        .flatten()
    {
        if let Some(told) = told.as_str()
            && !status.warnings.iter().any(|warning| warning == told)
        {
            status.warnings.push(told.to_owned());
        }
    }
    Ok(Some(status))
}

fn text(status: &Status, all_routes: bool) -> String {
    let mut text = format!(
        "{}: port {}, {}, from {} (re6st-user {})\n",
        status.instance,
        status.port,
        if status.forward {
            "relays"
        } else {
            "does not relay"
        },
        status.config,
        status.version
    );
    match (status.node.state, status.node.process) {
        (NodeState::Runs, Some(process)) => text += &format!("node: runs, process {process}\n"),
        (NodeState::Runs, None) => text += "node: runs\n",
        (NodeState::Ended, _) => text += "node: has ended\n",
        (NodeState::None, _) => {}
    }
    for warning in &status.warnings {
        text += &format!("WARNING: {warning}\n");
    }
    text += &interfaces(status);
    text += &tunnels(status);
    text += &routes(status, all_routes);
    if let Some(controller) = &status.controller {
        text += &membership::text(&controller["registry"]);
        text += &babel::text(controller, all_routes);
    }
    for (title, fate) in [
        ("dropped", "dropped"),
        ("handed to the kernel", "kernel"),
        ("left alone", "untouched"),
    ] {
        text += &reasons(status, title, fate);
    }
    text += &programs(status);
    text
}

fn interfaces(status: &Status) -> String {
    let rows = status.interfaces.iter().map(|interface| {
        let mode = match interface.mode {
            None => "NOT ATTACHED".to_owned(),
            Some(Mode::Driver) => "driver".to_owned(),
            Some(Mode::Generic) => "generic".to_owned(),
        };
        let tc = match interface.tc {
            None => "NOT ATTACHED",
            Some(TcAttachment::Tcx) => "tcx",
            Some(TcAttachment::Clsact { .. }) => "clsact",
        };
        let mut remarks = Vec::new();
        if interface.gateway {
            remarks.push("gateway's uplink".to_owned());
        }
        remarks.extend(interface.reason.clone());
        if interface.transmit == "tc" {
            remarks.push("takes no frames from XDP".to_owned());
        }
        vec![
            interface.name.clone(),
            mode,
            tc.to_owned(),
            interface.transmit.to_owned(),
            remarks.join("; "),
        ]
    });
    table(
        "interfaces",
        &["name", "XDP", "TC", "transmits by", ""],
        rows,
    )
}

fn tunnels(status: &Status) -> String {
    let rows = status.tunnels.iter().map(|tunnel| {
        vec![
            tunnel.name.clone(),
            tunnel.encapsulation.to_owned(),
            tunnel.remote.to_string(),
            tunnel.interface.clone(),
            tunnel.mtu.to_string(),
            tunnel
                .neighbour
                .clone()
                .unwrap_or_else(|| "resolving".to_owned()),
            tunnel.received_packets.to_string(),
            tunnel.received_bytes.to_string(),
            tunnel.sent_packets.to_string(),
            tunnel.sent_bytes.to_string(),
            tunnel.stale.clone().unwrap_or_default(),
        ]
    });
    let columns = [
        "name",
        "encap",
        "remote",
        "interface",
        "MTU",
        "next hop",
        "received",
        "bytes",
        "sent",
        "bytes",
        "",
    ];
    table("tunnels", &columns, rows)
}

fn routes(status: &Status, all: bool) -> String {
    if status.routes.is_empty() && status.route_count > 0 && !all {
        return format!("\nroutes: {} (`--routes` lists them)\n", status.route_count);
    }
    let rows = status.routes.iter().map(|route| {
        vec![
            route.to.clone(),
            route
                .from
                .as_ref()
                .map(|from| format!("from {from}"))
                .unwrap_or_default(),
            route.via.clone(),
        ]
    });
    table("routes", &["to", "", "via"], rows)
}

fn reasons(status: &Status, title: &str, fate: &str) -> String {
    let met = |reason: &&ReasonStatus| reason.fate == fate && reason.packets > 0;
    let rows = status.reasons.iter().filter(met).map(|reason| {
        vec![
            reason.name.to_owned(),
            reason.packets.to_string(),
            reason.description.to_owned(),
        ]
    });
    table(title, &["reason", "packets", ""], rows)
}

fn programs(status: &Status) -> String {
    let rows = status.programs.iter().map(|program| {
        vec![
            program.name.clone(),
            program.id.to_string(),
            program.tag.clone(),
        ]
    });
    let programs = table("programs", &["name", "id", "tag"], rows);
    let rows = status.maps.iter().map(|map| {
        vec![
            map.name.to_owned(),
            map.entries.to_string(),
            format!("{} KiB", map.memory.div_ceil(1024)),
        ]
    });
    let maps = table("maps", &["name", "entries", "memory"], rows);
    format!(
        "{programs}{maps}memory of all maps: {} KiB\n",
        status.memory.div_ceil(1024)
    )
}
