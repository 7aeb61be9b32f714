//! Tokens on their way by mail. What is not sent yet is kept in a file beside the database: a registry that ends, or is killed,
//! sends it when it is back; perhaps twice, never not at all.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::{
    sync::{mpsc, watch},
    task::{JoinError, JoinSet},
    time,
};

use super::{
    config::RegistryConfig,
    engine::TokenMail,
    http::serve,
    mail::{self, Mailer},
    rules::token::{Email, Token, TokenDigest},
};
use crate::{certificate::authority::Authority, io::file, printable::printable};

/// When a mail is tried again.
const RETRIES: [Duration; 3] = [
    Duration::from_secs(10),
    Duration::from_secs(60),
    Duration::from_secs(600),
];

/// What stands in a mail with a token.
#[derive(Debug)]
pub struct MailText {
    network: String,
    url: String,
    fingerprint: String,
}

impl MailText {
    /// Of the registry of this authority.
    pub fn new(config: &RegistryConfig, authority: &Authority) -> Self {
        let certificate = authority.certificate();
        Self {
            network: certificate.network().to_string(),
            url: config.url.clone().unwrap_or_else(|| "URL".to_owned()),
            fingerprint: certificate.fingerprint().to_string(),
        }
    }

    fn with(&self, token: &str) -> String {
        let Self {
            network,
            url,
            fingerprint,
        } = self;
        format!(
            "Hello,\n\nsomebody, probably you, asked for a place in the network {network}. Your token is\n\n    {token}\n\n\
             It is good for one node:\n\n    \
             re6st-user conf --registry {url} --fingerprint {fingerprint} --token {token} --dir DIR\n\n\
             If it was not you, ignore this mail.\n"
        )
    }
}

/// The mails that are on their way, and the file that has them.
#[derive(Debug)]
pub struct Outbox {
    path: PathBuf,
    mails: Vec<TokenMail>,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    email: String,
    token: String,
}

impl Outbox {
    /// Reads what is left from before.
    pub fn open(path: &Path) -> io::Result<Self> {
        let stored: Vec<Stored> = match file::read(path, file::SMALL) {
            Ok(text) => serde_json::from_slice(&text)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        let mail = |stored: Stored| {
            Ok(TokenMail {
                email: Email::parse(&stored.email).map_err(io::Error::other)?,
                token: Token::parse(&stored.token).map_err(io::Error::other)?,
            })
        };
        Ok(Self {
            path: path.to_owned(),
            mails: stored.into_iter().map(mail).collect::<io::Result<_>>()?,
        })
    }

    fn add(&mut self, mail: TokenMail) {
        self.mails.push(mail);
        self.write();
    }

    /// One is sent, or given up; none, if the registry ends before.
    fn done(&mut self, outcome: Result<Option<TokenDigest>, JoinError>) {
        if let Ok(Some(token)) = outcome {
            self.mails.retain(|mail| mail.token.digest() != token);
            self.write();
        }
    }

    fn write(&self) {
        let stored = self.mails.iter().map(|mail| Stored {
            email: mail.email.as_str().to_owned(),
            token: mail.token.reveal().to_owned(),
        });
        let text = serde_json::to_vec(&stored.collect::<Vec<_>>()).map_err(io::Error::from);
        if let Err(error) = text.and_then(|text| file::replace(&self.path, &text)) {
            let path = self.path.display();
            eprintln!(
                "WARNING: {path}: {error}; tokens that are not mailed when the registry ends are lost, or mailed twice"
            );
        }
    }
}

/// Sends mails until the registry ends, first those that are left from before.
pub async fn send_mails(
    mut mails: mpsc::UnboundedReceiver<TokenMail>,
    mailer: Option<Mailer>,
    text: MailText,
    mut outbox: Outbox,
    stop: watch::Receiver<bool>,
) {
    let Some(mailer) = mailer.map(Arc::new) else {
        // they wait until mails are sent again
        return;
    };
    let text = Arc::new(text);
    let mut sending = JoinSet::new();
    let begin = |sending: &mut JoinSet<_>, mail| {
        sending.spawn(send_mail(
            mail,
            Arc::clone(&mailer),
            Arc::clone(&text),
            stop.clone(),
        ));
    };
    for mail in outbox.mails.clone() {
        begin(&mut sending, mail);
    }
    let mut stopped = stop.clone();
    loop {
        let mail = tokio::select! {
            // what has come is kept, also if the end has come with it
            biased;
            mail = mails.recv() => mail,
            Some(outcome) = sending.join_next() => {
                outbox.done(outcome);
                continue;
            }
            () = serve::stopped(&mut stopped) => None,
        };
        let Some(mail) = mail else { break };
        outbox.add(mail.clone());
        begin(&mut sending, mail);
    }
    while let Some(outcome) = sending.join_next().await {
        outbox.done(outcome);
    }
}

/// The token, if nothing more is to be done for it.
async fn send_mail(
    mail: TokenMail,
    mailer: Arc<Mailer>,
    text: Arc<MailText>,
    mut stop: watch::Receiver<bool>,
) -> Option<TokenDigest> {
    let id = mail.token.digest();
    let Some(address) = mail::address(mail.email.as_str()) else {
        return Some(id);
    };
    let subject = format!("[re6st] token for {}", text.network);
    let mut retries = RETRIES.iter();
    loop {
        let body = text.with(mail.token.reveal());
        let Err(error) = mailer.send(address.clone(), &subject, body).await else {
            return Some(id);
        };
        let retry = retries.next();
        eprintln!(
            "WARNING: token {id} is not mailed: {}{}",
            printable(&error.to_string()),
            if retry.is_some() {
                "; trying again"
            } else {
                "; given up"
            }
        );
        let Some(pause) = retry else {
            return Some(id);
        };
        tokio::select! {
            () = time::sleep(*pause) => {}
            () = serve::stopped(&mut stop) => return None,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;

    fn mail(token: &str) -> TokenMail {
        TokenMail {
            email: Email::parse("user@example.com").unwrap(),
            token: Token::parse(token).unwrap(),
        }
    }

    #[test]
    fn what_is_not_sent_is_there_after_a_restart_and_for_nobody_else() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("registry.outbox");
        let mut outbox = Outbox::open(&path).unwrap();
        for token in ["first", "second", "third"] {
            outbox.add(mail(token));
        }
        outbox.done(Ok(Some(mail("second").token.digest())));
        outbox.done(Ok(None));

        let after = Outbox::open(&path).unwrap();
        let tokens: Vec<_> = after.mails.iter().map(|it| it.token.reveal()).collect();
        assert_eq!(tokens, ["first", "third"]);
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
