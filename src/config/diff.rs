//! What an edit changes, in words that an operator can check against what was meant.

mod limits;
mod tls;

use std::fmt::{Debug, Display};
use std::sync::Arc;
use std::time::Duration;

use hashbrown::{HashMap, HashSet};

use super::units::show_duration;
use super::{ApiConfig, Config, KeyConfig, Place, Store, Upstream};
use crate::policy::{
    ApiDefinition, CredentialPlace, EmptyScopes, KeyApi, KeyApiStyle, Limit, PassThrough, Pattern,
    Scope,
};

/// How many lines about keys there are; the rest is counted.
const KEY_LINES: usize = 50;

/// What an edit changes. It names no secret.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diff {
    /// What is in force at once.
    pub changes: Vec<String>,
    /// What is not in force before a restart.
    pub needs_restart: Vec<String>,
    /// How many lost access: keys and organizations newly revoked, keys removed or with a secret
    /// less.
    pub revoked: usize,
}

/// What `new` changes about `old`.
#[must_use]
pub fn diff(old: &Config, new: &Config) -> Diff {
    let mut diff = Diff::default();
    server(old, new, &mut diff);
    apis(old, new, &mut diff.changes);
    keys(old, new, &mut diff);
    diff
}

/// Notes a setting whose value is not the same.
fn setting<T: PartialEq>(
    lines: &mut Vec<String>,
    name: &str,
    old: &T,
    new: &T,
    show: impl Fn(&T) -> String,
) {
    if old != new {
        lines.push(format!("{name} {} → {}", show(old), show(new)));
    }
}

fn list<T>(items: &[T], show: impl Fn(&T) -> String) -> String {
    if items.is_empty() {
        "none".to_owned()
    } else {
        items.iter().map(show).collect::<Vec<_>>().join(", ")
    }
}

fn displayed<T: Display>(items: &[T]) -> String {
    list(items, T::to_string)
}

fn server(old: &Config, new: &Config, diff: &mut Diff) {
    let (before, after) = (&old.server, &new.server);
    let restart = &mut diff.needs_restart;
    setting(restart, "server.listen", &before.listen, &after.listen, |value| displayed(value));
    let workers = |value: &usize| if *value == 0 { "auto".into() } else { value.to_string() };
    setting(restart, "server.workers", &before.workers, &after.workers, workers);
    let admin_listen = |config: &Config| config.admin.as_ref().map(|admin| admin.listen);
    setting(restart, "admin.listen", &admin_listen(old), &admin_listen(new), |value| {
        value.map_or("none".into(), |address| address.to_string())
    });
    setting(restart, "server.core_dumps", &before.core_dumps, &after.core_dumps, bool::to_string);
    setting(restart, "log.format", &old.log.format, &new.log.format, |value| {
        format!("{value:?}").to_lowercase()
    });

    let path = |store: &Option<Store>| {
        store.as_ref().map_or("none".to_owned(), |store| store.path.display().to_string())
    };
    setting(restart, "store.path", &path(&old.store), &path(&new.store), Clone::clone);

    let lines = &mut diff.changes;
    if let (Some(before), Some(after)) = (&old.store, &new.store) {
        setting(
            lines,
            "store.audit_retention",
            &before.audit_retention,
            &after.audit_retention,
            |time| show_duration(*time),
        );
        setting(
            lines,
            "store.revoked_retention",
            &before.revoked_retention,
            &after.revoked_retention,
            |time| show_duration(*time),
        );
        setting(
            lines,
            "store.keys_per_organization",
            &before.keys_per_organization,
            &after.keys_per_organization,
            u32::to_string,
        );
    }
    let removed = |config: &Config| format!("{}%", config.reload.max_removed_percent);
    setting(lines, "reload.max_removed_keys", &removed(old), &removed(new), Clone::clone);
    if before.trusted_proxies != after.trusted_proxies {
        lines.push(format!(
            "server.trusted_proxies changed ({} → {})",
            before.trusted_proxies.len(),
            after.trusted_proxies.len()
        ));
    }
    limits::compare(&limits::of_server(before), &limits::of_server(after), lines);
    setting(lines, "log.requests", &old.log.requests, &new.log.requests, bool::to_string);
    tls::tls("", old.tls.as_ref(), new.tls.as_ref(), lines);
    if let (Some(before), Some(after)) = (&old.admin, &new.admin) {
        tls::tls("admin ", before.tls.as_ref(), after.tls.as_ref(), lines);
        setting(lines, "admin.hosts", &before.hosts, &after.hosts, |hosts| displayed(hosts));
        for token in after.tokens.iter().filter(|token| !before.tokens.contains(token)) {
            let known = before.tokens.iter().any(|other| other.name == token.name);
            lines.push(if known {
                format!("admin token {} changed", token.name)
            } else {
                format!("+ admin token {}", token.name)
            });
        }
        for token in before
            .tokens
            .iter()
            .filter(|token| after.tokens.iter().all(|other| other.name != token.name))
        {
            lines.push(format!("- admin token {}", token.name));
        }
    }
}

fn apis(old: &Config, new: &Config, lines: &mut Vec<String>) {
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
    let show = |upstream: &Upstream| {
        let scheme = match upstream.protocol {
            super::Protocol::Http1 => "http",
            super::Protocol::Http1Tls => "https",
            super::Protocol::Http2 => "h2c",
            super::Protocol::Http2Tls => "h2",
        };
        match &upstream.place {
            Place::Tcp(..) => format!("{scheme}://{}", upstream.authority),
            Place::Unix(path) => format!("unix:{}", path.display()),
        }
    };
    if api.upstream_by_environment.is_empty() {
        return list(&api.upstreams, show);
    }
    let by_name = api.definition.environments.iter().zip(&api.upstream_by_environment);
    let named = by_name.filter_map(|(environment, index)| {
        Some(format!("{} {}", environment.name, show(api.upstreams.get(*index)?)))
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

/// Only names: the values are secrets.
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

/// Whether indices of APIs mean the same in both.
fn same_apis(old: &Config, new: &Config) -> bool {
    let names = |config: &'_ Config| {
        config.apis.iter().map(|api| api.definition.name.clone()).collect::<Vec<_>>()
    };
    names(old) == names(new)
}

/// The keys of `old` that are gone or different in `new`, and the keys of `new` that are new or
/// different, both in file order.
#[must_use]
pub fn touched_keys<'c>(
    old: &'c Config,
    new: &'c Config,
) -> (Vec<&'c KeyConfig>, Vec<&'c KeyConfig>) {
    let (mut before, mut after) = (old.keys.as_slice(), new.keys.as_slice());
    if !same_apis(old, new) {
        return (
            before.iter().map(|key| &**key).collect(),
            after.iter().map(|key| &**key).collect(),
        );
    }
    // What was not read again is the same piece of memory.
    let first = before.iter().zip(after).take_while(|(old, new)| Arc::ptr_eq(old, new)).count();
    (before, after) = (&before[first..], &after[first..]);
    let last = before
        .iter()
        .rev()
        .zip(after.iter().rev())
        .take_while(|(old, new)| Arc::ptr_eq(old, new))
        .count();
    (before, after) = (&before[..before.len() - last], &after[..after.len() - last]);
    let without = |keys: &'c [Arc<KeyConfig>], others: &[Arc<KeyConfig>]| {
        let others: HashMap<&str, &Arc<KeyConfig>> =
            others.iter().map(|key| (&*key.id, key)).collect();
        let is_touched = |key: &&Arc<KeyConfig>| {
            others.get(&*key.id).is_none_or(|other| !Arc::ptr_eq(key, other) && key != other)
        };
        keys.iter().filter(is_touched).map(|key| &**key).collect()
    };
    (without(before, after), without(after, before))
}

/// One pass over both lists, whatever their length.
fn keys(old: &Config, new: &Config, diff: &mut Diff) {
    let (touched, touched_now) = touched_keys(old, new);
    let before: HashSet<&str> = touched.iter().map(|key| &*key.id).collect();
    let after: HashMap<&str, &KeyConfig> = touched_now.iter().map(|key| (&*key.id, *key)).collect();
    let mut lines = Lines::default();
    // While the APIs keep their places, equal keys need no closer look.
    let same_apis = same_apis(old, new);

    // What an operator in a hurry looks for comes first.
    for id in new.revoked.iter().filter(|id| !old.revoked.contains(*id)) {
        lines.push("revoked", || format!("revoked {id}"));
        diff.revoked += 1;
    }
    for id in old.revoked.iter().filter(|id| !new.revoked.contains(*id)) {
        lines.push("no longer revoked", || format!("no longer revoked {id}"));
    }
    for name in
        new.revoked_organizations.iter().filter(|name| !old.revoked_organizations.contains(*name))
    {
        lines.push("organizations revoked", || format!("revoked organization {name}"));
        diff.revoked += 1;
    }
    for name in
        old.revoked_organizations.iter().filter(|name| !new.revoked_organizations.contains(*name))
    {
        lines.push("organizations no longer revoked", || {
            format!("no longer revoked organization {name}")
        });
    }
    for key in touched {
        // A key that was revoked before it was removed lost its access then.
        let had_access = !old.revokes(key);
        match after.get(&*key.id) {
            None => {
                lines.push("removed", || format!("- key {}", key.id));
                diff.revoked += usize::from(had_access && !new.revokes(key));
            }
            Some(now) => {
                let mut changes = Vec::new();
                if key != *now || !same_apis {
                    key_changes((old, key), (new, *now), &mut changes);
                }
                if !changes.is_empty() {
                    lines.push("changed", || format!("key {}: {}", key.id, changes.join("; ")));
                }
                let lost_a_secret = key.digests.iter().any(|digest| !now.digests.contains(digest));
                diff.revoked += usize::from(lost_a_secret && had_access && !new.revokes(key));
            }
        }
    }
    for key in touched_now.iter().filter(|key| !before.contains(&*key.id)) {
        lines.push("added", || format!("+ key {} ({})", key.id, key.name));
    }
    diff.changes.extend(lines.finish());
}

fn key_changes(
    (old_config, old): (&Config, &KeyConfig),
    (new_config, new): (&Config, &KeyConfig),
    lines: &mut Vec<String>,
) {
    setting(lines, "name", &old.name, &new.name, |name| format!("“{name}”"));
    let organization =
        |name: &Option<_>| name.as_deref().map_or("none", |name: &str| name).to_owned();
    setting(lines, "organization", &old.organization, &new.organization, organization);
    setting(lines, "environment", &old.environment, &new.environment, |name| {
        name.as_deref().unwrap_or("none").to_owned()
    });
    let names = |config: &Config, key: &KeyConfig| {
        displayed(
            &key.apis
                .iter()
                .map(|index| config.apis[*index].definition.name.clone())
                .collect::<Vec<_>>(),
        )
    };
    // Indices are those of another list, so names are compared.
    let same_apis = old.apis.len() == new.apis.len()
        && old.apis.iter().zip(&new.apis).all(|(old, new)| {
            old_config.apis[*old].definition.name == new_config.apis[*new].definition.name
        });
    if !same_apis {
        lines.push(format!("apis {} → {}", names(old_config, old), names(new_config, new)));
    }
    if old.digests != new.digests {
        let added = new.digests.iter().filter(|digest| !old.digests.contains(digest)).count();
        let removed = old.digests.iter().filter(|digest| !new.digests.contains(digest)).count();
        match (added, removed) {
            (0, 0) => {}
            (_, 0) => lines.push("secret added".to_owned()),
            (0, _) => lines.push("secret removed".to_owned()),
            _ => lines.push("secret replaced".to_owned()),
        }
    }
    if old.scopes != new.scopes {
        let open = |config: &Config, key: &KeyConfig| {
            let all = key
                .apis
                .iter()
                .any(|index| config.apis[*index].definition.empty_scopes == EmptyScopes::All);
            key.scopes.iter().any(|scope| &**scope == "*") || (key.scopes.is_empty() && all)
        };
        let within = |(config, outer): (&Config, &KeyConfig), inner: (&Config, &KeyConfig)| {
            open(config, outer)
                || (!open(inner.0, inner.1)
                    && inner.1.scopes.iter().all(|scope| outer.scopes.contains(scope)))
        };
        let kind = match (
            within((old_config, old), (new_config, new)),
            within((new_config, new), (old_config, old)),
        ) {
            (true, false) => " (narrowed)",
            (false, true) => " (widened)",
            _ => "",
        };
        lines.push(format!("scopes {} → {}{kind}", displayed(&old.scopes), displayed(&new.scopes)));
    }
    setting(lines, "expires_at", &old.expires_at, &new.expires_at, |moment| {
        let shown = moment.map(|seconds| {
            jiff::Timestamp::from_second(seconds)
                .map_or(seconds.to_string(), |moment| moment.to_string())
        });
        shown.unwrap_or("never".to_owned())
    });
    let restrictions = [
        ("allow_ips", old.restrictions.addresses != new.restrictions.addresses),
        ("allow_referrers", old.restrictions.referrers != new.restrictions.referrers),
        ("allow_endpoints", old.restrictions.endpoints != new.restrictions.endpoints),
    ];
    lines.extend(
        restrictions
            .into_iter()
            .filter(|(_, changed)| *changed)
            .map(|(name, _)| format!("{name} changed")),
    );
    setting(
        lines,
        "rate_limit",
        &old.rate_limit,
        &new.rate_limit,
        |limits: &Option<Arc<[Limit]>>| {
            limits.as_ref().map_or("the API's".to_owned(), |limits| displayed(limits))
        },
    );
}

/// Lines about keys, the first ones in full.
#[derive(Default)]
struct Lines {
    shown: Vec<String>,
    rest: Vec<(&'static str, usize)>,
}

impl Lines {
    fn push(&mut self, kind: &'static str, line: impl FnOnce() -> String) {
        if self.shown.len() < KEY_LINES {
            self.shown.push(line());
        } else if let Some((_, count)) = self.rest.iter_mut().find(|(known, _)| *known == kind) {
            *count += 1;
        } else {
            self.rest.push((kind, 1));
        }
    }

    fn finish(mut self) -> Vec<String> {
        if !self.rest.is_empty() {
            let counts: Vec<String> =
                self.rest.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
            self.shown.push(format!("and more keys: {}", counts.join(", ")));
        }
        self.shown
    }
}
