//! Mail: by SMTP, or appended to a mailbox file on this host.

use std::{
    fmt,
    fs::{File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use lettre::{
    Address, AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor,
    message::{Mailbox, header::ContentType},
    transport::smtp::{
        authentication,
        client::{Certificate, Tls, TlsParameters},
    },
};
use nix::fcntl::{Flock, FlockArg};

use crate::io::file;

/// How long a mail server may take for one step.
const PATIENCE: Duration = Duration::from_secs(10);

/// The section `[mail]`.
#[derive(Clone, Debug)]
pub struct Mail {
    /// The sender.
    pub from: Address,
    /// How it is sent.
    pub transport: MailTransport,
}

/// How mail is sent.
#[derive(Clone, Debug)]
pub enum MailTransport {
    /// To a mail server.
    Smtp {
        /// The name of the server.
        host: String,
        /// Its port.
        port: u16,
        /// How the connection is protected.
        tls: SmtpTls,
        /// Its authority, besides those of the system.
        ca: Option<PathBuf>,
        /// How we log in, if at all.
        credentials: Option<Credentials>,
    },
    /// Into a file.
    Mailbox {
        /// The file.
        path: PathBuf,
    },
}

/// How a connection to a mail server is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmtpTls {
    /// Not at all: for a server on this host.
    None,
    /// STARTTLS, required.
    StartTls,
    /// TLS from the first byte on.
    Immediate,
}

/// A login, whose password `Debug` does not show.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user.
    pub user: String,
    /// The password.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "Credentials {{ user: {:?}, password: .. }}",
            self.user
        )
    }
}

/// Sends the registry's mail.
#[derive(Debug)]
pub struct Mailer {
    from: Mailbox,
    transport: Transport,
}

#[derive(Debug)]
enum Transport {
    Smtp(Box<AsyncSmtpTransport<Tokio1Executor>>),
    File(PathBuf),
}

/// Why a mail was not sent.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// The message cannot be written.
    #[error("the message: {0}")]
    Message(#[from] lettre::error::Error),
    /// The mail server, or the way to it.
    #[error("the mail server: {}", causes(.0))]
    Smtp(#[from] lettre::transport::smtp::Error),
    /// The mailbox file.
    #[error("the mailbox: {0}")]
    Mailbox(#[from] io::Error),
    /// The certificate file to trust.
    #[error("{}: {source}", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: io::Error,
    },
}

/// The whole chain of an error: lettre itself only says "Connection error".
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text += &format!(": {cause}");
        next = cause.source();
    }
    text
}

/// Reads an address.
pub fn address(text: &str) -> Option<Address> {
    // RFC 5321 section 4.5.3.1.3, without the angle brackets
    (text.len() <= 254).then(|| text.parse().ok()).flatten()
}

impl Mailer {
    /// As configured. Nothing is connected to yet.
    pub fn new(config: &Mail) -> Result<Self, MailError> {
        let transport = match &config.transport {
            MailTransport::Mailbox { path } => Transport::File(path.clone()),
            MailTransport::Smtp {
                host,
                port,
                tls,
                ca,
                credentials,
            } => {
                let parameters = || -> Result<TlsParameters, MailError> {
                    let mut builder = TlsParameters::builder(host.clone());
                    if let Some(path) = ca {
                        builder = builder.add_root_certificate(root(path)?);
                    }
                    Ok(builder.build_rustls()?)
                };
                let tls = match tls {
                    SmtpTls::None => Tls::None,
                    SmtpTls::StartTls => Tls::Required(parameters()?),
                    SmtpTls::Immediate => Tls::Wrapper(parameters()?),
                };
                let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host)
                    .port(*port)
                    .tls(tls)
                    .timeout(Some(PATIENCE));
                if let Some(credentials) = credentials {
                    builder = builder.credentials(authentication::Credentials::new(
                        credentials.user.clone(),
                        credentials.password.clone(),
                    ));
                }
                Transport::Smtp(Box::new(builder.build()))
            }
        };
        Ok(Self {
            from: Mailbox::new(Some("re6st registry".into()), config.from.clone()),
            transport,
        })
    }

    /// Sends one; when this returns, the mail server or the file has it.
    pub async fn send(&self, to: Address, subject: &str, text: String) -> Result<(), MailError> {
        let message = Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, to))
            .date(SystemTime::now())
            .subject(subject)
            .header(ContentType::TEXT_PLAIN)
            .body(text)?;
        match &self.transport {
            Transport::Smtp(transport) => {
                transport.send(message).await?;
            }
            Transport::File(path) => {
                let (path, from) = (path.clone(), self.from.email.clone());
                let bytes = message.formatted();
                let appended =
                    tokio::task::spawn_blocking(move || append(&path, &from, &bytes)).await;
                appended.map_err(io::Error::other)??;
            }
        }
        Ok(())
    }
}

fn root(path: &Path) -> Result<Certificate, MailError> {
    let failed = |source| MailError::Certificate {
        path: path.to_owned(),
        source,
    };
    let pem = file::read(path, file::SMALL).map_err(failed)?;
    let read = Certificate::from_pem(&pem);
    read.map_err(|error| failed(io::Error::other(causes(&error))))
}

/// Appends a message to a file in the format of RFC 4155 (mboxrd).
fn append(path: &Path, from: &Address, message: &[u8]) -> io::Result<()> {
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        // a FIFO that nobody reads is refused
        .custom_flags(nix::libc::O_NONBLOCK)
        .open(path)?;
    // mail readers and other deliveries keep off
    let file = Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| errno)?;
    let mut text = format!("From {from} {}\n", asctime(SystemTime::now())).into_bytes();
    for line in message.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let quoted = line.iter().position(|byte| *byte != b'>');
        if quoted.is_some_and(|start| line[start..].starts_with(b"From ")) {
            text.push(b'>');
        }
        text.extend(line);
        text.push(b'\n');
    }
    text.push(b'\n');
    let mut written: &File = &file;
    written.write_all(&text)
}

/// `Thu Jan  1 00:00:00 1970`, in UTC.
fn asctime(time: SystemTime) -> String {
    // "Thu, 01 Jan 1970 00:00:00 GMT"
    let date = httpdate::fmt_http_date(time);
    let mut words = date.split([' ', ',']).filter(|word| !word.is_empty());
    let mut word = || words.next().unwrap_or_default();
    let (weekday, day, month, year, clock) = (word(), word(), word(), word(), word());
    let day = day.trim_start_matches('0');
    format!("{weekday} {month} {day:>2} {clock} {year}")
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]
mod tests {
    use std::{os::unix::fs::PermissionsExt as _, sync::Arc, time::SystemTime};

    use tokio::{
        io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };
    use tokio_rustls::TlsAcceptor;

    use super::*;

    #[tokio::test]
    async fn a_mailbox_is_one_file_of_several_messages_and_nobody_else_reads_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("mailbox");
        let mailer = Mailer::new(&Mail {
            from: "registry@example.com".parse().unwrap(),
            transport: MailTransport::Mailbox { path: path.clone() },
        })
        .unwrap();

        for _ in 0..2 {
            let text = "From here on\n>From there\nend".to_owned();
            let to = address("user@example.com").unwrap();
            mailer.send(to, "[re6st] subject", text).await.unwrap();
        }

        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(
            text.matches("\nFrom registry@example.com ").count(),
            1,
            "{text}"
        );
        assert!(text.starts_with("From registry@example.com "), "{text}");
        assert!(text.contains("\nTo: user@example.com\n"), "{text}");
        assert!(
            text.contains("\n>From here on\n>>From there\nend\n"),
            "{text}"
        );
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    /// A mail server that only takes mail inside of TLS: what it was told there.
    async fn mail_server(listener: TcpListener, tls: TlsAcceptor) -> Vec<String> {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"220 mail\r\n").await.unwrap();
        loop {
            match line(&mut stream).await.as_str() {
                "STARTTLS" => break,
                greeting if greeting.starts_with("EHLO ") => {
                    stream
                        .write_all(b"250-mail\r\n250 STARTTLS\r\n")
                        .await
                        .unwrap();
                }
                other => panic!("{other} without TLS"),
            }
        }
        stream.write_all(b"220 go on\r\n").await.unwrap();
        let mut stream = tls.accept(stream).await.unwrap();
        let mut said = Vec::new();
        loop {
            said.push(line(&mut stream).await);
            let answer = match said.last().map(String::as_str) {
                Some("DATA") => "354 go on\r\n",
                Some(greeting) if greeting.starts_with("EHLO ") => "250-mail\r\n250 AUTH PLAIN\r\n",
                Some(login) if login.starts_with("AUTH ") => "235 good\r\n",
                Some(".") => {
                    stream.write_all(b"250 taken\r\n").await.unwrap();
                    return said;
                }
                Some(command) if command.starts_with("MAIL ") || command.starts_with("RCPT ") => {
                    "250 fine\r\n"
                }
                _ => continue,
            };
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    }

    async fn line(stream: &mut (impl AsyncRead + Unpin)) -> String {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            line.push(stream.read_u8().await.unwrap());
        }
        String::from_utf8(line).unwrap().trim_end().to_owned()
    }

    #[tokio::test]
    async fn a_mail_server_gets_name_and_password_inside_of_tls_alone() {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = certificate.self_signed(&key).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let ca = directory.path().join("mail.crt");
        let pem = data_encoding::BASE64.encode(certificate.der());
        let pem = format!("-----BEGIN CERTIFICATE-----\n{pem}\n-----END CERTIFICATE-----\n");
        std::fs::write(&ca, pem).unwrap();
        let tls = rustls::ServerConfig::builder_with_provider(crate::certificate::tls::provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                rustls::pki_types::PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
            )
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = tokio::spawn(mail_server(listener, TlsAcceptor::from(Arc::new(tls))));
        let mailer = |ca| {
            Mailer::new(&Mail {
                from: "registry@example.com".parse().unwrap(),
                transport: MailTransport::Smtp {
                    host: "localhost".into(),
                    port,
                    tls: SmtpTls::StartTls,
                    ca,
                    credentials: Some(Credentials {
                        user: "user".into(),
                        password: "password".into(),
                    }),
                },
            })
            .unwrap()
        };

        let to = address("user@example.com").unwrap();
        mailer(Some(ca))
            .send(to, "subject", "text".into())
            .await
            .unwrap();

        let said = server.await.unwrap();
        assert!(
            said.iter().any(|line| line.starts_with("AUTH PLAIN ")),
            "{said:?}"
        );
        assert!(
            said.contains(&"RCPT TO:<user@example.com>".to_owned()),
            "{said:?}"
        );
        assert!(said.contains(&"text".to_owned()), "{said:?}");
    }

    #[test]
    fn addresses_cannot_smuggle_headers() {
        for text in [
            "user@example.com\r\nBcc: everybody@example.com",
            "user@example.com, other@example.com",
            "user",
            "",
            "@example.com",
            &format!("{}@example.com", "x".repeat(250)),
        ] {
            assert_eq!(address(text), None, "{text}");
        }
        assert!(address("user+tag@example.com").is_some());
    }

    #[test]
    fn writes_the_date_as_mailboxes_have_it() {
        assert_eq!(asctime(SystemTime::UNIX_EPOCH), "Thu Jan  1 00:00:00 1970");
    }
}
