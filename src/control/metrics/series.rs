//! Series of the workers' counters, summed over the workers, and series whose labels change with
//! the configuration. All label values come from closed lists or from `gateway.toml`. A client can
//! choose none.

use super::sources::Metrics;
use super::text::Page;
use crate::policy::Refusal;
use crate::state::{ApiState, Published, TooMany};
use crate::stats::{ApiStats, Count, CutShort, Histogram, LATENCY_BOUNDS, WorkerStats};

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// Writes all series.
pub(super) fn write(page: &mut Page, metrics: &Metrics, published: &Published) {
    let apis = &published.runtime.apis;
    requests(page, metrics, apis);
    in_flight(page, metrics, apis);
    cuts(page, metrics);
    durations(page, apis);
    keys(page, metrics, apis);
    connections(page, metrics);
    upstreams(page, metrics);
    certificates(page, metrics);
}

fn requests(page: &mut Page, metrics: &Metrics, apis: &[ApiState]) {
    page.counter(
        "keygate_requests_total",
        "Requests by API, outcome (forwarded, answered here, or why not) and class of the \
            answer's status.",
    );
    for api in apis {
        let name = &*api.config.definition.name;
        for (class, status) in CLASSES.iter().enumerate() {
            let requests = sum(&api.stats, |stats| &stats.forwarded[class]);
            page.sample(&[("api", name), ("outcome", "forwarded"), ("status", status)], requests);
            for why in CutShort::ALL {
                let requests = sum(&api.stats, |stats| &stats.cut_short[why as usize][class]);
                if requests > 0 {
                    page.sample(
                        &[("api", name), ("outcome", why.code()), ("status", status)],
                        requests,
                    );
                }
            }
            let answered = sum(&api.stats, |stats| &stats.answered[class]);
            if answered > 0 {
                page.sample(
                    &[("api", name), ("outcome", "answered"), ("status", status)],
                    answered,
                );
            }
        }
        let distinguishes = api.config.definition.errors_distinguish;
        for refusal in Refusal::ALL {
            let requests = sum(&api.stats, |stats| &stats.refused[refusal.index()]);
            // Omit refusals that never occurred: they would be most of the page.
            if requests > 0 {
                page.sample(
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
        let requests = sum(&metrics.shared.workers, |stats| &stats.refused[refusal.index()]);
        if requests > 0 {
            page.sample(
                &[("api", ""), ("outcome", refusal.code()), ("status", class_of(refusal, true))],
                requests,
            );
        }
    }
}

fn in_flight(page: &mut Page, metrics: &Metrics, apis: &[ApiState]) {
    let in_flight = sum(&metrics.shared.workers, |stats| &stats.requests_in_flight);
    page.gauge("keygate_requests_in_flight", "Requests that are being answered.")
        .sample(&[], in_flight);
    page.gauge(
        "keygate_api_requests_in_flight",
        "Requests that were sent on to an API and whose answers have not ended.",
    );
    for api in apis {
        page.sample(&[("api", &api.config.definition.name)], api.in_flight());
    }
}

fn cuts(page: &mut Page, metrics: &Metrics) {
    page.counter(
        "keygate_cuts_total",
        "Requests that ended in the middle, by reason: their key had lost its right, their time \
            was up, their body could not go on, the upstream broke off, or the client left.",
    );
    for refusal in Refusal::ALL.into_iter().filter(|refusal| refusal.can_end_response()) {
        page.sample(
            &[("outcome", refusal.code())],
            sum(&metrics.shared.workers, |stats| &stats.cuts[refusal.index()]),
        );
    }
    for why in CutShort::ALL {
        let requests = sum(&metrics.shared.workers, |stats| &stats.cut_short[why as usize]);
        page.sample(&[("outcome", why.code())], requests);
    }
}

fn class_of(refusal: Refusal, distinguishes: bool) -> &'static str {
    let class = usize::from(refusal.status(distinguishes).as_u16() / 100);
    CLASSES.get(class.wrapping_sub(1)).copied().unwrap_or("5xx")
}

fn durations(page: &mut Page, apis: &[ApiState]) {
    page.histogram(
        "keygate_request_duration_seconds",
        "Time from a request's head to the end of its answer.",
    );
    for api in apis {
        histogram(page, api, |stats| &stats.duration);
    }
    page.histogram(
        "keygate_upstream_duration_seconds",
        "Time from sending a request to the upstream to the head of its answer.",
    );
    for api in apis {
        histogram(page, api, |stats| &stats.upstream);
    }
}

fn histogram(page: &mut Page, api: &ApiState, pick: impl Fn(&ApiStats) -> &Histogram) {
    let mut counts = [0; LATENCY_BOUNDS.len() + 1];
    let mut total = 0;
    for stats in api.stats.iter() {
        let (worker, sum) = pick(stats).read();
        counts.iter_mut().zip(worker).for_each(|(count, worker)| *count += worker);
        total += sum;
    }
    page.buckets(&[("api", &api.config.definition.name)], &counts, total);
}

fn keys(page: &mut Page, metrics: &Metrics, apis: &[ApiState]) {
    let busy = metrics.busy_keys().scrape();
    page.counter(
        "keygate_key_requests_total",
        "Requests by key, for the busiest keys since each became one; all others are `other`.",
    );
    for (key, requests) in &busy.named {
        page.sample(&[("key", key)], requests);
    }
    page.sample(&[("key", "other")], busy.other);
    page.gauge(
        "keygate_keys_expiring_soon",
        "Keys that expire within the time that `expiry_warning` of their API sets.",
    );
    for (api, keys) in metrics.expiring() {
        page.sample(&[("api", &api)], keys);
    }
    page.counter("keygate_limiter_refusals_total", "Requests over the limit.");
    for api in apis {
        let refused = sum(&api.stats, |stats| &stats.refused[Refusal::RateLimited(0).index()]);
        page.sample(&[("api", &api.config.definition.name)], refused);
    }
}

fn connections(page: &mut Page, metrics: &Metrics) {
    let total = |pick: fn(&WorkerStats) -> &Count| sum(&metrics.shared.workers, pick);
    page.counter("keygate_connections_total", "Connections accepted.")
        .sample(&[], total(|worker| &worker.connections));
    page.counter(
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
    page.counter(
        "keygate_connections_silent_total",
        "Connections closed because no whole request head came in time.",
    );
    page.sample(&[], total(|worker| &worker.connections_silent));
    page.counter(
        "keygate_accept_failures_total",
        "Times that no connection could be accepted, for lack of file descriptors or memory.",
    );
    page.sample(&[], total(|worker| &worker.accepts_failed));
    page.counter(
        "keygate_http2_dismissals_total",
        "HTTP/2 connections ended because of what their clients sent, by reason.",
    )
    .sample(&[("reason", "protocol_error")], total(|worker| &worker.http2_dismissed[0]))
    .sample(&[("reason", "flood")], total(|worker| &worker.http2_dismissed[1]));
    page.gauge("keygate_connections_open", "Connections open.")
        .sample(&[], metrics.shared.connections.open());
    page.gauge(
        "keygate_upgrades_open",
        "Connections that switched to another protocol, such as WebSockets.",
    );
    page.sample(&[], total(|worker| &worker.upgrades_open));
    page.counter("keygate_tls_handshakes_total", "TLS handshakes by result.")
        .sample(&[("result", "success")], total(|worker| &worker.handshakes))
        .sample(&[("result", "failure")], total(|worker| &worker.handshakes_failed));
    page.counter(
        "keygate_log_lines_lost_total",
        "Log lines thrown away because the log could not keep up.",
    );
    page.sample(&[], total(|worker| &worker.log_lines_lost));
}

fn upstreams(page: &mut Page, metrics: &Metrics) {
    let total = |pick: fn(&WorkerStats) -> &Count| sum(&metrics.shared.workers, pick);
    page.counter("keygate_upstream_connections_total", "Connections made to upstreams, by result.")
        .sample(&[("result", "success")], total(|worker| &worker.upstream_connections))
        .sample(&[("result", "failure")], total(|worker| &worker.upstream_connections_failed));
    page.counter(
        "keygate_upstream_reuses_total",
        "Requests sent on a connection that had served another before.",
    );
    page.sample(&[], total(|worker| &worker.upstream_reused));
    page.counter("keygate_upstream_retries_total", "Requests sent again on a fresh connection.");
    page.sample(&[], total(|worker| &worker.upstream_retries));
    page.gauge("keygate_upstream_pool_idle", "Connections to upstreams that wait for a request.");
    page.sample(&[], total(|worker| &worker.upstream_idle));
}

fn certificates(page: &mut Page, metrics: &Metrics) {
    let certificates = metrics.certificates();
    if !certificates.is_empty() {
        page.gauge(
            "keygate_certificate_expiry_timestamp_seconds",
            "When a certificate that is served with ends, in seconds since the Unix epoch.",
        );
        for expiry in &certificates {
            page.sample(
                &[("listener", expiry.listener), ("file", &expiry.file)],
                expiry.validity.end,
            );
        }
    }
}

fn sum<T>(workers: &[T], pick: impl Fn(&T) -> &Count) -> u64 {
    workers.iter().map(|worker| pick(worker).value()).sum()
}
