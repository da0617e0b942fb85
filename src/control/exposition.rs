//! A writer of the Prometheus text format.
//!
//! Our own, because exporters want to be told of each observation, into counters that all threads
//! share. The workers count without sharing a cache line, and only sums are known here, at the time
//! of a scrape.

use std::fmt::{Display, Write as _};

/// The text under construction.
#[derive(Debug, Default)]
pub(super) struct Exposition {
    text: String,
    metric: &'static str,
}

/// Names and values; the values are escaped.
pub(super) type Labels<'l> = &'l [(&'static str, &'l str)];

impl Exposition {
    /// Begins a counter; its name ends in `_total`. Samples follow.
    pub(super) fn counter(&mut self, name: &'static str, help: &str) -> &mut Self {
        self.begin(name, "counter", help)
    }

    /// Begins a gauge.
    pub(super) fn gauge(&mut self, name: &'static str, help: &str) -> &mut Self {
        self.begin(name, "gauge", help)
    }

    /// Begins a histogram.
    pub(super) fn histogram(&mut self, name: &'static str, help: &str) -> &mut Self {
        self.begin(name, "histogram", help)
    }

    fn begin(&mut self, name: &'static str, kind: &str, help: &str) -> &mut Self {
        self.metric = name;
        let _ = write!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
        self
    }

    /// One sample of the metric begun last.
    pub(super) fn sample(&mut self, labels: Labels<'_>, value: impl Display) -> &mut Self {
        self.line("", labels, None, value)
    }

    /// The samples of one histogram, in seconds: from bounds in microseconds, counts that are not
    /// cumulative, with one more for all beyond the last bound, and the sum in microseconds.
    pub(super) fn buckets(&mut self, labels: Labels<'_>, bounds: &[u64], counts: &[u64], sum: u64) {
        let mut cumulative = 0;
        for (index, count) in counts.iter().enumerate() {
            cumulative += count;
            let bound =
                bounds.get(index).map_or("+Inf".to_owned(), |bound| seconds(*bound).to_string());
            self.line("_bucket", labels, Some(&bound), cumulative);
        }
        self.line("_sum", labels, None, seconds(sum));
        self.line("_count", labels, None, cumulative);
    }

    fn line(
        &mut self,
        suffix: &str,
        labels: Labels<'_>,
        bound: Option<&str>,
        value: impl Display,
    ) -> &mut Self {
        self.text.push_str(self.metric);
        self.text.push_str(suffix);
        let mut separator = '{';
        for (name, value) in labels.iter().copied().chain(bound.map(|bound| ("le", bound))) {
            self.text.push(separator);
            let _ = write!(self.text, "{name}=\"");
            for char in value.chars() {
                match char {
                    '\\' => self.text.push_str("\\\\"),
                    '"' => self.text.push_str("\\\""),
                    '\n' => self.text.push_str("\\n"),
                    _ => self.text.push(char),
                }
            }
            self.text.push('"');
            separator = ',';
        }
        if separator == ',' {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
        self
    }

    /// The whole text.
    pub(super) fn finish(self) -> String {
        self.text
    }
}

/// Microseconds in the base unit.
#[expect(clippy::cast_precision_loss, reason = "a sum that large has lost its microseconds anyway")]
pub(super) fn seconds(microseconds: u64) -> f64 {
    microseconds as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_values_are_escaped() {
        let mut text = Exposition::default();
        text.counter("a_total", "Help.").sample(&[("api", "x\"y\\z\n"), ("b", "c")], 7);
        assert_eq!(
            text.finish(),
            "# HELP a_total Help.\n# TYPE a_total counter\n\
                a_total{api=\"x\\\"y\\\\z\\n\",b=\"c\"} 7\n"
        );
    }

    #[test]
    fn sample_without_labels_has_no_braces() {
        let mut text = Exposition::default();
        text.gauge("a", "Help.").sample(&[], 1.5);
        assert!(text.finish().ends_with("\na 1.5\n"));
    }

    #[test]
    fn histogram_is_cumulative_and_in_seconds() {
        let mut text = Exposition::default();
        text.histogram("a_seconds", "Help.").buckets(
            &[("api", "x")],
            &[100, 1_000_000],
            &[2, 0, 1],
            2_500_000,
        );
        let text = text.finish();
        let lines: Vec<_> = text.lines().skip(2).collect();
        assert_eq!(
            lines,
            [
                "a_seconds_bucket{api=\"x\",le=\"0.0001\"} 2",
                "a_seconds_bucket{api=\"x\",le=\"1\"} 2",
                "a_seconds_bucket{api=\"x\",le=\"+Inf\"} 3",
                "a_seconds_sum{api=\"x\"} 2.5",
                "a_seconds_count{api=\"x\"} 3",
            ]
        );
    }
}
