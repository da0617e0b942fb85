//! Ending a secret, by rotation, or a key, by revocation.

use axum::extract::Path;

use super::answer::{self, Page};
use super::create::{already_shown, made_before, shown_once};
use super::facts::{last_use, moment, quiet_for};
use super::form::{Fields, Form};
use super::key::{actions, find, show_with};
use super::signed::Signed;
use super::view::{Choice, Field, Notice, NoticeKind, Place, RevokePage, RotatePage};
use crate::control::keys::{
    KeyView, Permission, RevocationOrder, Rotation, ServiceError, Status, new_idempotency_key,
};

/// A key that was used within so many seconds is revoked only with its name typed.
const RECENT: i64 = 7 * 86_400;
/// How long the secret so far can go on working.
const GRACE: [&str; 4] = ["0s", "1h", "24h", "7d"];

/// `GET /keys/{id}/rotate`
pub(super) async fn show_rotation(signed: Signed, Path(id): Path<String>) -> Page {
    let key = match find(&signed, &id).await {
        Ok(key) => key,
        Err(error) => return signed.failed(&error),
    };
    if !actions(&signed.actor, &key).rotate {
        return signed.failed(&ServiceError::Forbidden(String::new()));
    }
    match new_idempotency_key() {
        Ok(idempotency) => answer::ok(&rotation_page(&signed, &key, "24h", None, idempotency)),
        Err(error) => signed.failed(&error),
    }
}

/// `POST /keys/{id}/rotate`
pub(super) async fn rotate(signed: Signed, Path(id): Path<String>, Form(form): Form) -> Page {
    if let Some(page) = signed.foreign(&form) {
        return page;
    }
    let key = match find(&signed, &id).await {
        Ok(key) => key,
        Err(error) => return signed.failed(&error),
    };
    let (grace, idempotency) = (form.text("grace").to_owned(), form.text("idempotency").to_owned());
    if idempotency.is_empty() || !GRACE.contains(&&*grace) {
        let error = Some(signed.texts().no_grace.to_string());
        return answer::unprocessable(&rotation_page(&signed, &key, &grace, error, idempotency));
    }
    match made_before(&signed, &idempotency).await {
        Ok(None) => {}
        Ok(Some(key)) => return already_shown(&signed, key),
        Err(error) => return signed.failed(&error),
    }
    let rotation = Rotation { grace: Some(grace) };
    let (actor, wanted) = (signed.actor.clone(), id.clone());
    let rotated = signed.state.change(move |keys| async move {
        keys.rotate(&actor, &wanted, rotation, None, Some(&idempotency)).await
    });
    match rotated.await {
        Ok(rotated) => {
            if !rotated.key_shown {
                signed.actor.log_change("key.rotate", &id);
            }
            let now = signed.state.now();
            let old = rotated.record.secrets.get(1).and_then(|secret| secret.ends_at.clone());
            let until = old.map(|at| moment(&at, now));
            shown_once(&signed, rotated, Some(until))
        }
        Err(error) => signed.failed(&error),
    }
}

fn rotation_page(
    signed: &Signed,
    key: &KeyView,
    chosen: &str,
    error: Option<String>,
    idempotency: String,
) -> RotatePage {
    let texts = signed.texts();
    let labels = [&texts.grace_none, &texts.grace_hour, &texts.grace_day, &texts.grace_week];
    let choices = GRACE.iter().zip(labels);
    RotatePage {
        frame: signed.frame(Place::Keys, &texts.rotate_title),
        id: key.id.clone(),
        name: key.name.clone(),
        last_use: last_use(key, signed.state.now()),
        grace: choices.map(|(value, label)| Choice::of(value, label, **value == *chosen)).collect(),
        error,
        idempotency,
    }
}

/// `GET /keys/{id}/revoke`
pub(super) async fn show_revocation(signed: Signed, Path(id): Path<String>) -> Page {
    let key = match find(&signed, &id).await {
        Ok(key) => key,
        Err(error) => return signed.failed(&error),
    };
    if !actions(&signed.actor, &key).revoke {
        return signed.failed(&ServiceError::Forbidden(String::new()));
    }
    answer::ok(&revocation_page(&signed, &key, &Fields::default(), None, None))
}

/// `POST /keys/{id}/revoke`: revokes the key before the next request. The name must be typed if the
/// key was used lately.
pub(super) async fn revoke(signed: Signed, Path(id): Path<String>, Form(form): Form) -> Page {
    if let Some(page) = signed.foreign(&form) {
        return page;
    }
    let key = match find(&signed, &id).await {
        Ok(key) => key,
        Err(error) => return signed.failed(&error),
    };
    let texts = signed.texts();
    let needed = name_to_type(&key, signed.state.now());
    if needed.is_some_and(|name| form.text("confirm").trim() != name.trim()) {
        let error = Some(texts.confirm_differs.to_string());
        return answer::unprocessable(&revocation_page(&signed, &key, &form, error, None));
    }
    let reason = Some(form.text("reason").trim().to_owned()).filter(|reason| !reason.is_empty());
    let order = RevocationOrder { reason, descendants: form.is_set("descendants") };
    match signed.state.revoke(signed.actor.clone(), id.clone(), order).await {
        Ok(revoked) => {
            revoked.revoked.iter().for_each(|id| signed.actor.log_change("key.revoke", id));
            revoked_page(&signed, &id).await
        }
        Err(ServiceError::Invalid(violations)) => {
            let error = violations.into_iter().next().map(|violation| violation.message);
            answer::unprocessable(&revocation_page(&signed, &key, &form, None, error))
        }
        Err(error) => signed.failed(&error),
    }
}

/// Shows a key that was just revoked.
async fn revoked_page(signed: &Signed, id: &str) -> Page {
    if !signed.actor.may(Permission::ReadKeys) {
        return answer::see_other("/keys");
    }
    let text = signed.texts().revoked_notice.to_string();
    let notice = Notice { kind: NoticeKind::Success, text };
    show_with(signed, id, Some(notice)).await
}

/// Returns the name that must be typed, or `None` if the key was not used lately.
fn name_to_type(key: &KeyView, now: i64) -> Option<&str> {
    let was_used = key.last_used_at.is_some() && key.status != Status::Revoked;
    let is_recent = quiet_for(key, now).is_some_and(|quiet| quiet < RECENT);
    (was_used && is_recent).then_some(&*key.name)
}

fn revocation_page(
    signed: &Signed,
    key: &KeyView,
    form: &Fields,
    confirm_error: Option<String>,
    reason_error: Option<String>,
) -> RevokePage {
    let now = signed.state.now();
    let field = |name, error| Field { value: form.text(name).to_owned(), error };
    RevokePage {
        frame: signed.frame(Place::Keys, &signed.texts().revoke_title),
        id: key.id.clone(),
        name: key.name.clone(),
        last_use: last_use(key, now),
        confirm_name: name_to_type(key, now).map(str::to_owned),
        confirm: field("confirm", confirm_error),
        reason: field("reason", reason_error),
        descendants: 0,
    }
}
