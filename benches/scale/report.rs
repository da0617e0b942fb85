//! Collects the figures, each with the promise about it.

use std::path::Path;

/// All lines so far.
#[derive(Default)]
pub(crate) struct Report(Vec<Line>);

struct Line {
    what: String,
    figure: f64,
    unit: &'static str,
    /// The promised limit, or `None` for a figure without a promise.
    promise: Option<f64>,
}

impl Report {
    /// Adds a figure that is promised to be at most `promise`.
    pub(crate) fn promised(
        &mut self,
        what: impl Into<String>,
        figure: f64,
        unit: &'static str,
        promise: f64,
    ) {
        self.0.push(Line { what: what.into(), figure, unit, promise: Some(promise) });
        self.print_last();
    }

    /// Adds a figure that only helps to understand the others.
    pub(crate) fn noted(&mut self, what: impl Into<String>, figure: f64, unit: &'static str) {
        self.0.push(Line { what: what.into(), figure, unit, promise: None });
        self.print_last();
    }

    fn print_last(&self) {
        let Some(Line { what, figure, unit, promise }) = self.0.last() else { return };
        let verdict = match promise {
            Some(promise) if figure <= promise => format!("promised {promise:>7} {unit:3}  kept"),
            Some(promise) => format!("promised {promise:>7} {unit:3}  NOT KEPT"),
            None => String::new(),
        };
        println!("{what:66} {figure:10.2} {unit:3}  {verdict}");
    }

    /// Writes all lines to a file as JSON. Returns whether all promises were kept.
    pub(crate) fn write(&self, path: &Path, keys: usize) -> bool {
        let lines = self.0.iter().map(|Line { what, figure, unit, promise }| {
            let kept = promise.map(|promise| *figure <= promise);
            serde_json::json!({
                "what": what, "figure": figure, "unit": unit, "promise": promise, "kept": kept,
            })
        });
        let report = serde_json::json!({"keys": keys, "lines": lines.collect::<Vec<_>>()});
        std::fs::write(path, format!("{report:#}\n")).expect("the report");
        let kept = self
            .0
            .iter()
            .filter(|line| line.promise.is_some_and(|promise| line.figure <= promise))
            .count();
        let promised = self.0.iter().filter(|line| line.promise.is_some()).count();
        println!("{kept} of {promised} promises kept; the same as JSON: {}", path.display());
        kept == promised
    }
}

/// Returns the quantile at `share`, between 0 and 1. Returns NaN if there are no figures.
pub(crate) fn quantile(figures: &mut [f64], share: f64) -> f64 {
    figures.sort_by(f64::total_cmp);
    let at = (figures.len() as f64 * share) as usize;
    figures.get(at.min(figures.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}

/// Returns the median.
pub(crate) fn median(figures: &mut [f64]) -> f64 {
    quantile(figures, 0.5)
}
