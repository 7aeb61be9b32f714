//! Tunnels come and go while everything goes on: they are opened, changed and closed one by one, where nothing but they is
//! another.

use std::{collections::BTreeMap, thread, time::Duration};

use anyhow::{Result, bail};

use super::{
    controller::Controller, host::due::Look, peers, reload::is_another, transport::tunnel_id,
};
use crate::{
    babel::input::{Input, InterfaceId},
    config::{Config, Tunnel},
    dataplane::{
        DataPlane as _,
        bpf::{
            BpfError,
            load::{
                in_place,
                present::{self, Missing},
            },
            offloads,
            resolve::{self, ResolvedTunnel},
            stacking::Stacking,
        },
    },
    tunnel::{TunnelDriver as _, TunnelError},
};

/// For routes to leave tunnels that are to be closed; then others wait.
const LEAVING: Duration = Duration::from_millis(200);

/// How tunnels become those of a configuration.
#[derive(Default)]
pub(super) struct Steps {
    /// Those to be closed, with their numbers.
    close: BTreeMap<String, u32>,
    open: Vec<ResolvedTunnel>,
    change: Vec<(InterfaceId, ResolvedTunnel)>,
    missing: Missing,
}

impl Controller {
    /// How tunnels become those of a configuration; `None` if that, or what else it changes, takes a load.
    pub(super) fn steps(&mut self, then: &Config) -> Result<Option<Steps>, BpfError> {
        let numbers = &self.instance.manifest.tunnels;
        let goes = |name: &str| {
            let stays = then.tunnel(name);
            stays.is_none_or(|then| {
                self.config
                    .tunnel(name)
                    .is_none_or(|now| is_another(now, then))
            })
        };
        let mut steps = Steps {
            close: numbers
                .iter()
                .filter(|(name, _)| goes(name))
                .map(|(name, number)| (name.clone(), *number))
                .collect(),
            missing: self.instance.manifest.missing.clone(),
            ..Steps::default()
        };
        steps
            .missing
            .retain(|what, _| what.starts_with(present::INTERFACE));
        let open = self.transport.tunnels.iter();
        let open: BTreeMap<String, (InterfaceId, ResolvedTunnel)> = open
            .map(|(id, link)| {
                (
                    link.resolved.tunnel.name.clone(),
                    (*id, link.resolved.clone()),
                )
            })
            .collect();
        let stacking = Stacking::query(&mut self.host.netlink)?;
        let mut stay = Vec::new();
        for tunnel in &then.tunnels {
            let known = open
                .get(&tunnel.name)
                .filter(|(_, known)| !is_another(&known.tunnel, tunnel));
            match known {
                Some((_, known)) if known.tunnel == *tunnel => stay.push(known.clone()),
                Some((id, known)) => match self.way(then, tunnel, &stacking) {
                    Ok(changed) => steps.change.push((*id, changed)),
                    // whatever is amiss is told when its way is looked at
                    Err(_) => steps.change.push((
                        *id,
                        ResolvedTunnel {
                            tunnel: tunnel.clone(),
                            ..known.clone()
                        },
                    )),
                },
                None => match self.way(then, tunnel, &stacking) {
                    Ok(found) => steps.open.push(found),
                    Err(why) => drop(
                        steps
                            .missing
                            .insert(present::tunnel_key(&tunnel.name), why.to_string()),
                    ),
                },
            }
        }
        let before = open.into_values().map(|(_, known)| ResolvedTunnel {
            mtu: self.instance.loaded_mtu(&known),
            ..known
        });
        let before: Vec<ResolvedTunnel> = before.collect();
        stay.extend(steps.open.iter().cloned());
        stay.extend(steps.change.iter().map(|(_, changed)| changed.clone()));
        let suffice =
            in_place::suffices(&self.config, then, &self.instance.manifest, &before, &stay)
                && self.numbers(steps.open.len()).is_some();
        Ok(suffice.then_some(steps))
    }

    /// The way to a peer, by an interface whose program will see its packets.
    pub(super) fn way(
        &mut self,
        config: &Config,
        tunnel: &Tunnel,
        stacking: &Stacking,
    ) -> Result<ResolvedTunnel, BpfError> {
        let host = &mut self.host;
        let device = self.installer.device();
        let found = resolve::again(config, tunnel, &host.attached, device, &mut host.netlink)?;
        match stacking.hidden(&tunnel.name, found.interface, &host.attached) {
            Some(why) => Err(BpfError::Conflict(why)),
            None => Ok(found),
        }
    }

    /// Numbers that no next hop has; `None` if there are not so many.
    fn numbers(&self, count: usize) -> Option<Vec<u32>> {
        let mut from = 0;
        let mut next = || {
            let number = self.installer.plane.free_next_hop(from).ok()?;
            from = number + 1;
            Some(number)
        };
        (0..count).map(|_| next()).collect()
    }

    /// Makes tunnels those of a configuration; what people should know of it.
    ///
    /// # Errors
    /// Routes still lead through those that go, or what was done cannot be written down.
    pub(super) fn take(&mut self, then: Config, steps: Steps) -> Result<Vec<String>> {
        self.close(steps.close)?;
        // what is written down first is known after whatever end
        let numbers = self.numbers(steps.open.len()).unwrap_or_default();
        let mut tunnels = self.instance.manifest.tunnels.clone();
        tunnels.retain(|name, _| {
            let mut open = self.transport.tunnels.values();
            open.any(|link| link.resolved.tunnel.name == *name)
        });
        let names = steps.open.iter().map(|found| found.tunnel.name.clone());
        tunnels.extend(names.zip(numbers.iter().copied()));
        let mut missing = steps.missing;
        self.instance.record(tunnels.clone(), missing.clone())?;
        self.config = then;
        self.installer.set_peers(
            self.config
                .tunnels
                .iter()
                .map(|tunnel| tunnel.remote)
                .collect(),
        );
        let underlays: Vec<_> = steps.open.iter().map(Into::into).collect();
        let mut told = offloads::warnings(&self.host.attached, &underlays);
        for (number, found) in numbers.into_iter().zip(steps.open) {
            if let Err(error) = self.installer.open_tunnel(number, &found) {
                let name = &found.tunnel.name;
                tunnels.remove(name);
                missing.insert(present::tunnel_key(name), format!("tunnel {name}: {error}"));
                continue;
            }
            self.transport
                .add_tunnel(tunnel_id(number), self.instance.opened(&found));
        }
        if tunnels.len() < self.instance.manifest.tunnels.len() {
            self.instance.record(tunnels, missing.clone())?;
        }
        self.troubles.loaded(&missing);
        for (id, changed) in steps.change {
            self.change_tunnel_and_tell(id, changed);
        }
        told.extend(
            missing
                .values()
                .map(|why| format!("{why}; it will be used when that changes")),
        );
        self.journal.renumber(&self.instance.numbers()?);
        self.host.due.note(&Look::HOST);
        Ok(told
            .into_iter()
            .map(|text| format!("WARNING: {text}"))
            .collect())
    }

    /// Babel's neighbours behind such tunnels are gone; when no route leads there any more, they are closed.
    fn close(&mut self, mut tunnels: BTreeMap<String, u32>) -> Result<()> {
        for (name, number) in &tunnels {
            let interface = tunnel_id(*number);
            self.state.kept.neighbours.remove(name);
            self.transport.remove_tunnel(interface);
            self.installer.exits.remove(&interface);
            self.known.remove(&interface);
            self.handle(Input::InterfaceRemoved { interface });
        }
        for (_, number) in tunnels.extract_if(.., |name, _| peers::node(name).is_some()) {
            // who may not be there any more is cut off at once
            self.installer.tunnels().cut(number)?;
            self.peers
                .iter_mut()
                .for_each(|peers| peers.close_when_left(number));
        }
        let until = self.now() + LEAVING;
        loop {
            self.carry_out();
            let mut failed = None;
            tunnels.retain(
                |name, number| match self.installer.tunnels().close(*number) {
                    Ok(()) => false,
                    Err(error) => {
                        failed = Some((name.clone(), error));
                        true
                    }
                },
            );
            match failed {
                None => return Ok(()),
                Some((_, TunnelError::InUse { .. })) if self.now() < until => {
                    thread::sleep(Duration::from_millis(1));
                }
                Some((name, error)) => bail!("tunnel {name} is not closed yet: {error}"),
            }
        }
    }

    /// Opens what was missing and can be used now. Whether that was all there is to do.
    pub(super) fn open_arrivals(&mut self, arrivals: &[String]) -> bool {
        if arrivals.is_empty() {
            return false;
        }
        let config = self.config.clone();
        let outcome = match self.steps(&config) {
            Ok(Some(steps)) if !steps.open.is_empty() => self.take(config, steps),
            Ok(_) => return false,
            Err(error) => Err(error.into()),
        };
        let outcome = outcome.map(|told| {
            self.say(&format!("{}: opened", arrivals.join("; ")));
            told.iter().for_each(|told| self.say(told));
            None
        });
        self.tell("what was missing", outcome);
        true
    }
}
