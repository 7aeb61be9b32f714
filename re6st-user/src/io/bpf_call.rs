//! The few bpf(2) commands the loader needs and aya does not offer as such: links whose kind of attachment is chosen to
//! the letter (aya falls back to another one in silence), and pins as plain file descriptors.
//!
//! The one place of the loader with unsafe code.

use std::{
    ffi::CString,
    io,
    os::{
        fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
};

const MAP_CREATE: u32 = 0;
const MAP_LOOKUP: u32 = 1;
const MAP_UPDATE: u32 = 2;
const MAP_DELETE: u32 = 3;
const OBJ_PIN: u32 = 6;
const OBJ_GET: u32 = 7;
const PROGRAM_BY_ID: u32 = 13;
const PROGRAM_QUERY: u32 = 16;
const LINK_CREATE: u32 = 28;
const LINK_UPDATE: u32 = 29;
const LINK_DETACH: u32 = 34;

/// Where a link attaches a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attachment {
    /// XDP in the driver.
    DriverXdp,
    /// XDP in the stack, after the driver made a socket buffer.
    GenericXdp,
    /// tcx, arriving packets (Linux 6.6), before all other programs there.
    TcIngress,
    /// tcx, leaving packets (Linux 6.6), before all other programs there.
    TcEgress,
}

impl Attachment {
    /// `enum bpf_attach_type` and the link's flags.
    const fn numbers(self) -> (u32, u32) {
        const XDP: u32 = 37;
        const TCX_INGRESS: u32 = 46;
        const TCX_EGRESS: u32 = 47;
        // `BPF_F_BEFORE`, relative to nothing: before all
        const FIRST: u32 = 1 << 3;
        match self {
            Self::DriverXdp => (XDP, 1 << 2),
            Self::GenericXdp => (XDP, 1 << 1),
            Self::TcIngress => (TCX_INGRESS, FIRST),
            Self::TcEgress => (TCX_EGRESS, FIRST),
        }
    }
}

/// Calls bpf(2) with an attribute block that is made of integers only and lives as long as the call.
fn bpf<T>(command: u32, attributes: &T) -> io::Result<i64> {
    // SAFETY: the block is live and its size is given; the kernel reads it and writes nothing back to it. Pointers inside
    // it are made by the callers from C strings, keys and values that outlive the call; the only one written through is
    // the value of MAP_LOOKUP, which is as big as the map's.
    unsafe { bpf_at(command, std::ptr::from_ref(attributes)) }
}

/// Calls bpf(2).
///
/// # Safety
/// `attributes` must be live, also for writing if the command writes to them, and so must be what pointers in them lead to.
unsafe fn bpf_at<T>(command: u32, attributes: *const T) -> io::Result<i64> {
    // SAFETY: as the caller has made sure.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, attributes, size_of::<T>()) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

fn descriptor(result: i64) -> io::Result<OwnedFd> {
    let number = i32::try_from(result).map_err(io::Error::other)?;
    // SAFETY: the kernel has just made this descriptor for us; nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

#[repr(C)]
struct Object {
    path: u64,
    descriptor: u32,
    flags: u32,
}

fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(io::Error::other)
}

/// Pins an object in a bpffs.
pub fn pin(object: impl AsFd, path: &Path) -> io::Result<()> {
    let path = c_path(path)?;
    let attributes = Object {
        path: path.as_ptr() as u64,
        descriptor: object.as_fd().as_raw_fd() as u32,
        flags: 0,
    };
    bpf(OBJ_PIN, &attributes).map(|_| ())
}

/// Opens a pinned object.
pub fn open_pin(path: &Path) -> io::Result<OwnedFd> {
    let path = c_path(path)?;
    let attributes = Object {
        path: path.as_ptr() as u64,
        descriptor: 0,
        flags: 0,
    };
    descriptor(bpf(OBJ_GET, &attributes)?)
}

#[repr(C)]
struct MapCreate {
    map_type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    flags: u32,
    inner_map: u32,
    numa_node: u32,
    name: [u8; 16],
}

/// Creates an array whose size is known only now.
pub fn create_array(name: &str, value_size: u32, max_entries: u32) -> io::Result<OwnedFd> {
    const ARRAY: u32 = 2;
    let mut attributes = MapCreate {
        map_type: ARRAY,
        key_size: 4,
        value_size,
        max_entries,
        flags: 0,
        inner_map: 0,
        numa_node: 0,
        name: [0; 16],
    };
    let length = name.len().min(attributes.name.len() - 1);
    attributes.name[..length].copy_from_slice(&name.as_bytes()[..length]);
    descriptor(bpf(MAP_CREATE, &attributes)?)
}

#[repr(C)]
struct Element {
    map: u32,
    padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

fn element(map: &OwnedFd, key: &u32, value: u64) -> Element {
    Element {
        map: map.as_raw_fd() as u32,
        padding: 0,
        key: std::ptr::from_ref(key) as u64,
        value,
        flags: 0,
    }
}

/// The id of the program in a slot of a program array; `None` for an empty slot.
pub fn program_in(map: &OwnedFd, slot: u32) -> io::Result<Option<u32>> {
    let mut id = 0_u32;
    // the kernel writes four bytes, a program array's value, to `id`
    let value = (&raw mut id) as u64;
    match bpf(MAP_LOOKUP, &element(map, &slot, value)) {
        Ok(_) => Ok(Some(id)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Puts a program in a slot of a program array, at once, or empties the slot.
pub fn set_program_in(map: &OwnedFd, slot: u32, program: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let Some(program) = program else {
        return match bpf(MAP_DELETE, &element(map, &slot, 0)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            outcome => outcome.map(|_| ()),
        };
    };
    let descriptor = program.as_raw_fd();
    let value = std::ptr::from_ref(&descriptor) as u64;
    bpf(MAP_UPDATE, &element(map, &slot, value)).map(|_| ())
}

#[repr(C)]
struct LinkCreate {
    program: u32,
    target: u32,
    attach_type: u32,
    flags: u32,
    /// For tcx: relative to which other program, and the expected revision; zero for none and any.
    order: [u64; 4],
}

/// Attaches a program to an interface. It stays as long as the link or a pin of it.
pub fn create_link(
    program: BorrowedFd<'_>,
    interface: u32,
    attachment: Attachment,
) -> io::Result<OwnedFd> {
    let (attach_type, flags) = attachment.numbers();
    let attributes = LinkCreate {
        program: program.as_raw_fd() as u32,
        target: interface,
        attach_type,
        flags,
        order: [0; 4],
    };
    descriptor(bpf(LINK_CREATE, &attributes)?)
}

#[repr(C)]
struct ProgramQuery {
    target: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    programs: u64,
    count: u32,
    padding: u32,
    /// Flags of programs, links, flags of links: not asked for.
    others: [u64; 3],
    revision: u64,
}

/// The ids of the programs at a tcx hook of an interface, in the order packets meet them.
pub fn programs_at(interface: u32, attachment: Attachment) -> io::Result<Vec<u32>> {
    /// `BPF_MPROG_MAX`.
    const MOST: usize = 64;
    let mut ids = [0_u32; MOST];
    let mut attributes = ProgramQuery {
        target: interface,
        attach_type: attachment.numbers().0,
        query_flags: 0,
        attach_flags: 0,
        programs: ids.as_mut_ptr() as u64,
        count: MOST as u32,
        padding: 0,
        others: [0; 3],
        revision: 0,
    };
    // SAFETY: block and array outlive the call, which may write to both; the array's length is given.
    match unsafe { bpf_at(PROGRAM_QUERY, &raw mut attributes) } {
        Ok(_) => Ok(ids[..MOST.min(attributes.count as usize)].to_vec()),
        // nothing has ever been there
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

#[repr(C)]
struct LinkUpdate {
    link: u32,
    program: u32,
    flags: u32,
    old_program: u32,
}

/// Replaces the program of a link at once: each packet meets the old one or the new one.
pub fn update_link(link: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    let attributes = LinkUpdate {
        link: link.as_raw_fd() as u32,
        program: program.as_raw_fd() as u32,
        flags: 0,
        old_program: 0,
    };
    bpf(LINK_UPDATE, &attributes).map(|_| ())
}

#[repr(C)]
struct LinkDetach {
    link: u32,
}

/// Detaches a link's program at once, whoever else holds the link. Closing the last descriptor does the same some time
/// later.
pub fn detach_link(link: BorrowedFd<'_>) -> io::Result<()> {
    let attributes = LinkDetach {
        link: link.as_raw_fd() as u32,
    };
    bpf(LINK_DETACH, &attributes).map(|_| ())
}

#[repr(C)]
struct ById {
    id: u32,
    next_id: u32,
    flags: u32,
}

/// Opens a program by its id.
pub fn program_by_id(id: u32) -> io::Result<OwnedFd> {
    let attributes = ById {
        id,
        next_id: 0,
        flags: 0,
    };
    descriptor(bpf(PROGRAM_BY_ID, &attributes)?)
}

/// A field of `/proc/self/fdinfo` of a BPF object: `memlock`, `prog_id`, `ifindex`, ...
pub fn information(object: impl AsFd, field: &str) -> io::Result<Option<u64>> {
    let path = format!("/proc/self/fdinfo/{}", object.as_fd().as_raw_fd());
    let text = std::fs::read_to_string(path)?;
    Ok(text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name == field).then(|| value.trim().parse().ok())?
    }))
}
