//! The operator's way to the registry: by its socket if it serves, else the database is opened here.

use std::{io, os::unix::net::UnixStream};

use anyhow::{Result, bail};
use re6st_user::registry::{
    client::Client,
    config::RegistryConfig,
    http::{operator_router, serve},
    server::{OpenRegistry, PATIENCE},
};

/// How many bytes wait between the two ends within this process.
const BUFFER: usize = 64 << 10;

/// Open to the operator.
#[derive(Debug)]
pub struct Session {
    /// To ask.
    pub client: Client,
    opened: Option<OpenRegistry>,
}

impl Session {
    /// By the socket if somebody answers there, else by the database.
    pub async fn open(config: &RegistryConfig) -> Result<Self> {
        match UnixStream::connect(&config.socket) {
            Ok(_) => Ok(Self {
                client: Client::operator(config.socket.clone()),
                opened: None,
            }),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
                ) =>
            {
                let opened = OpenRegistry::open(config)?;
                let (ours, theirs) = tokio::io::duplex(BUFFER);
                let router = operator_router(&opened.face);
                tokio::spawn(serve::in_process(theirs, router, PATIENCE));
                Ok(Self {
                    client: Client::in_process(ours).await?,
                    opened: Some(opened),
                })
            }
            Err(error) => bail!(
                "{}: {error}; run this as root, or as the registry's own user",
                config.socket.display()
            ),
        }
    }

    /// Asks the registry that serves, since what is asked for is in its memory alone.
    pub async fn ask_server<T>(
        config: &RegistryConfig,
        question: impl AsyncFnOnce(&Client) -> Result<T>,
    ) -> Result<T> {
        let session = Self::open(config).await?;
        if let Some(opened) = session.opened {
            opened.close()?;
            bail!("the registry does not serve, and only it knows: start it, and ask again");
        }
        question(&session.client).await
    }

    /// Asks, and closes what was opened, whatever the answer.
    pub async fn ask<T>(
        config: &RegistryConfig,
        question: impl AsyncFnOnce(&Client) -> Result<T>,
    ) -> Result<T> {
        let session = Self::open(config).await?;
        let answer = question(&session.client).await;
        if let Some(opened) = session.opened {
            opened.close()?;
        }
        answer
    }
}
