//! Reads `[api.cors]`.

use std::time::Duration;

use http::{HeaderName, Method, header};

use super::origin::origin;
use crate::config::document::Section;
use crate::config::kinds::CORS;
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
        let Some(origin) = origin(report, *text) else { continue };
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
