//! What nodes ask each other over the mesh.

use std::{net::Ipv6Addr, sync::Arc};

use super::{Controller, known};
use crate::{
    babel::input::InterfaceId,
    certificate::{node_prefix::NodePrefix, record::NodeRecord},
    io::datagram::Socket,
    mesh::{
        Input, Metric, QuestionId,
        message::{Content, Message, MessageError, PORT, Unproven},
    },
    rate::{Bucket, Rate},
};

/// Messages whose signatures are looked at: each takes a quarter of a millisecond.
const VERIFIED: Rate = Rate {
    count: 200,
    seconds: 2,
};
/// Datagrams that are taken in one turn.
const BATCH: usize = 64;

/// How this node asks, and is asked.
#[derive(Debug, Default)]
pub struct Questions {
    /// At our address in the mesh; none before it could be opened.
    pub socket: Option<Socket>,
    /// What this node says of itself.
    pub own: Option<Arc<NodeRecord>>,
    budget: Bucket,
}

impl Questions {
    /// Opens the socket.
    pub fn open(&mut self, address: Ipv6Addr) -> std::io::Result<()> {
        self.socket = Some(Socket::mesh(address, PORT)?);
        Ok(())
    }
}

impl Controller {
    /// Asks a node for its addresses, and what its ways cost; and, if `reach_us`, to call us.
    pub(super) fn ask_node(
        &mut self,
        node: NodePrefix,
        id: QuestionId,
        (destinations, reach_us): (&[NodePrefix], bool),
    ) {
        let destinations = destinations.to_vec();
        let question = Content::Question {
            destinations,
            reach_us,
        };
        self.say_to_node(node, id, &question);
    }

    pub(super) fn answer_node(
        &mut self,
        node: NodePrefix,
        id: QuestionId,
        (has_room, metrics): (bool, Vec<Metric>),
    ) {
        self.say_to_node(node, id, &Content::Answer { has_room, metrics });
    }

    fn say_to_node(&mut self, node: NodePrefix, id: QuestionId, content: &Content) {
        let now = self.wall_and_elapsed().wall;
        let told = self.peers.as_ref().and_then(|peers| peers.told());
        let (Some(mesh), Some(told)) = (&self.mesh, told) else {
            return;
        };
        let (Some(own), Some(socket)) = (&mesh.questions.own, &mesh.questions.socket) else {
            self.transport.count("mesh: nothing can be asked yet");
            return;
        };
        let Some(address) = node.address(&mesh.network) else {
            return;
        };
        let sent = Message::sign(content, id, node, own, &told.signing_key, now)
            .map_err(std::io::Error::other)
            .and_then(|octets| {
                let any = Ipv6Addr::UNSPECIFIED.into();
                socket.send(&octets, any, address.addr().into(), PORT, 0)
            });
        if sent.is_err() {
            self.transport.count("mesh: a message could not be sent");
        }
    }

    /// Takes what other nodes ask and answer.
    pub(super) fn take_questions(&mut self) {
        for _ in 0..BATCH {
            let Some(message) = self.next_message() else {
                return;
            };
            let Some(Ok(message)) = message else {
                self.transport
                    .count("mesh: a message that is not listened to");
                continue;
            };
            let Message { by, id, content } = message;
            if let Some(mesh) = &mut self.mesh {
                mesh.learn(&by);
            }
            let by = known(&by);
            self.mesh(match content {
                Content::Question {
                    destinations,
                    reach_us,
                } => Input::Asked {
                    by,
                    id,
                    destinations,
                    reach_us,
                },
                Content::Answer { has_room, metrics } => Input::Answered {
                    by,
                    id,
                    has_room,
                    metrics,
                },
            });
        }
    }

    /// The next message; inside none if there was no time for it, or why it is not listened to.
    fn next_message(&mut self) -> Option<Option<Result<Message, MessageError>>> {
        let now = self.wall_and_elapsed();
        let told = self.peers.as_ref().and_then(|peers| peers.told());
        let (Some(mesh), Some(told)) = (&mut self.mesh, told) else {
            return None;
        };
        let socket = mesh.questions.socket.as_mut()?;
        let datagram = socket.receive().ok()??;
        let source = datagram.source;
        // the kernel would take what is for our mesh address from anywhere
        let lan = InterfaceId(datagram.interface);
        let by_the_mesh =
            datagram.interface == self.installer.device() || self.transport.lans.contains_key(&lan);
        if !by_the_mesh {
            return Some(Some(Err(MessageError::Outside)));
        }
        let message = match Unproven::read(datagram.bytes, mesh.own, now.wall) {
            Ok(message) => message,
            Err(error) => return Some(Some(Err(error))),
        };
        if mesh.questions.budget.take(VERIFIED, now.elapsed).is_err() {
            return Some(None);
        }
        Some(Some(message.prove(
            source,
            &told.authorities,
            &told.revoked,
            now.wall,
        )))
    }
}
