//! Virtual machines with Debian's kernels: the kernels, drivers and tunnel devices that this host's kernel lacks.
//!
//! A machine is QEMU without KVM, so it runs wherever the tests run. It boots a kernel taken out of Debian's package
//! (never installed), with an initramfs made here: busybox, the modules, the tools the scenarios use. Inside waits an
//! agent that runs one shell script after another and answers with output and exit status.
//!
//! ```no_run
//! # use testbed::machine::{Machine, Options, Series};
//! let machine = Machine::boot(&Options::new(Series::LINUX_6_1))?;
//! println!("{}", machine.run("uname -r; ip link")?);
//! # anyhow::Ok(())
//! ```

mod cpio;
mod emulator;
mod initramfs;
mod kernel;
mod modules;

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};

use emulator::Emulator;
pub use kernel::{Kernel, Series};

/// How long one script may take in the machine, unless the caller says otherwise. Without KVM everything takes about
/// ten times as long as here.
const SCRIPT: Duration = Duration::from_secs(60);
/// How long a machine may take from power-on until its agent answers.
const BOOT: Duration = Duration::from_secs(120);

/// Ethernet addresses of a machine's two virtio cards, which one cable joins.
pub const VIRTIO_CARDS: [&str; 2] = ["52:54:00:00:00:10", "52:54:00:00:00:11"];
/// Ethernet addresses of a machine's two Intel cards, which another cable joins. Their driver has no XDP.
pub const E1000_CARDS: [&str; 2] = ["52:54:00:00:00:20", "52:54:00:00:00:21"];

/// A network interface card of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Card {
    /// QEMU's name of the device.
    device: &'static str,
    /// Number of the cable it is plugged into: all cards on one cable hear each other.
    cable: u32,
    /// Its Ethernet address, by which a script finds it.
    address: &'static str,
}

/// What machine to boot.
#[derive(Clone, Debug)]
pub struct Options {
    series: Series,
    cards: Vec<Card>,
    files: Vec<(PathBuf, String)>,
    lifetime: Duration,
}

impl Options {
    /// A machine without network cards (it has the namespaces and veth devices its scripts make).
    pub fn new(series: Series) -> Self {
        Self {
            series,
            cards: Vec::new(),
            files: Vec::new(),
            lifetime: Duration::from_secs(15 * 60),
        }
    }

    /// With network cards, joined in pairs: [`VIRTIO_CARDS`] and [`E1000_CARDS`].
    #[must_use]
    pub fn cards(mut self) -> Self {
        for (cable, device, addresses) in [
            (0, "virtio-net-pci", VIRTIO_CARDS),
            (1, "e1000", E1000_CARDS),
        ] {
            self.cards.extend(addresses.map(|address| Card {
                device,
                cable,
                address,
            }));
        }
        self
    }

    /// One more file of this host, copied to `path` in the machine; a program brings its libraries and loses its
    /// debugging information.
    #[must_use]
    pub fn file(mut self, host: &Path, path: &str) -> Self {
        self.files.push((host.into(), path.into()));
        self
    }

    /// The time after which the machine is switched off whatever it does; 15 minutes unless told.
    #[must_use]
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }
}

/// What a script printed (both streams) and its exit status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Exit status; 137 for a script that took too long.
    pub status: i32,
    /// Standard output and standard error together.
    pub text: String,
}

/// A running virtual machine. Dropping it switches it off.
#[derive(Debug)]
pub struct Machine {
    emulator: Mutex<Emulator>,
}

impl Machine {
    /// Boots a machine and waits until it answers.
    ///
    /// # Errors
    /// When the kernel cannot be fetched, a tool is missing, or the machine does not come up within two minutes; the
    /// error shows the end of its console.
    pub fn boot(options: &Options) -> Result<Self> {
        let kernel = Kernel::fetch(&options.series)
            .with_context(|| format!("no kernel {} to boot", options.series))?;
        let archive = initramfs::build(&kernel, &options.files)
            .with_context(|| format!("no initramfs for kernel {}", kernel.release))?;
        let mut emulator = Emulator::start(
            &kernel.image,
            archive.path(),
            &options.cards,
            options.lifetime,
        )?;
        emulator
            .wait_ready(BOOT)
            .with_context(|| format!("kernel {} did not come up", kernel.release))?;
        Ok(Self {
            emulator: Mutex::new(emulator),
        })
    }

    /// Runs a shell script (`dash -e`) and returns what it printed.
    ///
    /// # Errors
    /// When the script's exit status is not 0, it takes more than a minute, or the machine is gone.
    pub fn run(&self, script: &str) -> Result<String> {
        let output = self.output(script, SCRIPT)?;
        if output.status != 0 {
            bail!(
                "the script ended with status {}:\n{script}\n--- it printed:\n{}",
                output.status,
                output.text
            );
        }
        Ok(output.text)
    }

    /// Runs a shell script and returns what it printed and its exit status, whatever that is.
    ///
    /// # Errors
    /// When the machine is gone.
    pub fn output(&self, script: &str, bound: Duration) -> Result<Output> {
        self.emulator
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .run(script, bound)
    }
}
