//! Reads the rate limits of an API or a key.

use std::sync::Arc;

use crate::config::document::{Section, Text};
use crate::config::secret::quote;
use crate::config::units;
use crate::policy::Limit;

/// Reads limits, which must have different windows.
pub(super) fn limits(section: Section<'_>, texts: &[Text<'_>]) -> Arc<[Limit]> {
    let report = section.report;
    let mut limits: Vec<Limit> = Vec::new();
    for text in texts {
        match units::parse_limit(text.value) {
            Ok(limit) if limits.iter().any(|other| other.window == limit.window) => {
                report.error(text.at, "two limits have the same window; the lower one would do");
            }
            Ok(limit) => limits.push(limit),
            Err(_) if text.value == "none" => {
                let hint = "it stands alone, and only in a `[[key]]`; an API without a limit has \
                    no `rate_limit`";
                report.error_with_hint(text.at, "`none` cannot stand here", hint);
            }
            Err(hint) => report.error_with_hint(
                text.at,
                format!("{} is no rate limit", quote(text.value)),
                hint,
            ),
        }
    }
    if limits.len() > units::MAX_LIMITS {
        report.error(
            section.at("rate_limit"),
            format!("there are at most {} limits", units::MAX_LIMITS),
        );
    }
    if section.is_empty_list("rate_limit") {
        report.error(section.at("rate_limit"), "`rate_limit` is an empty list");
    }
    limits.into()
}
