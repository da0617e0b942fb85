//! Reads the locations of keys and other credentials in a request.

use http::{HeaderName, header};

use crate::config::document::{Section, Text};
use crate::config::names;
use crate::config::secret::quote;
use crate::policy::{CredentialPlace, PassThrough};

/// Reads `credentials`. Returns at least one location, by default `bearer`.
pub(super) fn credentials(api: Section<'_>) -> Vec<CredentialPlace> {
    let report = api.report;
    let mut places: Vec<CredentialPlace> = Vec::new();
    let texts = api.texts("credentials");
    if api.is_empty_list("credentials") {
        report.error_with_hint(
            api.at("credentials"),
            "`credentials` names no place",
            "write `[\"bearer\"]` or `[\"header:X-API-Key\"]`",
        );
    }
    for text in texts {
        let place = if text.value == "bearer" {
            CredentialPlace::Bearer
        } else if let Some(name) = text.value.strip_prefix("header:") {
            let Some(name) = header(api, text, name) else { continue };
            CredentialPlace::Header(name)
        } else {
            let hint = "write `\"bearer\"` or `\"header:X-API-Key\"`";
            report.error_with_hint(
                text.at,
                format!("{} is no place for a key", quote(text.value)),
                hint,
            );
            continue;
        };
        let twin = |other: &CredentialPlace| {
            names::same_header(other.header()) == names::same_header(place.header())
        };
        if places.iter().any(twin) {
            report.error(
                text.at,
                format!(
                    "two places for a key are the same header, {}",
                    quote(place.header().as_str())
                ),
            );
        }
        places.push(place);
    }
    if places.is_empty() { vec![CredentialPlace::Bearer] } else { places }
}

/// Reads `pass_through`, which must not overlap with `credentials`.
pub(super) fn pass_through(api: Section<'_>, credentials: &[CredentialPlace]) -> Vec<PassThrough> {
    let report = api.report;
    let mut places: Vec<PassThrough> = Vec::new();
    let texts = api.texts("pass_through");
    let names_some = |name| api.has(name) && !api.is_empty_list(name);
    if names_some("pass_through") && !names_some("pass_through_allows") {
        let hint = "list the endpoints that these credentials open: `pass_through_allows = [\"GET \
            /path/**\"]`";
        report.error_with_hint(
            api.at("pass_through"),
            "`pass_through` needs `pass_through_allows`",
            hint,
        );
    }
    if names_some("pass_through_allows") && !names_some("pass_through") {
        let hint = "list the credentials that open these endpoints: `pass_through = \
            [\"header:NAME\", \"cookie:NAME\"]`";
        report.error_with_hint(
            api.at("pass_through_allows"),
            "`pass_through_allows` needs `pass_through`",
            hint,
        );
    }
    for text in texts {
        let place = if let Some(name) = text.value.strip_prefix("header:") {
            let Some(name) = header(api, text, name) else { continue };
            if credentials
                .iter()
                .any(|place| names::same_header(place.header()) == names::same_header(&name))
            {
                report.error(
                    text.at,
                    format!(
                        "{} is a place for keys already, and a bad key must never pass through",
                        quote(name.as_str())
                    ),
                );
            }
            PassThrough::Header(name)
        } else if let Some(name) =
            text.value.strip_prefix("cookie:").filter(|name| names::is_cookie_name(name))
        {
            PassThrough::Cookie(name.into())
        } else {
            let hint = "write `\"header:NAME\"` or `\"cookie:NAME\"`";
            report.error_with_hint(
                text.at,
                format!("{} is no credential to pass through", quote(text.value)),
                hint,
            );
            continue;
        };
        if places.contains(&place) {
            report.error(text.at, format!("{} stands twice", quote(text.value)));
        }
        places.push(place);
    }
    places
}

/// Reads the name of a header field that may carry a credential.
fn header(api: Section<'_>, text: Text<'_>, name: &str) -> Option<HeaderName> {
    let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else {
        api.report.error_with_hint(
            text.at,
            "this is no header name",
            "write `\"header:X-API-Key\"`",
        );
        return None;
    };
    if name == header::COOKIE {
        api.report.error_with_hint(
            text.at,
            "the Cookie header holds many things",
            "`pass_through` can name one cookie: `\"cookie:NAME\"`",
        );
    } else if names::is_reserved_header(&name) {
        api.report.error(
            text.at,
            format!("`{name}` has a meaning of its own and cannot carry a credential"),
        );
    }
    Some(name)
}
