//! Suggests the name that was probably meant.

use std::cell::Cell;

/// The most names to compare for a whole file, so that a large file with many errors is still read
/// quickly.
const COMPARISONS: usize = 300_000;

/// Finds the most similar of several names, until the comparisons are used up.
#[derive(Debug)]
pub(super) struct Nearest {
    comparisons: Cell<usize>,
}

impl Default for Nearest {
    fn default() -> Self {
        Self { comparisons: Cell::new(COMPARISONS) }
    }
}

impl Nearest {
    /// Returns ``; did you mean `x`?`` for the candidate that is most similar to `name`, or an
    /// empty string if none is similar enough.
    pub(super) fn did_you_mean<'c>(
        &self,
        name: &str,
        candidates: impl IntoIterator<Item = &'c str>,
    ) -> String {
        self.nearest(name, candidates)
            .map_or(String::new(), |nearest| format!("; did you mean `{nearest}`?"))
    }

    /// Returns the candidate that is most similar to `name`, or `None` if none is similar enough.
    fn nearest<'c>(
        &self,
        name: &str,
        candidates: impl IntoIterator<Item = &'c str>,
    ) -> Option<&'c str> {
        let length = name.chars().count();
        let tolerance = (length / 3).clamp(1, 4);
        let mut best: Option<(usize, &str)> = None;
        for candidate in candidates {
            if self.comparisons.get() == 0 {
                break;
            }
            self.comparisons.set(self.comparisons.get() - 1);
            if candidate.len().abs_diff(name.len()) > tolerance * 4
                || candidate.chars().count().abs_diff(length) > tolerance
            {
                continue;
            }
            let distance = strsim::osa_distance(name, candidate);
            if distance <= tolerance && best.is_none_or(|(least, _)| distance < least) {
                best = Some((distance, candidate));
            }
        }
        best.map(|(_, candidate)| candidate)
    }
}
