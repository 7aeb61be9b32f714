//! The entry points.

use aya_ebpf::{
    bindings::{TC_ACT_OK, TC_ACT_SHOT, TC_ACT_UNSPEC, xdp_action},
    btf_maps::{Array, PerCpuArray},
    helpers::generated::{bpf_ktime_get_ns, bpf_redirect, bpf_xdp_adjust_tail},
    macros::{btf_map, classifier, xdp},
    programs::{TcContext, XdpContext},
};
use re6st_common::{checksum, packet::Packet as _};

use crate::{
    layout::{Arrived, Expected, HEAD_SIZE, Redirection, Sample, Stream, TIMES},
    packet::XdpFrame,
};

const WORD: usize = size_of::<u64>();

/// What to send: a stream, and what it is mixed with, of which the content alone counts.
#[btf_map]
static STREAM: Array<Stream, 2> = Array::new();

/// How many packets were sent.
#[btf_map]
static SENT: PerCpuArray<u64, 1> = PerCpuArray::new();

/// When the next packet is due, in 1/256 ns since boot.
#[btf_map]
static DUE: PerCpuArray<u64, 1> = PerCpuArray::new();

/// What to count.
#[btf_map]
static EXPECTED: Array<Expected, 1> = Array::new();

/// What was counted.
#[btf_map]
static ARRIVED: PerCpuArray<Arrived, 1> = PerCpuArray::new();

/// How long the last of them took, in nanoseconds.
#[btf_map]
static TRAVEL_TIMES: Array<u64, TIMES> = Array::new();

/// One of the counted frames.
#[btf_map]
static SAMPLE: Array<Sample, 1> = Array::new();

/// Where the bare redirect leads.
#[btf_map]
static REDIRECTION: Array<Redirection, 1> = Array::new();

/// Of how many packets one is lost; 0 for none.
#[btf_map]
static LOSS: Array<u32, 1> = Array::new();

/// How many packets `lose` has seen.
#[btf_map]
static PASSED: PerCpuArray<u64, 1> = PerCpuArray::new();

/// Writes a frame and sends it. Live frames come back with the content they had at the end of their last trip, so
/// all the headers are written each time.
#[xdp]
pub fn generate(context: XdpContext) -> u32 {
    send(&context).unwrap_or(xdp_action::XDP_ABORTED)
}

#[inline(always)]
fn send(context: &XdpContext) -> Option<u32> {
    let stream = STREAM.get(0)?;
    let number = next(&SENT)?;
    if number & (stream.burst - 1) as u64 == 0 {
        wait(stream.interval as u64 * stream.burst as u64)?;
    }
    if stream.trim != 0 {
        // SAFETY: the context of this program; nothing points into the packet yet.
        unsafe { bpf_xdp_adjust_tail(context.ctx, -(stream.trim as i32)) };
    }
    let stream = STREAM.get((number & stream.share_mask as u64 != 0) as u32)?;
    let mut frame = XdpFrame::<false>::new(context);
    let mut offset = 0;
    while offset < HEAD_SIZE && offset < stream.head_length as usize {
        // SAFETY: eight bytes at a multiple of eight inside an array whose length is a multiple of eight.
        let word = unsafe { stream.head.as_ptr().add(offset).cast::<[u8; WORD]>().read() };
        frame.write(offset, &word)?;
        offset += WORD;
    }
    // an odd factor goes through all numbers, and 40503 / 2^16 is the golden ratio: neighbours land far apart
    let spread = (number as u32).wrapping_mul(40503) & 0xffff;
    let slot = stream.first_slot + ((spread as u64 * stream.slots as u64) >> 16) as u32;
    let flow = number as u32 & stream.flow_mask;
    put(&mut frame, stream.slot_offset, &(slot as u16).to_be_bytes())?;
    put(&mut frame, stream.flow_offset, &(flow as u16).to_be_bytes())?;
    let balance = !checksum::fold((slot & 0xffff) + (flow & 0xffff));
    put(&mut frame, stream.balance_offset, &balance.to_be_bytes())?;
    let sequence = stream.first_sequence.wrapping_add(number as u32);
    put(&mut frame, stream.sequence_offset, &sequence.to_be_bytes())?;
    if stream.time_offset != 0 {
        // SAFETY: a helper without parameters.
        let now = unsafe { bpf_ktime_get_ns() };
        put(&mut frame, stream.time_offset, &now.to_ne_bytes())?;
    }
    // SAFETY: a helper without pointers.
    Some(unsafe { bpf_redirect(stream.interface, 0) as u32 })
}

/// Waits until the next packet is due. What could not be sent in time is not made up for by bursts.
#[inline(always)]
fn wait(interval: u64) -> Option<()> {
    /// As many as the verifier can follow. With four readings of the clock each, some 25 ns a piece, 100 us at least.
    const ROUNDS: u32 = 2000;
    /// 10 us.
    const LATEST: u64 = 10_000 << 8;
    if interval == 0 {
        return Some(());
    }
    let due = DUE.get_ptr_mut(0)?;
    // SAFETY: a live entry of a per-CPU array.
    let due = unsafe { &mut *due };
    let mut now = 0;
    for _ in 0..ROUNDS {
        // SAFETY: a helper without parameters.
        now = unsafe { bpf_ktime_get_ns() } << 8;
        if now >= *due {
            break;
        }
        for _ in 0..3 {
            // SAFETY: as above.
            unsafe { bpf_ktime_get_ns() };
        }
    }
    *due = (*due).max(now.saturating_sub(LATEST)) + interval;
    Some(())
}

/// Writes a field that is somewhere in the head, or nowhere.
#[inline(always)]
fn put<const N: usize>(
    frame: &mut XdpFrame<'_, false>,
    offset: u32,
    bytes: &[u8; N],
) -> Option<()> {
    match offset as usize {
        0 => Some(()),
        offset if offset < HEAD_SIZE => frame.write(offset, bytes),
        _ => None,
    }
}

/// The counter's value before it is raised by one.
#[inline(always)]
fn next(counter: &PerCpuArray<u64, 1>) -> Option<u64> {
    let counter = counter.get_ptr_mut(0)?;
    // SAFETY: a live entry of a per-CPU array.
    let value = unsafe { *counter };
    // SAFETY: as above.
    unsafe { *counter = value + 1 };
    Some(value)
}

/// The least a relay must do: a new Ethernet header, and out.
#[xdp]
pub fn redirect(context: XdpContext) -> u32 {
    let Some(target) = REDIRECTION.get(0) else {
        return xdp_action::XDP_ABORTED;
    };
    // SAFETY: 14 bytes of an array of 16.
    let ethernet = unsafe { target.ethernet.as_ptr().cast::<[u8; 14]>().read() };
    match XdpFrame::<false>::new(&context).write(0, &ethernet) {
        // SAFETY: a helper without pointers.
        Some(()) => unsafe { bpf_redirect(target.interface, 0) as u32 },
        None => xdp_action::XDP_ABORTED,
    }
}

/// Does nothing: what XDP alone costs on a device.
#[xdp]
pub fn pass(_: XdpContext) -> u32 {
    xdp_action::XDP_PASS
}

/// Counts the frames it expects.
#[xdp]
pub fn sink(context: XdpContext) -> u32 {
    let frame = XdpFrame::<false>::new(&context);
    match (is_expected(&frame), ARRIVED.get_ptr_mut(0)) {
        (Some(true), Some(arrived)) => {
            // SAFETY: a live entry of a per-CPU array.
            let arrived = unsafe { &mut *arrived };
            arrived.packets += 1;
            if arrived.packets & 0xfff == 1 {
                keep(&frame);
            }
            clock(&frame, arrived.packets);
            xdp_action::XDP_DROP
        }
        (_, Some(arrived)) => {
            // SAFETY: a live entry of a per-CPU array.
            unsafe { (*arrived).others += 1 };
            xdp_action::XDP_PASS
        }
        _ => xdp_action::XDP_PASS,
    }
}

#[inline(always)]
fn is_expected(frame: &XdpFrame<'_, false>) -> Option<bool> {
    let expected = EXPECTED.get(0)?;
    let offset = expected.mark_offset as usize;
    if frame.length() != expected.length as usize || offset >= HEAD_SIZE {
        return Some(false);
    }
    let mark: [u8; WORD] = frame.read(offset)?;
    Some(u64::from_ne_bytes(mark) == u64::from_ne_bytes(expected.mark))
}

/// Remembers how long a frame has taken.
#[inline(always)]
fn clock(frame: &XdpFrame<'_, false>, number: u64) -> Option<()> {
    let offset = EXPECTED.get(0)?.time_offset as usize;
    if offset == 0 || offset >= HEAD_SIZE {
        return None;
    }
    let sent: [u8; WORD] = frame.read(offset)?;
    let entry = TRAVEL_TIMES.get_ptr_mut(number as u32 % TIMES as u32)?;
    // SAFETY: a helper without parameters; and a live entry.
    unsafe { *entry = bpf_ktime_get_ns().wrapping_sub(u64::from_ne_bytes(sent)) };
    Some(())
}

#[inline(always)]
fn keep(frame: &XdpFrame<'_, false>) {
    let Some(sample) = SAMPLE.get_ptr_mut(0) else {
        return;
    };
    // SAFETY: a live entry; a reader may see half of two frames of one stream, which differ in flow and destination only.
    let sample = unsafe { &mut *sample };
    let mut offset = 0;
    while offset < HEAD_SIZE {
        let Some(word) = frame.read::<[u8; WORD]>(offset) else {
            break;
        };
        // SAFETY: eight bytes at a multiple of eight inside an array whose length is a multiple of eight.
        unsafe {
            sample
                .head
                .as_mut_ptr()
                .add(offset)
                .cast::<[u8; WORD]>()
                .write(word)
        };
        offset += WORD;
    }
    sample.length = offset as u32;
}

/// Lets no later program see a packet: a foreign program with a final verdict.
#[classifier]
pub fn take_all(_: TcContext) -> i32 {
    TC_ACT_OK
}

/// Drops one packet of every so many.
#[classifier]
pub fn lose(_: TcContext) -> i32 {
    match (LOSS.get(0), next(&PASSED)) {
        (Some(&one_of), Some(number)) if one_of != 0 && number % one_of as u64 == 0 => TC_ACT_SHOT,
        _ => TC_ACT_UNSPEC,
    }
}
