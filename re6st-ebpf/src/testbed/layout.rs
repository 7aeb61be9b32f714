// Values of the test programs' maps. Shared with the testbed, which includes this file; so plain comments at the top.

/// Bytes at the front of a frame that the generator writes anew each time, and that the sink copies out as a sample.
pub const HEAD_SIZE: usize = 192;

/// What the generator sends. Numbers in host order; offsets count from the start of the frame, 0 for "no such field".
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Stream {
    /// Interface index it sends on.
    pub interface: u32,
    /// How many bytes of [`Self::head`] are in use: a multiple of 8, not more than the frame is long.
    pub head_length: u32,
    /// Two bytes that get the flow's number.
    pub flow_offset: u32,
    /// How many flows there are, less one; a power of two less one.
    pub flow_mask: u32,
    /// Two bytes that get the destination's number: it goes through all of them in an order without locality.
    pub slot_offset: u32,
    /// The first destination's number.
    pub first_slot: u32,
    /// How many destinations there are, at most 2^16.
    pub slots: u32,
    /// Two bytes that balance the two above, so that the payload's Internet checksum stays what it is.
    pub balance_offset: u32,
    /// Four bytes that get a number growing by one with each packet.
    pub sequence_offset: u32,
    /// The first of these numbers.
    pub first_sequence: u32,
    /// Eight bytes that get the time of sending: nanoseconds since boot, in the machine's byte order.
    pub time_offset: u32,
    /// Time between two packets, in 1/256 ns; 0 for as fast as possible.
    pub interval: u32,
    /// How many packets are sent one right after the other before it waits: a power of two.
    pub burst: u32,
    /// Of how many packets one is this stream's, and the others are the second stream's: a power of two less one; 0 if all
    /// are this stream's.
    pub share_mask: u32,
    /// So many bytes are cut off the end of each frame. The kernel takes a live frame's length anew only where the program has
    /// changed it; without that, what was cut on its last trip stays cut.
    pub trim: u32,
    /// Keeps the size a multiple of eight.
    pub reserved: u32,
    /// The front of the frame.
    pub head: [u8; HEAD_SIZE],
}

/// Which frames the sink counts. Others are left to the kernel.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Expected {
    /// The whole frame's length in bytes.
    pub length: u32,
    /// Where the mark is.
    pub mark_offset: u32,
    /// Eight bytes of payload that only the generator's packets have.
    pub mark: [u8; 8],
    /// Where the time of sending is; 0 if it is not looked at.
    pub time_offset: u32,
    /// Keeps the size a multiple of eight.
    pub reserved: u32,
}

/// How many of the last packets' travel times the sink remembers: a power of two.
pub const TIMES: usize = 4096;

/// What the sink saw (per-CPU array of one).
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct Arrived {
    /// Frames as expected.
    pub packets: u64,
    /// Other frames.
    pub others: u64,
}

/// The front of one of the frames the sink counted.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Sample {
    /// How many bytes of it there are.
    pub length: u32,
    /// Keeps the size a multiple of eight.
    pub reserved: u32,
    /// The bytes.
    pub head: [u8; HEAD_SIZE],
}

/// Where the bare redirect sends every frame.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Redirection {
    /// Interface index.
    pub interface: u32,
    /// The Ethernet header it writes; the last two bytes are not used.
    pub ethernet: [u8; 16],
}
