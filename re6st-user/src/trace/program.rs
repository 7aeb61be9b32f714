//! Runs pinned programs on a packet, without sending it: `BPF_PROG_TEST_RUN`.

use std::path::Path;

use aya::programs::{ProgramError, SchedClassifier, TestRun as _, TestRunOptions};

use crate::dataplane::bpf::BpfError;

/// More than the outer headers can add to a packet, in bytes.
const GROWTH: usize = 256;

/// What a program answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The program's return value.
    pub code: u32,
    /// The frame as it left it.
    pub frame: Vec<u8>,
}

/// Runs an XDP program on a frame that arrives on an interface.
pub fn xdp(pin: &Path, frame: &[u8], interface: u32) -> Result<Answer, BpfError> {
    // struct xdp_md: data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex
    let length = u32::try_from(frame.len()).unwrap_or(u32::MAX);
    let context: Vec<u8> = [0, length, 0, interface, 0, 0]
        .into_iter()
        .flat_map(u32::to_ne_bytes)
        .collect();
    run(pin, frame, Some(&context)).map_err(|source| failed(pin, frame, source))
}

/// Runs a TC program on a packet.
pub fn tc(pin: &Path, frame: &[u8]) -> Result<Answer, BpfError> {
    run(pin, frame, None).map_err(|source| failed(pin, frame, source))
}

fn run(pin: &Path, frame: &[u8], context: Option<&[u8]>) -> Result<Answer, ProgramError> {
    // whatever the program's type: a test run needs its descriptor alone, and aya opens an XDP program's pin only with a
    // type that it does not export
    let program = SchedClassifier::from_pin(pin)?;
    let mut output = vec![0; frame.len() + GROWTH];
    let mut options = TestRunOptions::new();
    options.data_in = Some(frame);
    options.data_out = Some(&mut output);
    options.ctx_in = context;
    let result = program.test_run(options)?;
    output.truncate(result.data_size_out as usize);
    Ok(Answer {
        code: result.return_value,
        frame: output,
    })
}

fn failed(pin: &Path, frame: &[u8], source: ProgramError) -> BpfError {
    BpfError::Program {
        what: format!(
            "run {} on a frame of {} bytes (the kernel takes a page less some room for one piece of a frame)",
            pin.display(),
            frame.len()
        ),
        source: Box::new(source),
    }
}
