//! What newcomers and nodes ask.

use std::time::Duration;

use axum::http::StatusCode;
use data_encoding::BASE64;
use serde_json::{Map, Value};
use tokio::time;

use super::{
    face::Face,
    operation::{
        Accepted, Context, Created, Found, Nothing, Operations, Purpose, SignedDocument, Who,
        X509Crl,
    },
    problem::Problem,
    serve::stopped,
};
use crate::{
    babel::random::Random,
    certificate::{
        document::{DocumentError, Signed},
        node_prefix::NodePrefix,
        record::NodeRecord,
        request::CertificateRequest,
        revocations::RevocationList,
    },
    io::{clock::wall, panics::contain, random},
    registry::{
        api::{
            Authorities, Certificate, Enrolment, Health, HeldDocuments, LONGEST_WAIT, MacKeys,
            NodeName, Others, Poll, Presence, Renewal, TokenRequest,
        },
        documents::NetworkParameters,
        mail,
        publication::{Document, Published},
        rules::{
            Caller, CertificateSummary, Command, Newer, Refusal, Reply,
            community::Location,
            present::Said,
            token::{Email, Token},
        },
    },
};

type Ask = Context<Face, Caller>;

const fn purpose(id: &'static str, who: Who, summary: &'static str) -> Purpose {
    Purpose { id, summary, who }
}

/// All operations of newcomers and nodes.
pub fn operations() -> Operations<Face> {
    use Who::{Anybody, Holder, Node};
    Operations::new()
        .get(
            "/v1/health",
            purpose(
                "health",
                Anybody,
                "Whether the registry is at work: 503 if it cannot decide or write",
            ),
            health,
        )
        .get(
            "/v1/ca",
            purpose(
                "authorities",
                Anybody,
                "The certificates of the network's authorities",
            ),
            authorities,
        )
        .post(
            "/v1/tokens",
            purpose("request-token", Anybody, "Have a token sent by mail"),
            request_token,
        )
        .post(
            "/v1/certificates",
            purpose(
                "enrol",
                Anybody,
                "Get a certificate and a prefix; asked again with the same key, the same one",
            ),
            enrol,
        )
        .post(
            "/v1/certificates/renew",
            purpose(
                "renew",
                Holder,
                "Get the next certificate, if the present one is due or the key is new",
            ),
            renew,
        )
        .get(
            "/v1/certificates/own",
            purpose(
                "own-certificate",
                Holder,
                "The certificate the registry has for the node",
            ),
            own_certificate,
        )
        .get(
            "/v1/certificates/node",
            purpose(
                "node-certificate",
                Node,
                "The present certificate of another node, by its name: a few hundred, then one in ten seconds",
            ),
            node_certificate,
        )
        .post(
            "/v1/presence",
            purpose(
                "presence",
                Node,
                "Say where the node is, by its record, and get the records of others that are there, drawn at random",
            ),
            presence,
        )
        .get(
            "/v1/parameters",
            purpose("parameters", Node, "The network's parameters, signed"),
            parameters,
        )
        .post(
            "/v1/documents",
            purpose(
                "hand-back",
                Node,
                "Hand back documents with higher numbers than the registry's, which was restored from an old backup",
            ),
            hand_back,
        )
        .get(
            "/v1/mac-keys",
            purpose("mac-keys", Node, "The keys of Babel's MAC"),
            mac_keys,
        )
        .get(
            "/v1/revocations",
            purpose("revocations", Anybody, "What is revoked, signed"),
            revocations,
        )
        .get(
            "/v1/crl",
            purpose("crl", Anybody, "What is revoked, as X.509 has it"),
            crl,
        )
}

async fn health(ask: Ask, _: Nothing) -> Result<Found<Health>, Problem> {
    ask.state.health().await?;
    let network = ask.state.published.borrow().authorities.network();
    Ok(Found(Health {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        network: network.to_string(),
    }))
}

async fn authorities(ask: Ask, _: Nothing) -> Result<Found<Authorities>, Problem> {
    let published = ask.state.published.borrow().clone();
    let authorities = published.authorities;
    let mut valid = authorities.iter();
    let first = valid.find(|authority| authority.is_valid_at(wall()));
    Ok(Found(Authorities {
        certificates: authorities
            .iter()
            .map(|authority| authority.to_pem())
            .collect(),
        fingerprint: first.map_or_else(String::new, |first| first.fingerprint().to_string()),
        successions: published.successions.to_vec(),
    }))
}

async fn request_token(ask: Ask, message: TokenRequest) -> Result<Accepted, Problem> {
    let email = Email::parse(&message.email)?;
    if mail::address(email.as_str()).is_none() {
        return Err(Problem::bad_request(
            "email: expected a mail address such as user@example.com",
        ));
    }
    ask.state
        .ask(ask.caller, Command::RequestToken { email })
        .await?;
    Ok(Accepted)
}

async fn enrol(ask: Ask, message: Enrolment) -> Result<Created<Certificate>, Problem> {
    let told = message.location.as_deref().map(Location::parse).transpose();
    let told = told.map_err(|error| Problem::bad_request(format!("location: {error}")))?;
    let known = match &ask.caller {
        Caller::Anonymous { address } => ask.state.location(*address),
        _ => None,
    };
    // nobody chooses a community by telling where it would like to be, if the registry knows better
    let location = known.or(told);
    let command = Command::Enrol {
        token: message.token.as_deref().map(Token::parse).transpose()?,
        request: Box::new(certificate_request(&message.request)?),
        location,
    };
    issued(ask.state.ask(ask.caller, command).await?).map(Created)
}

async fn renew(ask: Ask, message: Renewal) -> Result<Found<Certificate>, Problem> {
    let request = match message.request {
        Some(request) => Some(Box::new(certificate_request(&request)?)),
        None => None,
    };
    let reply = ask.state.ask(ask.caller, Command::Renew { request });
    issued(reply.await?).map(Found)
}

async fn own_certificate(ask: Ask, _: Nothing) -> Result<Found<Certificate>, Problem> {
    let reply = ask.state.ask(ask.caller, Command::FetchOwnCertificate);
    issued(reply.await?).map(Found)
}

async fn node_certificate(ask: Ask, which: NodeName) -> Result<Found<Certificate>, Problem> {
    let node = NodePrefix::from_common_name(&which.name)
        .map_err(|error| Problem::bad_request(format!("name: {error}")))?;
    let reply = ask
        .state
        .ask(ask.caller, Command::FetchNodeCertificate { node });
    issued(reply.await?).map(Found)
}

async fn presence(ask: Ask, message: Presence) -> Result<Found<Others>, Problem> {
    let Caller::Node { certificate } = &ask.caller else {
        return Err(Problem::unexpected());
    };
    let node = certificate.prefix();
    let admitted = ask.state.present.lock().await.admit(wall(), node);
    admitted.map_err(|retry_after| Refusal::TooMany { retry_after })?;
    let record = message.record.as_deref();
    let record = record.map(|record| own_record(&ask.state, node, record));
    let record = record.transpose()?;
    let version = message.version.map(version).transpose()?;
    let (now, mut random) = (ask.state.clock.elapsed(), Random::new(random::number()));
    let mut present = ask.state.present.lock().await;
    if let Some(record) = record {
        let said = Said {
            made_at: record.made_at(),
            record: record.octets().to_vec(),
            version,
        };
        present.say(now, node, said);
    }
    let drawn = present.draw(now, node, message.count, &mut random);
    Ok(Found(Others {
        records: drawn.iter().map(|record| BASE64.encode(record)).collect(),
    }))
}

/// What a node says of its program.
fn version(text: String) -> Result<String, Problem> {
    let good = (1..=64).contains(&text.len()) && text.bytes().all(|octet| octet.is_ascii_graphic());
    let problem = || Problem::bad_request("version: expected up to 64 characters of ASCII");
    good.then_some(text).ok_or_else(problem)
}

/// A record that is a node's own.
fn own_record(face: &Face, node: NodePrefix, text: &str) -> Result<NodeRecord, Problem> {
    let bad = |problem: String| Problem::bad_request(format!("the record: {problem}"));
    let octets = BASE64.decode(text.as_bytes());
    let octets = octets.map_err(|error| bad(error.to_string()))?;
    let published = face.published.borrow();
    let (authorities, revoked) = (&published.authorities, &published.revocation_list);
    let record = contain(|| NodeRecord::verify(&octets, authorities, revoked, wall()));
    let record = record.map_err(|_| bad("it cannot be read".to_owned()))?;
    let record = record.map_err(|error| bad(error.to_string()))?;
    match record.node() == node {
        true => Ok(record),
        false => Err(bad("it is another node's".to_owned())),
    }
}

async fn parameters(ask: Ask, poll: Poll) -> Result<Option<SignedDocument>, Problem> {
    newer(ask, poll, |published| &published.parameters).await
}

async fn revocations(ask: Ask, poll: Poll) -> Result<Option<SignedDocument>, Problem> {
    newer(ask, poll, |published| &published.revocations).await
}

async fn hand_back(ask: Ask, message: HeldDocuments) -> Result<Accepted, Problem> {
    let published = ask.state.published.borrow().clone();
    let bad = |error: DocumentError| Problem::bad_request(format!("a document: {error}"));
    let authorities = &published.authorities;
    let parameters: Signed<NetworkParameters> =
        Signed::verify(message.parameters.as_bytes(), authorities, wall(), None).map_err(bad)?;
    if parameters.number() <= published.parameters.number {
        return Ok(Accepted);
    }
    let revocations = match &message.revocations {
        Some(envelope) => Signed::verify(envelope.as_bytes(), authorities, wall(), None)
            .map(Signed::into_content)
            .map_err(bad)?,
        None => RevocationList::default(),
    };
    let number = parameters.number();
    let mut content = parameters.into_content().0;
    let newer = Newer {
        number,
        parameters: match content.remove("parameters") {
            Some(Value::Object(values)) => values,
            _ => Map::new(),
        },
        revocations,
    };
    let newer = Box::new(newer);
    let reply = ask.state.ask(ask.caller, Command::HandBack { newer });
    reply.await?;
    Ok(Accepted)
}

async fn mac_keys(ask: Ask, _: Nothing) -> Result<Found<MacKeys>, Problem> {
    Ok(Found(ask.state.published.borrow().mac_keys.clone()))
}

async fn crl(ask: Ask, _: Nothing) -> Result<X509Crl, Problem> {
    Ok(X509Crl(ask.state.published.borrow().crl.der.clone()))
}

/// The document if it is newer than what the client has, or becomes so while it waits.
async fn newer(
    ask: Ask,
    poll: Poll,
    which: impl Fn(&Published) -> &Document,
) -> Result<Option<SignedDocument>, Problem> {
    let wait = Duration::from_secs(poll.wait.unwrap_or(0));
    if wait > LONGEST_WAIT {
        let longest = LONGEST_WAIT.as_secs();
        return Err(Problem::bad_request(format!(
            "wait: expected at most {longest} seconds"
        )));
    }
    let mut published = ask.state.published.clone();
    let mut stop = ask.state.stop.clone();
    let found = published.wait_for(|published| {
        poll.after
            .is_none_or(|after| which(published).number > after)
    });
    tokio::select! {
        biased;
        found = found => {
            // the thread that publishes ends after the last request
            let Ok(found) = found else { return Ok(None) };
            Ok(Some(SignedDocument(which(&found).envelope.clone())))
        }
        () = time::sleep(wait) => Ok(None),
        () = stopped(&mut stop) => Ok(None),
    }
}

fn certificate_request(text: &str) -> Result<CertificateRequest, Problem> {
    let bad = |problem: &str| {
        Problem::new(
            StatusCode::BAD_REQUEST,
            "bad-certificate-request",
            format!("the certificate request: {problem}"),
        )
    };
    // whoever makes the parser panic gets an error, and nobody else anything
    let read = contain(|| CertificateRequest::from_pem(text));
    let read = read.map_err(|_| bad("it cannot be read"))?;
    read.map_err(|error| bad(&error.to_string()))
}

fn issued(reply: Reply) -> Result<Certificate, Problem> {
    match reply {
        Reply::Issued { certificate, pem } => Ok(message(&certificate, &pem)),
        _ => Err(Problem::unexpected()),
    }
}

/// A certificate as it goes over the wire.
pub fn message(certificate: &CertificateSummary, pem: &str) -> Certificate {
    Certificate {
        certificate: pem.to_owned(),
        serial: certificate.serial.number(),
        common_name: certificate.common_name.clone(),
        subnet: certificate.subnet,
        ipv4: certificate.ipv4,
        not_before: certificate.not_before.0,
        not_after: certificate.not_after.0,
    }
}
