//! Reads `[api.cors]`.

use std::time::Duration;

use http::{HeaderName, Method, header};

use crate::config::document::{Section, Text};
use crate::config::kinds::CORS;
use crate::config::names;
use crate::config::secret::quote;
use crate::policy::{CorsDefinition, CredentialPlace};

/// The default of `methods`.
const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];
const DAY: Duration = Duration::from_secs(86_400);

/// Reads the CORS settings. Returns `None` without the table.
// Longer than 60 lines: every setting once, with its checks.
pub(super) fn cors(
    api: Section<'_>,
    credentials: &[CredentialPlace],
    limit_draft: bool,
) -> Option<CorsDefinition> {
    let section = api.section("cors", &CORS)?;
    let report = section.report;
    section.require(
        "origins",
        "`origins = [\"https://app.example.com\"]` names the web pages \
        that may call; `[\"*\"]` is any",
    );
    let texts = section.texts("origins");
    let any = texts.iter().find(|text| text.value == "*");
    if section.is_empty_list("origins") {
        report.error_with_hint(
            section.at("origins"),
            "`origins` is empty",
            "leave [api.cors] out, and no page of another origin may call",
        );
    }
    if let Some(any) = any
        && texts.len() > 1
    {
        report.error(any.at, "`*` is any origin, so it stands alone");
    }
    let mut origins: Vec<Box<str>> = Vec::new();
    for text in texts.iter().filter(|text| text.value != "*") {
        let Some(origin) = origin(section, *text) else { continue };
        if origins.contains(&origin) {
            report.error(text.at, format!("{} stands twice in `origins`", quote(&origin)));
        }
        origins.push(origin);
    }
    let may_send_cookies = section.boolean("credentials", false);
    if may_send_cookies && any.is_some() {
        let hint =
            "name the origins: with any, every page on the web could act for whoever is logged in";
        report.error_with_hint(
            section.at("credentials"),
            "`credentials` cannot stand beside the origin `*`",
            hint,
        );
    }
    Some(CorsDefinition {
        origins,
        methods: methods(section),
        headers: names_or(section, "headers", || {
            credentials
                .iter()
                .map(|place| place.header().clone())
                .chain([header::CONTENT_TYPE])
                .collect()
        }),
        expose_headers: names_or(section, "expose_headers", || {
            let draft = ["ratelimit", "ratelimit-policy"].into_iter().filter(|_| limit_draft);
            let always = [
                "x-ratelimit-limit",
                "x-ratelimit-remaining",
                "x-ratelimit-reset",
                "retry-after",
                "x-request-id",
            ];
            always.into_iter().chain(draft).map(HeaderName::from_static).collect()
        }),
        max_age: section
            .duration("max_age", Duration::from_secs(600), Duration::ZERO..=DAY)
            .as_secs(),
        credentials: may_send_cookies,
    })
}

/// Reads an origin in the form that browsers send (RFC 6454 §6.2), because origins are compared
/// byte by byte.
// Longer than 60 lines: every fault of an origin has its own hint.
fn origin(section: Section<'_>, text: Text<'_>) -> Option<Box<str>> {
    let report = section.report;
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

fn methods(section: Section<'_>) -> Vec<Box<str>> {
    if !section.has("methods") {
        return METHODS.map(Box::from).to_vec();
    }
    let mut methods = Vec::new();
    for text in section.texts("methods") {
        let is_method = text.value.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-')
            && text.value.parse::<Method>().is_ok();
        if !is_method || matches!(text.value, "TRACE" | "CONNECT") {
            section
                .report
                .error(text.at, format!("{} is no method that a page may use", quote(text.value)));
        }
        methods.push(text.value.into());
    }
    methods
}

/// Returns the names of header fields, or the default if the setting is absent.
fn names_or(
    section: Section<'_>,
    setting: &'static str,
    usual: impl FnOnce() -> Vec<HeaderName>,
) -> Vec<HeaderName> {
    if !section.has(setting) {
        return usual();
    }
    let mut names = Vec::new();
    for text in section.texts(setting) {
        match HeaderName::from_bytes(text.value.as_bytes()) {
            Ok(name) if text.value != "*" => names.push(name),
            _ => section.report.error_with_hint(
                text.at,
                "this is no header name",
                "name each header, such as `\"Content-Type\"`",
            ),
        }
    }
    names
}
