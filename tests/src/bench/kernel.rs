//! The test programs in the kernel: generator, sink and bare redirect.

use std::sync::{
    Mutex,
    atomic::{AtomicBool, AtomicU32, Ordering},
};

use anyhow::{Context as _, Result, anyhow};
use aya::{
    Ebpf, EbpfLoader, TestRun as _, TestRunAttrs, TestRunOptions,
    maps::{Array, MapData, PerCpuArray},
    programs::{Xdp, xdp::XdpMode},
};

use super::layout::{Arrived, Expected, Redirection, Sample, Stream, TIMES};

static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("TESTBED_OBJECT"));

/// Packets in one go of the kernel's test runner, at most: it lets the receiver know after each.
const BATCH: f64 = 256.0;
/// Packets one right after the other at higher rates than [`FASTEST_ONE_BY_ONE`]: what a relay takes from a queue in one
/// go (NAPI). If they came one by one, a relay as fast as the generator would find every queue with one packet in it, and
/// both would wait for the queue's memory to come over from the other core, sometimes, and sometimes not.
const BURST: u32 = 64;
/// In packets a second.
const FASTEST_ONE_BY_ONE: f64 = 500_000.0;
/// How many such goes make a second at lower rates.
const BATCHES_PER_SECOND: f64 = 8000.0;
/// Calls of the test runner a second.
const CALLS_PER_SECOND: f64 = 100.0;

fn load() -> Result<Ebpf> {
    EbpfLoader::new()
        .load(OBJECT)
        .context("the kernel did not take the test programs' object")
}

fn program<'object>(object: &'object mut Ebpf, name: &str) -> Result<&'object mut Xdp> {
    let program: &mut Xdp = object
        .program_mut(name)
        .with_context(|| format!("no program {name}"))?
        .try_into()?;
    if program.fd().is_err() {
        program
            .load()
            .with_context(|| format!("the kernel refused {name}"))?;
    }
    Ok(program)
}

/// Sends packets from one core, in this process's own time.
pub struct Generator {
    object: Ebpf,
    stream: Stream,
    length: usize,
    control: Mutex<Array<MapData, Stream>>,
    rate: AtomicU32,
    sent: PerCpuArray<MapData, u64>,
}

impl Generator {
    /// Prepares it. `length`: of the whole frame, in bytes.
    pub fn new(stream: Stream, length: usize) -> Result<Self> {
        let mut object = load()?;
        program(&mut object, "generate")?;
        let mut control = Array::try_from(object.take_map("STREAM").context("no map STREAM")?)?;
        control.set(0, stream, 0)?;
        let sent = PerCpuArray::try_from(object.take_map("SENT").context("no map SENT")?)?;
        Ok(Self {
            object,
            stream,
            length,
            control: Mutex::new(control),
            rate: AtomicU32::new(1),
            sent,
        })
    }

    /// Sets how many packets a second it makes of its stream, if it can.
    pub fn pace(&self, rate: f64) -> Result<()> {
        let stream = Stream {
            interval: (256e9 / rate) as u32,
            burst: burst(rate),
            ..self.stream
        };
        let mut control = self
            .control
            .lock()
            .map_err(|_| anyhow!("a thread panicked"))?;
        self.rate.store(rate as u32, Ordering::Relaxed);
        Ok(control.set(0, stream, 0)?)
    }

    /// Makes the packets carry the time they are sent at.
    pub fn carry_time(&mut self, offset: u32) -> Result<()> {
        self.stream.time_offset = offset;
        let mut control = self
            .control
            .lock()
            .map_err(|_| anyhow!("a thread panicked"))?;
        Ok(control.set(0, self.stream, 0)?)
    }

    /// Makes it send another stream, whose frames are as long.
    pub fn change(&mut self, stream: Stream) {
        self.stream = stream;
    }

    /// Mixes in another stream, whose frames are as long: of every `every` packets, a power of two, one is of the stream it
    /// was made with. Without another one, all are.
    pub fn mix(&mut self, other: Option<Stream>, every: u32) -> Result<()> {
        self.stream.share_mask = other.map_or(0, |_| every - 1);
        self.stream.trim = other.map_or(0, |other| other.trim);
        let mut control = self
            .control
            .lock()
            .map_err(|_| anyhow!("a thread panicked"))?;
        if let Some(other) = other {
            control.set(1, other, 0)?;
        }
        Ok(control.set(0, self.stream, 0)?)
    }

    /// Makes each call of the test runner cheap: the kernel patches its own code whenever the first user of an XDP program
    /// appears, so there must be another one already.
    pub fn attach(&mut self) -> Result<()> {
        program(&mut self.object, "generate")?.attach("lo", XdpMode::Skb)?;
        Ok(())
    }

    /// Sends until told to stop. Inside the namespace of the interface.
    pub fn run(&self, stop: &AtomicBool) -> Result<()> {
        let program: &Xdp = self
            .object
            .program("generate")
            .context("no program generate")?
            .try_into()?;
        let frame = vec![0x5a; self.length + self.stream.trim as usize];
        while !stop.load(Ordering::Relaxed) {
            let rate = self.rate.load(Ordering::Relaxed) as f64;
            let batch = match burst(rate) {
                1 => (rate / BATCHES_PER_SECOND).clamp(1.0, BATCH),
                burst => f64::from(burst),
            };
            program.test_run(TestRunOptions {
                data_in: Some(&frame),
                repeat: (rate / CALLS_PER_SECOND).max(batch) as u32,
                attrs: TestRunAttrs::new().xdp_live_frames(batch as u32),
                ..TestRunOptions::default()
            })?;
        }
        Ok(())
    }

    /// How many packets it made so far, of all streams.
    pub fn sent(&self) -> Result<u64> {
        Ok(self.sent.get(&0, 0)?.iter().sum())
    }
}

/// Packets one right after the other.
fn burst(rate: f64) -> u32 {
    if rate > FASTEST_ONE_BY_ONE { BURST } else { 1 }
}

/// Counts packets and drops them.
pub struct Sink {
    object: Ebpf,
    times: Array<MapData, u64>,
}

impl Sink {
    /// Attaches it. Inside the namespace of the interface.
    pub fn attach(interface: &str) -> Result<Self> {
        let mut object = load()?;
        program(&mut object, "sink")?.attach(interface, XdpMode::Driver)?;
        let times = object
            .take_map("TRAVEL_TIMES")
            .context("no map TRAVEL_TIMES")?;
        Ok(Self {
            object,
            times: Array::try_from(times)?,
        })
    }

    /// Says what to count.
    pub fn expect(&mut self, expected: Expected) -> Result<()> {
        let map = self.object.map_mut("EXPECTED").context("no map EXPECTED")?;
        Array::<_, Expected>::try_from(map)?.set(0, expected, 0)?;
        Ok(())
    }

    /// What arrived so far.
    pub fn arrived(&self) -> Result<Arrived> {
        let map = self.object.map("ARRIVED").context("no map ARRIVED")?;
        let values = PerCpuArray::<_, Arrived>::try_from(map)?.get(&0, 0)?;
        Ok(values
            .iter()
            .fold(Arrived::default(), |sum, value| Arrived {
                packets: sum.packets + value.packets,
                others: sum.others + value.others,
            }))
    }

    /// How long the last packets took, in nanoseconds.
    pub fn travel_times(&self) -> Result<Vec<u64>> {
        let times: Result<Vec<u64>, _> = self.times.iter().collect();
        Ok(times?.into_iter().filter(|time| *time != 0).collect())
    }

    /// Forgets the travel times seen so far.
    pub fn forget_times(&mut self) -> Result<()> {
        for index in 0..TIMES as u32 {
            self.times.set(index, 0, 0)?;
        }
        Ok(())
    }

    /// One of the packets that arrived.
    pub fn sample(&self) -> Result<Vec<u8>> {
        let map = self.object.map("SAMPLE").context("no map SAMPLE")?;
        let sample: Sample = Array::try_from(map)?.get(&0, 0)?;
        Ok(sample.head[..sample.length as usize].to_vec())
    }
}

/// An XDP program that does nothing.
pub struct Pass {
    _object: Ebpf,
}

impl Pass {
    /// Attaches it. Inside the namespace of the interface.
    pub fn attach(interface: &str) -> Result<Self> {
        let mut object = load()?;
        program(&mut object, "pass")?.attach(interface, XdpMode::Driver)?;
        Ok(Self { _object: object })
    }
}

/// The floor.
pub struct Redirect {
    _object: Ebpf,
}

impl Redirect {
    /// Attaches it. Inside the namespace of the interface.
    pub fn attach(interface: &str, to: u32, ethernet: &[u8]) -> Result<Self> {
        let mut object = load()?;
        let mut header = [0; 16];
        header[..14].copy_from_slice(&ethernet[..14]);
        let map = object
            .map_mut("REDIRECTION")
            .context("no map REDIRECTION")?;
        Array::try_from(map)?.set(
            0,
            Redirection {
                interface: to,
                ethernet: header,
            },
            0,
        )?;
        program(&mut object, "redirect")?.attach(interface, XdpMode::Driver)?;
        Ok(Self { _object: object })
    }
}
