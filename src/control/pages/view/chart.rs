//! Charts: from figures to the path data of an SVG (SVG 2, section 9.3). Whole numbers only, so
//! that the same figures always draw the same picture.

use std::fmt::Write as _;

/// The width of a bar and of the gap beside it, in the chart's own units.
const BAR: u64 = 8;
const GAP: u64 = 2;
/// The height of a chart of stacked bars.
const HEIGHT: u64 = 120;
/// The same of a sparkline.
const SPARK_BAR: u64 = 2;
const SPARK_GAP: u64 = 1;
const SPARK_HEIGHT: u64 = 24;

/// A chart of stacked bars.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::control::pages) struct Chart {
    /// Of the view box.
    pub(in crate::control::pages) width: u64,
    /// Of the view box.
    pub(in crate::control::pages) height: u64,
    /// The value at the top edge.
    pub(in crate::control::pages) top: u64,
    /// One for each part of a bar, from the bottom to the top; those without a bar are left out.
    pub(in crate::control::pages) parts: Vec<ChartPart>,
}

/// The same part of all bars.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::control::pages) struct ChartPart {
    /// Which one, from the bottom.
    pub(in crate::control::pages) index: usize,
    /// Path data.
    pub(in crate::control::pages) path: String,
}

/// Draws columns of five parts each.
pub(in crate::control::pages) fn stacked(columns: &[[u64; 5]]) -> Chart {
    let total =
        |column: &[u64; 5]| column.iter().fold(0_u64, |sum, part| sum.saturating_add(*part));
    let top = round_up(columns.iter().map(total).max().unwrap_or(0));
    let mut paths = [const { String::new() }; 5];
    for (place, column) in (0_u64..).zip(columns) {
        let mut below = 0_u64;
        for (part, path) in column.iter().zip(&mut paths) {
            let above = below.saturating_add(*part);
            let (mut low, mut high) = (scale(below, top, HEIGHT), scale(above, top, HEIGHT));
            if *part > 0 && high == low {
                low = low.min(HEIGHT - 1);
                high = low + 1;
            }
            bar(path, place * (BAR + GAP), HEIGHT - low, BAR, high - low);
            below = above;
        }
    }
    let drawn = paths.into_iter().enumerate().filter(|(_, path)| !path.is_empty());
    let parts = drawn.map(|(index, path)| ChartPart { index, path }).collect();
    let width = (columns.len().max(1) as u64) * (BAR + GAP) - GAP;
    Chart { width, height: HEIGHT, top, parts }
}

/// Draws one bar a value, as wide as 30 of them need, `SPARK_HEIGHT` high. A value that is not 0 is
/// always visible.
pub(in crate::control::pages) fn sparkline(values: &[u64]) -> String {
    path(values, SPARK_BAR, SPARK_GAP, SPARK_HEIGHT)
}

/// Draws bars, the highest value as high as the picture.
pub(in crate::control::pages) fn path(values: &[u64], width: u64, gap: u64, height: u64) -> String {
    let top = values.iter().copied().max().unwrap_or(0);
    let mut path = String::new();
    for (place, value) in (0_u64..).zip(values) {
        let high = scale(*value, top, height).max(u64::from(*value > 0));
        bar(&mut path, place * (width + gap), height, width, high);
    }
    path
}

/// Adds a rectangle that stands on `bottom`.
fn bar(path: &mut String, left: u64, bottom: u64, width: u64, height: u64) {
    if height > 0 {
        let _ = write!(path, "M{left} {bottom}v-{height}h{width}v{height}z");
    }
}

/// `value` of `top` as a part of `height`, rounded.
fn scale(value: u64, top: u64, height: u64) -> u64 {
    if top == 0 {
        return 0;
    }
    let (value, top, height) = (u128::from(value), u128::from(top), u128::from(height));
    u64::try_from((value * height + top / 2) / top).unwrap_or(u64::MAX)
}

/// The next number of the form 1, 2, 4, 5 or 10 with zeros.
fn round_up(value: u64) -> u64 {
    let mut unit = 1_u64;
    loop {
        for factor in [1, 2, 4, 5] {
            match unit.checked_mul(factor) {
                Some(top) if top >= value => return top,
                Some(_) => {}
                None => return u64::MAX,
            }
        }
        let Some(larger) = unit.checked_mul(10) else { return u64::MAX };
        unit = larger;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_stand_on_each_other_and_fill_the_height() {
        let chart = stacked(&[[5, 0, 0, 5, 0], [0, 0, 0, 0, 0]]);
        assert_eq!((chart.width, chart.height, chart.top), (18, 120, 10));
        let parts: Vec<_> = chart.parts.iter().map(|part| (part.index, &*part.path)).collect();
        assert_eq!(parts, [(0, "M0 120v-60h8v60z"), (3, "M0 60v-60h8v60z")]);
    }

    #[test]
    fn a_single_request_among_many_is_visible() {
        let chart = stacked(&[[100_000, 0, 0, 0, 1]]);
        assert_eq!(chart.parts[1].path, "M0 60v-1h8v1z");
        let full = stacked(&[[1_000_000, 0, 0, 0, 0], [999_999, 0, 0, 0, 1]]);
        assert_eq!(full.parts[1].path, "M10 1v-1h8v1z");
        assert_eq!(sparkline(&[1_000_000, 1]), "M0 24v-24h2v24zM3 24v-1h2v1z");
    }

    #[test]
    fn no_requests_draw_nothing() {
        assert_eq!(stacked(&[]).parts, []);
        assert_eq!(stacked(&[[0; 5]; 30]).parts, []);
        assert_eq!(sparkline(&[0; 30]), "");
    }

    #[test]
    fn the_largest_numbers_are_drawn_too() {
        let chart = stacked(&[[u64::MAX; 5]]);
        assert_eq!(chart.top, u64::MAX);
        assert_eq!(sparkline(&[u64::MAX]), "M0 24v-24h2v24z");
    }

    #[test]
    fn the_top_of_a_chart_is_a_round_number() {
        let tops = [0, 1, 3, 9, 10, 11, 41, 87, 1_001].map(round_up);
        assert_eq!(tops, [1, 1, 4, 10, 10, 20, 50, 100, 2_000]);
    }
}
