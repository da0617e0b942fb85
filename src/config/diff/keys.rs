//! Changes of `[[key]]`, and the effects of `[revoked]` on keys.

use std::sync::Arc;

use hashbrown::{HashMap, HashSet};

use super::revocations::revocations;
use super::show::{Lines, displayed, setting};
use super::touched::{same_apis, touched_keys};
use crate::config::{Config, KeyConfig, Known};
use crate::policy::{EmptyScopes, Limit};

/// Returns the lines, and the number of keys and organisations that lose access. Takes
/// one pass over both lists.
pub(super) fn keys(old: &Config, new: &Config, known: &Known<'_>) -> (Vec<String>, usize) {
    let (touched, touched_now) = touched_keys(old, new);
    let before: HashSet<&str> = touched.iter().map(|key| &*key.id).collect();
    let after: HashMap<&str, &KeyConfig> = touched_now.iter().map(|key| (&*key.id, *key)).collect();
    let mut lines = Lines::default();
    let mut lost = 0;
    // If the list of APIs is the same, equal keys have no changes.
    let same_apis = same_apis(old, new);

    // Revocations come first, because they are urgent.
    lost += revocations(old, new, known, (&touched, &touched_now), &mut lines);
    for key in touched {
        // A key that was revoked before its removal has already lost access.
        let had_access = !old.revokes(key);
        match after.get(&*key.id) {
            None => {
                lines.push("removed", || format!("- key {}", key.id));
                lost += usize::from(had_access && !new.revokes(key));
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
                lost += usize::from(lost_a_secret && had_access && !new.revokes(key));
            }
        }
    }
    for key in touched_now.iter().filter(|key| !before.contains(&*key.id)) {
        let revoked = if new.revokes(key) { ", revoked" } else { "" };
        lines.push("added", || format!("+ key {} ({}){revoked}", key.id, key.name));
    }
    (lines.finish(), lost)
}

// Longer than 60 lines: every setting of a key once.
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
    // The indices refer to different lists, so names are compared.
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
