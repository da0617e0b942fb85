//! Metrics outside the path of a request, counted through the `metrics` crate.
//!
//! Handles are created once, so that an event costs one atomic operation and no lookup by name. The
//! recorder is local instead of global, so that tests do not see each other's counts.

use metrics::{
    Counter, Gauge, Histogram, counter, describe_counter, describe_gauge, describe_histogram,
    gauge, histogram, with_local_recorder,
};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use super::sampled::Sampled;
use crate::stats::{LATENCY_BOUNDS, seconds_of};

const REVOCATION: &str = "keygate_revocation_seconds";

/// The recorder, and the handles of values that are read at a scrape.
#[derive(Debug)]
pub(super) struct Recorder {
    exporter: PrometheusHandle,
    pub(super) sampled: Sampled,
}

/// Metrics that the control plane updates.
#[derive(Debug)]
pub(in crate::control) struct ControlMetrics {
    /// Edits put in force.
    pub(in crate::control) reloads: Counter,
    /// Edits refused because of a mistake.
    pub(in crate::control) reloads_failed: Counter,
    /// 1 while the file on disk differs from the running configuration (a mistake, or no file),
    /// else 0.
    pub(in crate::control) file_differs: Gauge,
    /// When the running configuration was put in force, in Unix seconds.
    pub(in crate::control) loaded_at: Gauge,
    /// Duration of the last load, from reading the file to putting it in force, in seconds.
    pub(in crate::control) load_duration: Gauge,
    /// Time from an edit that removed access to putting it in force, in seconds.
    pub(in crate::control) revocation: Histogram,
    /// Certificates put in force after their files changed.
    pub(in crate::control) certificates_reloaded: Counter,
    /// Certificate files that could not be used when they changed.
    pub(in crate::control) certificates_failed: Counter,
}

impl Recorder {
    /// Returns the recorder with all metrics at zero. Registers the store's series if there is a
    /// store.
    pub(super) fn new(has_store: bool) -> (Self, ControlMetrics) {
        // The exporter renders histograms without bounds as summaries.
        let bounds = LATENCY_BOUNDS.map(seconds_of);
        let recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Full(REVOCATION.to_owned()), &bounds)
            .expect("there are bounds")
            .build_recorder();
        let exporter = recorder.handle();
        with_local_recorder(&recorder, || {
            (Self { exporter, sampled: Sampled::register(has_store) }, ControlMetrics::register())
        })
    }

    /// Returns this recorder's part of the page.
    pub(super) fn render(&self) -> String {
        self.exporter.render()
    }

    /// Merges observations that wait for a scrape, which may never come. To be called periodically.
    pub(super) fn run_upkeep(&self) {
        self.exporter.run_upkeep();
    }
}

impl ControlMetrics {
    /// Registers the metrics with the thread's recorder.
    fn register() -> Self {
        let reloads = "keygate_reloads_total";
        describe_counter!(reloads, "Attempts to put an edited configuration in force, by result.");
        let differs = "keygate_config_file_differs";
        describe_gauge!(
            differs,
            "1 while the file on disk is not what runs: it has a mistake, or is gone."
        );
        let loaded_at = "keygate_config_loaded_timestamp_seconds";
        describe_gauge!(loaded_at, "When the running configuration was put in force.");
        let load_duration = "keygate_reload_duration_seconds";
        describe_gauge!(
            load_duration,
            "How long the last load took, from reading the file to being in force."
        );
        describe_histogram!(
            REVOCATION,
            "Time from an edit that took access away to its being in force."
        );
        let certificates = "keygate_certificate_reloads_total";
        describe_counter!(certificates, "Certificates whose files changed, by result.");
        Self {
            reloads: counter!(reloads, "result" => "success"),
            reloads_failed: counter!(reloads, "result" => "failure"),
            file_differs: gauge!(differs),
            loaded_at: gauge!(loaded_at),
            load_duration: gauge!(load_duration),
            revocation: histogram!(REVOCATION),
            certificates_reloaded: counter!(certificates, "result" => "success"),
            certificates_failed: counter!(certificates, "result" => "failure"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn observations_are_all_counted_when_upkeep_has_taken_them_in_before_a_scrape() {
        let (recorder, control) = Recorder::new(false);
        for round in 1..=3 {
            (0..10_000).for_each(|_| control.revocation.record(0.002));
            recorder.run_upkeep();
            let page = recorder.render();
            for series in ["bucket{le=\"0.0025\"}", "bucket{le=\"+Inf\"}", "count"] {
                let line = format!("{REVOCATION}_{series} {}", round * 10_000);
                assert!(page.lines().any(|found| found == line), "{line} is not in {page}");
            }
            let line = format!("{REVOCATION}_bucket{{le=\"0.001\"}} 0");
            assert!(page.lines().any(|found| found == line), "{line} is not in {page}");
        }
    }
}
