//! Programs of somebody else's on a host's interfaces.

use std::os::fd::{AsFd as _, OwnedFd};

use anyhow::{Context as _, Result};
use aya::{Ebpf, programs::SchedClassifier};
use re6st_user::io::bpf_call::{self, Attachment};

use crate::host::Host;

static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("TESTBED_OBJECT"));

/// A program that is not ours. Gone when dropped.
pub struct Foreign {
    _link: OwnedFd,
}

impl Foreign {
    /// At TC ingress, before all that is there (tcx): lets every packet go to the kernel, and no later program see it.
    pub fn take_all(host: &Host, interface: &str) -> Result<Self> {
        let mut object = Ebpf::load(OBJECT).context("load the testbed's programs")?;
        let program: &mut SchedClassifier = object
            .program_mut("take_all")
            .context("no program take_all")?
            .try_into()?;
        program.load()?;
        let shown = host.ip_json(&["link", "show", "dev", interface])?;
        let index = shown[0]["ifindex"].as_u64().context("no index")?;
        let program = program.fd()?.as_fd();
        let link =
            host.enter(|| bpf_call::create_link(program, index as u32, Attachment::TcIngress))?;
        Ok(Self {
            _link: link.context("attach a program of somebody else's")?,
        })
    }
}
