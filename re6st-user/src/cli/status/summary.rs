//! The summary: it stays short, however big the mesh.

use std::path::Path;

use anyhow::Result;
use re6st_user::{
    certificate::node_prefix::NodePrefix,
    dataplane::bpf::{
        Pins,
        manifest::{Mode, TcAttachment},
        node,
        status::{self, FEW, NodeState, ReasonStatus, Status},
    },
    io::clock::wall,
    node::control::{self, Question},
};
use serde_json::Value;

use super::{
    RouteFilter,
    lists::{self, Source, shown},
    membership, mesh,
};
use crate::cli::table::{counted, table};

/// With what a running node tells of itself.
pub fn status_of(pins: &Pins, sockets: &Path) -> Result<Option<Status>> {
    let instance = pins.instance();
    let holder = node::holder(&node::lock(sockets, instance))?;
    let Some(mut status) = status::status(pins, holder)? else {
        return Ok(None);
    };
    match control::ask(&control::path(sockets, instance), &Question::Summary) {
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

/// For people. Lists that are short are in it; `source` has them.
pub fn text(status: &Status, source: &Source<'_>) -> Result<String> {
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
        (NodeState::Ended, _) => {
            text += "node: has ended";
            let mut tunnels = status.tunnels.iter();
            if tunnels.any(|tunnel| NodePrefix::from_common_name(&tunnel.name).is_ok()) {
                text += "; its peers close their tunnels with it a minute later";
            }
            text.push('\n');
        }
        (NodeState::None, _) => {}
    }
    for warning in &status.warnings {
        text += &format!("WARNING: {warning}\n");
    }
    text += &interfaces(status);
    text += &match status.tunnels.len() {
        0..=FEW => lists::tunnels(&status.tunnels),
        many => format!(
            "\n{many} tunnels, {} (`status tunnels` lists them)\n",
            stale(status)
        ),
    };
    if let Some(controller) = &status.controller {
        text += &membership::text(&controller["registry"]);
        text += &mesh::text(status, wall().0);
        if !controller["channels"].is_null() {
            text += &source.peers_text()?;
            text += &counters("channels' counters", &controller["channels"]);
        }
        if !controller["router-id"].is_null() {
            text += &babel(controller, source)?;
        }
    }
    text += &routes(status, source)?;
    for (title, fate) in [
        ("dropped", "dropped"),
        ("handed to the kernel", "kernel"),
        ("left alone", "untouched"),
    ] {
        text += &reasons(status, title, fate);
    }
    text += &programs(status);
    Ok(text)
}

fn stale(status: &Status) -> String {
    let stale = status
        .tunnels
        .iter()
        .filter(|tunnel| tunnel.stale.is_some());
    format!("{} of them stale", stale.count())
}

/// Who speaks, with whom, and how that goes.
fn babel(controller: &Value, source: &Source<'_>) -> Result<String> {
    let number = |key: &str| controller[key].as_u64().unwrap_or_default() as usize;
    let mut text = format!(
        "\nBabel: router-id {}, sequence number {}\n",
        shown(&controller["router-id"]),
        shown(&controller["sequence-number"])
    );
    text += &match number("neighbours") {
        0..=FEW => source.neighbours_text()?,
        many => format!("\n{many} neighbours (`status neighbours` lists them)\n"),
    };
    for (title, key) in [
        ("Babel's counters", "counters"),
        ("Babel refused", "refused"),
    ] {
        text += &counters(title, &controller[key]);
    }
    Ok(text)
}

/// Those that are not zero.
fn counters(title: &str, told: &Value) -> String {
    let told = told.as_object().cloned().unwrap_or_default();
    let rows = told
        .iter()
        .filter(|(_, count)| count.as_u64() != Some(0))
        .map(|(name, count)| vec![name.replace(['_', '-'], " "), shown(count)]);
    table(title, &["what", "how often"], rows)
}

fn routes(status: &Status, source: &Source<'_>) -> Result<String> {
    let known = |key: &str| {
        let controller = status.controller.as_ref();
        controller.map_or(0, |told| told[key].as_u64().unwrap_or_default() as usize)
    };
    let prefixes = known("prefixes");
    if status.route_count.max(prefixes) <= FEW {
        return source.routes_text(&RouteFilter::default());
    }
    let in_kernel = counted(status.route_count, "route", "routes");
    let controller = status.controller.as_ref();
    let babel = match controller.is_some_and(|told| !told["router-id"].is_null()) {
        false => String::new(),
        true => format!(
            "; Babel knows {} to {}, {} not installed",
            counted(known("routes"), "route", "routes"),
            counted(prefixes, "prefix", "prefixes"),
            known("not-installed")
        ),
    };
    Ok(format!(
        "\n{in_kernel} in the kernel{babel} (`status routes` lists them)\n"
    ))
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
