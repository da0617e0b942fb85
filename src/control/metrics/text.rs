//! Writes series that the exporter does not hold, in its format: the workers' counters, and series
//! that come and go, which the exporter would keep for ever.

use std::fmt::Display;

use metrics::{Key, Label};
use metrics_exporter_prometheus::LabelSet;
use metrics_exporter_prometheus::formatting::{
    write_help_line, write_metric_line, write_type_line,
};

use crate::stats::{LATENCY_BOUNDS, seconds_of};

/// Names and values of labels.
pub(super) type Labels<'l> = &'l [(&'static str, &'l str)];

/// The page under construction.
#[derive(Debug)]
pub(super) struct Page {
    text: String,
    name: &'static str,
}

impl Page {
    /// Appends to the exporter's text.
    pub(super) fn after(text: String) -> Self {
        Self { text, name: "" }
    }

    /// Begins a counter. Its name ends in `_total`. Samples follow.
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
        self.name = name;
        write_help_line(&mut self.text, name, None, None, help);
        write_type_line(&mut self.text, name, None, None, kind);
        self
    }

    /// Writes one sample of the metric begun last.
    pub(super) fn sample(&mut self, labels: Labels<'_>, value: impl Display) -> &mut Self {
        self.line(None, &self.labels(labels), None::<(_, &str)>, value)
    }

    /// Writes the samples of one histogram with the bounds [`LATENCY_BOUNDS`].
    ///
    /// `counts` are not cumulative. They have one more entry, for everything above the last bound.
    /// `sum` is in microseconds.
    pub(super) fn buckets(&mut self, labels: Labels<'_>, counts: &[u64], sum: u64) {
        let labels = self.labels(labels);
        let mut cumulative = 0;
        for (index, count) in counts.iter().enumerate() {
            cumulative += count;
            let bound = LATENCY_BOUNDS.get(index).copied().map_or(f64::INFINITY, seconds_of);
            // Prometheus' spelling of infinity.
            let bound = if bound.is_finite() { bound.to_string() } else { "+Inf".to_owned() };
            self.line(Some("bucket"), &labels, Some(("le", bound)), cumulative);
        }
        self.line(Some("sum"), &labels, None::<(_, &str)>, seconds_of(sum));
        self.line(Some("count"), &labels, None::<(_, &str)>, cumulative);
    }

    fn line(
        &mut self,
        suffix: Option<&'static str>,
        labels: &LabelSet,
        bound: Option<(&'static str, impl Display)>,
        value: impl Display,
    ) -> &mut Self {
        write_metric_line(&mut self.text, self.name, suffix, labels, bound, value, None);
        self
    }

    fn labels(&self, labels: Labels<'_>) -> LabelSet {
        let labels = labels.iter().map(|(name, value)| Label::new(*name, unescaped(value)));
        let key = Key::from_parts(self.name, labels.collect::<Vec<_>>());
        LabelSet::from_key_and_global(&key, &Default::default())
    }

    /// Returns the whole text.
    pub(super) fn finish(self) -> String {
        self.text
    }
}

/// Escapes a label's value for the exporter. The exporter would otherwise take a backslash for the
/// start of an escape sequence.
fn unescaped(value: &str) -> String {
    value.replace('\\', "\\\\")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Unescapes a label's value as Prometheus does.
    fn read(label: &str) -> String {
        let mut read = String::new();
        let mut chars = label.chars();
        while let Some(char) = chars.next() {
            read.push(match char {
                '\\' => match chars.next() {
                    Some('n') => '\n',
                    Some(escaped @ ('\\' | '"')) => escaped,
                    other => panic!("\\{other:?} is no escape"),
                },
                '"' | '\n' => panic!("{char:?} ends the value"),
                other => other,
            });
        }
        read
    }

    proptest! {
        #[test]
        fn label_is_read_as_it_was_written_whatever_stands_in_it(
            value in proptest::string::string_regex("([a-z\\\\\"\n]|.){0,12}").expect("a pattern")
        ) {
            let mut page = Page::after(String::new());
            page.gauge("a", "Help.").sample(&[("file", &value), ("b", "c")], 7);
            let text = page.finish();
            let before = "# HELP a Help.\n# TYPE a gauge\na{file=\"";
            let line = text.strip_prefix(before).expect("labels");
            let label = line.strip_suffix("\",b=\"c\"} 7\n").expect("another label and a value");
            prop_assert_eq!(read(label), value);
        }
    }

    #[test]
    fn sample_without_labels_has_no_braces() {
        let mut page = Page::after(String::new());
        page.gauge("a", "Help.").sample(&[], 1.5);
        assert!(page.finish().ends_with("\na 1.5\n"));
    }

    #[test]
    fn histogram_is_cumulative_and_in_seconds() {
        let mut page = Page::after(String::new());
        let mut counts = [0; LATENCY_BOUNDS.len() + 1];
        (counts[0], counts[16]) = (2, 1);
        page.histogram("a_seconds", "Help.").buckets(&[("api", "x")], &counts, 2_500_000);
        let text = page.finish();
        for line in [
            "a_seconds_bucket{api=\"x\",le=\"0.0001\"} 2",
            "a_seconds_bucket{api=\"x\",le=\"60\"} 2",
            "a_seconds_bucket{api=\"x\",le=\"+Inf\"} 3",
            "a_seconds_sum{api=\"x\"} 2.5",
            "a_seconds_count{api=\"x\"} 3",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in {text}");
        }
    }
}
