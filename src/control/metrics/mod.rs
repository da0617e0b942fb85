//! `/metrics`. What every request counts stands in the workers' cells (`stats.rs`) and is summed at
//! a scrape; all else is counted through the `metrics` crate. Its Prometheus exporter renders the
//! one, and its formatting functions write the other onto the same page. `docs/metrics.txt` lists
//! every series.

mod recorder;
mod render;
mod sampled;
mod series;
mod sources;
mod text;

pub(super) use recorder::ControlMetrics;
pub(super) use render::{CONTENT_TYPE, render};
pub(super) use sources::Metrics;
