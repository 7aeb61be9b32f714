//! Routes, neighbours and tunnels: each kind for people, and as JSON, an object a line, printed as it comes.

use std::{
    collections::BTreeMap,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use re6st_user::{
    dataplane::bpf::{
        Pins,
        status::{self, TunnelStatus},
    },
    io::netlink::{Rtnetlink, link::Interface},
    node::control::{self, Question},
    route::RouteKey,
};
use serde::{Deserialize as _, Serialize};
use serde_json::{Value, json};

use super::{RouteFilter, peers};
use crate::cli::table::table;

/// Where the lists of an instance come from: its maps and the kernel, and its controller if one runs.
pub struct Source<'a> {
    pins: &'a Pins,
    socket: PathBuf,
}

impl<'a> Source<'a> {
    pub fn new(pins: &'a Pins, sockets: &Path) -> Self {
        let socket = control::path(sockets, pins.instance());
        Self { pins, socket }
    }

    fn ask(&self, question: Question) -> impl Iterator<Item = Result<Value>> {
        control::ask_for_all(&self.socket, question)
            .map(|item| item.context("the controller does not answer"))
    }

    fn neighbours(&self) -> impl Iterator<Item = Result<Value>> {
        self.ask(Question::Neighbours { from: 0 })
    }

    /// Each with the name of the instance.
    fn print(&self, item: impl Serialize) -> Result<()> {
        let mut line = serde_json::to_value(item)?;
        if let Value::Object(fields) = &mut line {
            fields.insert("instance".into(), json!(self.pins.instance().device()));
        }
        Ok(writeln!(io::stdout(), "{line}")?)
    }

    pub fn print_neighbours(&self) -> Result<()> {
        self.neighbours().try_for_each(|item| self.print(item?))
    }

    fn peers(&self) -> impl Iterator<Item = Result<Value>> {
        self.ask(Question::Peers { from: 0 })
    }

    pub fn print_peers(&self) -> Result<()> {
        self.peers().try_for_each(|item| self.print(item?))
    }

    pub fn peers_text(&self) -> Result<String> {
        if control::ask(&self.socket, &Question::Summary)?.is_none() {
            return Ok(" no node runs\n".to_owned());
        }
        let peers = self.peers().collect::<Result<Vec<_>>>()?;
        Ok(peers::text(&peers))
    }

    pub fn print_tunnels(&self) -> Result<()> {
        let status = status::status(self.pins, None)?;
        let mut tunnels = status.into_iter().flat_map(|status| status.tunnels);
        tunnels.try_for_each(|tunnel| self.print(tunnel))
    }

    pub fn print_routes(&self, filter: &RouteFilter) -> Result<()> {
        self.routes(filter, |_, route| self.print(route))
    }

    pub fn neighbours_text(&self) -> Result<String> {
        if control::ask(&self.socket, &Question::Summary)?.is_none() {
            return Ok(" no node runs\n".to_owned());
        }
        let rows = self.neighbours().map(|item| Ok(neighbour_row(&item?)));
        let columns = [
            "interface",
            "address",
            "reach",
            "rxcost",
            "txcost",
            "cost",
            "RTT",
            "routes",
        ];
        Ok(table(
            "neighbours",
            &columns,
            rows.collect::<Result<Vec<_>>>()?,
        ))
    }

    pub fn tunnels_text(&self) -> Result<String> {
        let status = status::status(self.pins, None)?;
        Ok(status.map_or_else(String::new, |status| tunnels(&status.tunnels)))
    }

    pub fn routes_text(&self, filter: &RouteFilter) -> Result<String> {
        let mut rows: BTreeMap<RouteKey, Vec<Vec<String>>> = BTreeMap::new();
        self.routes(filter, |key, route| {
            let all_ways = filter.near.is_some();
            rows.insert(key, route_rows(&route, all_ways));
            Ok(())
        })?;
        let columns = ["to", "", "via", "metric", "next hop", "", "age", "ways"];
        Ok(table("routes", &columns, rows.into_values().flatten()))
    }

    /// Babel's, and what the data plane does with them; then those of which Babel knows nothing.
    fn routes(
        &self,
        filter: &RouteFilter,
        mut show: impl FnMut(RouteKey, Value) -> Result<()>,
    ) -> Result<()> {
        let Some((configured, ways)) = status::routes(self.pins)? else {
            return Ok(());
        };
        let mut configured: BTreeMap<RouteKey, String> = configured
            .into_iter()
            .filter_map(|route| Some((RouteKey::new(route.to, route.from).ok()?, route.via)))
            .collect();
        let near = filter.near;
        let by = filter.interface.as_deref().map(By::find).transpose()?;
        for route in self.ask(Question::Routes { from: 0, near }) {
            let mut route = route?;
            let key = RouteKey::deserialize(&route).context("the controller answers otherwise")?;
            configured.remove(&key);
            route["via"] = json!(ways.via(key.to(), key.from())?);
            if filter.wants(by.as_ref(), key, &route) {
                show(key, route)?;
            }
        }
        for (key, via) in configured {
            let route = json!({ "to": key.to(), "from": key.from(), "via": via });
            if filter.wants(by.as_ref(), key, &route) {
                show(key, route)?;
            }
        }
        Ok(())
    }
}

impl RouteFilter {
    fn wants(&self, by: Option<&By>, key: RouteKey, route: &Value) -> bool {
        let to = key.to();
        let near = self
            .near
            .is_none_or(|near| near.contains(&to) || to.contains(&near));
        let by = by.is_none_or(|by| by.leads(route));
        near && by && (!self.not_installed || route["not-installed"].is_string())
    }
}

/// What routes go by: a tunnel, or an interface by any of its names.
struct By<'a> {
    name: &'a str,
    interface: Option<Interface>,
}

impl<'a> By<'a> {
    fn find(name: &'a str) -> Result<Self> {
        let interface = Rtnetlink::open().and_then(|mut netlink| netlink.interface(name));
        let interface = interface.with_context(|| format!("look up the interface {name}"))?;
        Ok(Self { name, interface })
    }

    fn leads(&self, route: &Value) -> bool {
        let names = [
            Some(self.name),
            self.interface.as_ref().map(|found| found.name.as_str()),
        ];
        let via = names.iter().flatten().any(|name| route["via"] == *name);
        // the configuration may have another of its names, or one that it had before
        let index = self.interface.as_ref().map(|found| found.index);
        let by = |way: &Value| {
            way["interface_name"] == self.name
                || index.is_some_and(|index| way["interface"] == index)
        };
        via || ways(route).iter().any(by)
    }
}

fn ways(route: &Value) -> &[Value] {
    route["candidates"].as_array().map_or(&[], Vec::as_slice)
}

/// The way in use, or the best one; with `all` each of them.
fn route_rows(route: &Value, all: bool) -> Vec<Vec<String>> {
    let from = route["from"].as_str().map(|from| format!("from {from}"));
    let row = |metric: &Value, next_hop: &Value, state: String, age: &Value, count: String| {
        let age = age.as_u64().map(|seconds| format!("{seconds} s"));
        vec![
            shown(&route["to"]),
            from.clone().unwrap_or_default(),
            shown(&route["via"]),
            shown(metric),
            shown(next_hop),
            state,
            age.unwrap_or_default(),
            count,
        ]
    };
    let ways = ways(route);
    if !route["own_metric"].is_null() {
        let state = "announced".to_owned();
        let metric = &route["own_metric"];
        return vec![row(
            metric,
            &Value::Null,
            state,
            &Value::Null,
            String::new(),
        )];
    }
    if ways.is_empty() {
        let unreachable = route["unreachable"] == true;
        let state = if unreachable { "unreachable" } else { "" };
        let null = &Value::Null;
        return vec![row(null, null, state.to_owned(), null, String::new())];
    }
    let shown_ways = if all { ways } else { &ways[..1] };
    let rows = shown_ways.iter().map(|way| {
        let state = match (&way["selected"], &route["not-installed"]) {
            (Value::Bool(true), Value::String(why)) => format!("not installed: {why}"),
            (Value::Bool(true), _) if all && ways.len() > 1 => {
                format!("in use: {}", shown(&route["why"]))
            }
            (Value::Bool(true), _) => "in use".to_owned(),
            _ if way["feasible"] == true => "feasible".to_owned(),
            _ => String::new(),
        };
        let count = ways.len().to_string();
        row(
            &way["metric"],
            &way["next_hop"],
            state,
            &way["age_seconds"],
            count,
        )
    });
    rows.collect()
}

fn neighbour_row(neighbour: &Value) -> Vec<String> {
    let round_trip = neighbour["round_trip_microseconds"]
        .as_f64()
        .map(|microseconds| format!("{:.3} ms", microseconds / 1000.0));
    vec![
        shown(&neighbour["interface_name"]),
        shown(&neighbour["address"]),
        format!("{:04x}", neighbour["reach"].as_u64().unwrap_or_default()),
        shown(&neighbour["reception_cost"]),
        shown(&neighbour["transmission_cost"]),
        shown(&neighbour["cost"]),
        round_trip.unwrap_or_default(),
        shown(&neighbour["routes"]),
    ]
}

pub fn tunnels(tunnels: &[TunnelStatus]) -> String {
    let rows = tunnels.iter().map(|tunnel| {
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
            // its packets are in clear all the same
            match tunnel.name.contains('/') {
                true => "channel".to_owned(),
                false => "nothing".to_owned(),
            },
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
        "protected by",
        "",
    ];
    table("tunnels", &columns, rows)
}

/// A value as people read it.
pub fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        // the highest value of a metric
        Value::Number(number) if number.as_u64() == Some(65_535) => "infinite".to_owned(),
        other => other.to_string(),
    }
}
