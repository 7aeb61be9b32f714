//! What the registry's configuration file decides.

use super::community::Communities;
use crate::rate::Rate;
use crate::{certificate::network::Network, time::DAY};

/// Of the rules. Spans are in seconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The network the certificate authority is for.
    pub network: Network,
    /// Bits of a prefix that a token gives, after the community's. 0: no registration by token.
    pub prefix_length: u8,
    /// Bits of a prefix that anonymous newcomers get. 0: there are none.
    pub anonymous_prefix_length: u8,
    /// Whether tokens can be asked for by mail.
    pub mail: bool,
    /// How long a certificate is valid.
    pub validity: u64,
    /// How long before its end a certificate is renewed.
    pub renewal: u64,
    /// How long after its end a certificate keeps its prefix and can be renewed.
    pub grace_period: u64,
    /// How long a token is valid.
    pub token_lifetime: u64,
    /// Anonymous enrolments and wrong tokens, of one network of addresses.
    pub enrolments: Rate,
    /// The same, of all together.
    pub all_enrolments: Rate,
    /// Certificates issued again to one node.
    pub renewals: Rate,
    /// Tokens asked for by mail, of one network of addresses.
    pub token_requests: Rate,
    /// The same, of all together.
    pub all_token_requests: Rate,
    /// Mails to one address.
    pub mails: Rate,
    /// Fingerprints of all the network's certificate authorities, also of those that have expired.
    pub all_authorities: Vec<String>,
    /// Fingerprints of the network's certificate authorities, for the parameters' document.
    pub authorities: Vec<String>,
    /// At most so many tokens wait to be used.
    pub maximum_tokens: usize,
}

impl Settings {
    /// The defaults. Those of re6stnet where it has them, but a token ends after a week.
    pub fn new(network: Network) -> Self {
        Self {
            network,
            prefix_length: 16,
            anonymous_prefix_length: 0,
            mail: false,
            validity: 365 * DAY,
            renewal: 30 * DAY,
            grace_period: 100 * DAY,
            token_lifetime: 7 * DAY,
            enrolments: Rate {
                count: 20,
                seconds: 600,
            },
            all_enrolments: Rate {
                count: 600,
                seconds: 600,
            },
            renewals: Rate {
                count: 20,
                seconds: 86_400,
            },
            token_requests: Rate {
                count: 5,
                seconds: 600,
            },
            all_token_requests: Rate {
                count: 200,
                seconds: 600,
            },
            mails: Rate {
                count: 3,
                seconds: 3600,
            },
            all_authorities: Vec::new(),
            authorities: Vec::new(),
            maximum_tokens: 100_000,
        }
    }

    /// Bits of the longest prefix a node can have.
    pub(super) const fn maximum(&self) -> u8 {
        128 - self.network.length()
    }

    /// Whether prefixes of both lengths have room in every community.
    pub(super) fn check_lengths(&self, communities: &Communities) -> Result<(), String> {
        for length in [self.prefix_length, self.anonymous_prefix_length] {
            if length > 0 {
                self.check_length(length, communities)?;
            }
        }
        Ok(())
    }

    /// Whether prefixes of a length have room in every community.
    pub(super) fn check_length(&self, length: u8, communities: &Communities) -> Result<(), String> {
        let most = self.maximum().saturating_sub(communities.longest());
        if (1..=most).contains(&length) {
            return Ok(());
        }
        Err(format!(
            "a prefix length of {length} bits: in network {}, with communities of up to {} bits, it is 1 to {most}",
            self.network,
            communities.longest()
        ))
    }
}
