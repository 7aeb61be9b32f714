//! What a controller tells of itself, for people.

use serde_json::Value;

use crate::cli::table::table;

/// So many routes are shown only when asked for.
const MANY_ROUTES: usize = 32;

/// Neighbours, routes, own announcements, counters.
pub fn text(controller: &Value, all_routes: bool) -> String {
    let list = |key: &str| controller[key].as_array().cloned().unwrap_or_default();
    let neighbours = list("neighbours").into_iter().map(|neighbour| {
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
    });
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
    let mut text = format!(
        "\nBabel: router-id {}, sequence number {}\n",
        shown(&controller["router-id"]),
        shown(&controller["sequence-number"])
    );
    text += &table("neighbours", &columns, neighbours);
    let not_installed = list("not-installed");
    text += &routes(&list("routes"), &not_installed, all_routes);
    let own = list("announcements").into_iter().map(|own| {
        let [to, from] = prefixes(&own["route"]);
        vec![to, from, shown(&own["metric"])]
    });
    text += &table("announced", &["to", "", "metric"], own);
    for (title, key) in [
        ("Babel's counters", "counters"),
        ("Babel refused", "refused"),
    ] {
        let counters = controller[key].as_object().cloned().unwrap_or_default();
        let rows = counters
            .iter()
            .filter(|(_, count)| count.as_u64() != Some(0))
            .map(|(name, count)| vec![name.replace('_', " "), shown(count)]);
        text += &table(title, &["what", "how often"], rows);
    }
    text
}

fn routes(routes: &[Value], not_installed: &[Value], all: bool) -> String {
    if routes.len() > MANY_ROUTES && !all {
        let count = routes.len();
        return format!("\nlearned routes: {count} (`--routes` lists them)\n");
    }
    let rows = routes.iter().flat_map(|route| {
        let [to, from] = prefixes(&route["route"]);
        let is_it = |other: &Value| other["route"] == route["route"];
        let installed = !not_installed.iter().any(is_it);
        let ways = route["candidates"].as_array().cloned().unwrap_or_default();
        ways.into_iter().map(move |way| {
            let state = match (&way["selected"], &way["feasible"]) {
                (Value::Bool(true), _) if !installed => "not installed",
                (Value::Bool(true), _) => "in use",
                (_, Value::Bool(true)) => "feasible",
                _ => "",
            };
            vec![
                to.clone(),
                from.clone(),
                shown(&way["metric"]),
                shown(&way["next_hop"]),
                state.to_owned(),
                format!("{} s", shown(&way["age_seconds"])),
            ]
        })
    });
    let columns = ["to", "", "metric", "next hop", "", "age"];
    table("learned routes", &columns, rows)
}

fn prefixes(route: &Value) -> [String; 2] {
    let from = route["from"]
        .as_str()
        .map(|from| format!("from {from}"))
        .unwrap_or_default();
    [shown(&route["to"]), from]
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        // the highest value of a metric
        Value::Number(number) if number.as_u64() == Some(65_535) => "infinite".to_owned(),
        other => other.to_string(),
    }
}
