//! What was promised, and whether it was kept.

use super::{super::median, Report, Unit};

/// A measurement against another, or against a limit.
#[derive(Clone, Debug)]
pub struct Comparison {
    what: String,
    ours: f64,
    unit: Unit,
    against: String,
    theirs: f64,
    ratio: f64,
    target: Target,
}

/// What the ratio of ours to theirs must be.
#[derive(Clone, Copy, Debug)]
enum Target {
    AtLeast(f64),
    AtMost(f64),
    /// Nothing was promised: it explains another comparison.
    None,
}

impl Target {
    fn is_met(self, ratio: f64) -> bool {
        match self {
            Self::AtLeast(limit) => ratio >= limit,
            Self::AtMost(limit) => ratio <= limit,
            Self::None => true,
        }
    }

    fn shown(self) -> String {
        match self {
            Self::AtLeast(limit) => format!("at least {limit}"),
            Self::AtMost(limit) => format!("at most {limit}"),
            Self::None => "none".into(),
        }
    }
}

impl Comparison {
    /// Ours in units of theirs: the median of the rounds' own ratios. A machine that is twice as fast in one minute as in
    /// the next changes both sides of a round alike.
    pub const fn ratio(&self) -> f64 {
        self.ratio
    }

    /// Whether the target is met.
    pub fn is_met(&self) -> bool {
        self.target.is_met(self.ratio())
    }

    fn verdict(&self) -> &'static str {
        match self.target {
            Target::None => "-",
            _ if self.is_met() => "met",
            _ => "missed",
        }
    }

    /// For the terminal.
    pub fn line(&self) -> String {
        format!(
            "{:44} {:>12} / {:>12} = {:6.2}  ({}: {})",
            format!("{} vs {}", self.what, self.against),
            self.unit.shown(self.ours),
            self.unit.shown(self.theirs),
            self.ratio(),
            self.target.shown(),
            self.verdict()
        )
    }

    /// For a table.
    pub fn row(&self) -> String {
        format!(
            "| {} | {} | {} | {} | {:.2} | {} | {} |",
            self.what,
            self.unit.shown(self.ours),
            self.against,
            self.unit.shown(self.theirs),
            self.ratio(),
            self.target.shown(),
            self.verdict()
        )
    }
}

/// What is compared, what is measured of ours, against what, what is measured of that or a limit, and what the ratio must be. A
/// relay with many routes may take 1.1 times as long as with few: 0.91 of the rate. The others' outages and times to learn
/// were no promise; no more time than either and no more traffic than BIRD were.
const PROMISES: &str = "
relay, 64 bytes | relay-64-re6st | bare XDP redirect | relay-64-floor | >= 0.75
relay, 64 bytes | relay-64-re6st | kernel IPv6 forwarding | relay-64-forwarding | >= 2
relay, 64 bytes | relay-64-re6st | kernel VXLAN | relay-64-vxlan | >= 3
relay, 64 bytes | relay-64-re6st | OpenVPN | relay-64-openvpn | >= 25
relay, 1400 bytes | relay-1400-re6st | bare XDP redirect | relay-1400-floor | >= 0.75
relay, 1400 bytes | relay-1400-re6st | kernel IPv6 forwarding | relay-1400-forwarding | >= 2
relay, 1400 bytes | relay-1400-re6st | kernel VXLAN | relay-1400-vxlan | >= 3
relay, 1400 bytes | relay-1400-re6st | OpenVPN | relay-1400-openvpn | >= 25
one TCP connection | tcp-re6st | bare link, offloads off | tcp-link | >= 0.9
one TCP connection | tcp-re6st | bare link, XDP program that does nothing | tcp-link-xdp | -
one TCP connection | tcp-re6st | bare link, GRO on | tcp-link-gro | -
one TCP connection | tcp-re6st | OpenVPN | tcp-openvpn | >= 5
relay with 65,536 routes | routes-65536 | with 10 routes | routes-10 | >= 0.91
round trip through a relay | latency-re6st | kernel IPv6 forwarding | latency-forwarding | <= 1
load 65,536 routes | load-65536 | limit | 2e9 | <= 1
memory of all maps, default | memory-10 | limit | 16777216 | <= 1
outage, silent cut | babel-silent-cut-re6st | limit | 1e9 | <= 1
outage, carrier loss | babel-carrier-loss-re6st | limit | 0.3e9 | <= 1
one new route across three hops | babel-new-route-re6st | limit | 0.2e9 | <= 1
learn 10,000 routes of 10,000 routers | babel-learn-re6st | limit | 3e9 | <= 1
learn 50,000 routes of 4 neighbours | babel-huge-re6st | limit | 20e9 | <= 1
CPU with these | babel-huge-cpu-re6st | limit | 0.05 | <= 1
outage, silent cut | babel-silent-cut-re6st | babeld | babel-silent-cut-babeld | -
outage, silent cut | babel-silent-cut-re6st | BIRD | babel-silent-cut-bird | -
outage, carrier loss | babel-carrier-loss-re6st | babeld | babel-carrier-loss-babeld | -
outage, carrier loss | babel-carrier-loss-re6st | BIRD | babel-carrier-loss-bird | -
one new route across three hops | babel-new-route-re6st | babeld | babel-new-route-babeld | -
one new route across three hops | babel-new-route-re6st | BIRD | babel-new-route-bird | -
learn 10,000 routes of 10,000 routers | babel-learn-re6st | babeld | babel-learn-babeld | -
learn 10,000 routes of 10,000 routers | babel-learn-re6st | BIRD | babel-learn-bird | -
CPU with 10,000 routes | babel-steady-cpu-re6st | babeld | babel-steady-cpu-babeld | <= 1
CPU with 10,000 routes | babel-steady-cpu-re6st | BIRD | babel-steady-cpu-bird | <= 1
the same, with two neighbours | babel-steady-cpu-hub-re6st | babeld | babel-steady-cpu-hub-babeld | <= 1
the same, with two neighbours | babel-steady-cpu-hub-re6st | BIRD | babel-steady-cpu-hub-bird | <= 1
traffic with 10,000 routes | babel-steady-traffic-re6st | babeld | babel-steady-traffic-babeld | -
traffic with 10,000 routes | babel-steady-traffic-re6st | BIRD | babel-steady-traffic-bird | <= 1
CPU, 10,000 routes announced by it | babel-steady-cpu-re6st-of-babeld | babeld beside babeld | babel-steady-cpu-babeld | <= 1
CPU, 10,000 routes announced to it | babel-steady-cpu-hub-babeld-of-re6st | babeld beside babeld | babel-steady-cpu-hub-babeld | <= 1
traffic, 10,000 routes announced by it | babel-steady-traffic-re6st-of-babeld | babeld beside babeld | babel-steady-traffic-babeld | -
traffic, 10,000 routes announced to it | babel-steady-traffic-babeld-of-re6st | babeld beside babeld | babel-steady-traffic-babeld | -
CPU, 10,000 routes announced by it | babel-steady-cpu-re6st-of-bird | BIRD beside BIRD | babel-steady-cpu-bird | <= 1
CPU, 10,000 routes announced to it | babel-steady-cpu-hub-bird-of-re6st | BIRD beside BIRD | babel-steady-cpu-hub-bird | <= 1
traffic, 10,000 routes announced by it | babel-steady-traffic-re6st-of-bird | BIRD beside BIRD | babel-steady-traffic-bird | <= 1
traffic, 10,000 routes announced to it | babel-steady-traffic-bird-of-re6st | BIRD beside BIRD | babel-steady-traffic-bird | <= 1
enrolments, 10 certificates in the database | registry-enrol-10-re6st | re6stnet | registry-enrol-10-python | >= 10
enrolments, 50,000 certificates in the database | registry-enrol-50000-re6st | with 10 | registry-enrol-10-re6st | >= 0.8
fetches of the parameters | registry-parameters-re6st | re6stnet | registry-parameters-python | >= 50
latency among 1,000 slow connections | registry-latency-among-slow-re6st | without them | registry-latency-alone-re6st | <= 2
memory with 50,000 certificates | registry-memory-50000-re6st | limit | 100e6 | <= 1
relay with channels, 64 bytes | channel-relay-64 | tunnels of a file | channel-relay-64-static | >= 0.98
relay with channels, 1400 bytes | channel-relay-1400 | tunnels of a file | channel-relay-1400-static | >= 0.98
one TCP connection, tunnel with a channel | channel-tcp-channel | tunnel of a file | channel-tcp-re6st | >= 0.98
handshakes | channel-handshakes-re6st | OpenVPN, new keys of two processes | channel-handshakes-openvpn-keys | >= 20
handshakes | channel-handshakes-re6st | OpenVPN, connections of new processes | channel-handshakes-openvpn | -
bad handshakes refused in XDP | channel-flood-wrong-mac-xdp | by the controller, through its socket | channel-flood-wrong-mac-socket | >= 5
handshakes without a cookie, answered in XDP | channel-flood-no-cookie-xdp | refused by the controller, through its socket | channel-flood-no-cookie-socket | -
tunnel, a socket floods with bad handshakes | channel-flood-tunnel-wrong-mac-socket | without the flood | channel-flood-tunnel-wrong-mac-socket-calm | >= 0.9
tunnel, a socket floods with handshakes without a cookie | channel-flood-tunnel-no-cookie-socket | without the flood | channel-flood-tunnel-no-cookie-socket-calm | >= 0.9
tunnel, the generator floods with bad handshakes | channel-flood-tunnel-wrong-mac-generator | without the flood | channel-flood-tunnel-wrong-mac-generator-calm | -
tunnel, the generator floods with handshakes without a cookie | channel-flood-tunnel-no-cookie-generator | without the flood | channel-flood-tunnel-no-cookie-generator-calm | -
new channel in the generator's flood of bad handshakes | channel-flood-newcomer-wrong-mac-generator | limit | 2e9 | <= 1
new channel in the generator's flood of handshakes without a cookie | channel-flood-newcomer-no-cookie-generator | limit | 2e9 | <= 1
until the first packet | channel-round-trips-re6st | limit | 2 | <= 1
until the first packet | channel-round-trips-re6st | WireGuard, by its protocol | 1 | -
until the first packet | channel-round-trips-re6st | OpenVPN, by its protocol | 4 | -
memory of 1,000 idle channels | channel-memory-1000-re6st | limit | 16e6 | <= 1
octets of an idle channel | channel-idle-octets-re6st | WireGuard, keep-alive of 25 s | 4.8 | -
packets of an idle channel | channel-idle-packets-re6st | WireGuard, keep-alive of 25 s | 0.08 | -
outage when a node dies without a word | mesh-outage | limit | 1e9 | <= 1
outage when a node dies without a word | mesh-outage | re6st's four Hello intervals, as stated | 60e9 | -
traffic of an idle node among 12 | mesh-idle-traffic-12 | limit | 20e3 | <= 1
";

struct Promise<'a> {
    what: &'a str,
    ours: &'a str,
    against: &'a str,
    theirs: &'a str,
    target: Target,
}

impl<'a> Promise<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let [what, ours, against, theirs, target] =
            line.split(" | ").collect::<Vec<_>>().try_into().ok()?;
        let target = match target.split_once(' ') {
            Some((">=", limit)) => Target::AtLeast(limit.parse().ok()?),
            Some(("<=", limit)) => Target::AtMost(limit.parse().ok()?),
            Some(_) => return None,
            None => Target::None,
        };
        Some(Self {
            what,
            ours,
            against,
            theirs,
            target,
        })
    }

    /// None if one of the sides was not measured.
    fn compare(&self, report: &Report) -> Option<Comparison> {
        let ours = report.measurement(self.ours)?;
        let theirs = match self.theirs.parse() {
            Ok(limit) => vec![limit],
            Err(_) => report.measurement(self.theirs)?.rounds.clone(),
        };
        // a limit stands against all rounds
        let rounds = ours.rounds.iter().zip(theirs.iter().cycle());
        Some(Comparison {
            what: self.what.into(),
            ours: ours.median(),
            unit: ours.unit,
            against: self.against.into(),
            ratio: median(rounds.map(|(ours, theirs)| ours / theirs)),
            theirs: median(theirs),
            target: self.target,
        })
    }
}

fn promises() -> impl Iterator<Item = Option<Promise<'static>>> {
    PROMISES.trim().lines().map(Promise::parse)
}

/// All comparisons both sides of which were measured.
pub fn comparisons(report: &Report) -> Vec<Comparison> {
    let promises = promises().flatten();
    promises
        .filter_map(|promise| promise.compare(report))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::promises;

    #[test]
    fn every_promise_is_understood() {
        assert_eq!(promises().flatten().count(), 71);
        assert!(promises().all(|promise| promise.is_some()));
    }
}
