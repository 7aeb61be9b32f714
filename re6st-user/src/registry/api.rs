//! What goes over the wire, for server and client: JSON, keys in kebab case.

use std::{fmt, net::SocketAddr, time::Duration};

use ipnet::{Ipv4Net, Ipv6Net};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The biggest body of a request, in bytes: a certificate request is about a thousand.
pub const MAXIMUM_BODY: usize = 64 << 10;
/// The longest a request for a newer document waits at the server.
pub const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Asks for a token by mail.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TokenRequest {
    /// Where the token goes.
    #[schemars(email, length(max = 254))]
    pub email: String,
}

/// Asks for a certificate.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Enrolment {
    /// PEM of a certificate request (PKCS #10), signed with its own key.
    pub request: String,
    /// The right to a certificate; without it an anonymous one is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^[!-~]{1,128}$"))]
    pub token: Option<String>,
    /// Country and continent, as `FR,EU`; without it the address is looked up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^([A-Z]{2})?(,([A-Z]{2})?)?$"))]
    pub location: Option<String>,
}

/// Asks for another certificate for the same prefix.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Renewal {
    /// PEM of a certificate request with a new key; without it key and subject stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
}

/// Names a node.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NodeName {
    /// The node's prefix as certificates write it: `1/16`.
    pub name: String,
}

/// Says where a node is, and asks which others are there.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Presence {
    /// The node's record, in base64; without it, it only asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub record: Option<String>,
    /// How many others it wants to know.
    #[schemars(range(max = 16))]
    pub count: usize,
    /// The version of the program that runs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^[!-~]{1,64}$"))]
    pub version: Option<String>,
}

/// A node that is there, for the operator: what it said last.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct PresentNode {
    /// The node's prefix as certificates write it: `1/16`.
    pub common_name: String,
    /// Where it can be called; none if it only calls others.
    #[schemars(with = "Vec<String>")]
    pub addresses: Vec<SocketAddr>,
    /// The country that it is in, if it says so.
    pub country: Option<String>,
    /// The version of the program that runs it, if it says so.
    pub version: Option<String>,
    /// When it said so, in seconds since 1970: less than 15 minutes ago.
    pub said: u64,
    /// The serial number of the certificate it has shown.
    pub serial: u64,
    /// Until when that is valid.
    pub not_after: u64,
}

/// Which others are there.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct Others {
    /// Records of others, drawn at random, in base64.
    pub records: Vec<String>,
}

/// A node's certificate, and what it says.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Certificate {
    /// PEM of the certificate.
    pub certificate: String,
    /// The certificate's serial number.
    pub serial: u64,
    /// The node's prefix as certificates write it: `1/16`.
    pub common_name: String,
    /// The node's subnet.
    #[schemars(with = "Option<String>")]
    pub subnet: Option<Ipv6Net>,
    /// The node's IPv4 address with the length of its subnet, if the network has IPv4.
    #[schemars(with = "Option<String>")]
    pub ipv4: Option<Ipv4Net>,
    /// From when on it is valid, in seconds since 1970.
    pub not_before: u64,
    /// The last second it is valid.
    pub not_after: u64,
}

/// The network's authorities.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Authorities {
    /// Each in PEM; the one that issues today is first.
    pub certificates: Vec<String>,
    /// Of the first one: `sha256:` and the digest of its DER.
    pub fingerprint: String,
    /// While one authority takes over from another: the statements of the old ones, each an envelope.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub successions: Vec<String>,
}

/// Waits for a document that is newer than the one the client has.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Poll {
    /// The number of the document the client has: it wants a higher one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// How many seconds the answer may wait for one, at most 60.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 60))]
    pub wait: Option<u64>,
}

/// How the registry is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Health {
    /// The program's version.
    pub version: String,
    /// The prefix of the network.
    pub network: String,
}

/// The keys of Babel's MAC, for nodes alone. Not shown by `Debug`.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct MacKeys {
    /// Packets are signed with it (hexadecimal); without it they are not.
    pub sign: Option<String>,
    /// Packets signed with it are accepted too (hexadecimal).
    pub accept: Option<String>,
    /// Packets with wrong signatures, or without, are accepted too.
    pub accept_anything: bool,
}

impl fmt::Debug for MacKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("MacKeys").finish_non_exhaustive()
    }
}

/// What a node holds, for a registry that has less.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct HeldDocuments {
    /// The envelope of the parameters.
    pub parameters: String,
    /// That of the revocation list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revocations: Option<String>,
}

/// A signed document: a DSSE envelope (version 1.0.2).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Envelope {
    /// What the payload is.
    pub payload_type: String,
    /// The document, JSON in base64: `network`, `number`, `content`.
    pub payload: String,
    /// Over type and payload.
    pub signatures: Vec<EnvelopeSignature>,
}

/// A signature of one of the network's authorities.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct EnvelopeSignature {
    /// SHA-256 of the authority's public key (hexadecimal).
    pub keyid: String,
    /// In base64.
    pub sig: String,
}

/// A new token.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct NewToken {
    /// Who gets it.
    #[schemars(email, length(max = 254))]
    pub email: String,
    /// The operator's own; without it one is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// Bits of the prefix; without it the setting counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix_length: Option<u8>,
    /// The prefix of the node (`1/16`) whose next certificate it gives, for another key; without it it is for a newcomer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
}

/// A token that was made.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct MadeToken {
    /// The secret itself.
    pub token: String,
    /// What names it in lists and logs.
    pub id: String,
}

/// Names a token.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenName {
    /// Its id in the list.
    #[schemars(regex(pattern = "^[0-9a-fA-F]{16}$"))]
    pub id: String,
}

/// A token that waits to be used.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct WaitingToken {
    /// Names it.
    pub id: String,
    /// Who gets it.
    pub email: String,
    /// Bits of the prefix it gives.
    pub prefix_length: u8,
    /// The node whose next certificate it gives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// When it was made, in seconds since 1970.
    pub created: u64,
    /// When it ends.
    pub expires: u64,
}

/// A page of a list.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Page {
    /// What the page before ended with; without it the list begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// At most so many; 1000 unless told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub limit: Option<usize>,
}

/// Names a certificate.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CertificateName {
    /// The node's prefix (`1/16`), or the certificate's serial number.
    pub name: String,
}

/// A node's present certificate, for the operator.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct NodeEntry {
    /// The certificate's serial number.
    pub serial: u64,
    /// The node's prefix as certificates write it: `1/16`.
    pub common_name: String,
    /// Its bits.
    pub prefix: String,
    /// The node's subnet.
    #[schemars(with = "Option<String>")]
    pub subnet: Option<Ipv6Net>,
    /// The node's IPv4 address with the length of its subnet, if the network has IPv4.
    #[schemars(with = "Option<String>")]
    pub ipv4: Option<Ipv4Net>,
    /// The node's number among all nodes.
    pub subject_serial: Option<u32>,
    /// From when on it is valid, in seconds since 1970.
    pub not_before: u64,
    /// Until when.
    pub not_after: u64,
    /// Who enrolled; none if anonymously.
    pub email: Option<String>,
    /// Whether it is revoked.
    pub revoked: bool,
    /// Whether it is that of the registry's own node.
    pub registry: bool,
    /// PEM of the certificate, where one certificate is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
}

/// The network's parameters, for the operator.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct ParametersEntry {
    /// Grows with each change.
    pub number: u64,
    /// What is in the signed document.
    #[serde(flatten)]
    pub content: Map<String, Value>,
}

/// Changes parameters.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ParameterChanges {
    /// Values by name; null returns to the default.
    pub set: Map<String, Value>,
}

/// The communities.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CommunitiesText {
    /// Lines of bits and locations.
    pub text: String,
}

/// Changes the keys of Babel's MAC.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Rotation {
    /// Another key at once instead of the next of three steps: nodes that have not heard of it are cut off.
    #[serde(default)]
    pub at_once: bool,
}

/// What the registry's clock says, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Clock {
    /// What the clock says now.
    pub now: u64,
    /// What it was last, as far as it is believed.
    pub seen: Option<u64>,
    /// Whether it is more than a day ahead of that, so that nothing ends by it, or behind it.
    pub doubted: bool,
}

/// Where the change of Babel's MAC keys stands.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
pub struct MacKeysState {
    /// In words.
    pub state: String,
    /// Whether all nodes may sign and accept one key alone.
    pub complete: bool,
}

/// A line of the audit log.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct AuditEntry {
    /// Numbers the lines.
    pub id: i64,
    /// When, in seconds since 1970.
    pub time: u64,
    /// Who did it: a node, the operator by name, or the registry itself.
    pub who: String,
    /// What was done.
    pub action: String,
    /// What it was done to.
    pub subject: String,
}

/// The body of every response that is not a success.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorBody {
    /// What went wrong.
    pub error: ErrorDetail,
}

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorDetail {
    /// For programs; a code never changes its meaning.
    pub code: String,
    /// For people: what is wrong, and how to mend it.
    pub message: String,
}
