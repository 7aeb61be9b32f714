//! Who asks.

use std::{fmt, net::IpAddr};

use crate::certificate::node::NodeCertificate;

/// Who asks, as far as the server could establish.
#[derive(Clone, Debug)]
pub enum Caller {
    /// Somebody on the Internet.
    Anonymous {
        /// The address of the TCP peer, or what a trusted proxy says; never what a client claims.
        address: IpAddr,
    },
    /// A holder of a node's certificate and of its key, proved by TLS. Issued by an authority of this network; whether it
    /// is revoked, expired or replaced is for the rules to say.
    Node {
        /// The certificate.
        certificate: Box<NodeCertificate>,
    },
    /// Whoever may open the administration socket.
    Operator {
        /// For the audit log.
        name: String,
    },
    /// The registry itself, about what time brings.
    Registry,
}

/// The form of the audit log.
impl fmt::Display for Caller {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous { address } => write!(formatter, "address {address}"),
            Self::Node { certificate } => write!(
                formatter,
                "node {} serial {}",
                certificate.prefix().common_name(),
                certificate.serial()
            ),
            Self::Operator { name } => write!(formatter, "operator {name}"),
            Self::Registry => formatter.write_str("registry"),
        }
    }
}
