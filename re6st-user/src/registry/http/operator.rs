//! What the operator asks, on the registry's own host.

use super::{
    face::Face,
    operation::{Context, Created, Done, Found, Nothing, Operations, Purpose, Who},
    problem::Problem,
};
use crate::{
    certificate::{node_prefix::NodePrefix, record::NodeRecord},
    registry::{
        api::{
            AuditEntry, CertificateName as CertificateNameMessage, Clock, CommunitiesText,
            MacKeysState, MadeToken, NewToken, NodeEntry, Page, ParameterChanges, ParametersEntry,
            PresentNode, Rotation, TokenName, WaitingToken,
        },
        rules::{
            Caller, CertificateName, CertificateSummary, ClockSummary, Command, Reply, TokenRight,
            present::Said,
            token::{Email, Token, TokenDigest},
        },
    },
};

type Ask = Context<Face, Caller>;

/// How long a page is unless told.
const PAGE: usize = 1_000;
/// How long a page may be.
const LONGEST_PAGE: usize = 10_000;

const fn purpose(id: &'static str, summary: &'static str) -> Purpose {
    Purpose {
        id,
        summary,
        who: Who::Operator,
    }
}

/// All operations of the operator.
pub fn operations() -> Operations<Face> {
    Operations::new()
        .post(
            "/v1/admin/tokens",
            purpose("add-token", "Make a token"),
            add_token,
        )
        .get(
            "/v1/admin/tokens",
            purpose("tokens", "All tokens that wait to be used"),
            tokens,
        )
        .post(
            "/v1/admin/tokens/delete",
            purpose("delete-token", "Take a token back"),
            delete_token,
        )
        .get(
            "/v1/admin/certificates",
            purpose("certificates", "All nodes' present certificates, by prefix"),
            certificates,
        )
        .get(
            "/v1/admin/certificate",
            purpose("certificate", "One certificate"),
            certificate,
        )
        .post(
            "/v1/admin/certificates/revoke",
            purpose(
                "revoke",
                "By serial number: revoke a node's certificates and their keys; by prefix: end the node and free its prefix",
            ),
            revoke,
        )
        .get(
            "/v1/admin/parameters",
            purpose("parameters", "The network's parameters"),
            parameters,
        )
        .post(
            "/v1/admin/parameters",
            purpose("set-parameters", "Change the network's parameters"),
            set_parameters,
        )
        .get(
            "/v1/admin/communities",
            purpose("communities", "The communities"),
            communities,
        )
        .post(
            "/v1/admin/communities",
            purpose("set-communities", "Replace the communities"),
            set_communities,
        )
        .post(
            "/v1/admin/mac-keys/rotate",
            purpose(
                "rotate-mac-keys",
                "The next step to another key of Babel's MAC, or another key at once",
            ),
            rotate_mac_keys,
        )
        .get(
            "/v1/admin/nodes",
            purpose(
                "nodes",
                "The nodes that have said lately that they are there, by prefix",
            ),
            nodes,
        )
        .get(
            "/v1/admin/clock",
            purpose("clock", "What the clock says, and whether it is believed"),
            clock,
        )
        .post(
            "/v1/admin/clock/confirm",
            purpose(
                "confirm-clock",
                "The clock is right, whatever the database has seen last",
            ),
            confirm_clock,
        )
        .get(
            "/v1/admin/audit",
            purpose("audit", "Who did what and when"),
            audit,
        )
}

async fn add_token(ask: Ask, message: NewToken) -> Result<Created<MadeToken>, Problem> {
    let command = Command::AddToken {
        email: Email::parse(&message.email)?,
        token: message.token.as_deref().map(Token::parse).transpose()?,
        right: match (&message.node, message.prefix_length) {
            (None, prefix_length) => TokenRight::Newcomer { prefix_length },
            (Some(node), None) => TokenRight::Node(prefix(node)?),
            (Some(_), Some(_)) => {
                let problem = "prefix-length: a node keeps its prefix; give node alone";
                return Err(Problem::bad_request(problem));
            }
        },
    };
    match ask.state.ask(ask.caller, command).await? {
        Reply::Token(token) => Ok(Created(MadeToken {
            token: token.reveal().to_owned(),
            id: token.digest().to_string(),
        })),
        _ => Err(Problem::unexpected()),
    }
}

async fn tokens(ask: Ask, _: Nothing) -> Result<Found<Vec<WaitingToken>>, Problem> {
    let Reply::Tokens(tokens) = ask.state.ask(ask.caller, Command::ListTokens).await? else {
        return Err(Problem::unexpected());
    };
    let shown = tokens.into_iter().map(|token| WaitingToken {
        id: token.id.to_string(),
        email: token.email,
        prefix_length: token.prefix_length,
        node: token.node,
        created: token.created.0,
        expires: token.expires.0,
    });
    Ok(Found(shown.collect()))
}

async fn delete_token(ask: Ask, message: TokenName) -> Result<Done, Problem> {
    let token = TokenDigest::parse(&message.id)?;
    done(
        ask.state
            .ask(ask.caller, Command::DeleteToken { token })
            .await?,
    )
}

async fn certificates(ask: Ask, page: Page) -> Result<Found<Vec<NodeEntry>>, Problem> {
    let limit = limit(&page)?;
    let after = match &page.after {
        None => None,
        Some(after) => Some(prefix(after)?),
    };
    let command = Command::ListCertificates { after, limit };
    match ask.state.ask(ask.caller, command).await? {
        Reply::Certificates(page) => Ok(Found(page.iter().map(entry).collect())),
        _ => Err(Problem::unexpected()),
    }
}

async fn certificate(
    ask: Ask,
    message: CertificateNameMessage,
) -> Result<Found<NodeEntry>, Problem> {
    let which = certificate_name(&message)?;
    let command = Command::ShowCertificate { which };
    match ask.state.ask(ask.caller, command).await? {
        Reply::Issued { certificate, pem } => Ok(Found(NodeEntry {
            certificate: Some(pem.to_string()),
            ..entry(&certificate)
        })),
        _ => Err(Problem::unexpected()),
    }
}

async fn revoke(ask: Ask, message: CertificateNameMessage) -> Result<Done, Problem> {
    let which = certificate_name(&message)?;
    done(ask.state.ask(ask.caller, Command::Revoke { which }).await?)
}

async fn parameters(ask: Ask, _: Nothing) -> Result<Found<ParametersEntry>, Problem> {
    match ask.state.ask(ask.caller, Command::GetParameters).await? {
        Reply::Parameters { document, .. } => Ok(Found(ParametersEntry {
            number: document.number,
            content: document.content.clone(),
        })),
        _ => Err(Problem::unexpected()),
    }
}

async fn set_parameters(ask: Ask, message: ParameterChanges) -> Result<Done, Problem> {
    let changes = message.set.into_iter();
    let changes = changes.map(|(name, value)| (name, (!value.is_null()).then_some(value)));
    let command = Command::SetParameters {
        changes: changes.collect(),
    };
    done(ask.state.ask(ask.caller, command).await?)
}

async fn communities(ask: Ask, _: Nothing) -> Result<Found<CommunitiesText>, Problem> {
    match ask.state.ask(ask.caller, Command::GetCommunities).await? {
        Reply::Communities(text) => Ok(Found(CommunitiesText {
            text: text.to_string(),
        })),
        _ => Err(Problem::unexpected()),
    }
}

async fn set_communities(ask: Ask, message: CommunitiesText) -> Result<Done, Problem> {
    let command = Command::SetCommunities { text: message.text };
    done(ask.state.ask(ask.caller, command).await?)
}

async fn rotate_mac_keys(ask: Ask, message: Rotation) -> Result<Found<MacKeysState>, Problem> {
    let at_once = message.at_once;
    let command = Command::RotateMacKeys { at_once };
    match ask.state.ask(ask.caller, command).await? {
        Reply::Parameters { mac_keys, .. } => Ok(Found(MacKeysState {
            state: mac_keys.describe().to_owned(),
            complete: mac_keys.accept.is_none() && !mac_keys.accept_anything,
        })),
        _ => Err(Problem::unexpected()),
    }
}

async fn nodes(ask: Ask, page: Page) -> Result<Found<Vec<PresentNode>>, Problem> {
    let limit = limit(&page)?;
    let after = page.after.as_deref().map(prefix).transpose()?;
    let now = ask.state.clock.now();
    let present = ask.state.present.lock().await;
    let published = ask.state.published.borrow().clone();
    // it was read when it came, and may be revoked since
    let read = |said: &Said| NodeRecord::read_verified(&said.record).ok();
    let is_good = |said: &Said| {
        read(said).is_some_and(|record| {
            let serial = record.certificate().serial();
            let mut issuers = published.authorities.iter();
            !issuers.any(|issuer| published.revocation_list.contains(&issuer.key_id(), serial))
        })
    };
    let present = present.page(now.elapsed, after, limit, is_good);
    let shown = present.into_iter().filter_map(|(said, silence)| {
        let record = read(&said)?;
        let whereabouts = record.whereabouts();
        Some(PresentNode {
            common_name: record.node().common_name(),
            addresses: whereabouts.addresses.clone(),
            country: whereabouts.country.map(|country| country.to_string()),
            version: said.version,
            said: now.wall.minus(silence.as_secs()).0,
            serial: record.certificate().serial().number(),
            not_after: record.certificate().not_after().0,
        })
    });
    Ok(Found(shown.collect()))
}

async fn clock(ask: Ask, _: Nothing) -> Result<Found<Clock>, Problem> {
    clock_of(ask.state.ask(ask.caller, Command::GetClock).await?)
}

async fn confirm_clock(ask: Ask, _: Nothing) -> Result<Found<Clock>, Problem> {
    clock_of(ask.state.ask(ask.caller, Command::ConfirmClock).await?)
}

fn clock_of(reply: Reply) -> Result<Found<Clock>, Problem> {
    let Reply::Clock(ClockSummary { now, seen, doubted }) = reply else {
        return Err(Problem::unexpected());
    };
    Ok(Found(Clock {
        now: now.0,
        seen: seen.map(|seen| seen.0),
        doubted,
    }))
}

async fn audit(ask: Ask, page: Page) -> Result<Found<Vec<AuditEntry>>, Problem> {
    let limit = limit(&page)?;
    let after = match &page.after {
        None => 0,
        Some(after) => after
            .parse()
            .map_err(|_| Problem::bad_request("after: expected the number of a line"))?,
    };
    let lines = ask.state.engine.audit(after, limit).await?;
    let shown = lines.into_iter().map(|line| AuditEntry {
        id: line.id,
        time: line.time.0,
        who: line.who,
        action: line.action,
        subject: line.subject,
    });
    Ok(Found(shown.collect()))
}

/// Whatever the answer says, it has been done.
fn done(_: Reply) -> Result<Done, Problem> {
    Ok(Done)
}

fn limit(page: &Page) -> Result<usize, Problem> {
    let limit = page.limit.unwrap_or(PAGE);
    if (1..=LONGEST_PAGE).contains(&limit) {
        return Ok(limit);
    }
    Err(Problem::bad_request(format!(
        "limit: expected 1 to {LONGEST_PAGE}"
    )))
}

fn prefix(text: &str) -> Result<NodePrefix, Problem> {
    NodePrefix::from_common_name(text).map_err(|error| Problem::bad_request(error.to_string()))
}

fn certificate_name(message: &CertificateNameMessage) -> Result<CertificateName, Problem> {
    let name = message.name.trim();
    if name.contains('/') {
        return prefix(name).map(CertificateName::Prefix);
    }
    let serial = name
        .parse()
        .ok()
        .and_then(crate::certificate::serial::Serial::new);
    serial.map(CertificateName::Serial).ok_or_else(|| {
        Problem::bad_request("name: expected a node's prefix such as 1/16, or a serial number")
    })
}

fn entry(certificate: &CertificateSummary) -> NodeEntry {
    NodeEntry {
        serial: certificate.serial.number(),
        common_name: certificate.common_name.clone(),
        prefix: certificate.prefix.clone(),
        subnet: certificate.subnet,
        ipv4: certificate.ipv4,
        subject_serial: Some(certificate.subject_serial.0),
        not_before: certificate.not_before.0,
        not_after: certificate.not_after.0,
        email: certificate.email.clone(),
        revoked: certificate.revoked,
        registry: certificate.registry,
        certificate: None,
    }
}
