//! Tells systemd how the service does (sd_notify(3)), where it started this process and wants to
//! know.

use std::os::unix::net::UnixDatagram;

/// Sends lines such as `READY=1`. Nobody listens where `NOTIFY_SOCKET` is not set; one who does not
/// read is no reason to stop.
pub fn notify(lines: &str) {
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET") else { return };
    if let Err(error) = send(lines, &socket) {
        tracing::warn!(%error, "systemd cannot be told how the service does");
    }
}

fn send(lines: &str, socket: &std::ffi::OsStr) -> std::io::Result<()> {
    let datagram = UnixDatagram::unbound()?;
    datagram.set_nonblocking(true)?;
    // A leading `@` stands for the NUL of an abstract address.
    #[cfg(target_os = "linux")]
    if let Some(name) = socket.as_encoded_bytes().strip_prefix(b"@") {
        use std::os::linux::net::SocketAddrExt as _;
        let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
        return datagram.send_to_addr(lines.as_bytes(), &address).map(drop);
    }
    datagram.send_to(lines.as_bytes(), socket).map(drop)
}

/// That the configuration is being loaded; `READY=1` ends it.
pub fn notify_reloading() {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    notify(&format!("RELOADING=1\nMONOTONIC_USEC={}", now.tv_sec * 1_000_000 + now.tv_nsec / 1000));
}
