//! Reads `[[api]]`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::context::{Context, DAY, TIMEOUTS};
use super::endpoints::{self, Endpoint, endpoints};
use super::limits::limits;
use super::resolved_api::ResolvedApi;
use super::{cors, credentials, key_api, upstream};
use crate::config::document::{Section, Text, as_text, type_name};
use crate::config::kinds::{API, SCOPE};
use crate::config::secret::{self, quote};
use crate::config::{ApiConfig, names};
use crate::policy::{
    ApiDefinition, EmptyScopes, Environment, ErrorStyle, ResetStyle, Scope, ScopeSet,
};

pub(super) fn apis<'t>(context: Context<'t>, root: Section<'t>) -> Vec<ResolvedApi<'t>> {
    root.require("api", "each `[[api]]` describes one API to stand in front of");
    let sections = root.sections("api", &API);
    if root.is_empty_list("api") {
        context.report.error(root.at("api"), "there is no `[[api]]`");
    }
    let apis: Vec<ResolvedApi<'_>> =
        sections.iter().map(|section| api(context, root, *section)).collect();
    check_names(context, &apis);
    check_places(context, &apis);
    check_endpoints(context, &apis);
    key_api::check(context, &apis);
    apis
}

// Longer than 60 lines: each setting once.
fn api<'t>(context: Context<'t>, root: Section<'t>, section: Section<'t>) -> ResolvedApi<'t> {
    let report = context.report;
    let mut all = Vec::new();
    let mut keep = |endpoints: Vec<Endpoint<'t>>| {
        all.extend_from_slice(&endpoints);
        endpoints.into_iter().map(|endpoint| endpoint.pattern).collect::<Vec<_>>()
    };
    let name = name(section);
    let environments = environments(section);
    let credentials = credentials::credentials(section);
    let pass_through = credentials::pass_through(section, &credentials);
    let public_endpoints = endpoints(section, "public");
    let public = keep(public_endpoints.clone());
    let pass_through_allows = keep(endpoints(section, "pass_through_allows"));
    let case_insensitive_paths = section.boolean("case_insensitive_paths", false);

    let mut scopes = Vec::new();
    let mut scope_indices = HashMap::new();
    for (name, section) in scope_sections(context, section) {
        let description = section
            .text("description")
            .map_or("", |text| names::free_text(report, "description", text));
        section
            .require("allows", "`allows = [\"GET /path/**\"]` lists the endpoints that it opens");
        let allows = endpoints(section, "allows");
        warn_of_public(context, name, &allows, &public_endpoints, case_insensitive_paths);
        scope_indices.insert(name.value, scopes.len());
        scopes.push(Scope {
            name: name.value.into(),
            description: description.into(),
            allows: keep(allows),
        });
        if scopes.len() == ScopeSet::CAPACITY + 1 {
            report.error(name.at, format!("an API has at most {} scopes", ScopeSet::CAPACITY));
        }
    }
    let base_path = section
        .text("base_path")
        .and_then(|text| names::base_path(report, "base_path", text))
        .unwrap_or("/".into());
    let key_api = key_api::key_api(root, section);
    let key_api_at = section.at("key_api");
    let upstream_headers = upstream::headers(context, section, &credentials, &pass_through);
    let rate_limit_draft = section.boolean("rate_limit_draft", false);
    let cors = cors::cors(section, &credentials, rate_limit_draft);
    let (upstreams, upstream_by_environment) = upstream::upstreams(context, section, &environments);
    let styles = [
        ("problem", ErrorStyle::Problem),
        ("detail", ErrorStyle::Detail),
        ("envelope", ErrorStyle::Envelope),
    ];
    let definition = ApiDefinition {
        name,
        hosts: hosts(section),
        base_path,
        credentials,
        environments,
        scopes,
        public,
        pass_through,
        pass_through_allows,
        errors: section.choice("errors", ErrorStyle::Problem, &styles),
        errors_distinguish: section.boolean("errors_distinguish", true),
        empty_scopes: section.choice(
            "empty_scopes",
            EmptyScopes::None,
            &[("none", EmptyScopes::None), ("all", EmptyScopes::All)],
        ),
        case_insensitive_paths,
        rate_limit_reset: section.choice(
            "rate_limit_reset",
            ResetStyle::Seconds,
            &[("seconds", ResetStyle::Seconds), ("epoch", ResetStyle::Epoch)],
        ),
        rate_limit_draft,
        rate_limit: limits(section, &section.text_or_texts("rate_limit")),
        upstream_headers,
        key_api,
        expiry_warning: section
            .duration("expiry_warning", 14 * DAY, Duration::ZERO..=3650 * DAY)
            .as_secs(),
        expiry_header: section.boolean("expiry_header", false),
        proxy_headers: upstream::proxy_headers(root, section),
        cors,
    };
    let config = ApiConfig {
        definition,
        upstreams,
        upstream_by_environment,
        rewrite_host: section.choice("host_header", false, &[("keep", false), ("upstream", true)]),
        connect_timeout: section.duration("connect_timeout", Duration::from_secs(5), TIMEOUTS),
        response_timeout: section.duration("response_timeout", Duration::from_secs(60), TIMEOUTS),
        keep_alive: section.duration(
            "keep_alive",
            Duration::from_secs(60),
            Duration::ZERO..=*TIMEOUTS.end(),
        ),
        idle_timeout: section.duration("idle_timeout", Duration::from_secs(600), TIMEOUTS),
        request_timeout: section.duration("request_timeout", DAY, *TIMEOUTS.start()..=30 * DAY),
        max_body_size: section.size("max_body_size", 1 << 30, 1..=1 << 50),
        max_requests: section.number("max_requests", 5000, 1..=10_000_000),
    };
    ResolvedApi { config, scopes: scope_indices, endpoints: all, key_api_at, at: section.at }
}

fn name(section: Section<'_>) -> Arc<str> {
    section.require(
        "name",
        "a short name that logs and metrics can show, such as `name = \"support-desk\"`",
    );
    let Some(text) = section.text("name") else { return "".into() };
    if !names::is_api_name(text.value) {
        let message = "an API's name has 1 to 64 of letters, digits, `.`, `_` and `-`";
        section.report.error(text.at, message);
    }
    text.value.into()
}

fn hosts(section: Section<'_>) -> Vec<Box<str>> {
    let mut hosts = Vec::new();
    if section.is_empty_list("hosts") {
        section.report.error_with_hint(
            section.at("hosts"),
            "`hosts` is empty",
            "leave it out, and the API answers for any host",
        );
    }
    for text in section.texts("hosts") {
        let Some(host) = names::host(section.report, text) else { continue };
        if hosts.contains(&host) {
            section.report.error(text.at, format!("{} stands twice in `hosts`", quote(&host)));
        } else {
            hosts.push(host);
        }
    }
    hosts
}

fn environments(section: Section<'_>) -> Vec<Environment> {
    let report = section.report;
    let mut environments: Vec<Environment> = Vec::new();
    for (name, value) in section.entries("environments") {
        if !names::is_environment_name(name.value) {
            report.error(
                name.at,
                "an environment's name has 1 to 64 of letters, digits, `.`, `_` and `-`",
            );
        }
        let Some(prefix) = as_text(value) else {
            let message = format!(
                "an environment's prefix must be a text in quotes, not {}",
                type_name(value.get_ref())
            );
            report.error(value.span().start, message);
            continue;
        };
        if !report.is_plain(prefix.at, prefix.value) {
            continue;
        }
        if secret::could_be(prefix.value) {
            report.error(prefix.at, "this looks like a whole key, not like what keys begin with");
        } else if prefix.value.is_empty() {
            report.error(prefix.at, format!("the prefix of {} is empty", quote(name.value)));
        } else if !names::is_prefix(prefix.value) {
            report.error(prefix.at, "a prefix has 1 to 64 of letters, digits and `-._~+/`");
        } else if let Some(other) = environments.iter().find(|other| *other.prefix == *prefix.value)
        {
            report.error(
                prefix.at,
                format!("{} and {} have the same prefix", quote(&other.name), quote(name.value)),
            );
        }
        environments.push(Environment { name: name.value.into(), prefix: prefix.value.into() });
    }
    environments
}

fn scope_sections<'t>(context: Context<'t>, api: Section<'t>) -> Vec<(Text<'t>, Section<'t>)> {
    let report = context.report;
    let mut sections = Vec::new();
    for (name, value) in api.entries("scopes") {
        if name.value == "*" {
            report.error(name.at, "`*` is the name of full access and cannot be defined");
        } else if !names::is_scope_name(name.value) {
            report.error_with_hint(
                name.at,
                "this is no scope name",
                "visible ASCII characters without spaces, `\"` and `\\` (RFC 6749 §3.3), 128 at \
                    most",
            );
        }
        match value.get_ref().as_table() {
            Some(table) => sections.push((name, Section::open(report, &SCOPE, table, name.at))),
            None => report.error_with_hint(
                value.span().start,
                "a scope must be a table",
                "write `[api.scopes.\"NAME\"]` with `description` and `allows`",
            ),
        }
    }
    sections
}

fn warn_of_public(
    context: Context<'_>,
    scope: Text<'_>,
    allows: &[Endpoint<'_>],
    public: &[Endpoint<'_>],
    ignore_case: bool,
) {
    for endpoint in allows {
        if let Some(open) = public
            .iter()
            .find(|open| endpoints::covers(open.text.value, endpoint.text.value, ignore_case))
        {
            let message = format!(
                "{} of the scope {} is public, so nobody needs the scope for it",
                quote(endpoint.text.value),
                quote(scope.value)
            );
            let hint = format!(
                "line {} has {} in `public`",
                context.report.line(open.text.at),
                quote(open.text.value)
            );
            context.report.warn(endpoint.text.at, message, Some(hint));
        }
    }
}

fn check_names(context: Context<'_>, apis: &[ResolvedApi<'_>]) {
    let mut known: HashMap<&str, usize> = HashMap::new();
    for api in apis {
        let name = &*api.config.definition.name;
        if let Some(at) = known.insert(name, api.at).filter(|_| !name.is_empty()) {
            let message = format!(
                "two APIs are named {}; the first is on line {}",
                quote(name),
                context.report.line(at)
            );
            context.report.error(api.at, message);
        }
    }
}

/// Reports APIs that claim the same paths on the same host.
fn check_places(context: Context<'_>, apis: &[ResolvedApi<'_>]) {
    let mut known: HashMap<(Option<&str>, String), Vec<&ResolvedApi<'_>>> = HashMap::new();
    for api in apis {
        let definition = &api.config.definition;
        let hosts = definition.hosts.iter().map(|host| Some(&**host));
        let any = definition.hosts.is_empty().then_some(None);
        for host in hosts.chain(any) {
            let others =
                known.entry((host, definition.base_path.to_ascii_lowercase())).or_default();
            let clash = others.iter().find(|other| {
                let other = &other.config.definition;
                other.base_path == definition.base_path
                    || other.case_insensitive_paths
                    || definition.case_insensitive_paths
            });
            if let Some(other) = clash {
                let host = host.map_or("any host".to_owned(), quote);
                let message = format!(
                    "{} and {} on line {} both claim {host} with `base_path` {}",
                    quote(&definition.name),
                    quote(&other.config.definition.name),
                    context.report.line(other.at),
                    quote(&definition.base_path)
                );
                context.report.error_with_hint(
                    api.at,
                    message,
                    "give them different `hosts` or `base_path`",
                );
            }
            others.push(api);
        }
    }
}

fn check_endpoints(context: Context<'_>, apis: &[ResolvedApi<'_>]) {
    let definitions: Vec<&ApiDefinition> = apis.iter().map(|api| &api.config.definition).collect();
    for (index, api) in apis.iter().enumerate() {
        for endpoint in &api.endpoints {
            if let Err(why) = endpoints::reach(endpoint.text.value, index, &definitions) {
                let message = format!("{} can never match", quote(endpoint.text.value));
                context.report.error_with_hint(
                    endpoint.text.at,
                    message,
                    endpoints::explain(why, index, &definitions),
                );
            }
        }
    }
}
