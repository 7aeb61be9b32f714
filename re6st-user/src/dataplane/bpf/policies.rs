//! IPsec policies, which XDP does not know of.

use super::error::{BpfError, During as _};
use crate::io::netlink::xfrm;

/// A warning, if this host has any.
pub fn warning() -> Result<Option<String>, BpfError> {
    let count = xfrm::policies().during(|| "count IPsec policies".to_owned())?;
    Ok((count > 0).then(|| {
        format!(
            "this host has IPsec policies ({count}), and XDP heeds none: they encrypt nothing of what it forwards, and tunnels' \
             packets that arrive encrypted do not reach it"
        )
    }))
}
