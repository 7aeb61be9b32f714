//! The loaded programs with a world in their maps.

use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, HashMap, PerCpuArray, ProgramArray, lpm_trie},
    programs::{SchedClassifier, TestRun as _, TestRunOptions, Xdp, XdpMode},
};
use re6st_common::{
    maps::{
        FibEntry, Handshakes, Interface, NextHopEntry, TrieKey, TrieValue, Tunnel, TunnelCounters,
    },
    reason::{Reason, ReasonCounters},
};
use testbed::model::{Verdict, image::Image, world::World};

use crate::namespace::INTERFACES;

/// Which of the two XDP programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `re6st_xdp`.
    OneBuffer,
    /// `re6st_xdp_frags`.
    Frags,
}

impl Kind {
    /// What comes behind it for packets that are the controller's.
    const fn control(self) -> &'static str {
        match self {
            Self::OneBuffer => "re6st_control",
            Self::Frags => "re6st_control_frags",
        }
    }

    const fn program(self) -> &'static str {
        match self {
            Self::OneBuffer => "re6st_xdp",
            Self::Frags => "re6st_xdp_frags",
        }
    }
}

/// What a program did to a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// The program's answer.
    pub answer: u32,
    /// The frame's bytes afterwards.
    pub bytes: Vec<u8>,
    /// Which counters of REASONS moved, and how far.
    pub reasons: Vec<(Reason, u64)>,
}

/// What a TC test run is told about the packet besides its bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Buffer {
    /// The interface it came from; 0 for this host.
    pub arrival: u32,
    /// Bytes of payload in each segment; 0: not segmented.
    pub segment_size: u32,
    /// How many segments.
    pub segments: u32,
    /// Its mark.
    pub mark: u32,
}

/// The programs and their maps.
pub struct Programs {
    kind: Kind,
    ebpf: Ebpf,
    reasons: PerCpuArray<aya::maps::MapData, ReasonCounters>,
    tunnels: PerCpuArray<aya::maps::MapData, TunnelCounters>,
    output: Vec<u8>,
    last: ReasonCounters,
}

impl Programs {
    /// Loads the object in the current network namespace, fills its maps, and attaches the XDP program to the
    /// interfaces (a test run on an interface needs its receive queues set up).
    pub fn load(kind: Kind, world: &World, slots: bool) -> Self {
        let mut ebpf = EbpfLoader::new()
            .override_global("SETTINGS", &world.settings, true)
            .map_max_entries("FIB", FibEntry::index(world.settings.fib_mask) + 1)
            .load(re6st_user::OBJECT)
            .expect("the object loads");
        fill(&mut ebpf, world, &Image::of(world, slots));
        let xdp: &mut Xdp = program(&mut ebpf, kind.program());
        xdp.load().expect("the verifier accepts the XDP program");
        for interface in INTERFACES {
            xdp.attach(interface, XdpMode::Driver)
                .expect("the driver takes the XDP program");
        }
        let control: &mut Xdp = program(&mut ebpf, kind.control());
        control
            .load()
            .expect("the verifier accepts the program behind it");
        let control = control.fd().expect("its descriptor").try_clone();
        let behind = ebpf.map_mut("CONTROL_PROGRAM").expect("CONTROL_PROGRAM");
        ProgramArray::try_from(behind)
            .expect("CONTROL_PROGRAM")
            .set(0, &control.expect("its descriptor"), 0)
            .expect("CONTROL_PROGRAM");
        for name in ["re6st_handover", "re6st_send", "re6st_guard"] {
            let program: &mut SchedClassifier = program(&mut ebpf, name);
            program.load().expect("the verifier accepts the program");
        }
        let reasons = PerCpuArray::try_from(ebpf.take_map("REASONS").expect("REASONS"));
        let tunnels = PerCpuArray::try_from(ebpf.take_map("TUNNEL_COUNTERS").expect("counters"));
        let mut programs = Self {
            kind,
            ebpf,
            reasons: reasons.expect("REASONS"),
            tunnels: tunnels.expect("TUNNEL_COUNTERS"),
            output: vec![0; 70_000],
            last: ReasonCounters::default(),
        };
        programs.last = programs.reasons();
        programs
    }

    /// How initiations of handshakes are judged; not at all after a load.
    pub fn set_handshakes(&mut self, handshakes: Handshakes) {
        let map = self.ebpf.map_mut("HANDSHAKES").expect("HANDSHAKES");
        let mut map: Array<_, Handshakes> = Array::try_from(map).expect("HANDSHAKES");
        map.set(0, handshakes, 0).expect("HANDSHAKES");
    }

    /// Runs XDP on a frame that arrives on an interface, behind so many bytes of metadata from the driver.
    pub fn receive(&mut self, frame: &[u8], arrival: u32, metadata: usize) -> Observed {
        self.receive_in_parts(frame, usize::MAX, arrival, metadata)
    }

    /// The same with a frame of which only the first bytes, `first_part` of them, are in its first part. Kernels before Linux
    /// 6.18 know no such test runs.
    pub fn receive_in_parts(
        &mut self,
        frame: &[u8],
        first_part: usize,
        arrival: u32,
        metadata: usize,
    ) -> Observed {
        let first_part = first_part.min(frame.len());
        let input = [&vec![0; metadata][..], frame].concat();
        // struct xdp_md: data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex
        let end = (metadata + first_part) as u32;
        let context = [metadata as u32, end, 0, arrival, 0, 0];
        let context: Vec<u8> = context
            .iter()
            .flat_map(|word: &u32| word.to_ne_bytes())
            .collect();
        let xdp: &mut Xdp = program(&mut self.ebpf, self.kind.program());
        let result = xdp
            .test_run(TestRunOptions {
                data_in: Some(&input),
                data_out: Some(&mut self.output),
                ctx_in: Some(&context),
                ..TestRunOptions::default()
            })
            .expect("BPF_PROG_TEST_RUN");
        let (answer, length) = (result.return_value, result.data_size_out as usize);
        // the kernel gives the metadata back too
        let bytes = self.output[metadata..length].to_vec();
        self.observed(answer, bytes)
    }

    /// Runs a TC program on a frame.
    pub fn classify(&mut self, name: &str, frame: &[u8], buffer: Buffer) -> Observed {
        self.classify_marked(name, frame, buffer).0
    }

    /// The same, and the mark the packet has afterwards.
    pub fn classify_marked(&mut self, name: &str, frame: &[u8], buffer: Buffer) -> (Observed, u32) {
        let context = socket_buffer(buffer);
        let mut after = vec![0; context.len()];
        let classifier: &mut SchedClassifier = program(&mut self.ebpf, name);
        let result = classifier
            .test_run(TestRunOptions {
                data_in: Some(frame),
                data_out: Some(&mut self.output),
                ctx_in: Some(&context),
                ctx_out: Some(&mut after),
                ..TestRunOptions::default()
            })
            .expect("BPF_PROG_TEST_RUN");
        let (answer, length) = (result.return_value, result.data_size_out as usize);
        let bytes = self.output[..length].to_vec();
        let (words, _) = after.as_chunks();
        let mark = u32::from_ne_bytes(words[layout::MARK]);
        (self.observed(answer, bytes), mark)
    }

    fn observed(&mut self, answer: u32, bytes: Vec<u8>) -> Observed {
        let now = self.reasons();
        let moved = |reason: &Reason| {
            let by = now.get(*reason) - self.last.get(*reason);
            (by != 0).then_some((*reason, by))
        };
        let reasons = Reason::ALL.iter().filter_map(moved).collect();
        self.last = now;
        Observed {
            answer,
            bytes,
            reasons,
        }
    }

    fn reasons(&self) -> ReasonCounters {
        let all = self.reasons.get(&0, 0).expect("REASONS");
        let mut sum = ReasonCounters::default();
        for counters in all.iter() {
            for reason in Reason::ALL {
                *sum.get_mut(*reason) += counters.get(*reason);
            }
        }
        sum
    }

    /// The counters of a tunnel.
    pub fn tunnel(&self, id: u32) -> TunnelCounters {
        let all = self.tunnels.get(&id, 0).expect("TUNNEL_COUNTERS");
        let mut sum = TunnelCounters::default();
        for counters in all.iter() {
            sum.received_packets += counters.received_packets;
            sum.received_bytes += counters.received_bytes;
            sum.sent_packets += counters.sent_packets;
            sum.sent_bytes += counters.sent_bytes;
        }
        sum
    }
}

/// What XDP answers for a verdict. A test run does not tell where a redirected frame goes; its Ethernet header does.
pub fn xdp_answer(verdict: Verdict) -> u32 {
    const DROP: u32 = 1;
    const PASS: u32 = 2;
    const REDIRECT: u32 = 4;
    match verdict {
        Verdict::Drop => DROP,
        Verdict::Pass => PASS,
        Verdict::Redirect(_) => REDIRECT,
    }
}

fn program<'a, T>(ebpf: &'a mut Ebpf, name: &str) -> &'a mut T
where
    &'a mut T: TryFrom<&'a mut aya::programs::Program, Error: core::fmt::Debug>,
{
    let program = ebpf
        .program_mut(name)
        .expect("the program is in the object");
    program.try_into().expect("the program's type")
}

/// `struct __sk_buff` as far as a test run may fill it.
fn socket_buffer(buffer: Buffer) -> Vec<u8> {
    let mut context = [0u32; layout::WORDS];
    context[layout::MARK] = buffer.mark;
    context[layout::INGRESS_IFINDEX] = buffer.arrival;
    context[layout::GSO_SEGS] = buffer.segments;
    context[layout::GSO_SIZE] = buffer.segment_size;
    context.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

/// Where the fields of `struct __sk_buff` are (include/uapi/linux/bpf.h), in words.
mod layout {
    pub const WORDS: usize = 48;
    pub const MARK: usize = 2;
    pub const INGRESS_IFINDEX: usize = 9;
    pub const GSO_SEGS: usize = 41;
    pub const GSO_SIZE: usize = 44;
}

fn fill(ebpf: &mut Ebpf, world: &World, image: &Image) {
    let mut fib: Array<_, FibEntry> =
        Array::try_from(ebpf.map_mut("FIB").expect("FIB")).expect("FIB");
    for (slot, next_hop) in &image.fib {
        let index = FibEntry::index(*slot);
        let number = u16::try_from(*next_hop).expect("a next hop's number");
        let entry = fib.get(&index, 0).expect("FIB").with(*slot, number);
        fib.set(index, entry, 0).expect("FIB");
    }
    let mut trie: lpm_trie::LpmTrie<_, TrieKey, TrieValue> =
        lpm_trie::LpmTrie::try_from(ebpf.map_mut("FIB_TRIE").expect("FIB_TRIE")).expect("trie");
    for entry in &image.trie {
        let key = lpm_trie::Key::new(entry.length, entry.key);
        trie.insert(&key, entry.value, 0).expect("FIB_TRIE");
    }
    let mut next_hops: Array<_, NextHopEntry> =
        Array::try_from(ebpf.map_mut("NEXT_HOPS").expect("NEXT_HOPS")).expect("NEXT_HOPS");
    for (id, next_hop) in &world.next_hops {
        let entry = NextHopEntry::new(*next_hop);
        next_hops.set(*id, entry, 0).expect("NEXT_HOPS");
    }
    let mut tunnels: Array<_, Tunnel> =
        Array::try_from(ebpf.map_mut("TUNNELS").expect("TUNNELS")).expect("TUNNELS");
    for (index, tunnel) in &world.tunnels {
        tunnels.set(*index, tunnel, 0).expect("TUNNELS");
    }
    let mut interfaces: HashMap<_, u32, Interface> =
        HashMap::try_from(ebpf.map_mut("INTERFACES").expect("INTERFACES")).expect("INTERFACES");
    for (index, interface) in &world.interfaces {
        interfaces.insert(index, interface, 0).expect("INTERFACES");
    }
}
