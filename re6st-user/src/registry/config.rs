//! `registry.toml`: what the operator decides. Everything else (parameters, communities, tokens) is in the database and
//! changes while the registry runs.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;
use toml::Spanned;

use super::{
    http::connections::Bounds,
    mail::{self, Credentials, Mail, MailTransport, SmtpTls},
    rules::Settings,
};
use crate::{
    certificate::{authority::AuthorityCertificate, verify::Authorities},
    config::{
        ConfigError, Mistake,
        mistake::{self, Wrong},
        tunnel::ranged,
    },
    io::file,
    rate::Rate,
    time::DAY,
};

#[cfg(test)]
mod tests;

/// The port of a mail server for other programs (RFC 6409).
const SUBMISSION: u16 = 587;
/// The port of a mail server that speaks TLS from the first byte on (RFC 8314).
const SUBMISSIONS: u16 = 465;
/// The longest password, in bytes.
const MAXIMUM_PASSWORD: usize = 1024;

/// What a registry is told.
#[derive(Clone, Debug)]
pub struct RegistryConfig {
    /// Where it listens for HTTPS.
    pub listen: Vec<SocketAddr>,
    /// The certificates of the network's authority: the present one, and another one while it changes.
    pub ca: PathBuf,
    /// The authority's private key.
    pub ca_key: PathBuf,
    /// The file of the database.
    pub database: PathBuf,
    /// The Unix socket of the operator's commands.
    pub socket: PathBuf,
    /// The address newcomers are told in mails.
    pub url: Option<String>,
    /// How tokens are mailed; not at all if there is none.
    pub mail: Option<Mail>,
    /// A MaxMind database with countries.
    pub locations: Option<PathBuf>,
    /// How many connections there may be, as far as this host has files for them.
    pub connections: Bounds,
    lengths: Lengths,
    spans: Spans,
    rates: Rates,
}

#[derive(Clone, Copy, Debug)]
struct Lengths {
    registered: u8,
    anonymous: u8,
}

/// In days.
#[derive(Clone, Copy, Debug)]
struct Spans {
    certificate: u32,
    renewal: u32,
    grace: u32,
    token: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct Rates {
    enrolments: Option<Rate>,
    all_enrolments: Option<Rate>,
    token_requests: Option<Rate>,
    all_token_requests: Option<Rate>,
}

mod raw {
    //! The file as TOML has it.

    use serde::Deserialize;
    use toml::Spanned;

    type Text = Spanned<String>;
    type Number = Option<Spanned<i64>>;

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "kebab-case")]
    pub struct Config {
        pub listen: Spanned<super::OneOrSeveral>,
        pub ca: Text,
        pub ca_key: Text,
        pub database: Text,
        pub socket: Text,
        pub url: Option<Text>,
        pub prefix_length: Number,
        pub anonymous_prefix_length: Number,
        pub certificate_days: Number,
        pub renewal_days: Number,
        pub grace_days: Number,
        pub token_days: Number,
        pub mail: Option<Mail>,
        pub location: Option<Location>,
        #[serde(default)]
        pub limits: Limits,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "kebab-case")]
    pub struct Mail {
        pub from: Text,
        pub mailbox: Option<Text>,
        pub smtp: Option<Text>,
        pub port: Number,
        pub tls: Option<Text>,
        pub ca: Option<Text>,
        pub user: Option<Text>,
        pub password_file: Option<Text>,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct Location {
        pub database: Text,
    }

    #[derive(Default, Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "kebab-case")]
    pub struct Limits {
        pub connections: Number,
        pub connections_per_source: Number,
        pub enrolments: Option<Rate>,
        pub all_enrolments: Option<Rate>,
        pub token_requests: Option<Rate>,
        pub all_token_requests: Option<Rate>,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct Rate {
        pub count: Spanned<i64>,
        pub seconds: Spanned<i64>,
    }
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrSeveral {
    One(String),
    Several(Vec<String>),
}

impl RegistryConfig {
    /// Reads a file. Names of files in it are relative to its own folder.
    pub fn from_path(path: &Path) -> Result<Self, ConfigError> {
        let text = mistake::read(path)?;
        let folder = path.parent().unwrap_or_else(|| Path::new(""));
        Self::parse(&text, folder).map_err(|error| error.in_file(path))
    }

    /// Reads the text of a file that is in `folder`.
    pub fn parse(text: &str, folder: &Path) -> Result<Self, ConfigError> {
        let raw: raw::Config =
            toml::from_str(text).map_err(|error| Mistake::from_toml(&error, text))?;
        Ok(check(&raw, folder).map_err(|wrong| wrong.locate(text))?)
    }

    /// What the rules need of it.
    pub fn settings(&self, authorities: &Authorities) -> Settings {
        let defaults = Settings::new(authorities.network());
        let fingerprints = authorities.iter().map(AuthorityCertificate::fingerprint);
        let fingerprints = fingerprints.map(|fingerprint| fingerprint.to_string());
        let fingerprints: Vec<String> = fingerprints.collect();
        let days = |days: u32| u64::from(days) * DAY;
        Settings {
            all_authorities: fingerprints.clone(),
            authorities: fingerprints,
            prefix_length: self.lengths.registered,
            anonymous_prefix_length: self.lengths.anonymous,
            mail: self.mail.is_some(),
            validity: days(self.spans.certificate),
            renewal: days(self.spans.renewal),
            grace_period: days(self.spans.grace),
            token_lifetime: days(self.spans.token),
            enrolments: self.rates.enrolments.unwrap_or(defaults.enrolments),
            all_enrolments: self.rates.all_enrolments.unwrap_or(defaults.all_enrolments),
            token_requests: self.rates.token_requests.unwrap_or(defaults.token_requests),
            all_token_requests: self
                .rates
                .all_token_requests
                .unwrap_or(defaults.all_token_requests),
            ..defaults
        }
    }

    /// How long after its end a certificate can be renewed.
    pub fn grace(&self) -> Duration {
        Duration::from_secs(u64::from(self.spans.grace) * DAY)
    }
}

fn check(raw: &raw::Config, folder: &Path) -> Result<RegistryConfig, Wrong> {
    let file = |key: &str, text: &Spanned<String>| match text.get_ref().as_str() {
        "" => Err(Wrong::value(key, text, "expected the name of a file")),
        name => Ok(folder.join(name)),
    };
    let spans = Spans {
        certificate: days("certificate-days", raw.certificate_days.as_ref(), 365, 1)?,
        renewal: days("renewal-days", raw.renewal_days.as_ref(), 30, 0)?,
        grace: days("grace-days", raw.grace_days.as_ref(), 100, 0)?,
        token: days("token-days", raw.token_days.as_ref(), 7, 1)?,
    };
    if let Some(renewal) = &raw.renewal_days
        && spans.renewal >= spans.certificate
    {
        let problem = format!(
            "certificates are valid for {} days only; give less",
            spans.certificate
        );
        return Err(Wrong::value("renewal-days", renewal, problem));
    }
    let limits = &raw.limits;
    Ok(RegistryConfig {
        listen: listen(&raw.listen)?,
        ca: file("ca", &raw.ca)?,
        ca_key: file("ca-key", &raw.ca_key)?,
        database: file("database", &raw.database)?,
        socket: file("socket", &raw.socket)?,
        url: raw.url.as_ref().map(url).transpose()?,
        mail: raw
            .mail
            .as_ref()
            .map(|mail| self::mail(mail, folder))
            .transpose()?,
        locations: match &raw.location {
            Some(location) => Some(file("location.database", &location.database)?),
            None => None,
        },
        connections: connections(limits)?,
        lengths: Lengths {
            registered: length("prefix-length", raw.prefix_length.as_ref(), 16)?,
            anonymous: length(
                "anonymous-prefix-length",
                raw.anonymous_prefix_length.as_ref(),
                0,
            )?,
        },
        spans,
        rates: Rates {
            enrolments: rate("limits.enrolments", limits.enrolments.as_ref())?,
            all_enrolments: rate("limits.all-enrolments", limits.all_enrolments.as_ref())?,
            token_requests: rate("limits.token-requests", limits.token_requests.as_ref())?,
            all_token_requests: rate(
                "limits.all-token-requests",
                limits.all_token_requests.as_ref(),
            )?,
        },
    })
}

fn listen(raw: &Spanned<OneOrSeveral>) -> Result<Vec<SocketAddr>, Wrong> {
    let texts = match raw.get_ref() {
        OneOrSeveral::One(text) => std::slice::from_ref(text),
        OneOrSeveral::Several(texts) => texts,
    };
    let read = |text: &String| text.parse::<SocketAddr>().ok();
    let addresses: Option<Vec<_>> = texts.iter().map(read).collect();
    addresses.filter(|addresses| !addresses.is_empty()).ok_or_else(|| {
        let problem =
            "expected an address and a port, such as \"[::]:443\" or \"192.0.2.1:443\", or an array of them";
        Wrong::hidden("listen", raw, problem)
    })
}

fn url(text: &Spanned<String>) -> Result<String, Wrong> {
    if text.get_ref().starts_with("https://") {
        Ok(text.get_ref().clone())
    } else {
        let problem = "expected an address such as \"https://registry.example/\"";
        Err(Wrong::value("url", text, problem))
    }
}

fn days(key: &str, raw: Option<&Spanned<i64>>, default: u32, least: i64) -> Result<u32, Wrong> {
    raw.map_or(Ok(default), |days| {
        let problem = format!("expected a number of days from {least} to 3650");
        ranged(key, days, least..=3650, &problem)
    })
}

fn length(key: &str, raw: Option<&Spanned<i64>>, default: u8) -> Result<u8, Wrong> {
    let problem = "expected the bits of a node's prefix, 1 to 64, or 0 to give out none";
    raw.map_or(Ok(default), |length| ranged(key, length, 0..=64, problem))
}

fn rate(key: &str, raw: Option<&raw::Rate>) -> Result<Option<Rate>, Wrong> {
    let Some(raw) = raw else { return Ok(None) };
    let problem = "expected a number from 0 to 1000000";
    Ok(Some(Rate {
        count: ranged(&format!("{key}: count"), &raw.count, 0..=1_000_000, problem)?,
        seconds: ranged(
            &format!("{key}: seconds"),
            &raw.seconds,
            0..=1_000_000,
            problem,
        )?,
    }))
}

fn connections(raw: &raw::Limits) -> Result<Bounds, Wrong> {
    let number = |key: &str, raw: Option<&Spanned<i64>>, default: usize| {
        let problem = "expected a number from 1 to 100000";
        raw.map_or(Ok(default), |number| {
            ranged(key, number, 1..=100_000, problem)
        })
    };
    Ok(Bounds {
        strangers: number("limits.connections", raw.connections.as_ref(), 4096)?,
        nodes: usize::MAX,
        per_source: number(
            "limits.connections-per-source",
            raw.connections_per_source.as_ref(),
            256,
        )?,
    })
}

fn mail(raw: &raw::Mail, folder: &Path) -> Result<Mail, Wrong> {
    let from = mail::address(raw.from.get_ref()).ok_or_else(|| {
        let problem = "expected a mail address such as \"registry@example.com\"";
        Wrong::value("mail.from", &raw.from, problem)
    })?;
    let transport = match (&raw.mailbox, &raw.smtp) {
        (Some(path), None) => MailTransport::Mailbox {
            path: folder.join(path.get_ref()),
        },
        (None, Some(host)) => smtp(raw, host, folder)?,
        _ => {
            let problem = "expected beside it either smtp, the name of a mail server, or mailbox, the name of a file";
            return Err(Wrong::value("mail.from", &raw.from, problem));
        }
    };
    Ok(Mail { from, transport })
}

fn smtp(raw: &raw::Mail, host: &Spanned<String>, folder: &Path) -> Result<MailTransport, Wrong> {
    let tls = match raw.tls.as_ref().map(|tls| (tls, tls.get_ref().as_str())) {
        None | Some((_, "starttls")) => SmtpTls::StartTls,
        Some((_, "immediate")) => SmtpTls::Immediate,
        Some((_, "none")) => SmtpTls::None,
        Some((text, _)) => {
            let problem = "expected \"starttls\", \"immediate\" or \"none\"";
            return Err(Wrong::value("mail.tls", text, problem));
        }
    };
    let default = match tls {
        SmtpTls::Immediate => SUBMISSIONS,
        SmtpTls::StartTls | SmtpTls::None => SUBMISSION,
    };
    let port = raw.port.as_ref().map_or(Ok(default), |port| {
        ranged("mail.port", port, 1..=65_535, "expected a port, 1 to 65535")
    })?;
    Ok(MailTransport::Smtp {
        host: host.get_ref().clone(),
        port,
        tls,
        ca: raw.ca.as_ref().map(|path| folder.join(path.get_ref())),
        credentials: credentials(raw, tls, folder)?,
    })
}

fn credentials(raw: &raw::Mail, tls: SmtpTls, folder: &Path) -> Result<Option<Credentials>, Wrong> {
    let (user, file) = match (&raw.user, &raw.password_file) {
        (None, None) => return Ok(None),
        (Some(user), Some(file)) => (user, file),
        (Some(one), None) | (None, Some(one)) => {
            let problem = "user and password-file belong together; give both or none";
            return Err(Wrong::value("mail", one, problem));
        }
    };
    if tls == SmtpTls::None {
        let problem = "a password is not sent without TLS; set tls = \"starttls\"";
        return Err(Wrong::value("mail.user", user, problem));
    }
    let path = folder.join(file.get_ref());
    let password = file::read_text(&path).map_err(|error| {
        let problem =
            format!("{error}; write the password into that file, readable by the registry alone");
        Wrong::value("mail.password-file", file, problem)
    })?;
    let password = password.trim_end_matches(['\r', '\n']);
    if password.is_empty() || password.len() > MAXIMUM_PASSWORD {
        let problem =
            format!("expected a file with a password of at most {MAXIMUM_PASSWORD} bytes");
        return Err(Wrong::value("mail.password-file", file, problem));
    }
    Ok(Some(Credentials {
        user: user.get_ref().clone(),
        password: password.to_owned(),
    }))
}
