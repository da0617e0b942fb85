//! Making a key: the form, what is asked for in a sentence, and the key, once.

use super::answer::{self, Page};
use super::first_call::first_call;
use super::form::{Fields, Form};
use super::key::actions;
use super::key_form::{Faults, Typed, lines, permitted_apis, shown};
use super::signed::Signed;
use super::view::{AlreadyShownPage, KeyShownPage, Moment, NewKeyPage, Place, ReviewKeyPage};
use crate::control::keys::{
    self, CreatedKey, KeyView, Narrowing, NewKey, Permission, ServiceError, Violation,
    new_idempotency_key,
};

/// `GET /keys/new`: the empty form.
pub(super) async fn show(signed: Signed) -> Page {
    if !signed.actor.may(Permission::CreateKeys) {
        return signed.failed(&ServiceError::Forbidden(String::new()));
    }
    match new_idempotency_key() {
        Ok(idempotency) => {
            answer::ok(&new_page(&signed, &Typed::default(), Faults::default(), idempotency))
        }
        Err(error) => signed.failed(&error),
    }
}

/// `POST /keys`: with `review`, shows what is asked for. Without, makes the key.
pub(super) async fn create(signed: Signed, Form(form): Form) -> Page {
    if let Some(page) = signed.foreign(&form) {
        return page;
    }
    if !signed.actor.may(Permission::CreateKeys) {
        return signed.failed(&ServiceError::Forbidden(String::new()));
    }
    let typed = Typed::read(&form);
    let idempotency = form.text("idempotency").to_owned();
    match made_before(&signed, &idempotency).await {
        Ok(None) => {}
        Ok(Some(key)) => return already_shown(&signed, key),
        Err(error) => return signed.failed(&error),
    }
    if form.is_set("change") {
        return answer::ok(&new_page(&signed, &typed, Faults::default(), idempotency));
    }
    let wanted = match wanted(&signed, &typed) {
        Ok(wanted) => wanted,
        Err(faults) => {
            return answer::unprocessable(&new_page(&signed, &typed, faults, idempotency));
        }
    };
    let made = if form.is_set("review") {
        let actor = signed.actor.clone();
        let checked =
            signed.state.read(move |keys| async move { keys.check_new_key(&actor, wanted).await });
        match checked.await {
            Ok(()) => return review(&signed, &typed, idempotency),
            Err(error) => Err(error),
        }
    } else {
        make(&signed, wanted, &form).await
    };
    match made {
        Ok(created) => shown_once(&signed, created, None),
        Err(ServiceError::Invalid(violations)) => {
            let page = new_page(&signed, &typed, Faults(violations), idempotency);
            answer::unprocessable(&page)
        }
        Err(error) => signed.failed(&error),
    }
}

/// Returns the key that a form made or rotated before, or `None` if none did. The same form may
/// come again with another meaning: thirty days from now on are others a second later.
pub(super) async fn made_before(
    signed: &Signed,
    idempotency: &str,
) -> keys::Result<Option<KeyView>> {
    let (actor, idempotency) = (signed.actor.clone(), idempotency.to_owned());
    let read =
        signed.state.read(move |keys| async move { keys.made_before(&actor, &idempotency).await });
    read.await
}

async fn make(signed: &Signed, wanted: NewKey, form: &Fields) -> keys::Result<CreatedKey> {
    let idempotency = form.text("idempotency").to_owned();
    if idempotency.is_empty() {
        // A repeat could not be told from another key.
        return Err(ServiceError::Forbidden(String::new()));
    }
    let actor = signed.actor.clone();
    let change = signed
        .state
        .change(move |keys| async move { keys.create(&actor, wanted, Some(&idempotency)).await });
    let created = change.await?;
    if !created.key_shown {
        signed.actor.log_change("key.create", &created.record.id);
    }
    Ok(created)
}

/// Returns the key that is asked for.
///
/// # Errors
/// Returns what is wrong with the form itself.
fn wanted(signed: &Signed, typed: &Typed) -> Result<NewKey, Faults> {
    let texts = signed.texts();
    let config = signed.state.config();
    let none = Narrowing::default();
    let permitted = permitted_apis(&config, signed.actor.narrowing().unwrap_or(&none));
    let apis = match permitted.as_slice() {
        [only] => vec![only.name.to_string()],
        _ => typed.apis.clone(),
    };
    let offered = shown(signed, typed, &Faults::default(), None).access;
    let lacks_scopes = !offered.groups.is_empty() && typed.scopes().is_empty();
    let lacks_scopes = lacks_scopes.then(|| ("scopes", texts.no_permission.to_string()));
    let expires_at = typed.expires_at(texts, signed.state.now(), None);
    let wrong_expiry = expires_at.as_ref().err().map(|why| ("expires_at", why.clone()));
    let faults: Vec<Violation> = lacks_scopes
        .into_iter()
        .chain(wrong_expiry)
        .map(|(member, message)| Violation { member: member.to_owned(), message })
        .collect();
    if !faults.is_empty() {
        return Err(Faults(faults));
    }
    Ok(NewKey {
        name: typed.name.clone(),
        organization: Some(signed.session.organization.clone()),
        apis: Some(apis),
        environment: Some(typed.environment.clone()).filter(|name| !name.is_empty()),
        scopes: typed.scopes(),
        allow_ips: lines(&typed.addresses),
        allow_referrers: lines(&typed.referrers),
        allow_endpoints: lines(&typed.endpoints),
        rate_limit: typed.limits(),
        expires_at: expires_at.unwrap_or_default(),
    })
}

fn new_page(signed: &Signed, typed: &Typed, faults: Faults, idempotency: String) -> NewKeyPage {
    NewKeyPage {
        frame: signed.frame(Place::Keys, &signed.texts().new_key_title),
        form: shown(signed, typed, &faults, None),
        idempotency,
    }
}

fn review(signed: &Signed, typed: &Typed, idempotency: String) -> Page {
    answer::ok(&ReviewKeyPage {
        frame: signed.frame(Place::Keys, &signed.texts().review_title),
        form: shown(signed, typed, &Faults::default(), None),
        idempotency,
    })
}

/// Shows a key that was made or rotated, this once. `old_until` is until when the secrets before
/// go on working, if the key was rotated: `Some(None)` if they have stopped.
pub(super) fn shown_once(
    signed: &Signed,
    created: CreatedKey,
    old_until: Option<Option<Moment>>,
) -> Page {
    let texts = signed.texts();
    let CreatedKey { record, key, .. } = created;
    let Some(key) = key else { return already_shown(signed, record) };
    let curl = first_call(&signed.state.config(), &signed.arrival, &record, &key);
    answer::secret(&KeyShownPage {
        frame: signed.frame(Place::Keys, &texts.key_shown_title),
        id: record.id,
        key,
        curl,
        rotated: old_until.is_some(),
        old_until: old_until.flatten(),
    })
}

/// Returns the page for a key that was shown before, and is not shown again.
pub(super) fn already_shown(signed: &Signed, key: KeyView) -> Page {
    let actions = actions(&signed.actor, &key);
    answer::ok(&AlreadyShownPage {
        frame: signed.frame(Place::Keys, &signed.texts().already_shown_title),
        id: key.id,
        name: key.name,
        may_rotate: actions.rotate,
        may_revoke: actions.revoke,
    })
}
