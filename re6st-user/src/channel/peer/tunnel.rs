//! The tunnel that goes with a peer's sessions: what it should be, and when that is told.

use std::net::SocketAddr;

use super::{Carrier, Peer, carrier, headers};
use crate::{
    channel::{
        context::Context,
        event::Event,
        output::{Output, Tunnel},
        wire::message::{Encapsulation, TunnelTerms},
    },
    rate::Rate,
};

/// Changes of a tunnel that no session needs.
const TUNNEL_CHANGES: Rate = Rate {
    count: 4,
    seconds: 4,
};
/// What every tunnel is taken to carry until something else is known (RFC 8200, section 5).
const LEAST_INNER: u16 = 1_280;

impl Peer {
    /// The tunnel as it should be; none before the peer has said anything of it.
    pub(super) fn wanted_tunnel(&self, context: &Context<'_>) -> Option<Tunnel> {
        let terms = self.tunnel_carrier()?.terms?;
        let remote = self.address?;
        let local = self
            .local
            .or_else(|| self.tunnel.as_ref().map(|it| it.local))?;
        let ready = self.carriers.iter().rev();
        let ready = ready.filter(|it| it.is_ready() || it.terms.is_some());
        let overhead = headers(remote) + 8;
        let fits = self.path.size().saturating_sub(overhead);
        let fits = match self.path.is_known() {
            true => fits,
            false => fits.max(LEAST_INNER),
        };
        let nat = terms.behind_nat || self.is_behind_nat(context);
        Some(Tunnel {
            remote,
            local,
            accept: ready.map(|it| it.key).collect(),
            send: terms.key,
            mtu: fits.min(terms.largest).min(context.settings.inner_mtu),
            fixed_source_port: nat || !terms.open,
            nat,
        })
    }

    /// The session whose terms are those of the tunnel.
    pub(super) fn tunnel_carrier(&self) -> Option<&Carrier> {
        self.current().or_else(|| {
            let mut newest = self.carriers.iter().rev();
            newest.find(|it| it.terms.is_some())
        })
    }

    /// What sessions need, and a way that has become narrow, is told at once; other changes now and then, for the peer can
    /// make as many as it likes.
    pub(super) fn update_tunnel(&mut self, context: &mut Context<'_>) {
        let now = context.now();
        self.tunnel_at = None;
        let wanted = self.wanted_tunnel(context);
        let Some(wanted) = wanted.filter(|tunnel| self.tunnel.as_ref() != Some(tunnel)) else {
            return;
        };
        let by = self.tunnel_carrier().map(|it| it.session.index());
        let needed = self.tunnel.as_ref().is_none_or(|before| {
            let mtu = wanted.mtu;
            let narrower = mtu < before.mtu
                && wanted
                    == Tunnel {
                        mtu,
                        ..before.clone()
                    };
            by != self.tunnel_by || wanted.accept != before.accept || narrower
        });
        if !needed && let Err(wait) = self.tunnel_changes.take(TUNNEL_CHANGES, now) {
            self.tunnel_at = Some(now + wait);
            return;
        }
        (self.tunnel, self.tunnel_by) = (Some(wanted.clone()), by);
        let (peer, tunnel) = (self.node, wanted);
        context.outputs.push(Output::Tunnel { peer, tunnel });
    }

    /// The peer sees us elsewhere than we are.
    pub(super) fn is_behind_nat(&self, context: &Context<'_>) -> bool {
        let (Some(seen), Some(local)) = (self.seen_at, self.local) else {
            return false;
        };
        (seen.ip().to_canonical(), seen.port()) != (local.to_canonical(), context.settings.port)
    }

    /// The peer says where it sees us.
    pub(super) fn is_seen_at(&mut self, context: &mut Context<'_>, seen: SocketAddr) {
        let before = self.is_behind_nat(context);
        self.seen_at = Some(seen);
        let behind = self.is_behind_nat(context);
        if behind && !self.nat_said {
            self.nat_said = true;
            let peer = self.node;
            context.event(Event::BehindNat { peer, seen });
        }
        if behind != before {
            let now = context.now();
            for carrier in self.carriers.iter_mut().filter(|it| it.is_ready()) {
                carrier.terms_changed = true;
                carrier.repeat = carrier::Repeat::new(now);
            }
        }
    }

    /// What we say of the tunnel in a session.
    pub(super) fn own_terms(&self, context: &Context<'_>, carrier: &Carrier) -> TunnelTerms {
        TunnelTerms {
            key: carrier.key,
            largest: context.settings.inner_mtu,
            encapsulation: Encapsulation::Fou,
            has_yours: carrier.terms.is_some(),
            behind_nat: self.is_behind_nat(context),
            complete: carrier.is_complete() && !carrier.terms_changed,
            open: self.came_unasked,
        }
    }
}
