//! Nodes that may be behind NATs are asked to call us while we call them.

use super::world::{OWN, Ways, World, address, generator, known, node};
use crate::{
    mesh::{Closing, Input, Known, Mesh, OpenFailure, Output, QuestionId, Settings, Source},
    time::Time,
};

/// Our mesh, and ways to these nodes.
struct Caller {
    mesh: Mesh,
    ways: Ways,
}

impl Caller {
    fn new() -> Self {
        let mut caller = Self {
            mesh: Mesh::new(node(OWN), Settings::default()),
            ways: Ways::default(),
        };
        caller.put(Input::OwnAddresses(vec![address(OWN)]));
        caller
    }

    fn put(&mut self, input: Input) -> Vec<Output> {
        let mut outputs = Vec::new();
        let (ways, mut random) = (&self.ways, generator(1));
        self.mesh
            .handle(Time(1), input, ways, &mut random, &mut outputs);
        outputs
    }

    /// The registry names a node.
    fn learn(&mut self, peer: Known) -> Vec<Output> {
        self.put(Input::Learned {
            source: Source::Registry,
            peers: vec![peer],
        })
    }
}

fn opens(outputs: &[Output]) -> bool {
    let mut outputs = outputs.iter();
    outputs.any(|output| matches!(output, Output::Open { .. }))
}

/// The question in which a node is asked to call us.
fn introduction(outputs: &[Output]) -> Option<QuestionId> {
    outputs.iter().find_map(|output| match output {
        Output::Ask {
            id, reach_us: true, ..
        } => Some(*id),
        _ => None,
    })
}

/// What happens when the registry names the only node that a route leads to.
fn named(peer: Known) -> (Caller, Vec<Output>) {
    let mut caller = Caller::new();
    caller.ways = Ways::to([1]);
    let outputs = caller.learn(peer);
    (caller, outputs)
}

#[test]
fn one_that_may_be_behind_a_nat_is_asked_over_the_mesh_to_call_us() {
    let (_, outputs) = named(known(1));
    assert!(opens(&outputs), "{outputs:?}");
    assert!(introduction(&outputs).is_some(), "{outputs:?}");
}

#[test]
fn one_that_is_open_is_only_called() {
    let mut open = known(1);
    open.addresses[0].is_open = true;
    let (_, outputs) = named(open);
    assert!(opens(&outputs), "{outputs:?}");
    assert_eq!(introduction(&outputs), None);
}

#[test]
fn one_to_which_no_route_leads_is_only_called() {
    let mut caller = Caller::new();
    let outputs = caller.learn(known(1));
    assert!(opens(&outputs), "{outputs:?}");
    assert_eq!(introduction(&outputs), None);
}

#[test]
fn one_that_has_no_room_is_not_called_any_longer() {
    let (mut caller, outputs) = named(known(1));
    let id = introduction(&outputs).expect("a question");
    let answer = |has_room| Input::Answered {
        by: known(1),
        id,
        has_room,
        metrics: Vec::new(),
    };
    assert!(caller.put(answer(true)).is_empty());
    let why = Closing::NotNeeded;
    let outputs = caller.put(answer(false));
    assert!(
        outputs.contains(&Output::Close { node: node(1), why }),
        "{outputs:?}"
    );
    assert_eq!(caller.mesh.counters().full_peers, 1);
    assert_eq!(caller.mesh.counters().unasked_answers, 0);
}

/// Who comes after we have called it says nothing of whether others can come.
#[test]
fn only_who_comes_without_an_invitation_shows_that_others_can_reach_us() {
    for reach_us in [true, false] {
        let mut world = World::new(Settings::default(), 1);
        world.opens = |_| Err(OpenFailure::Unreachable);
        world.put(Input::Asked {
            by: known(1),
            id: QuestionId(1),
            destinations: Vec::new(),
            reach_us,
        });
        world.called_by(1);
        assert_eq!(world.mesh.is_reachable(world.now), !reach_us);
    }
}
