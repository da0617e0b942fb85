//! Reads `[portal]`.

use std::sync::Arc;

use super::origin::origin;
use super::resolved_api::ResolvedApi;
use crate::config::document::{Section, as_text};
use crate::config::kinds::PORTAL;
use crate::config::names;
use crate::config::secret::quote;
use crate::config::{Admin, Portal};
use crate::words::Texts;

/// Reads the settings of the pages for an organisation's own people. Returns `None` without the
/// table.
pub(super) fn portal(
    root: Section<'_>,
    admin: Option<&Admin>,
    apis: &[ResolvedApi<'_>],
) -> Option<Portal> {
    let section = root.section("portal", &PORTAL)?;
    let report = section.report;
    if !root.has("store") {
        let hint = "add `[store]` with `path = \"keygate.db\"`";
        report.error_with_hint(
            section.at,
            "`[portal]` needs `[store]`, which keeps sessions",
            hint,
        );
    }
    if admin.is_none_or(|admin| admin.tokens.is_empty()) {
        let hint =
            "add `[[admin.token]]` with `role = \"portal\"`: your product mints links with it";
        report.error_with_hint(section.at, "`[portal]` needs an admin token", hint);
    }
    section.require("hosts", "`hosts = [\"keys.example.com\"]` names where the pages are");
    if section.is_empty_list("hosts") {
        report.error(section.at("hosts"), "`hosts` names no host");
    }
    let mut hosts: Vec<Box<str>> = Vec::new();
    for text in section.texts("hosts") {
        let Some(host) = names::host(report, text) else { continue };
        if hosts.contains(&host) {
            report.error(text.at, format!("{} stands twice in `hosts`", quote(&host)));
        }
        if apis.iter().any(|api| api.config.definition.hosts.contains(&host)) {
            let hint = "give the pages a host name of their own";
            let message = format!("an API answers for {} already", quote(&host));
            report.error_with_hint(text.at, message, hint);
        }
        hosts.push(host);
    }
    let mut return_origins: Vec<Box<str>> = Vec::new();
    for text in section.texts("return_origins") {
        let Some(origin) = origin(report, text) else { continue };
        if !origin.starts_with("https://") && !origin.starts_with("http://") {
            report.error(text.at, "a page to return to has the scheme `https` or `http`");
        }
        if return_origins.contains(&origin) {
            report.error(text.at, format!("{} stands twice in `return_origins`", quote(&origin)));
        }
        return_origins.push(origin);
    }
    let texts = texts(section, &hosts);
    Some(Portal { hosts, return_origins, texts })
}

/// Reads the words of hosts: `[portal.texts."keys.example.com"]`.
fn texts(section: Section<'_>, hosts: &[Box<str>]) -> Vec<(Box<str>, Arc<Texts>)> {
    let report = section.report;
    let mut all = Vec::new();
    for (host, words) in section.entries("texts") {
        let name = host.value.to_ascii_lowercase();
        if !hosts.iter().any(|known| **known == *name) {
            let hint = "write a table such as `[portal.texts.\"keys.example.com\"]`";
            report.error_with_hint(host.at, "this is none of `[portal] hosts`", hint);
        }
        let Some(words) = words.get_ref().as_table() else {
            report.error(words.span().start, "the texts of a host are a table");
            continue;
        };
        let mut texts = Texts::default();
        for (name, value) in words {
            let at = name.span().start;
            let Some(text) = as_text(value) else {
                report.error(value.span().start, "a text stands in quotes");
                continue;
            };
            if !report.is_plain(text.at, text.value) {
                continue;
            }
            let text = names::free_text(report, "text", text);
            if !texts.set(name.get_ref(), text.to_owned()) {
                let nearest = report.did_you_mean(name.get_ref(), Texts::NAMES.iter().copied());
                report.error(at, format!("there is no such text{nearest}"));
            }
        }
        all.push((name.into(), Arc::new(texts)));
    }
    all
}
