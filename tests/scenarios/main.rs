//! What the mesh promises, on hosts with real packets: one promise a file.
//!
//! Needs root. Each scenario makes hosts of its own and removes them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends where it fails"
)]

mod babel_changes;
mod babel_filters;
mod babel_floods;
mod babel_kernel_routes;
mod babel_keys;
mod babel_lans;
mod babel_links;
mod babel_nodes;
mod babel_recordings;
mod babel_restarts;
mod babel_tunnels;
mod documentation;
mod endings;
mod firewalls;
mod full_disk;
mod gateways;
mod handshakes;
mod host_warnings;
mod instances;
mod interoperation;
mod live_routes;
mod loading;
mod marks;
mod merging;
mod meshes;
mod modes;
mod neighbours;
mod offloads;
mod one_node;
mod other_ways;
mod path_mtu;
mod paths;
mod place;
mod privileges;
mod refusals;
mod registry;
mod relay;
mod reload;
mod repairs;
mod scale;
mod sites;
mod solitude;
mod stacked;
mod static_nodes;
mod testbed_itself;
mod trace;
mod transfers;
mod translation;
mod twins;
mod underlays;
mod units;
mod unreachable_peers;
mod untouched;
mod unwritable_state;
