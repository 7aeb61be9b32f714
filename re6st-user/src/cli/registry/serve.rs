//! `re6st-user registry --config FILE`: serves.

use std::process::ExitCode;

use anyhow::Result;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use re6st_user::{
    io::{secrets, supervisor},
    registry::{config::RegistryConfig, server},
};
use tokio::signal::unix::{SignalKind, signal};

/// Serves until SIGTERM or SIGINT.
pub fn run(config: &RegistryConfig) -> Result<ExitCode> {
    for problem in secrets::keep_in_memory() {
        eprintln!("note: secrets of this process: {problem}");
    }
    // each connection is a file
    if let Ok((_, most)) = getrlimit(Resource::RLIMIT_NOFILE) {
        setrlimit(Resource::RLIMIT_NOFILE, most, most).ok();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let (mut terminate, mut interrupt) = (
            signal(SignalKind::terminate())?,
            signal(SignalKind::interrupt())?,
        );
        // a terminal that was closed is no reason to end, and there is no log to open again
        let _ignored = [SignalKind::hangup(), SignalKind::user_defined1()].map(signal);
        let end = async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            eprintln!("the registry ends");
            supervisor::stopping();
        };
        let ready = |addresses: &[std::net::SocketAddr]| {
            for address in addresses {
                eprintln!("the registry serves https://{address}/");
            }
            supervisor::ready();
        };
        anyhow::Ok(server::serve(config, server::PATIENCE, ready, end).await?)
    })?;
    Ok(ExitCode::SUCCESS)
}
