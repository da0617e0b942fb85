use super::{API, SERVER, accepted, digest, refused, with_api};
use crate::config::LogFormat;

fn with_server(settings: &str) -> String {
    format!("[server]\n{settings}\n{API}")
}

fn with_admin(settings: &str) -> String {
    format!("{SERVER}[admin]\n{settings}\n{API}")
}

#[test]
fn defaults_are_those_of_the_example() {
    let config = accepted(&with_api(""));
    let server = &config.server;
    assert_eq!(
        (server.workers, server.max_connections, server.max_header_size, server.max_headers),
        (0, 10_000, 32 << 10, 100)
    );
    assert_eq!((server.max_streams, server.http2_frame_budget), (128, 10_000));
    let seconds = [
        server.handshake_timeout,
        server.header_timeout,
        server.idle_timeout,
        server.drain_timeout,
    ]
    .map(|timeout| timeout.as_secs());
    assert_eq!(seconds, [10, 30, 75, 30]);
    assert_eq!(
        [server.shutdown_delay, server.upgrade_drain_timeout].map(|time| time.as_secs()),
        [0, 3600]
    );
    assert!(!server.core_dumps);
    assert_eq!(
        (
            server.max_connections_per_address,
            server.body_timeout.as_secs(),
            server.min_transfer_rate
        ),
        (1000, 60, 256)
    );
    let api = &config.apis[0];
    assert_eq!(
        (
            api.idle_timeout.as_secs(),
            api.request_timeout.as_secs(),
            api.max_body_size,
            api.max_requests
        ),
        (600, 86_400, 1 << 30, 5000)
    );
    assert!(
        config.log.requests
            && config.log.format == LogFormat::Auto
            && config.admin.is_none()
            && config.tls.is_none()
    );
}

#[test]
fn missing_or_empty_listen_is_refused() {
    refused(&format!("⟦{API}"), &["gateway.toml has no `server`"]);
    refused(
        &with_server("workers = 1").replace("[server]", "⟦[server]"),
        &["[server] has no `listen`"],
    );
    refused(&with_server("listen = ⟦[]"), &["`listen` names no address"]);
}

#[test]
fn listen_takes_addresses_with_ports_only() {
    assert_eq!(
        accepted(&with_server("listen = [\"0.0.0.0:80\", \"[::]:80\"]")).server.listen.len(),
        2
    );
    refused(&with_server("listen = ⟦\":8080\""), &["write `0.0.0.0:8080`"]);
    refused(
        &with_server("listen = [⟦\"example.com:1\", \"127.0.0.1:1\", ⟦\"127.0.0.1\"]"),
        &["not an address", "not an address"],
    );
    refused(&with_server("listen = [\"127.0.0.1:1\", ⟦\"127.0.0.1:1\"]"), &["stands twice"]);
    refused(&with_server("listen = ⟦8080"), &["must be a list of texts"]);
}

#[test]
fn numbers_and_sizes_out_of_range_are_refused() {
    let text = "listen = \"127.0.0.1:0\"\nworkers = ⟦-1\nmax_connections = ⟦0\n\
        max_header_size = ⟦\"1KiB\"\nmax_streams = ⟦0x1000000\nhttp2_frame_budget = ⟦999";
    refused(
        &with_server(text),
        &[
            "from 0 to 1024",
            "from 1 to",
            "from 8KiB to 1MiB",
            "from 1 to 100000",
            "from 1000 to 1000000000",
        ],
    );
    let text = "listen = \"127.0.0.1:0\"\nbody_timeout = ⟦\"0s\"\nmin_transfer_rate = ⟦\"2GiB\"\n\
        max_connections_per_address = ⟦-1";
    refused(&with_server(text), &["from 1ms to 1d", "from 0B to 1GiB", "from 0 to 10000000"]);
    let text = "idle_timeout = ⟦\"2d\"\nrequest_timeout = ⟦\"0s\"\nmax_body_size = ⟦\"1TiB\"\n\
        max_requests = ⟦0";
    refused(&with_api(text), &["from 1ms to 1d", "from 1ms to 30d", "`\"1GiB\"`", "from 1 to"]);
}

#[test]
fn what_is_off_is_zero() {
    let text =
        "listen = \"127.0.0.1:0\"\nmin_transfer_rate = \"0B\"\nmax_connections_per_address = 0";
    let server = accepted(&with_server(text)).server;
    assert_eq!((server.min_transfer_rate, server.max_connections_per_address), (0, 0));
}

#[test]
fn times_before_and_after_the_stop_have_units_and_bounds() {
    let text = "listen = \"127.0.0.1:0\"\nshutdown_delay = \"15s\"\n\
        upgrade_drain_timeout = \"0s\"\ncore_dumps = true";
    let server = &accepted(&with_server(text)).server;
    assert_eq!(
        (
            server.shutdown_delay.as_secs(),
            server.upgrade_drain_timeout.as_secs(),
            server.core_dumps
        ),
        (15, 0, true)
    );
    let text = "listen = \"127.0.0.1:0\"\nshutdown_delay = ⟦15\nupgrade_drain_timeout = ⟦\"2d\"\n\
        core_dumps = ⟦\"no\"";
    refused(
        &with_server(text),
        &["`shutdown_delay` cannot be read", "must be from 0ms to", "`true` or `false`"],
    );
}

#[test]
fn invalid_address_range_is_refused() {
    let text = "listen = \"127.0.0.1:0\"\n\
        trusted_proxies = [\"10.0.0.0/8\", ⟦\"10.0.0.1/8\", ⟦\"10.0.0.0/33\"]";
    refused(
        &with_server(text),
        &["did you mean `10.0.0.0/8`?", "an address range is an address or a CIDR block"],
    );
}

#[test]
fn admin_off_loopback_needs_a_token_and_tls() {
    accepted(&with_admin("listen = \"127.0.0.1:0\""));
    accepted(&with_admin("listen = \"[::1]:0\""));
    let problems = ["needs a token", "needs `[admin.tls]`"];
    let text = with_admin("listen = ⟦\"0.0.0.0:9190\"");
    let errors = super::rejected(&text.replace('⟦', "")).0;
    assert_eq!(errors.len(), 2);
    for (error, expected) in errors.iter().zip(problems) {
        assert!(error.message.contains(expected), "{error}");
        assert_eq!((error.line, error.column), (4, 10));
    }
    let with_token = format!(
        "listen = ⟦\"0.0.0.0:9190\"\n[[admin.token]]\nname = \"ops\"\nsha256 = \"{}\"",
        digest("t")
    );
    refused(&with_admin(&with_token), &["needs `[admin.tls]`"]);
}

#[test]
fn admin_and_server_cannot_share_an_address() {
    refused(
        &format!("[server]\nlisten = \"127.0.0.1:1\"\n[admin]\nlisten = ⟦\"127.0.0.1:1\"\n{API}"),
        &["cannot listen on the same address"],
    );
}

#[test]
fn admin_token_is_a_digest_with_a_name_of_its_own() {
    let text =
        "listen = \"127.0.0.1:0\"\n⟦[[admin.token]]\nsha256 = ⟦\"plain-secret\"\nrole = ⟦\"admin\"";
    refused(
        &with_admin(text),
        &["has no `name`", "`keygate keys hash` makes it", "must be `\"read\"` or `\"manage\"`"],
    );
    assert!(
        !super::rejected(&with_admin(text).replace('⟦', "")).to_string().contains("plain-secret")
    );
    let token = |mark: &str| {
        format!("[[admin.token]]\nname = {mark}\"ops\"\nsha256 = {mark}\"{}\"\n", digest("t"))
    };
    let text = format!("listen = \"127.0.0.1:0\"\n{}{}", token(""), token("⟦"));
    refused(&with_admin(&text), &["two admin tokens are named `ops`", "the same digest"]);
}

#[test]
fn key_or_digest_in_revoked_is_to_be_replaced_and_is_not_repeated() {
    let key = format!("[[key]]\nid = \"key_crm\"\nsha256 = \"{}\"\n", digest("hunter2"));
    let text = format!(
        "[revoked]\nkeys = [⟦\"the key hunter2\", \"key_crm\", ⟦\"{}\", ⟦\"\"]\n{}{key}",
        digest("hunter2"),
        with_api("")
    );
    let warnings = super::accepted(&text.replace('⟦', ""))
        .revoked_warnings_of_file(std::path::Path::new("gateway.toml"));
    super::assert_problems(
        &warnings.iter().collect::<Vec<_>>(),
        &text,
        &[
            "replace this value by the id `key_crm`: it is that key itself, and the file now \
                holds a secret",
            "replace this value by the id `key_crm`: it is the digest of that key",
            "finds no key",
        ],
    );
    let shown: String = warnings.iter().map(ToString::to_string).collect();
    assert!(!shown.contains("hunter2") && !shown.contains(&digest("hunter2")), "{shown}");
}

#[test]
fn log_format_is_one_of_three() {
    refused(
        &format!("{SERVER}[log]\nrequests = ⟦1\nformat = ⟦\"jason\"\n{API}"),
        &["`true` or `false`", "`\"auto\"` or `\"json\"` or `\"text\"`; did you mean `json`?"],
    );
}
