//! Changes of `[server]`, `[admin]`, `[log]`, `[store]` and `[reload]`.

use super::show::{displayed, setting};
use super::{limits, tls};
use crate::config::units::show_duration;
use crate::config::{Config, Store};

/// Appends the changes that need a restart to `restart`, and those that take effect immediately to
/// `lines`.
// Longer than 60 lines: every setting once.
pub(super) fn server(
    old: &Config,
    new: &Config,
    (restart, lines): (&mut Vec<String>, &mut Vec<String>),
) {
    let (before, after) = (&old.server, &new.server);
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
    if old.portal != new.portal {
        let hosts = |config: &Config| config.portal.as_ref().map(|portal| portal.hosts.clone());
        let origins = |config: &Config| {
            config.portal.as_ref().map(|portal| portal.return_origins.clone()).unwrap_or_default()
        };
        setting(lines, "portal.hosts", &hosts(old), &hosts(new), |hosts| {
            hosts.as_ref().map_or("none".into(), |hosts| displayed(hosts))
        });
        setting(lines, "portal.return_origins", &origins(old), &origins(new), |origins| {
            displayed(origins)
        });
        let texts = |config: &Config| {
            config.portal.as_ref().map(|portal| portal.texts.clone()).unwrap_or_default()
        };
        if texts(old) != texts(new) {
            lines.push("portal.texts changed".to_owned());
        }
    }
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
