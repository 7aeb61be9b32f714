//! Several instances on one host: the first of them sees a frame first, and gives what it does not know to the next.
//!
//! An interface has one XDP link. It is pinned by the first instance that uses the interface and carries that one's
//! program; NEXT_INSTANCE of each names the program of the next. The order is that of the first loads. Instances are of
//! one chain if they share an interface, or are joined by others that do.

use std::{
    collections::{BTreeMap, BTreeSet},
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
};

use super::{
    attach::{self, Hook},
    error::{BpfError, During as _},
    manifest::{InterfaceRecord, Manifest},
    pins::Pins,
    rollback::Rollback,
    xdp_program,
};
use crate::io::{bpf_call, bpffs};

const NEXT_INSTANCE: &str = "NEXT_INSTANCE";

/// Another instance of the same network namespace.
#[derive(Clone, Debug)]
pub struct OtherInstance {
    /// Where it is pinned.
    pub pins: Pins,
    /// What it did.
    pub manifest: Manifest,
}

/// The other instances of this network namespace, in their order.
pub fn others(pins: &Pins, network_namespace: u64) -> Result<Vec<OtherInstance>, BpfError> {
    let mut others = Vec::new();
    for other in Pins::all(pins.bpffs())? {
        if other.instance() == pins.instance() {
            continue;
        }
        let manifest = match Manifest::of(&other)? {
            Some(manifest) => Some(manifest),
            None => Manifest::of_unfinished(&other)?,
        };
        if let Some(manifest) = manifest
            && manifest.network_namespace == network_namespace
        {
            others.push(OtherInstance {
                pins: other,
                manifest,
            });
        }
    }
    others.sort_by_key(|other| other.manifest.order);
    Ok(others)
}

impl OtherInstance {
    fn interfaces(&self) -> BTreeSet<u32> {
        indexes(&self.manifest)
    }

    /// Its record of an interface.
    pub fn record(&self, interface: u32) -> Option<&InterfaceRecord> {
        self.manifest
            .interfaces
            .iter()
            .find(|record| record.index == interface)
    }

    fn program(&self) -> Result<OwnedFd, BpfError> {
        let path = self.pins.object(xdp_program(self.manifest.frags));
        bpf_call::open_pin(&path).during(|| {
            format!(
                "open {} (if instance {} is half loaded, load or unload it first)",
                path.display(),
                self.pins.instance()
            )
        })
    }
}

fn indexes(manifest: &Manifest) -> BTreeSet<u32> {
    manifest
        .interfaces
        .iter()
        .map(|record| record.index)
        .collect()
}

/// Who is first on each interface, and who comes after whom. Members are numbered in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Order {
    first: BTreeMap<u32, usize>,
    next: Vec<Option<usize>>,
}

impl Order {
    /// `members`: the interfaces of each.
    fn new(members: &[BTreeSet<u32>]) -> Self {
        // the number of each member's chain: that of the first member of it
        let mut chain: Vec<usize> = (0..members.len()).collect();
        for later in 0..members.len() {
            for earlier in 0..later {
                if !members[earlier].is_disjoint(&members[later]) {
                    let (joined, into) = (chain[later], chain[earlier]);
                    for number in &mut chain {
                        if *number == joined {
                            *number = into;
                        }
                    }
                }
            }
        }
        let mut first = BTreeMap::new();
        for (member, interfaces) in members.iter().enumerate() {
            for interface in interfaces {
                first.entry(*interface).or_insert(member);
            }
        }
        let next = (0..members.len())
            .map(|member| (member + 1..members.len()).find(|later| chain[*later] == chain[member]))
            .collect();
        Self { first, next }
    }
}

/// The instance that is being loaded, among the others.
pub struct Chain<'a> {
    others: &'a [OtherInstance],
    /// Its number among all.
    own: usize,
    order: Order,
}

impl<'a> Chain<'a> {
    /// `manifest`: of the instance that is being loaded.
    pub fn new(others: &'a [OtherInstance], manifest: &Manifest) -> Result<Self, BpfError> {
        let own = others
            .iter()
            .filter(|other| other.manifest.order < manifest.order)
            .count();
        let mut members: Vec<BTreeSet<u32>> =
            others.iter().map(OtherInstance::interfaces).collect();
        members.insert(own, indexes(manifest));
        let chain = Self {
            others,
            own,
            order: Order::new(&members),
        };
        chain.check_frags(manifest)?;
        Ok(chain)
    }

    /// A program may only give frames to one that handles split frames as itself does.
    fn check_frags(&self, manifest: &Manifest) -> Result<(), BpfError> {
        let before = (0..self.own)
            .rev()
            .find(|member| self.order.next[*member] == Some(self.own));
        for member in before.into_iter().chain(self.order.next[self.own]) {
            let Some(other) = self.other(member) else {
                continue;
            };
            if other.manifest.frags != manifest.frags {
                return Err(BpfError::Conflict(format!(
                    "instance {} shares an interface with instance {}, but one of them is on an interface with an MTU above \
                     3498 bytes (split frames) and the other is not, and the kernel lets no program of one kind call one of \
                     the other. Give both an interface of such an MTU, or none",
                    manifest.instance, other.manifest.instance
                )));
            }
        }
        Ok(())
    }

    fn other(&self, member: usize) -> Option<&'a OtherInstance> {
        match member.cmp(&self.own) {
            std::cmp::Ordering::Less => self.others.get(member),
            std::cmp::Ordering::Equal => None,
            std::cmp::Ordering::Greater => self.others.get(member - 1),
        }
    }

    /// Whether the instance that is being loaded sees an interface's frames first.
    pub fn is_first(&self, interface: u32) -> bool {
        self.order.first.get(&interface) == Some(&self.own)
    }

    /// Whether another instance is on an interface too.
    pub fn is_shared(&self, interface: u32) -> bool {
        self.others
            .iter()
            .any(|other| other.record(interface).is_some())
    }

    /// The other instance that has an interface's XDP link.
    pub fn holder(&self, interface: u32) -> Result<Option<(&'a OtherInstance, OwnedFd)>, BpfError> {
        holder(self.others, interface)
    }

    /// Makes the new NEXT_INSTANCE name the next program. `map`: where it is pinned.
    pub fn set_own_next(&self, map: &std::path::Path) -> Result<(), BpfError> {
        let next = self.order.next[self.own].and_then(|member| self.other(member));
        let program = next.map(OtherInstance::program).transpose()?;
        let what = || format!("write {}", map.display());
        let map = bpf_call::open_pin(map).during(what)?;
        bpf_call::set_program_in(&map, 0, program.as_ref().map(|program| program.as_fd()))
            .during(what)
    }

    /// Makes the others' NEXT_INSTANCE name who comes after them. `program`: of the instance that is being loaded.
    pub fn set_others_next(
        &self,
        program: BorrowedFd<'_>,
        rollback: &mut Rollback,
    ) -> Result<(), BpfError> {
        for member in 0..self.order.next.len() {
            let Some(other) = self.other(member) else {
                continue;
            };
            match self.order.next[member] {
                Some(next) if next == self.own => set_next(&other.pins, Some(program), rollback)?,
                Some(next) => {
                    let next = self.other(next).map(OtherInstance::program).transpose()?;
                    set_next(
                        &other.pins,
                        next.as_ref().map(|next| next.as_fd()),
                        rollback,
                    )?;
                }
                None => set_next(&other.pins, None, rollback)?,
            }
        }
        Ok(())
    }
}

/// The instance that has an interface's XDP link.
pub fn holder(
    others: &[OtherInstance],
    interface: u32,
) -> Result<Option<(&OtherInstance, OwnedFd)>, BpfError> {
    for other in others {
        if let Some(link) = attach::live_link(&other.pins, Hook::Xdp(interface))? {
            return Ok(Some((other, link)));
        }
    }
    Ok(None)
}

fn set_next(
    pins: &Pins,
    program: Option<BorrowedFd<'_>>,
    rollback: &mut Rollback,
) -> Result<(), BpfError> {
    let path = pins.object(NEXT_INSTANCE);
    let what = {
        let path = path.display().to_string();
        move || format!("write {path}")
    };
    let map = bpf_call::open_pin(&path).during(&what)?;
    let before = bpf_call::program_in(&map, 0)
        .and_then(|id| id.map(bpf_call::program_by_id).transpose())
        .during(&what)?;
    if before.is_none() && program.is_none() {
        return Ok(());
    }
    bpf_call::set_program_in(&map, 0, program).during(&what)?;
    rollback.push(move || {
        let before = before.as_ref().map(|before| before.as_fd());
        bpf_call::set_program_in(&map, 0, before).during(what)
    });
    Ok(())
}

/// Moves an interface's XDP link from one instance's pins to another's.
pub fn move_link(
    from: &Pins,
    to: &Pins,
    interface: u32,
    rollback: &mut Rollback,
) -> Result<(), BpfError> {
    let name = Hook::Xdp(interface).link_name();
    let (from, to) = (from.link(&name), to.link(&name));
    bpffs::rename(&from, &to)?;
    rollback.push(move || Ok(bpffs::rename(&to, &from)?));
    Ok(())
}

/// Takes an instance off an interface: its XDP link goes to the next instance there, or is detached.
pub fn release(pins: &Pins, interface: u32, others: &[OtherInstance]) -> Result<(), BpfError> {
    let hook = Hook::Xdp(interface);
    let heir = others
        .iter()
        .find(|other| other.record(interface).is_some());
    if let Some(heir) = heir
        && let Some(link) = attach::live_link(pins, hook)?
    {
        let program = heir.program()?;
        bpf_call::update_link(link.as_fd(), program.as_fd()).during(|| {
            format!(
                "give interface {interface} to instance {}",
                heir.pins.instance()
            )
        })?;
        bpffs::rename(
            &pins.link(&hook.link_name()),
            &heir.pins.link(&hook.link_name()),
        )?;
        return Ok(());
    }
    attach::remove_link(pins, hook)
}

/// Takes an instance that is going away out of its chain: nobody gives frames to it any more. (Its interfaces are to be
/// [released](release) after that.)
pub fn leave(others: &[OtherInstance]) -> Result<(), BpfError> {
    let members: Vec<BTreeSet<u32>> = others.iter().map(OtherInstance::interfaces).collect();
    let order = Order::new(&members);
    let mut rollback = Rollback::default();
    for (member, other) in others.iter().enumerate() {
        let next = order.next[member]
            .map(|next| others[next].program())
            .transpose()?;
        set_next(
            &other.pins,
            next.as_ref().map(|next| next.as_fd()),
            &mut rollback,
        )?;
    }
    rollback.commit();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Interfaces of each member; who is first on interfaces 1, 2, 3; who comes after whom.
    type Case = (
        &'static [&'static [u32]],
        [Option<usize>; 3],
        &'static [Option<usize>],
    );

    #[test]
    fn the_first_load_sees_frames_first_and_gives_them_on_within_its_chain() {
        let cases: [Case; 6] = [
            (&[&[1]], [Some(0), None, None], &[None]),
            (&[&[1], &[1]], [Some(0), None, None], &[Some(1), None]),
            (&[&[1], &[2]], [Some(0), Some(1), None], &[None, None]),
            (
                &[&[1], &[2], &[1]],
                [Some(0), Some(1), None],
                &[Some(2), None, None],
            ),
            // joined by the third
            (
                &[&[1], &[2], &[1, 2]],
                [Some(0), Some(1), None],
                &[Some(1), Some(2), None],
            ),
            (
                &[&[1, 2], &[1], &[2, 3]],
                [Some(0), Some(0), Some(2)],
                &[Some(1), Some(2), None],
            ),
        ];
        for (members, first, next) in cases {
            let sets: Vec<BTreeSet<u32>> = members
                .iter()
                .map(|member| member.iter().copied().collect())
                .collect();

            let order = Order::new(&sets);

            let found = [1, 2, 3].map(|interface| order.first.get(&interface).copied());
            assert_eq!(found, first, "{members:?}");
            assert_eq!(order.next, next, "{members:?}");
        }
    }
}
