//! The address that packets of this host leave from.

use std::{
    io,
    net::{IpAddr, Ipv6Addr, UdpSocket},
    os::fd::AsRawFd as _,
};

/// The IPv6 address that lasts, of those from which this host would reach `remote`: the kernel by itself may prefer a
/// temporary one (RFC 8981), which changes daily.
pub fn lasting(remote: Ipv6Addr) -> io::Result<IpAddr> {
    let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0))?;
    let preferences = libc::IPV6_PREFER_SRC_PUBLIC;
    // SAFETY: the value is a live integer whose size is given.
    let outcome = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IPV6,
            libc::IPV6_ADDR_PREFERENCES,
            (&raw const preferences).cast(),
            size_of_val(&preferences) as libc::socklen_t,
        )
    };
    if outcome != 0 {
        return Err(io::Error::last_os_error());
    }
    // sends nothing; the port does not matter
    socket.connect((remote, 9))?;
    Ok(socket.local_addr()?.ip())
}
