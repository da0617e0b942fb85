//! Changing a key: its settings, and whether it is paused.

use axum::extract::Path;

use super::answer::{self, Page};
use super::form::Form;
use super::key::find;
use super::key_form::{Faults, Typed, lines, shown};
use super::signed::Signed;
use super::view::{EditKeyPage, Place, segment};
use crate::control::keys::{self, KeyChange, KeyView, Permission, ServiceError, Source, Violation};

/// `GET /keys/{id}/edit`: the form with what is set.
pub(super) async fn show(signed: Signed, Path(id): Path<String>) -> Page {
    match changeable(&signed, &id).await {
        Ok(key) => answer::ok(&page(&signed, &key, &Typed::of(&key), Faults::default())),
        Err(error) => signed.failed(&error),
    }
}

/// `POST /keys/{id}/edit`: makes the change.
pub(super) async fn save(signed: Signed, Path(id): Path<String>, Form(form): Form) -> Page {
    if let Some(page) = signed.foreign(&form) {
        return page;
    }
    let key = match changeable(&signed, &id).await {
        Ok(key) => key,
        Err(error) => return signed.failed(&error),
    };
    let typed = Typed::read(&form);
    let change = match wanted(&signed, &typed, &key) {
        Ok(change) => change,
        Err(faults) => return answer::unprocessable(&page(&signed, &key, &typed, faults)),
    };
    let revision = form.text("revision").parse().ok();
    let (actor, wanted) = (signed.actor.clone(), id.clone());
    let changed = signed
        .state
        .change(move |keys| async move { keys.update(&actor, &wanted, change, revision).await });
    match changed.await {
        Ok(_) => {
            signed.actor.log_change("key.update", &id);
            answer::see_other(&format!("/keys/{}", segment(&id)))
        }
        Err(ServiceError::Invalid(violations)) => {
            answer::unprocessable(&page(&signed, &key, &typed, Faults(violations)))
        }
        Err(error) => signed.failed(&error),
    }
}

/// `POST /keys/{id}/pause`
pub(super) async fn pause(signed: Signed, path: Path<String>, form: Form) -> Page {
    set_paused(signed, path, form, true).await
}

/// `POST /keys/{id}/resume`
pub(super) async fn resume(signed: Signed, path: Path<String>, form: Form) -> Page {
    set_paused(signed, path, form, false).await
}

async fn set_paused(
    signed: Signed,
    Path(id): Path<String>,
    Form(form): Form,
    paused: bool,
) -> Page {
    if let Some(page) = signed.foreign(&form) {
        return page;
    }
    let (actor, wanted) = (signed.actor.clone(), id.clone());
    let changed = signed
        .state
        .change(move |keys| async move { keys.set_paused(&actor, &wanted, paused, None).await });
    match changed.await {
        Ok(_) => {
            signed.actor.log_change(if paused { "key.pause" } else { "key.resume" }, &id);
            answer::see_other(&format!("/keys/{}", segment(&id)))
        }
        Err(error) => signed.failed(&error),
    }
}

/// Returns a key of the store that the person may change.
async fn changeable(signed: &Signed, id: &str) -> keys::Result<KeyView> {
    if !signed.actor.may(Permission::UpdateKeys) {
        return Err(ServiceError::Forbidden(String::new()));
    }
    let key = find(signed, id).await?;
    if key.source == Source::File { Err(ServiceError::FileKey) } else { Ok(key) }
}

/// Returns what is to be different. What was not touched stays as it is, because it may be older
/// than the rules for new keys.
fn wanted(signed: &Signed, typed: &Typed, key: &KeyView) -> Result<KeyChange, Faults> {
    let (texts, now) = (signed.texts(), signed.state.now());
    let before = Typed::of(key);
    let expires_at = typed.expires_at(texts, now, key.expires_at.as_deref());
    let expires_at = expires_at
        .map_err(|message| Faults(vec![Violation { member: "expires_at".to_owned(), message }]))?;
    let changed = |typed: &str, before: &[String]| Some(lines(typed)).filter(|new| new != before);
    let offers_scopes =
        !shown(signed, typed, &Faults::default(), Some(key)).access.groups.is_empty();
    let scopes = Some(typed.scopes()).filter(|scopes| offers_scopes && *scopes != key.scopes);
    Ok(KeyChange {
        name: Some(typed.name.clone()).filter(|name| *name != key.name),
        scopes,
        allow_ips: changed(&typed.addresses, &key.allow_ips),
        allow_referrers: changed(&typed.referrers, &key.allow_referrers),
        allow_endpoints: changed(&typed.endpoints, &key.allow_endpoints),
        rate_limit: (typed.limit.trim() != before.limit).then(|| typed.limits()),
        expires_at: (expires_at != key.expires_at).then_some(expires_at),
    })
}

fn page(signed: &Signed, key: &KeyView, typed: &Typed, faults: Faults) -> EditKeyPage {
    EditKeyPage {
        frame: signed.frame(Place::Keys, &signed.texts().edit_title),
        id: key.id.clone(),
        name: key.name.clone(),
        form: shown(signed, typed, &faults, Some(key)),
        revision: key.revision,
    }
}
