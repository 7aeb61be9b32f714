//! Scenarios in virtual machines: other kernels than this host's, and Linux's own tunnel devices as peers. One machine a
//! kernel serves all of them, one after another; no root is needed.

mod support;
mod vlans;

mod babel;
mod cards;
mod channels;
mod documented_peer;
mod driver_xdp;
mod hidden_tags;
mod linux_peers;
mod own_nodes;
mod underlays;
