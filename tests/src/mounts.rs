//! Mounts of a test's own: a mount namespace in which files and folders can be covered by others, unseen by the rest of
//! the system. Works in containers and chroots too, whose root is no mount point and so cannot be made private.

use std::{
    fs::File,
    os::fd::{AsFd as _, OwnedFd},
    path::Path,
    thread,
};

use anyhow::{Context as _, Result};
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, setns, unshare},
    unistd::{chdir, chroot, fchdir},
};
use rustix::{
    fs::{CWD, Mode, OFlags, open},
    mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree},
};

/// The mount namespace of the calling thread.
const OWN: &str = "/proc/thread-self/ns/mnt";

/// A mount namespace. Gone with all mounts in it when nobody uses it any more.
#[derive(Debug)]
pub struct Mounts {
    namespace: File,
    root: OwnedFd,
}

impl Mounts {
    /// Makes one in which everything is as it is outside, and prepares it.
    pub fn new(prepare: impl FnOnce() -> Result<()> + Send) -> Result<Self> {
        on_a_thread(|| {
            separate().context("making a mount namespace (root is needed)")?;
            prepare()?;
            Ok(Self {
                namespace: File::open(OWN)?,
                root: open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?,
            })
        })
    }

    /// Runs a function on a thread of its own that sees these mounts, and so do the processes it starts. In the network
    /// namespace of the caller.
    pub fn enter<T: Send>(&self, function: impl FnOnce() -> T + Send) -> Result<T> {
        on_a_thread(|| {
            // a thread that shares its root with others may not change it
            unshare(CloneFlags::CLONE_FS)?;
            setns(&self.namespace, CloneFlags::CLONE_NEWNS)?;
            fchdir(&self.root)?;
            chroot(".")?;
            Ok(function())
        })
    }
}

/// A new mount namespace of this thread. Its root is a copy of what was the root, since that of a chroot is a folder of a
/// mount that cannot be named from inside.
fn separate() -> Result<()> {
    let tree = open_tree(
        CWD,
        "/",
        OpenTreeFlags::OPEN_TREE_CLONE
            | OpenTreeFlags::OPEN_TREE_CLOEXEC
            | OpenTreeFlags::AT_RECURSIVE,
    )
    .context("open_tree")?;
    unshare(CloneFlags::CLONE_NEWNS).context("unshare")?;
    // entering a mount namespace, even the own one, makes its root the thread's
    setns(File::open(OWN)?, CloneFlags::CLONE_NEWNS).context("setns")?;
    let private = || {
        let nothing = None::<&str>;
        let flags = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(nothing, "/", nothing, flags, nothing)
    };
    private().context("mount --make-rprivate")?;
    let no_name = Path::new("");
    move_mount(
        tree.as_fd(),
        no_name,
        CWD,
        "/",
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
    )
    .context("move_mount")?;
    fchdir(&tree)?;
    chroot(".")?;
    // the copy is a peer of the original until told otherwise
    private().context("mount --make-rprivate of the copy")?;
    chdir("/")?;
    Ok(())
}

fn on_a_thread<T: Send>(function: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    thread::scope(|scope| match scope.spawn(function).join() {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

/// A new, empty file system in memory, over a folder. `options` as in `mount -o`.
pub fn cover(folder: &Path, options: &str) -> Result<()> {
    let (kind, flags) = (Some("tmpfs"), MsFlags::empty());
    mount(kind, folder, kind, flags, Some(options))
        .with_context(|| format!("mounting a tmpfs on {}", folder.display()))
}
