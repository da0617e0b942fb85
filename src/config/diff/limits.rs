//! Changes of timeouts and limits.

use crate::config::units::{show_duration, show_size};
use crate::config::{ApiConfig, Server};

/// The name of a setting, and its value as written in the file.
type Shown = (&'static str, String);

/// Returns the timeouts and limits of `[server]`.
pub(super) fn of_server(server: &Server) -> Vec<Shown> {
    vec![
        ("server.max_connections", server.max_connections.to_string()),
        ("server.max_connections_per_address", server.max_connections_per_address.to_string()),
        ("server.handshake_timeout", show_duration(server.handshake_timeout)),
        ("server.header_timeout", show_duration(server.header_timeout)),
        ("server.idle_timeout", show_duration(server.idle_timeout)),
        ("server.body_timeout", show_duration(server.body_timeout)),
        ("server.min_transfer_rate", show_size(server.min_transfer_rate)),
        ("server.shutdown_delay", show_duration(server.shutdown_delay)),
        ("server.drain_timeout", show_duration(server.drain_timeout)),
        ("server.upgrade_drain_timeout", show_duration(server.upgrade_drain_timeout)),
        ("server.max_header_size", show_size(server.max_header_size)),
        ("server.max_headers", server.max_headers.to_string()),
        ("server.max_streams", server.max_streams.to_string()),
        ("server.http2_frame_budget", server.http2_frame_budget.to_string()),
    ]
}

/// Returns the timeouts and limits of an `[[api]]`.
pub(super) fn of_api(api: &ApiConfig) -> Vec<Shown> {
    vec![
        ("connect_timeout", show_duration(api.connect_timeout)),
        ("response_timeout", show_duration(api.response_timeout)),
        ("idle_timeout", show_duration(api.idle_timeout)),
        ("request_timeout", show_duration(api.request_timeout)),
        ("keep_alive", show_duration(api.keep_alive)),
        ("max_body_size", show_size(api.max_body_size)),
        ("max_requests", api.max_requests.to_string()),
    ]
}

/// Appends a line for each value that differs.
pub(super) fn compare(old: &[Shown], new: &[Shown], lines: &mut Vec<String>) {
    let changed = old.iter().zip(new).filter(|(old, new)| old != new);
    lines.extend(changed.map(|((name, old), (_, new))| format!("{name} {old} → {new}")));
}
