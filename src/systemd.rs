//! Notifies systemd about the state of the service (sd_notify(3)), if systemd has set
//! `NOTIFY_SOCKET` for this process.

use std::os::unix::net::UnixDatagram;

/// Sends lines such as `READY=1`. Does nothing without `NOTIFY_SOCKET`. A failure to send is
/// logged, and does not stop the gateway.
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

/// Notifies systemd that the configuration is being loaded. `READY=1` ends the reload.
pub fn notify_reloading() {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    notify(&format!("RELOADING=1\nMONOTONIC_USEC={}", now.tv_sec * 1_000_000 + now.tv_nsec / 1000));
}
