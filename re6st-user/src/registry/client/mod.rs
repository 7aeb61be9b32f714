//! The client of a registry: for newcomers, nodes and the operator.
//!
//! It only asks and tells what was answered: nothing is written to files, nothing is tried again later. Documents come as
//! they were signed; the caller verifies them ([`crate::certificate::document::Signed::verify`]) as it would if another node
//! had passed them on.

use std::{path::PathBuf, time::Duration};

use axum::{
    body::Bytes,
    http::{Method, StatusCode, header},
};
use data_encoding::BASE64;
use rustls::pki_types::CertificateDer;
use serde::{Serialize, de::DeserializeOwned};
use tokio::io::DuplexStream;

use super::api::{
    Authorities as AuthoritiesMessage, Certificate, Enrolment, ErrorBody, HeldDocuments,
    LONGEST_WAIT, MAXIMUM_BODY, MacKeys, NodeName, Others, Poll, Presence, Renewal, TokenRequest,
};
use crate::{
    certificate::{
        authority::AuthorityCertificate,
        key::PrivateKey,
        node::NodeCertificate,
        node_prefix::NodePrefix,
        request::CertificateRequest,
        tls::{self, Trust},
        verify::Authorities,
    },
    printable::printable,
};

mod connection;
mod race;

pub use connection::ClientError;
use connection::Connection;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A registry, seen from outside. Connects when it has something to ask, and keeps the connection.
#[derive(Debug)]
pub struct Client {
    connection: Connection,
}

impl Client {
    /// For a newcomer, who has no certificate yet.
    pub fn newcomer(url: &str, trust: Trust) -> Result<Self, ClientError> {
        let connection = Connection::network(url, trust, None)?;
        Ok(Self { connection })
    }

    /// For a node, with its certificate.
    pub fn node(
        url: &str,
        authorities: &Authorities,
        certificate: &NodeCertificate,
        key: &PrivateKey,
    ) -> Result<Self, ClientError> {
        let chain = vec![CertificateDer::from(certificate.der().to_vec())];
        let identity =
            tls::certified_key(chain, key).map_err(|error| ClientError::Key(error.to_string()))?;
        let trust = Trust::Authorities(authorities.clone());
        let connection = Connection::network(url, trust, Some(identity))?;
        Ok(Self { connection })
    }

    /// For the operator, by the socket of a registry on this host.
    pub fn operator(socket: PathBuf) -> Self {
        Self {
            connection: Connection::socket(socket),
        }
    }

    /// For the operator, by a connection within this process.
    pub async fn in_process(stream: DuplexStream) -> Result<Self, ClientError> {
        let connection = Connection::stream(stream).await?;
        Ok(Self { connection })
    }

    /// The certificate of the authority whose registry this is, out of the TLS handshake.
    pub async fn authority(&self) -> Result<AuthorityCertificate, ClientError> {
        self.connection.connect().await?;
        let authority = self.connection.authority();
        authority.ok_or_else(|| ClientError::Unintelligible("no certificate".into()))
    }

    /// The certificates of all the network's authorities: only as good as the trust in the server.
    pub async fn authorities(&self) -> Result<Authorities, ClientError> {
        let message: AuthoritiesMessage = self.get("/v1/ca", &()).await?;
        Authorities::from_pem(&message.certificates.concat())
            .map_err(|error| ClientError::Unintelligible(format!("the CA certificate: {error}")))
    }

    /// The statements of authorities about their successors: envelopes, to be verified.
    pub async fn successions(&self) -> Result<Vec<Vec<u8>>, ClientError> {
        let message: AuthoritiesMessage = self.get("/v1/ca", &()).await?;
        let statements = message.successions.into_iter();
        Ok(statements.map(String::into_bytes).collect())
    }

    /// Asks for a token by mail.
    pub async fn request_token(&self, email: &str) -> Result<(), ClientError> {
        let email = email.to_owned();
        self.post_for_nothing("/v1/tokens", &TokenRequest { email })
            .await
    }

    /// Asks for a certificate: with a token, or an anonymous one. Asked again with the same key, it is the same.
    pub async fn enrol(
        &self,
        request: &CertificateRequest,
        token: Option<&str>,
        location: Option<&str>,
    ) -> Result<Certificate, ClientError> {
        let enrolment = Enrolment {
            request: request.to_pem(),
            token: token.map(str::to_owned),
            location: location.map(str::to_owned),
        };
        self.post("/v1/certificates", &enrolment).await
    }

    /// A node: asks for its next certificate; for another key, with a request.
    pub async fn renew(
        &self,
        request: Option<&CertificateRequest>,
    ) -> Result<Certificate, ClientError> {
        let request = request.map(CertificateRequest::to_pem);
        self.post("/v1/certificates/renew", &Renewal { request })
            .await
    }

    /// A node: the certificate the registry has for it.
    pub async fn own_certificate(&self) -> Result<Certificate, ClientError> {
        self.get("/v1/certificates/own", &()).await
    }

    /// A node: the present certificate of another one, if there is a node of that name.
    pub async fn node_certificate(
        &self,
        node: NodePrefix,
    ) -> Result<Option<Certificate>, ClientError> {
        let name = NodeName {
            name: node.common_name(),
        };
        match self.get("/v1/certificates/node", &name).await {
            Ok(certificate) => Ok(Some(certificate)),
            // of a registry that has no such operation, the code is another
            Err(ClientError::Refused { code, .. }) if code == "no-such-node" => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A node: the envelope of the network's parameters, if they have a higher number than `after`, or get one while the
    /// request waits, at most [`LONGEST_WAIT`].
    pub async fn parameters(
        &self,
        after: Option<u64>,
        wait: Duration,
    ) -> Result<Option<Bytes>, ClientError> {
        self.poll("/v1/parameters", after, wait).await
    }

    /// The envelope of the revocation list, as [`Self::parameters`].
    pub async fn revocations(
        &self,
        after: Option<u64>,
        wait: Duration,
    ) -> Result<Option<Bytes>, ClientError> {
        self.poll("/v1/revocations", after, wait).await
    }

    /// A node: hands back the documents it holds; the list only if it is not too big.
    pub async fn hand_back(
        &self,
        parameters: &str,
        revocations: Option<&str>,
    ) -> Result<(), ClientError> {
        let documents = |revocations: Option<&str>| HeldDocuments {
            parameters: parameters.to_owned(),
            revocations: revocations.map(str::to_owned),
        };
        let size = parameters.len() + revocations.map_or(0, str::len);
        // quotation marks are escaped
        let fits = size < MAXIMUM_BODY / 4 * 3;
        let documents = documents(revocations.filter(|_| fits));
        self.post_for_nothing("/v1/documents", &documents).await
    }

    /// A node: the keys of Babel's MAC.
    pub async fn mac_keys(&self) -> Result<MacKeys, ClientError> {
        self.get("/v1/mac-keys", &()).await
    }

    /// A node: says where it is, by its record, and asks for those of others that are there.
    pub async fn presence(
        &self,
        record: Option<&[u8]>,
        count: usize,
    ) -> Result<Vec<Vec<u8>>, ClientError> {
        let record = record.map(|record| BASE64.encode(record));
        let message = Presence {
            record,
            count,
            version: Some(env!("CARGO_PKG_VERSION").to_owned()),
        };
        let others: Others = self.post("/v1/presence", &message).await?;
        let records = others.records.iter();
        let records = records.map(|record| BASE64.decode(record.as_bytes()));
        let records: Result<_, _> = records.collect();
        records.map_err(|error| ClientError::Unintelligible(format!("a record: {error}")))
    }

    async fn poll(
        &self,
        path: &str,
        after: Option<u64>,
        wait: Duration,
    ) -> Result<Option<Bytes>, ClientError> {
        let wait = wait.min(LONGEST_WAIT);
        let poll = Poll {
            after,
            wait: (!wait.is_zero()).then_some(wait.as_secs()),
        };
        let path = with_query(path, &poll)?;
        let (status, body) = self
            .send(&Method::GET, &path, None, PATIENCE + wait)
            .await?;
        Ok((status != StatusCode::NO_CONTENT).then_some(body))
    }

    /// Asks for something that is described in JSON.
    pub async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &impl Serialize,
    ) -> Result<T, ClientError> {
        let path = with_query(path, query)?;
        let (_, body) = self.send(&Method::GET, &path, None, PATIENCE).await?;
        read(&body)
    }

    /// Sends something that is answered in JSON.
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        let body = Some(write(body)?);
        let (_, body) = self.send(&Method::POST, path, body, PATIENCE).await?;
        read(&body)
    }

    /// Sends something that is only done.
    pub async fn post_for_nothing(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<(), ClientError> {
        let body = Some(write(body)?);
        self.send(&Method::POST, path, body, PATIENCE).await?;
        Ok(())
    }

    async fn send(
        &self,
        method: &Method,
        path: &str,
        body: Option<Bytes>,
        patience: Duration,
    ) -> Result<(StatusCode, Bytes), ClientError> {
        let answer = self.connection.send(method, path, body, patience).await?;
        if answer.status.is_success() {
            return Ok((answer.status, answer.body));
        }
        let seconds = answer.headers.get(header::RETRY_AFTER);
        let seconds = seconds.and_then(|seconds| seconds.to_str().ok()?.parse().ok());
        let error: ErrorBody = serde_json::from_slice(&answer.body).map_err(|_| {
            ClientError::Unintelligible(format!("status {} without a reason", answer.status))
        })?;
        Err(ClientError::Refused {
            status: answer.status,
            code: printable(&error.error.code),
            message: printable(&error.error.message),
            retry_after: seconds.map(Duration::from_secs),
        })
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, ClientError> {
    // names of fields that should not be there are the other side's
    let failed =
        |error: serde_json::Error| ClientError::Unintelligible(printable(&error.to_string()));
    serde_json::from_slice(body).map_err(failed)
}

fn write(body: &impl Serialize) -> Result<Bytes, ClientError> {
    let text = serde_json::to_vec(body);
    let text = text.map_err(|error| ClientError::Unintelligible(error.to_string()))?;
    Ok(text.into())
}

fn with_query(path: &str, query: &impl Serialize) -> Result<String, ClientError> {
    let query = serde_urlencoded::to_string(query)
        .map_err(|error| ClientError::Unintelligible(error.to_string()))?;
    Ok(if query.is_empty() {
        path.to_owned()
    } else {
        format!("{path}?{query}")
    })
}
