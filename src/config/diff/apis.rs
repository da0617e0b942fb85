//! Changes of `[[api]]`.

use std::fmt::Debug;
use std::time::Duration;

use super::limits;
use super::show::{displayed, list, setting};
use crate::config::units::show_duration;
use crate::config::{ApiConfig, Config, Upstream};
use crate::policy::{
    ApiDefinition, CredentialPlace, KeyApi, KeyApiStyle, PassThrough, Pattern, Scope,
};

pub(super) fn apis(old: &Config, new: &Config, lines: &mut Vec<String>) {
    let find = |config: &Config, name: &str| {
        config.apis.iter().find(|api| &*api.definition.name == name).cloned()
    };
    for before in &old.apis {
        match find(new, &before.definition.name) {
            None => lines.push(format!("- api {}", before.definition.name)),
            Some(after) => api(before, &after, lines),
        }
    }
    for after in new.apis.iter().filter(|api| find(old, &api.definition.name).is_none()) {
        lines.push(format!("+ api {}", after.definition.name));
    }
}

// Longer than 60 lines: every setting once.
fn api(old: &ApiConfig, new: &ApiConfig, all: &mut Vec<String>) {
    fn debug<T: Debug>(value: &T) -> String {
        format!("{value:?}").to_lowercase()
    }
    let (before, after) = (&old.definition, &new.definition);
    let lines = &mut Vec::new();
    setting(lines, "hosts", &before.hosts, &after.hosts, |hosts| {
        if hosts.is_empty() { "any".into() } else { displayed(hosts) }
    });
    setting(lines, "base_path", &before.base_path, &after.base_path, ToString::to_string);
    setting(lines, "upstream", &upstreams(old), &upstreams(new), Clone::clone);
    let ca = |api: &ApiConfig| api.upstreams.iter().find_map(|upstream| upstream.ca.clone());
    setting(lines, "upstream_ca", &ca(old), &ca(new), |path| {
        path.as_ref().map_or("none".into(), |path| path.display().to_string())
    });
    setting(lines, "host_header", &old.rewrite_host, &new.rewrite_host, |rewrite| {
        if *rewrite { "upstream" } else { "keep" }.to_owned()
    });
    limits::compare(&limits::of_api(old), &limits::of_api(new), lines);
    setting(lines, "credentials", &before.credentials, &after.credentials, |places| {
        list(places, credential)
    });
    setting(lines, "environments", &before.environments, &after.environments, |all| {
        list(all, |one| format!("{} {}", one.name, one.prefix))
    });
    setting(lines, "rate_limit", &before.rate_limit, &after.rate_limit, |limits| displayed(limits));
    setting(lines, "rate_limit_reset", &before.rate_limit_reset, &after.rate_limit_reset, debug);
    setting(lines, "rate_limit_draft", &before.rate_limit_draft, &after.rate_limit_draft, debug);
    setting(lines, "errors", &before.errors, &after.errors, debug);
    setting(
        lines,
        "errors_distinguish",
        &before.errors_distinguish,
        &after.errors_distinguish,
        debug,
    );
    setting(lines, "empty_scopes", &before.empty_scopes, &after.empty_scopes, debug);
    setting(
        lines,
        "case_insensitive_paths",
        &before.case_insensitive_paths,
        &after.case_insensitive_paths,
        debug,
    );
    setting(lines, "public", &before.public, &after.public, |endpoints| displayed(endpoints));
    setting(lines, "pass_through", &before.pass_through, &after.pass_through, |places| {
        list(places, pass_through)
    });
    setting(
        lines,
        "pass_through_allows",
        &before.pass_through_allows,
        &after.pass_through_allows,
        |endpoints| displayed(endpoints),
    );
    setting(lines, "key_api", &before.key_api, &after.key_api, |endpoints| {
        endpoints.as_ref().map_or("none".into(), key_api)
    });
    let warning = |api: &ApiDefinition| show_duration(Duration::from_secs(api.expiry_warning));
    setting(lines, "expiry_warning", &warning(before), &warning(after), Clone::clone);
    setting(lines, "expiry_header", &before.expiry_header, &after.expiry_header, debug);
    setting(lines, "proxy_headers", &before.proxy_headers, &after.proxy_headers, |names| {
        displayed(names)
    });
    setting(lines, "cors", &before.cors, &after.cors, |cors| {
        cors.as_ref().map_or("none".into(), ToString::to_string)
    });
    upstream_headers(before, after, lines);
    scopes(before, after, lines);
    all.extend(lines.drain(..).map(|line| format!("api {}: {line}", after.name)));
}

fn upstreams(api: &ApiConfig) -> String {
    if api.upstream_by_environment.is_empty() {
        return list(&api.upstreams, Upstream::url);
    }
    let by_name = api.definition.environments.iter().zip(&api.upstream_by_environment);
    let named = by_name.filter_map(|(environment, index)| {
        Some(format!("{} {}", environment.name, api.upstreams.get(*index)?.url()))
    });
    named.collect::<Vec<_>>().join(", ")
}

fn credential(place: &CredentialPlace) -> String {
    match place {
        CredentialPlace::Bearer => "bearer".to_owned(),
        CredentialPlace::Header(name) => format!("header:{name}"),
    }
}

fn pass_through(place: &PassThrough) -> String {
    match place {
        PassThrough::Header(name) => format!("header:{name}"),
        PassThrough::Cookie(name) => format!("cookie:{name}"),
    }
}

fn key_api(key_api: &KeyApi) -> String {
    let style = match key_api.style {
        KeyApiStyle::Bare => "bare",
        KeyApiStyle::Envelope => "envelope",
    };
    let scope = key_api.scope.as_ref().map_or(String::new(), |scope| format!(" for {scope}"));
    format!(
        "{} ({style}{}){scope}",
        key_api.path,
        if key_api.create { "" } else { ", without creation" }
    )
}

/// Lists only names, because the values are secrets.
fn upstream_headers(old: &ApiDefinition, new: &ApiDefinition, lines: &mut Vec<String>) {
    for (name, value) in &new.upstream_headers {
        match old.upstream_headers.iter().find(|(known, _)| known == name) {
            None => lines.push(format!("+ upstream header {name}")),
            Some((_, before)) if before != value => {
                lines.push(format!("upstream header {name} changed"))
            }
            Some(_) => {}
        }
    }
    for (name, _) in old
        .upstream_headers
        .iter()
        .filter(|(name, _)| new.upstream_headers.iter().all(|(known, _)| known != name))
    {
        lines.push(format!("- upstream header {name}"));
    }
}

fn scopes(old: &ApiDefinition, new: &ApiDefinition, lines: &mut Vec<String>) {
    let find =
        |scopes: &[Scope], name: &str| scopes.iter().find(|scope| &*scope.name == name).cloned();
    for scope in &new.scopes {
        match find(&old.scopes, &scope.name) {
            None => lines.push(format!("+ scope {} ({})", scope.name, displayed(&scope.allows))),
            Some(before) => {
                let allows = |patterns: &Vec<Pattern>| displayed(patterns);
                setting(
                    lines,
                    &format!("scope {} allows", scope.name),
                    &before.allows,
                    &scope.allows,
                    allows,
                );
                setting(
                    lines,
                    &format!("scope {} description", scope.name),
                    &before.description,
                    &scope.description,
                    |text| format!("“{text}”"),
                );
            }
        }
    }
    lines.extend(
        old.scopes
            .iter()
            .filter(|scope| find(&new.scopes, &scope.name).is_none())
            .map(|scope| format!("- scope {}", scope.name)),
    );
}
