//! `/metrics`: every figure with its name. All labels are from closed lists or from `gateway.toml`;
//! none is a caller's to choose.

use std::sync::atomic::Ordering;

use super::exposition::{Exposition, seconds};
use super::figures::Figures;
use crate::keystore::Health;
use crate::policy::Refusal;
use crate::state::{ApiState, Published, TooMany};
use crate::stats::{
    ApiStats, Count, CutShort, EVENTS_LOST, Histogram, LATENCY_BOUNDS, WorkerStats,
};

/// The media type of [`render`]'s text.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// All figures in the Prometheus text format.
pub(super) async fn render(figures: &Figures) -> String {
    figures.gather().await;
    let published = figures.shared.published();
    let mut text = Exposition::default();
    requests(&mut text, figures, &published.site.apis);
    durations(&mut text, &published.site.apis);
    keys(&mut text, figures, &published);
    connections(&mut text, figures);
    upstreams(&mut text, figures);
    reloads(&mut text, figures);
    if let Some(health) = &figures.store {
        store(&mut text, health);
    }
    process(&mut text, figures);
    text.finish()
}

fn requests(text: &mut Exposition, figures: &Figures, apis: &[ApiState]) {
    text.counter(
        "keygate_requests_total",
        "Requests by API, outcome (forwarded, answered here, or why not) and class of the \
            answer's status.",
    );
    for api in apis {
        let name = &*api.config.definition.name;
        for (class, status) in CLASSES.iter().enumerate() {
            let requests = sum(&api.stats, |stats| &stats.forwarded[class]);
            text.sample(&[("api", name), ("outcome", "forwarded"), ("status", status)], requests);
            for why in CutShort::ALL {
                let requests = sum(&api.stats, |stats| &stats.cut_short[why as usize][class]);
                if requests > 0 {
                    text.sample(
                        &[("api", name), ("outcome", why.code()), ("status", status)],
                        requests,
                    );
                }
            }
            let answered = sum(&api.stats, |stats| &stats.answered[class]);
            if answered > 0 {
                text.sample(
                    &[("api", name), ("outcome", "answered"), ("status", status)],
                    answered,
                );
            }
        }
        let distinguishes = api.config.definition.errors_distinguish;
        for refusal in Refusal::ALL {
            let requests = sum(&api.stats, |stats| &stats.refused[refusal.index()]);
            // Reasons that never occurred would be most of the page.
            if requests > 0 {
                text.sample(
                    &[
                        ("api", name),
                        ("outcome", refusal.code()),
                        ("status", class_of(refusal, distinguishes)),
                    ],
                    requests,
                );
            }
        }
    }
    for refusal in Refusal::ALL {
        let requests = sum(&figures.shared.workers, |stats| &stats.refused[refusal.index()]);
        if requests > 0 {
            text.sample(
                &[("api", ""), ("outcome", refusal.code()), ("status", class_of(refusal, true))],
                requests,
            );
        }
    }
    let in_flight = sum(&figures.shared.workers, |stats| &stats.requests_in_flight);
    text.gauge("keygate_requests_in_flight", "Requests that are being answered.")
        .sample(&[], in_flight);
    text.gauge(
        "keygate_api_requests_in_flight",
        "Requests that were sent on to an API and whose answers have not ended.",
    );
    for api in apis {
        text.sample(&[("api", &api.config.definition.name)], api.in_flight());
    }
    text.counter(
        "keygate_cuts_total",
        "Requests that ended in the middle, by reason: their key had lost its right, their time \
            was up, their body could not go on, the upstream broke off, or the client left.",
    );
    for refusal in Refusal::ALL.into_iter().filter(|refusal| refusal.can_end_answer()) {
        text.sample(
            &[("outcome", refusal.code())],
            sum(&figures.shared.workers, |stats| &stats.cuts[refusal.index()]),
        );
    }
    for why in CutShort::ALL {
        let requests = sum(&figures.shared.workers, |stats| &stats.cut_short[why as usize]);
        text.sample(&[("outcome", why.code())], requests);
    }
}

fn class_of(refusal: Refusal, distinguishes: bool) -> &'static str {
    let class = usize::from(refusal.status(distinguishes).as_u16() / 100);
    CLASSES.get(class.wrapping_sub(1)).copied().unwrap_or("5xx")
}

fn durations(text: &mut Exposition, apis: &[ApiState]) {
    text.histogram(
        "keygate_request_duration_seconds",
        "Time from a request's head to the end of its answer.",
    );
    for api in apis {
        histogram(text, api, |stats| &stats.duration);
    }
    text.histogram(
        "keygate_upstream_duration_seconds",
        "Time from sending a request to the upstream to the head of its answer.",
    );
    for api in apis {
        histogram(text, api, |stats| &stats.upstream);
    }
}

fn histogram(text: &mut Exposition, api: &ApiState, pick: impl Fn(&ApiStats) -> &Histogram) {
    let mut counts = [0; LATENCY_BOUNDS.len() + 1];
    let mut total = 0;
    for stats in api.stats.iter() {
        let (worker, sum) = pick(stats).read();
        counts.iter_mut().zip(worker).for_each(|(count, worker)| *count += worker);
        total += sum;
    }
    text.buckets(&[("api", &api.config.definition.name)], &LATENCY_BOUNDS, &counts, total);
}

fn keys(text: &mut Exposition, figures: &Figures, published: &Published) {
    let told = figures.busy_keys().scrape();
    text.counter(
        "keygate_key_requests_total",
        "Requests by key, for the busiest keys since each became one; all others are `other`.",
    );
    for (key, requests) in &told.named {
        text.sample(&[("key", key)], requests);
    }
    text.sample(&[("key", "other")], told.other);
    text.gauge("keygate_keys", "Secrets in the table of keys.")
        .sample(&[], published.snapshot.keyring.len());
    text.gauge(
        "keygate_keys_expiring_soon",
        "Keys that expire within the time that `expiry_warning` of their API sets.",
    );
    for (api, keys) in figures.expiring() {
        text.sample(&[("api", &api)], keys);
    }
    text.gauge("keygate_limiter_keys", "Keys that were used since the process started.")
        .sample(&[], figures.used());
    text.counter("keygate_limiter_refusals_total", "Requests over the limit.");
    for api in &published.site.apis {
        let refused = sum(&api.stats, |stats| &stats.refused[Refusal::RateLimited(0).index()]);
        text.sample(&[("api", &api.config.definition.name)], refused);
    }
}

fn connections(text: &mut Exposition, figures: &Figures) {
    let total = |pick: fn(&WorkerStats) -> &Count| sum(&figures.shared.workers, pick);
    text.counter("keygate_connections_total", "Connections accepted.")
        .sample(&[], total(|worker| &worker.connections));
    text.counter(
        "keygate_connections_refused_total",
        "Connections refused because too many were open: in all, or of one address.",
    )
    .sample(
        &[("limit", "total")],
        total(|worker| &worker.connections_refused[TooMany::InAll as usize]),
    )
    .sample(
        &[("limit", "address")],
        total(|worker| &worker.connections_refused[TooMany::FromAddress as usize]),
    );
    text.counter(
        "keygate_connections_silent_total",
        "Connections closed because no whole request head came in time.",
    );
    text.sample(&[], total(|worker| &worker.connections_silent));
    text.counter(
        "keygate_accept_failures_total",
        "Times that no connection could be accepted, for lack of file descriptors or memory.",
    );
    text.sample(&[], total(|worker| &worker.accepts_failed));
    text.counter(
        "keygate_http2_dismissals_total",
        "HTTP/2 connections ended because of what their clients sent, by reason.",
    )
    .sample(&[("reason", "protocol_error")], total(|worker| &worker.http2_dismissed[0]))
    .sample(&[("reason", "flood")], total(|worker| &worker.http2_dismissed[1]));
    text.gauge("keygate_connections_open", "Connections open.")
        .sample(&[], figures.shared.connections.open());
    text.gauge(
        "keygate_upgrades_open",
        "Connections that switched to another protocol, such as WebSockets.",
    );
    text.sample(&[], total(|worker| &worker.upgrades_open));
    text.counter("keygate_tls_handshakes_total", "TLS handshakes by result.")
        .sample(&[("result", "success")], total(|worker| &worker.handshakes))
        .sample(&[("result", "failure")], total(|worker| &worker.handshakes_failed));
    text.counter(
        "keygate_log_lines_lost_total",
        "Log lines thrown away because the log could not keep up.",
    );
    text.sample(&[], total(|worker| &worker.log_lines_lost));
    text.counter(
        "keygate_events_lost_total",
        "Events thrown away because standard error could not keep up.",
    );
    text.sample(&[], EVENTS_LOST.load(Ordering::Relaxed));
}

fn upstreams(text: &mut Exposition, figures: &Figures) {
    let total = |pick: fn(&WorkerStats) -> &Count| sum(&figures.shared.workers, pick);
    text.counter("keygate_upstream_connections_total", "Connections made to upstreams, by result.")
        .sample(&[("result", "success")], total(|worker| &worker.upstream_connections))
        .sample(&[("result", "failure")], total(|worker| &worker.upstream_connections_failed));
    text.counter(
        "keygate_upstream_reuses_total",
        "Requests sent on a connection that had served another before.",
    );
    text.sample(&[], total(|worker| &worker.upstream_reused));
    text.counter("keygate_upstream_retries_total", "Requests sent again on a fresh connection.");
    text.sample(&[], total(|worker| &worker.upstream_retries));
    text.gauge("keygate_upstream_pool_idle", "Connections to upstreams that wait for a request.");
    text.sample(&[], total(|worker| &worker.upstream_idle));
}

fn reloads(text: &mut Exposition, figures: &Figures) {
    let control = &figures.control;
    text.counter(
        "keygate_reloads_total",
        "Attempts to put an edited configuration in force, by result.",
    )
    .sample(&[("result", "success")], control.reloads.value())
    .sample(&[("result", "failure")], control.reloads_failed.value());
    text.gauge(
        "keygate_config_file_differs",
        "1 while the file on disk is not what runs: it has a mistake, or is gone.",
    );
    text.sample(&[], control.file_differs.value());
    text.gauge(
        "keygate_config_loaded_timestamp_seconds",
        "When the running configuration was put in force.",
    );
    text.sample(&[], control.loaded_at.value());
    text.gauge(
        "keygate_reload_duration_seconds",
        "How long the last load took, from reading the file to being in force.",
    );
    text.sample(&[], seconds(control.load_duration.value()));
    text.histogram(
        "keygate_revocation_seconds",
        "Time from an edit that took access away to its being in force.",
    );
    let (counts, total) = control.revocation.read();
    text.buckets(&[], &LATENCY_BOUNDS, &counts, total);
    text.counter(
        "keygate_certificate_reloads_total",
        "Certificates whose files changed, by result.",
    )
    .sample(&[("result", "success")], control.certificates_reloaded.value())
    .sample(&[("result", "failure")], control.certificates_failed.value());
    let certificates = figures.certificates();
    if !certificates.is_empty() {
        text.gauge(
            "keygate_certificate_expiry_timestamp_seconds",
            "When a certificate that is served with ends, in seconds since the Unix epoch.",
        );
        for expiry in &certificates {
            text.sample(
                &[("listener", expiry.listener), ("file", &expiry.file)],
                expiry.validity.end,
            );
        }
    }
}

fn store(text: &mut Exposition, health: &Health) {
    text.gauge(
        "keygate_store_healthy",
        "0 while the store cannot write or does not answer: changes of keys are answered with 503.",
    );
    text.sample(&[], u8::from(health.is_healthy()));
    text.counter("keygate_store_commits_total", "Transactions that the store has committed.")
        .sample(&[], health.commits());
    text.counter("keygate_store_failures_total", "Transactions that failed because of the disk.")
        .sample(&[], health.failures());
    text.gauge("keygate_store_queue", "Commands that wait for the store.")
        .sample(&[], health.queued());
}

fn process(text: &mut Exposition, figures: &Figures) {
    text.gauge("keygate_workers", "Threads that serve requests.")
        .sample(&[], figures.shared.workers.len());
    text.gauge("keygate_build_info", "Always 1.")
        .sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
    text.gauge(
        "process_start_time_seconds",
        "When the process started, in seconds since the Unix epoch.",
    );
    text.sample(&[], figures.started_at);
    if let Some(bytes) = resident_memory() {
        text.gauge("process_resident_memory_bytes", "Resident memory size in bytes.")
            .sample(&[], bytes);
    }
    if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
        // One is the directory that is being read.
        text.gauge("process_open_fds", "Number of open file descriptors.")
            .sample(&[], files.count().saturating_sub(1));
    }
    if let Some(most) = rustix::process::getrlimit(rustix::process::Resource::Nofile).current {
        text.gauge("process_max_fds", "Maximum number of open file descriptors.").sample(&[], most);
    }
}

fn resident_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kibibytes| kibibytes * 1024)
}

fn sum<T>(workers: &[T], pick: impl Fn(&T) -> &Count) -> u64 {
    workers.iter().map(|worker| pick(worker).value()).sum()
}
