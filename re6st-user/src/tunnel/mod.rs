//! Tunnel technologies, each as the controller sees it: through a [`TunnelDriver`].

use re6st_common::maps::TunnelCounters;

use crate::dataplane::DataPlaneError;

pub mod clear;

/// What a tunnel technology is to the controller, which finds the ways to peers, gives each tunnel a number that no other next
/// hop has, and has no routes lead through a tunnel before it is open or when it is closed.
pub trait TunnelDriver {
    /// What it is told of a tunnel.
    type Tunnel;

    /// Opens a tunnel, whose counters are zero then. `number` is its next hop's, and who it is until it is closed. If that
    /// fails, [`Self::close`] makes the number free again.
    fn open(&mut self, number: u32, tunnel: &Self::Tunnel) -> Result<(), TunnelError>;

    /// Has a tunnel go another way, carry other outer headers, or take smaller or bigger packets.
    fn change(&mut self, number: u32, tunnel: &Self::Tunnel) -> Result<(), TunnelError>;

    /// Takes nothing from the peer any more, and sends it nothing, whatever routes lead there. It is closed later.
    fn cut(&mut self, number: u32) -> Result<(), TunnelError>;

    /// Closes a tunnel; nothing if it is closed already.
    ///
    /// # Errors
    /// [`TunnelError::InUse`]: it stays open.
    fn close(&mut self, number: u32) -> Result<(), TunnelError>;

    /// What it has carried since it was opened.
    fn counters(&self, number: u32) -> Result<TunnelCounters, TunnelError>;
}

/// Why a tunnel is not as it should be.
#[derive(Debug, thiserror::Error)]
pub enum TunnelError {
    /// Routes lead through it.
    #[error("{routes} routes still lead through it")]
    InUse {
        /// How many.
        routes: usize,
    },
    /// What its peer sends would not be seen.
    #[error("the interface its packets go by has none of our programs: `load` attaches them")]
    NoPrograms,
    /// The data plane does not take it.
    #[error(transparent)]
    DataPlane(DataPlaneError),
}

impl From<DataPlaneError> for TunnelError {
    fn from(error: DataPlaneError) -> Self {
        match error {
            DataPlaneError::NextHopInUse { routes, .. } => Self::InUse { routes },
            error => Self::DataPlane(error),
        }
    }
}
