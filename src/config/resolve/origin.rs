//! Reads the origins of web pages.

use crate::config::document::Text;
use crate::config::names;
use crate::config::report::Report;
use crate::config::secret::quote;

/// Reads an origin in the form that browsers send (RFC 6454 §6.2), because origins are compared
/// byte by byte.
// Longer than 60 lines: every fault of an origin has its own hint.
pub(super) fn origin(report: &Report<'_>, text: Text<'_>) -> Option<Box<str>> {
    let fault = |message: &str, hint: String| {
        report.error_with_hint(text.at, message, hint);
        None
    };
    let form = || {
        "write it as browsers do: `https://app.example.com`, with the port if it is not the usual \
            one"
        .to_owned()
    };
    if text.value == "null" {
        return fault(
            "`null` is no origin of anybody's own",
            "any page can have it; serve yours from a name".to_owned(),
        );
    }
    let Some((scheme, rest)) = text.value.split_once("://") else {
        return fault("an origin begins with its scheme", form());
    };
    let scheme_is_good = scheme.starts_with(|first: char| first.is_ascii_lowercase())
        && scheme.bytes().all(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte)
        });
    if !scheme_is_good {
        return fault("this is no scheme of an origin", form());
    }
    if rest.contains(['/', '?', '#', '@']) {
        return fault("an origin has no path and no user", form());
    }
    let lower = rest.to_ascii_lowercase();
    if lower != rest {
        return fault(
            "browsers write origins in lower case",
            format!("write {}", quote(&format!("{scheme}://{lower}"))),
        );
    }
    if rest.contains('*') {
        return fault(
            "an origin cannot have wildcards",
            "name each origin; `[\"*\"]` alone is any".to_owned(),
        );
    }
    let (name, port) = match rest.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')) {
        Some((name, port)) => (name, Some(port)),
        None => (rest, None),
    };
    names::host(report, Text { value: name, at: text.at })?;
    if let Some(port) = port {
        if !port.parse::<u16>().is_ok_and(|number| number > 0 && number.to_string() == port) {
            return fault("the port is not from 1 to 65535", form());
        }
        if matches!((scheme, port), ("http", "80") | ("https", "443")) {
            return fault(
                "browsers leave the usual port out",
                format!("write {}", quote(&format!("{scheme}://{name}"))),
            );
        }
    }
    Some(text.value.into())
}
