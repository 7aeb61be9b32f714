//! Why a certificate, a request, a key or a document is not accepted.

use thiserror::Error;

use super::{network::NetworkError, subject::SubjectError};

/// Why octets are not what they should be: said before anybody asks who signed them.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum FormError {
    /// More octets than anything of the kind has.
    #[error("{what} of {size} octets: at most {limit} are accepted")]
    TooLarge {
        /// What was given.
        what: &'static str,
        /// Its size.
        size: usize,
        /// The most that is read.
        limit: usize,
    },
    /// Not PEM, or PEM of something else.
    #[error("no PEM block `{0}` where one is expected")]
    Pem(&'static str),
    /// Not the DER encoding of such a structure.
    #[error("not the DER encoding of {0}")]
    Der(&'static str),
    /// Something after the end.
    #[error("octets behind the end of {0}")]
    TrailingOctets(&'static str),
    /// A version of X.509 that is not accepted here.
    #[error("a certificate of version {0} with such a key is not accepted")]
    Version(u32),
    /// A serial number that is not a positive integer of 63 bits.
    #[error("the certificate's serial number is not between 1 and 2^63 - 1")]
    Serial,
    /// A serial number that tells no network.
    #[error("the authority's certificate: {0}")]
    Network(#[from] NetworkError),
    /// A subject that is not of the form of a node's.
    #[error("the subject: {0}")]
    Subject(#[from] SubjectError),
    /// A key that is not accepted.
    #[error("the public key: {0}")]
    Key(#[from] KeyError),
    /// The algorithm of the signature is none of ours, or not the one announced.
    #[error("the signature's algorithm is not accepted")]
    SignatureAlgorithm,
    /// A signature that was not made by the key it goes with.
    #[error("the signature was not made with the key inside")]
    SelfSignature,
    /// An extension twice.
    #[error("an extension occurs twice")]
    DuplicateExtension,
    /// An extension that must be understood and is not.
    #[error("a critical extension that is not known here: {0}")]
    UnknownCriticalExtension(String),
    /// An extension that cannot be read.
    #[error("the extension {0} is malformed")]
    Extension(&'static str),
    /// A certificate for something else.
    #[error("not a certificate of {role}: {reason}")]
    Role {
        /// What it was taken for.
        role: &'static str,
        /// What speaks against it.
        reason: &'static str,
    },
}

/// Why a key is not accepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum KeyError {
    /// Another algorithm or curve.
    #[error("neither ECDSA on the curve P-256 nor RSA")]
    Algorithm,
    /// An RSA key that is too short, or too long to be checked in time.
    #[error("an RSA key of {0} bits: 2048 to 4096 are accepted")]
    RsaSize(usize),
    /// Not a key at all.
    #[error("malformed")]
    Malformed,
    /// The library could not make a key or a signature.
    #[error("the cryptographic library failed")]
    Library,
}

/// Why something could not be issued.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum IssueError {
    /// The key is not that of the certificate.
    #[error("the private key is not that of the authority's certificate")]
    KeyMismatch,
    /// A new authority with the key of the old one.
    #[error("a new authority needs a new key")]
    SameKey,
    /// The subject of the authority's certificate cannot be written as it stands.
    #[error("the subject of the authority's certificate has a form that cannot be issued under")]
    AuthoritySubject,
    /// Node prefix and network are longer than an address.
    #[error("the prefix {prefix} does not fit in the network {network}")]
    Prefix {
        /// CommonName of the node.
        prefix: String,
        /// The prefix of the network.
        network: String,
    },
    /// A validity that begins after its end, or after the authority's, or ends beyond the year 9999.
    #[error("the validity is empty or outside the authority's")]
    Validity,
    /// What is to be signed is larger than what is accepted.
    #[error("{0}")]
    Form(#[from] FormError),
    /// The key failed.
    #[error("{0}")]
    Key(#[from] KeyError),
    /// The library that writes certificates refused.
    #[error("the certificate could not be written: {0}")]
    Library(String),
}

/// Why somebody is not trusted.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum TrustError {
    /// Signed by nobody we know.
    #[error("not issued by an authority of this network")]
    UnknownAuthority,
    /// The name of an authority, but not its signature.
    #[error("the signature is not the authority's")]
    Signature,
    /// The authority itself is not valid now.
    #[error("the authority's certificate is not valid at this time")]
    Authority,
    /// Too early.
    #[error("not valid yet")]
    NotYetValid,
    /// Too late.
    #[error("expired")]
    Expired,
    /// Taken back.
    #[error("revoked")]
    Revoked,
    /// A prefix that does not fit in the network.
    #[error("the CommonName does not fit in the network")]
    OutsideNetwork,
    /// An address that is not the one of the CommonName.
    #[error("the certificate's address is not that of its CommonName")]
    Address,
}
