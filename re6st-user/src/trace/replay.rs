//! The packet logic once more, on the host: what the programs should answer, and why.

use re6st_common::{
    admission::{self, Admission},
    apply::{self, Verdict},
    decide::{self, Decision, Otherwise},
    maps::next_hop_id,
    packet::Frame,
    reason::Reason,
};

use super::{program::Answer, tables::PinnedTables};
use crate::dataplane::bpf::{SEND, control_program, xdp_program};

/// The replay's findings.
pub struct Replay {
    /// The name of the program that ran.
    pub program: &'static str,
    /// What it answers; with [`Verdict::Drop`] the frame does not matter.
    pub verdict: Verdict,
    /// The frame as it leaves it.
    pub frame: Vec<u8>,
    /// Why the packet is not simply forwarded.
    pub reason: Option<Reason>,
    /// The tunnel it came through, a next hop's number.
    pub from_tunnel: Option<u32>,
    /// The tunnel it leaves through.
    pub to_tunnel: Option<u32>,
    /// The interface it arrived on; 0 for none.
    pub arrival: u32,
}

/// What the XDP program does.
pub fn receive(tables: &PinnedTables, bytes: &[u8], arrival: u32, frags: bool) -> Replay {
    let mut frame = Frame::new(bytes);
    let decision = decide::receive(&frame, tables, arrival);
    if let Decision::Decline(Reason::Control) = decision {
        return admit(tables, bytes, arrival, frags);
    }
    let (verdict, failed) = match apply::apply(&mut frame, tables, &decision) {
        Ok(verdict) => (verdict, None),
        Err(reason) => (Verdict::Drop, Some(reason)),
    };
    let mut replay = Replay {
        program: xdp_program(frags),
        verdict,
        frame: frame.bytes().to_vec(),
        reason: None,
        from_tunnel: None,
        to_tunnel: None,
        arrival,
    };
    match decision {
        Decision::Decline(reason) => replay.reason = Some(reason),
        Decision::Carry(carried, way) => {
            replay.from_tunnel = Some(carried.tunnel).filter(|id| *id != next_hop_id::NONE);
            match (way.next_hop, way.otherwise) {
                (Some((id, _)), _) => replay.to_tunnel = Some(id),
                (None, Otherwise::Kernel(reason)) => replay.reason = Some(reason),
                (None, Otherwise::Site(_)) => {}
            }
        }
    }
    replay.reason = failed.or(replay.reason);
    replay
}

/// What the program behind the XDP program does with what is the controller's.
fn admit(tables: &PinnedTables, bytes: &[u8], arrival: u32, frags: bool) -> Replay {
    let mut frame = Frame::new(bytes);
    let (reason, admission) = admission::receive(&mut frame, tables, arrival);
    Replay {
        program: control_program(frags),
        verdict: match admission {
            Admission::Pass => Verdict::Pass,
            Admission::Back => Verdict::Redirect(arrival),
            Admission::Drop => Verdict::Drop,
        },
        frame: frame.bytes().to_vec(),
        reason: Some(reason),
        from_tunnel: None,
        to_tunnel: None,
        arrival,
    }
}

/// What `re6st_send` does.
pub fn send(tables: &PinnedTables, bytes: &[u8]) -> Replay {
    let mut replay = Replay {
        program: SEND,
        verdict: Verdict::Drop,
        frame: bytes.to_vec(),
        reason: None,
        from_tunnel: None,
        to_tunnel: None,
        arrival: 0,
    };
    let mut frame = Frame::new(bytes);
    // a described packet stays whole
    match apply::send(&mut frame, tables, 0) {
        Ok(sent) => {
            replay.verdict = Verdict::Redirect(sent.next_hop.route_interface);
            replay.to_tunnel = Some(sent.id);
            replay.frame = frame.bytes().to_vec();
        }
        Err(reason) => replay.reason = Some(reason),
    }
    replay
}

/// The verdict's name in the kernel, and its number.
fn expected(replay: &Replay) -> (&'static str, u32) {
    match (replay.program, replay.verdict) {
        (SEND, Verdict::Redirect(_)) => ("TC_ACT_REDIRECT", 7),
        (SEND, _) => ("TC_ACT_SHOT", 2),
        (_, Verdict::Drop) => ("XDP_DROP", 1),
        (_, Verdict::Pass) => ("XDP_PASS", 2),
        (_, Verdict::Redirect(_)) => ("XDP_REDIRECT", 4),
    }
}

/// Where the program's answer differs from the replay's.
pub fn differences(answer: &Answer, replay: &Replay) -> Vec<String> {
    let mut differences = Vec::new();
    let (name, code) = expected(replay);
    if answer.code != code {
        differences.push(format!(
            "{} answered {}, by the replay it should be {name}",
            replay.program,
            verdict_name(replay.program, answer.code)
        ));
    } else if replay.verdict != Verdict::Drop && answer.frame != replay.frame {
        let at = answer
            .frame
            .iter()
            .zip(&replay.frame)
            .position(|(left, right)| left != right);
        let at = at.unwrap_or_else(|| answer.frame.len().min(replay.frame.len()));
        differences.push(format!(
            "{} made {} bytes, the replay {}; they differ from byte {at} on",
            replay.program,
            answer.frame.len(),
            replay.frame.len()
        ));
    }
    differences
}

/// The name the kernel has for a program's return value.
pub fn verdict_name(program: &str, code: u32) -> String {
    let names: &[&str] = match program {
        SEND => &["TC_ACT_OK", "TC_ACT_RECLASSIFY", "TC_ACT_SHOT"],
        _ => &[
            "XDP_ABORTED",
            "XDP_DROP",
            "XDP_PASS",
            "XDP_TX",
            "XDP_REDIRECT",
        ],
    };
    match (names.get(code as usize), program, code) {
        (Some(name), ..) => (*name).to_owned(),
        (None, SEND, 7) => "TC_ACT_REDIRECT".to_owned(),
        _ => format!("{}", code as i32),
    }
}
