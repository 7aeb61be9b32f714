//! Where the bytes of a packet are: in the kernel's buffer, or in a vector on the host.

#[cfg(any(test, feature = "user"))]
use crate::wire::Ethernet;
use crate::{address::Family, maps::NextHop, wire::Header};

/// A frame that can be read and rewritten. Every access is checked against the frame's end.
pub trait Packet {
    /// Bytes of the whole frame, of all its fragments where the driver split it.
    fn length(&self) -> usize;

    /// A header where it lies; `None` where the frame is too short.
    fn header<T: Header>(&self, offset: usize) -> Option<&T>;

    /// A header where it lies, to change it; `None` where the frame is too short.
    fn header_mut<T: Header>(&mut self, offset: usize) -> Option<&mut T>;

    /// Makes sure that the headers can be written and the front moved, if they lie where only reading is possible.
    /// `None` where the frame has no room for that.
    fn gather_headers(&mut self) -> Option<()>;

    /// Makes room for outer headers between the Ethernet header and a packet of the host's own, and makes it writable.
    /// `None` where that is not possible.
    fn make_room(&mut self, outer: usize, inner: Family, next_hop: &NextHop) -> Option<()>;

    /// Removes bytes from the front, or with a negative number makes room there (with undefined content).
    /// `None`, and nothing has changed, where that is not possible.
    fn adjust_head(&mut self, delta: i32) -> Option<()>;

    /// Cuts the frame's end off, so that it has `length` bytes and no more. `None`, and nothing has changed, where that is not
    /// possible.
    fn truncate(&mut self, length: usize) -> Option<()>;

    /// Copies a header out; `None` where the frame is too short.
    #[inline(always)]
    fn read<T: Header>(&self, offset: usize) -> Option<T> {
        self.header(offset).copied()
    }

    /// Writes a header; `None`, and nothing is written, where the frame is too short.
    #[inline(always)]
    fn write<T: Header>(&mut self, offset: usize, header: &T) -> Option<()> {
        *self.header_mut(offset)? = *header;
        Some(())
    }
}

/// A frame on the host, with the room in front that XDP guarantees.
#[cfg(any(test, feature = "user"))]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    bytes: Vec<u8>,
    start: usize,
}

#[cfg(any(test, feature = "user"))]
impl Frame {
    /// `XDP_PACKET_HEADROOM` of the kernel, in bytes.
    pub const HEADROOM: usize = 256;

    /// A frame with these bytes.
    pub fn new(bytes: &[u8]) -> Self {
        let mut all = vec![0; Self::HEADROOM];
        all.extend_from_slice(bytes);
        Self {
            bytes: all,
            start: Self::HEADROOM,
        }
    }

    /// The bytes it has now.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}

#[cfg(any(test, feature = "user"))]
impl Packet for Frame {
    fn length(&self) -> usize {
        self.bytes.len() - self.start
    }

    fn header<T: Header>(&self, offset: usize) -> Option<&T> {
        let end = offset.checked_add(size_of::<T>())?;
        let bytes = self.bytes().get(offset..end)?;
        // SAFETY: the slice has the size of T, and a Header is valid with any bytes at any address.
        Some(unsafe { &*bytes.as_ptr().cast() })
    }

    fn header_mut<T: Header>(&mut self, offset: usize) -> Option<&mut T> {
        let end = offset.checked_add(size_of::<T>())?;
        let bytes = self.bytes.get_mut(self.start..)?.get_mut(offset..end)?;
        // SAFETY: the slice has the size of T, and a Header is valid with any bytes at any address.
        Some(unsafe { &mut *bytes.as_mut_ptr().cast() })
    }

    fn gather_headers(&mut self) -> Option<()> {
        Some(())
    }

    fn make_room(&mut self, outer: usize, _inner: Family, _next_hop: &NextHop) -> Option<()> {
        const LINK: usize = size_of::<Ethernet>();
        if self.length() < LINK {
            return None;
        }
        let at = self.start + LINK;
        self.bytes.splice(at..at, core::iter::repeat_n(0, outer));
        Some(())
    }

    fn adjust_head(&mut self, delta: i32) -> Option<()> {
        // the kernel insists that an Ethernet header remains
        let start = self.start.checked_add_signed(delta as isize)?;
        if start + 14 > self.bytes.len() {
            return None;
        }
        self.start = start;
        Some(())
    }

    fn truncate(&mut self, length: usize) -> Option<()> {
        if length > self.length() {
            return None;
        }
        self.bytes.truncate(self.start + length);
        Some(())
    }
}
