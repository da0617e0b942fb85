//! Renders the page from all its parts.

use super::sampled::float;
use super::series;
use super::sources::Metrics;
use super::text::Page;

/// The media type of the text that [`render`] returns.
pub(in crate::control) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Returns all series in the Prometheus text format.
pub(in crate::control) async fn render(metrics: &Metrics) -> String {
    metrics.gather().await;
    let published = metrics.shared.published();
    let sampled = metrics.sampled();
    sampled.keys.set(float(published.snapshot.keyring.len() as u64));
    sampled.keys_used.set(float(metrics.used() as u64));
    sampled.workers.set(float(metrics.shared.workers.len() as u64));
    sampled.started_at.set(float(u64::try_from(metrics.started_at).unwrap_or_default()));
    sampled.read(metrics.store.as_deref());
    let mut page = Page::after(metrics.rendered());
    series::write(&mut page, metrics, &published);
    page.finish()
}
