//! What somebody else has changed of the loaded instance is put right, and interfaces that were missing at the start are taken
//! up: both by loading again, which replaces everything without losing a packet.

use anyhow::{Context as _, Result, anyhow};

use super::{controller::Controller, host::due::Look, peers::Peers, reload::is_another};
use crate::{
    babel::input::{Input, InterfaceId},
    dataplane::bpf::{BpfError, load::Summary},
};

impl Controller {
    /// What somebody else has changed of what was loaded is put right.
    ///
    /// # Errors
    /// It cannot go on: somebody has unloaded the instance, or taken the mesh device away and it cannot be made again.
    pub(super) fn put_right(&mut self, losses: Result<Vec<String>, BpfError>) -> Result<()> {
        match losses {
            Ok(losses) => self.load_again("what was loaded", &losses),
            Err(error @ BpfError::Unloaded(_)) => Err(error.into()),
            Err(error) => {
                self.tell("what was loaded", Err(error.into()));
                Ok(())
            }
        }
    }

    /// Loads again, if there is a reason. `about`: what the reasons are about.
    ///
    /// # Errors
    /// As [`Self::put_right`].
    pub(super) fn load_again(&mut self, about: &str, reasons: &[String]) -> Result<()> {
        if reasons.is_empty() {
            self.tell(about, Ok(None));
            return Ok(());
        }
        let why = reasons.join("; ");
        if !self.instance.may_load(self.now()) {
            let often = anyhow!("{why}; this happens too often to be put right at once");
            self.tell(about, Err(often));
            return Ok(());
        }
        let installed = self.routing.installed();
        let kept = self.installer.kept(&installed);
        let (now, renamed) = (self.now(), &self.host.named);
        match self.instance.load_again(now, &self.config, &kept, renamed) {
            Ok(summary) => {
                self.say(&format!("{why}: loaded again"));
                for warning in &summary.warnings {
                    self.say(&format!("WARNING: {warning}"));
                }
                self.tell(about, Ok(None));
                self.adopt(summary)
            }
            Err(error @ BpfError::Unloaded(_)) => Err(error.into()),
            Err(error) if !self.instance.has_device(&mut self.host.netlink) => {
                Err(error).context("the mesh device is gone and cannot be made again")
            }
            Err(error) => {
                let error = anyhow!(error).context(why);
                self.tell(about, Err(error));
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
        self.judge_handshakes();
        // those that were still to be closed are not in these maps
        self.peers.iter_mut().for_each(Peers::nothing_to_close);
        for interface in gone {
            self.known.remove(&interface);
            self.handle(Input::InterfaceRemoved { interface });
        }
        self.troubles.loaded(&self.instance.manifest.missing);
        self.host.due.note(&Look::HOST);
        Ok(())
    }
}
