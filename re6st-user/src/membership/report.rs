//! How a member is, for `status`.

use ipnet::IpNet;
use serde::Serialize;
use serde_json::Value;

use super::{babel::overridden, exchange::Problem, member::Member};
use crate::{
    certificate::{authority::AuthorityCertificate, expiry::ExpiryWarning},
    time::Timestamp,
};

/// Everything that is shown. Times are in seconds since 1970.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Report {
    /// Where the registry is.
    pub url: String,
    /// The prefix of the network.
    pub network: String,
    /// Whether the registry answered last.
    pub reachable: bool,
    /// When it answered last, since this controller started.
    pub last_contact: Option<Timestamp>,
    /// What went wrong and has not gone well since.
    pub problem: Option<Problem>,
    /// The network's parameters.
    pub parameters: Option<ParametersReport>,
    /// The revocation list.
    pub revocations: Option<RevocationsReport>,
    /// What is done with the keys of Babel's MAC; none if they are not known yet.
    pub mac_keys: Option<&'static str>,
    /// This node's certificate.
    pub certificate: CertificateReport,
    /// Whom the node trusts.
    pub authorities: Vec<AuthorityReport>,
    /// Documents from others that were refused.
    pub refused_documents: u64,
    /// What people should do something about.
    pub warnings: Vec<String>,
}

/// The network's parameters.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ParametersReport {
    /// Grows with each change.
    pub number: u64,
    /// The values by name, as the registry signed them.
    pub values: Value,
    /// Time between two Hellos that is in use, in seconds.
    pub hello_interval: f64,
    /// Time between two full announcements that is in use, in seconds.
    pub update_interval: f64,
    /// Where the configuration file wins.
    pub overridden: Vec<String>,
    /// What this node does not do.
    pub not_applied: Vec<String>,
}

/// The revocation list.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct RevocationsReport {
    /// Grows with each change.
    pub number: u64,
    /// How many certificates are revoked.
    pub count: usize,
}

/// This node's certificate.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct CertificateReport {
    /// Its serial number.
    pub serial: u64,
    /// The node's prefix as certificates write it: `1/16`.
    pub common_name: String,
    /// The first second it is valid.
    pub not_before: Timestamp,
    /// The last second it is valid.
    pub not_after: Timestamp,
    /// Whether the registry has taken it back.
    pub revoked: bool,
}

/// An authority of the network.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct AuthorityReport {
    /// Of its certificate.
    pub fingerprint: String,
    /// The last second it is valid.
    pub not_after: Timestamp,
}

impl Member {
    /// What of the network's parameters this node does not do, in words.
    pub(super) fn not_applied(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        let Some(network) = self.held.network() else {
            return remarks;
        };
        if network.parameter("encrypt") == Some(&Value::Bool(true)) {
            remarks.push(
                "the network's parameters ask for encryption (encrypt), which this version does not have: packets in tunnels are in clear".to_owned(),
            );
        }
        let ipv4 = network.ipv4();
        if let Some(ipv4) = ipv4
            && !self.networks.contains(&IpNet::V4(ipv4.prefix()))
        {
            let serial = self.credentials.certificate.subject_serial();
            let address = ipv4.address(serial).map_or_else(
                || "this node has no part of it".to_owned(),
                |address| format!("and {address} to addresses"),
            );
            remarks.push(format!(
                "the network's IPv4 prefix is {}, which is not in this node's configuration: add it to networks, {address}, and start the node again",
                ipv4.prefix()
            ));
        }
        remarks
    }

    /// How it is.
    pub fn report(&self, now: Timestamp, url: &str) -> Report {
        let babel = self.babel_parameters();
        let certificate = &self.credentials.certificate;
        let authority = |authority: &AuthorityCertificate| AuthorityReport {
            fingerprint: authority.fingerprint().to_string(),
            not_after: authority.not_after(),
        };
        Report {
            url: url.to_owned(),
            network: self.credentials.authorities.network().to_string(),
            reachable: self.exchange.in_touch,
            last_contact: self.exchange.last_contact,
            problem: self.exchange.last_problem.clone(),
            parameters: self.held.parameters.as_ref().map(|parameters| {
                let network = parameters.content();
                ParametersReport {
                    number: parameters.number(),
                    values: network.0.get("parameters").cloned().unwrap_or_default(),
                    hello_interval: babel.hello_interval.as_secs_f64(),
                    update_interval: babel.update_interval.as_secs_f64(),
                    overridden: overridden(&self.babel, network),
                    not_applied: self.not_applied(),
                }
            }),
            revocations: self.held.revocations_number().map(|number| {
                let count = self.held.revoked().len();
                RevocationsReport { number, count }
            }),
            mac_keys: babel.mac.as_ref().map(|keys| keys.summary()),
            certificate: CertificateReport {
                serial: certificate.serial().number(),
                common_name: certificate.prefix().common_name(),
                not_before: certificate.not_before(),
                not_after: certificate.not_after(),
                revoked: self.watched().is_revoked,
            },
            authorities: self.credentials.authorities.iter().map(authority).collect(),
            refused_documents: self.refused_documents,
            warnings: self.warnings(now),
        }
    }

    fn warnings(&self, now: Timestamp) -> Vec<String> {
        let watched = self.watched();
        let mut warnings = Vec::new();
        if watched.is_revoked {
            warnings.push("this node's certificate is revoked: ask the operator for a token, for this node's prefix if it was not ended as well, move the key away, and run `re6st-user conf` with the token".to_owned());
        }
        if now < self.credentials.certificate.not_before() {
            let early =
                "this node's certificate is not valid yet: is the clock of this host right?";
            warnings.push(early.to_owned());
        }
        for (subject, not_after) in watched.ends() {
            let warning = ExpiryWarning::at(now, not_after);
            warnings.extend(warning.map(|warning| format!("{subject} {}", warning.words())));
        }
        let no_channels = self.credentials.static_key.as_ref().err();
        warnings.extend(no_channels.map(|why| format!("no channels to other nodes: {why}")));
        let not_kept = self.keeping.problem();
        warnings.extend(not_kept.map(|why| format!("not kept for the next start: {why}")));
        if self.babel_parameters().mac.is_none() {
            let waits = "the keys of Babel's MAC are not known yet: Babel waits for them on plain interfaces";
            warnings.push(waits.to_owned());
        }
        warnings
    }
}
