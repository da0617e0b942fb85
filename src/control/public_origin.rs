//! Where people reach the gateway.

use crate::config::Config;

/// Returns scheme, host and port of a host name for people. Names of this machine are reached at
/// the port that the gateway listens on. Others have the usual port, because whoever has a host
/// name for people also has that.
pub(super) fn public_origin(config: &Config, host: &str) -> String {
    match config.server.listen.first().filter(|_| is_local(host)) {
        Some(listen) => {
            let scheme = if config.tls.is_some() { "https" } else { "http" };
            format!("{scheme}://{host}:{}", listen.port())
        }
        None => format!("https://{host}"),
    }
}

/// Returns whether a host is a name of this machine.
pub(super) fn is_local(host: &str) -> bool {
    host == "localhost" || host.ends_with(".localhost")
}
