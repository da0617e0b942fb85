//! Renders `/metrics`.
//!
//! The workers count requests in their own counters (`stats.rs`), which a scrape sums. Everything
//! else is counted through the `metrics` crate. Its Prometheus exporter renders those series, and
//! its formatting functions append the workers' series to the same page. `docs/metrics.txt` lists
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
