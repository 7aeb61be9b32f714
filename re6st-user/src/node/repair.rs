//! What somebody else has changed of the loaded instance is put right, and what was missing at the start is taken up: both
//! by loading again, which replaces everything without losing a packet.

use std::time::Instant;

use anyhow::{Context as _, Result, anyhow};

use super::{controller::Controller, reload::is_another, surroundings::BETWEEN_LOOKS};
use crate::{
    babel::input::{Input, InterfaceId},
    dataplane::bpf::{
        BpfError,
        load::{Summary, present},
        resolve,
    },
    io::bpffs,
};

impl Controller {
    /// Looks at what was loaded: the mesh device, its addresses and static routes.
    ///
    /// # Errors
    /// It cannot go on: somebody has unloaded the instance, or taken the mesh device away and it cannot be made again.
    pub(super) fn look_at_instance(&mut self) -> Result<()> {
        let recent = |looked: Instant| looked.elapsed() < BETWEEN_LOOKS;
        if self.surroundings.looked_at_instance.is_some_and(recent) {
            return Ok(());
        }
        // the kernel may have nothing to tell of the end of a load that goes on
        let loading = bpffs::is_locked(self.instance.pins.bpffs()).unwrap_or(false);
        self.surroundings.instance = loading;
        self.surroundings.looked_at_instance = Some(Instant::now());
        if loading {
            return Ok(());
        }
        match self.instance.losses(&mut self.netlink) {
            Ok(losses) => self.load_again("what was loaded", &losses),
            Err(error @ BpfError::Unloaded(_)) => Err(error.into()),
            // routes changed while they were read
            Err(BpfError::Netlink { source, .. }) if source.is(libc::EINTR) => {
                self.surroundings.instance = true;
                Ok(())
            }
            Err(error) => {
                let error = Err(error.into());
                self.surroundings
                    .tell(&mut self.log, "what was loaded", error);
                Ok(())
            }
        }
    }

    /// What was missing when the instance was loaded and is there now.
    pub(super) fn arrivals(&mut self) -> Vec<String> {
        let manifest = &self.instance.manifest;
        let known = |index| {
            let mut records = manifest.interfaces.iter();
            records.any(|record| record.index == index)
        };
        let attached = &self.surroundings.attached;
        let mut arrivals: Vec<String> = attached
            .values()
            .filter(|interface| interface.address.is_some() && !known(interface.index))
            .map(|interface| format!("{} is there", interface.name))
            .collect();
        let mut tell = Vec::new();
        let missing = |name: &String| manifest.missing.contains_key(&present::tunnel_key(name));
        for tunnel in &self.config.tunnels {
            if !missing(&tunnel.name) {
                continue;
            }
            let found = resolve::again(
                &self.config,
                tunnel,
                attached,
                self.installer.device(),
                &mut self.netlink,
            );
            match found {
                Ok(_) => arrivals.push(format!("tunnel {} can be used", tunnel.name)),
                Err(error) => {
                    let what = present::tunnel_key(&tunnel.name);
                    tell.push((what, error));
                }
            }
        }
        for (what, error) in tell {
            self.surroundings
                .tell(&mut self.log, &what, Err(error.into()));
        }
        arrivals
    }

    /// Loads again, if there is a reason. `about`: what the reasons are about.
    ///
    /// # Errors
    /// As [`Self::look_at_instance`].
    pub(super) fn load_again(&mut self, about: &str, reasons: &[String]) -> Result<()> {
        if reasons.is_empty() {
            self.surroundings.tell(&mut self.log, about, Ok(None));
            return Ok(());
        }
        let why = reasons.join("; ");
        if !self.instance.may_load() {
            let often = anyhow!("{why}; this happens too often to be put right at once");
            self.surroundings.tell(&mut self.log, about, Err(often));
            return Ok(());
        }
        let installed = self.speaker.installed();
        let kept = self.installer.kept(&installed);
        let renamed = &self.surroundings.named;
        match self.instance.load_again(&self.config, &kept, renamed) {
            Ok(summary) => {
                self.log.say(&format!("{why}: loaded again"));
                for warning in &summary.warnings {
                    self.log.say(&format!("WARNING: {warning}"));
                }
                self.surroundings.tell(&mut self.log, about, Ok(None));
                self.adopt(summary)
            }
            Err(error @ BpfError::Unloaded(_)) => Err(error.into()),
            Err(error) if !self.instance.has_device(&mut self.netlink) => {
                Err(error).context("the mesh device is gone and cannot be made again")
            }
            Err(error) => {
                let error = anyhow!(error).context(why);
                self.surroundings.tell(&mut self.log, about, Err(error));
                Ok(())
            }
        }
    }

    /// Goes on with what was loaded anew.
    pub(super) fn adopt(&mut self, summary: Summary) -> Result<()> {
        let tunnels = self.instance.tunnels(&summary.tunnels);
        let before = self.transport.set_tunnels(tunnels);
        let gone: Vec<InterfaceId> = before
            .into_iter()
            .filter(|(id, before)| {
                let now = self.transport.tunnels.get(id);
                now.is_none_or(|now| is_another(&now.resolved.tunnel, &before.resolved.tunnel))
            })
            .map(|(id, _)| id)
            .collect();
        let numbers = self.instance.numbers()?;
        self.journal.renumber(&numbers);
        let (context, exits) = self.instance.context(&self.config, summary)?;
        self.installer.adopt(context, exits);
        for interface in gone {
            self.known.remove(&interface);
            self.handle(Input::InterfaceRemoved { interface });
        }
        self.surroundings.loaded(&self.instance.manifest.missing);
        Ok(())
    }
}
