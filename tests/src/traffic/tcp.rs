//! A TCP connection that carries content both ways at once and checks all of it.

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream},
    os::fd::AsFd as _,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::Content;
use crate::host::Host;

/// Bytes written and read at a time; a multiple of eight.
const BLOCK: usize = 64 * 1024;
/// How long a connection may stand still.
const PATIENCE: Duration = Duration::from_secs(10);

/// A transfer that arrived, both ways.
#[derive(Clone, Copy, Debug)]
pub struct TcpTransfer {
    /// Bytes each way.
    pub bytes: u64,
    /// Time it took.
    pub time: Duration,
}

/// Sends `bytes` from `client` to `server` at `address` and as many back at the same time. Succeeds only if every byte
/// arrived as it was sent.
pub fn transfer(client: &Host, server: &Host, address: IpAddr, bytes: u64) -> Result<TcpTransfer> {
    let listener = server
        .enter(|| TcpListener::bind(SocketAddr::new(address, 0)))?
        .with_context(|| format!("listening on {address} of host {}", server.name()))?;
    let target = listener.local_addr()?;
    let start = Instant::now();
    let outgoing = client
        .enter(|| TcpStream::connect_timeout(&target, PATIENCE))?
        .with_context(|| format!("connecting from host {} to {target}", client.name()))?;
    let incoming = accept(&listener).with_context(|| format!("TCP to {target}"))?;
    let there = Content { seed: 0x7e57_0001 };
    let back = Content { seed: 0x7e57_0002 };
    thread::scope(|scope| {
        let directions = [
            (
                "sending to the server",
                scope.spawn(|| send(&outgoing, there, bytes)),
            ),
            (
                "receiving at the server",
                scope.spawn(|| receive(&incoming, there, bytes)),
            ),
            (
                "sending to the client",
                scope.spawn(|| send(&incoming, back, bytes)),
            ),
            (
                "receiving at the client",
                scope.spawn(|| receive(&outgoing, back, bytes)),
            ),
        ];
        for (what, thread) in directions {
            let result = thread
                .join()
                .map_err(|_| anyhow::anyhow!("a thread panicked"))?;
            result.with_context(|| format!("{what}, TCP to {target}"))?;
        }
        Ok(TcpTransfer {
            bytes,
            time: start.elapsed(),
        })
    })
}

/// The connection of a client who believes that it is complete: the server knows only when it hears once more of him.
fn accept(listener: &TcpListener) -> Result<TcpStream> {
    let mut readable = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
    let ready = poll(&mut readable, PollTimeout::try_from(PATIENCE)?)?;
    ensure!(ready > 0, "no connection arrived within {PATIENCE:?}");
    Ok(listener.accept()?.0)
}

fn send(mut stream: &TcpStream, content: Content, bytes: u64) -> Result<()> {
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut block = vec![0; BLOCK];
    let mut position = 0;
    while position < bytes {
        let length = BLOCK.min((bytes - position) as usize);
        content.fill(position, &mut block[..length]);
        stream
            .write_all(&block[..length])
            .with_context(|| format!("after {position} of {bytes} bytes"))?;
        position += length as u64;
    }
    stream.shutdown(Shutdown::Write)?;
    Ok(())
}

fn receive(mut stream: &TcpStream, content: Content, bytes: u64) -> Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut block = vec![0; BLOCK];
    let mut expected = vec![0; BLOCK];
    let mut position = 0;
    while position < bytes {
        let length = BLOCK.min((bytes - position) as usize);
        stream
            .read_exact(&mut block[..length])
            .with_context(|| format!("after {position} of {bytes} bytes"))?;
        content.fill(position, &mut expected[..length]);
        ensure!(
            block[..length] == expected[..length],
            "wrong content between byte {position} and {}",
            position + length as u64
        );
        position += length as u64;
    }
    ensure!(
        stream.read(&mut block)? == 0,
        "more than the {bytes} bytes that were sent"
    );
    Ok(())
}
