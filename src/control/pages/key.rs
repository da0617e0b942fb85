//! `GET /keys/{id}`: one key.

use axum::extract::Path;

use super::answer::{self, Page};
use super::facts::{access, apis_of, audit_row, maker, marks, moment, state};
use super::signed::Signed;
use super::usage;
use super::view::{Actions, AuditTable, KeyFacts, KeyPage, KeyUsage, Notice, Place, SecretRow};
use crate::config::Config;
use crate::control::keys::{
    self, Actor, AuditFilter, AuditPage, KeyView, Permission, SecretView, Source, Status,
};

/// How many entries of the audit log the page of a key has.
const ENTRIES: usize = 10;

/// Shows a key.
pub(super) async fn show(signed: Signed, Path(id): Path<String>) -> Page {
    show_with(&signed, &id, None).await
}

/// Shows a key, and what has just happened to it.
pub(super) async fn show_with(signed: &Signed, id: &str, notice: Option<Notice>) -> Page {
    let read = async {
        let (key, audit) = read(signed, id).await?;
        let usage = usage::of_key(signed, &key).await?;
        Ok((key, audit, usage))
    };
    match read.await {
        Ok((key, audit, usage)) => {
            let mut page = page(signed, key, audit, usage);
            page.frame.notice = notice;
            answer::ok(&page)
        }
        Err(error) => signed.failed(&error),
    }
}

/// Returns a key that the person may see.
pub(super) async fn find(signed: &Signed, id: &str) -> keys::Result<KeyView> {
    let (actor, id) = (signed.actor.clone(), id.to_owned());
    signed.state.read(move |keys| async move { keys.key(&actor, &id).await }).await
}

/// Returns a key with what was done with it, as far as the person may know that.
async fn read(signed: &Signed, id: &str) -> keys::Result<(KeyView, Option<AuditPage>)> {
    let key = find(signed, id).await?;
    if !signed.actor.may(Permission::ReadAudit) {
        return Ok((key, None));
    }
    let (actor, subject) = (signed.actor.clone(), Some(key.id.clone()));
    let filter = AuditFilter { subject, ..AuditFilter::default() };
    let read = signed
        .state
        .read(move |keys| async move { keys.audit(&actor, filter, None, ENTRIES).await });
    Ok((key, Some(read.await?)))
}

fn page(
    signed: &Signed,
    key: KeyView,
    audit: Option<AuditPage>,
    usage: Option<KeyUsage>,
) -> KeyPage {
    let (config, now) = (signed.state.config(), signed.state.now());
    let rows = audit.map(|audit| {
        let rows = audit.entries.into_iter().map(|entry| audit_row(entry, now, |_| None));
        AuditTable { rows: rows.collect(), shows_subjects: false }
    });
    KeyPage {
        frame: signed.frame(Place::Keys, &key.name),
        actions: actions(&signed.actor, &key),
        usage,
        refusals: usage::refusals(signed, &key),
        secrets: secrets(&key.secrets, now),
        audit: rows,
        key: facts(&config, key, now),
    }
}

/// Returns what the person can do with a key.
pub(super) fn actions(actor: &Actor, key: &KeyView) -> Actions {
    let is_live = key.status != Status::Revoked;
    let changes = is_live && key.source == Source::Store;
    let may_update = changes && actor.may(Permission::UpdateKeys);
    Actions {
        edit: may_update,
        pause: may_update && key.status != Status::Paused,
        resume: may_update && key.status == Status::Paused,
        rotate: changes && key.status != Status::Expired && actor.may(Permission::RotateKeys),
        revoke: is_live && actor.may(Permission::RevokeKeys),
    }
}

/// Returns the secrets, if there are several.
fn secrets(secrets: &[SecretView], now: i64) -> Vec<SecretRow> {
    let shown = if secrets.len() > 1 { secrets } else { &[] };
    let at = |text: &Option<String>| text.as_deref().map(|at| moment(at, now));
    shown
        .iter()
        .map(|secret| SecretRow {
            fingerprint: secret.fingerprint.clone(),
            created: at(&secret.created_at),
            ends: at(&secret.ends_at),
            last_used: at(&secret.last_used_at),
        })
        .collect()
}

fn facts(config: &Config, key: KeyView, now: i64) -> KeyFacts {
    let at = |text: &Option<String>| text.as_deref().map(|at| moment(at, now));
    let several = config.apis.len() > 1;
    let usual = || {
        let apis = apis_of(config, &key.apis);
        let limits = apis.into_iter().flat_map(|api| api.rate_limit.iter());
        limits.map(ToString::to_string).collect()
    };
    KeyFacts {
        access: access(config, &key),
        state: state(&key),
        marks: marks(&key, now),
        created: at(&key.created_at),
        expires: at(&key.expires_at),
        revoked: at(&key.revoked_at),
        own_limits: key.rate_limit.is_some(),
        limits: key.rate_limit.clone().unwrap_or_else(usual),
        id: key.id,
        name: key.name,
        organization: None,
        apis: if several { key.apis } else { Vec::new() },
        prefix: key.prefix,
        last_four: None,
        environment: key.environment,
        addresses: key.allow_ips,
        referrers: key.allow_referrers,
        endpoints: key.allow_endpoints,
        created_by: key.created_by.as_deref().map(maker),
        revoked_by: key.revoked_by.as_deref().map(maker),
        revoked_because: key.revoked_because,
    }
}
