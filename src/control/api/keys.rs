//! The endpoints under `/v1/keys`.

use std::sync::Arc;

use axum::Json as Body;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::call::{ManagerCall, ReaderCall};
use super::problem::Answer;
use super::record::{NewRecord, Tagged};
use super::request::{
    Caller, IdempotencyKey, IfMatch, Json, Manager, Nothing, OptionalJson, Parameters, Reader,
    limit,
};
use super::state::State;
use crate::control::keys::{
    Actor, CreatedKey, ImportedKey, KeyChange, KeyFilter, KeyOperations, KeyPage, KeyView, NewKey,
    RevocationOrder, Revoked, Rotation, Source, Status,
};

type AppState = axum::extract::State<Arc<State>>;

pub(super) fn routes() -> OpenApiRouter<Arc<State>> {
    OpenApiRouter::default()
        .routes(routes!(list_keys, create_key))
        .routes(routes!(import_key))
        .routes(routes!(show_key, update_key))
        .routes(routes!(pause_key))
        .routes(routes!(resume_key))
        .routes(routes!(rotate_key))
        .routes(routes!(revoke_key))
}

/// Which keys are listed.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct KeyQuery {
    /// Keys of this organization only.
    organization: Option<String>,
    /// Keys that open this API only.
    api: Option<String>,
    /// Keys of this environment only.
    environment: Option<String>,
    /// Keys with this status only.
    status: Option<Status>,
    /// Keys that are kept there only.
    source: Option<Source>,
    /// Keys with this in their name only, in any letter case.
    name: Option<String>,
    /// Keys that this key made only.
    parent: Option<String>,
    /// The `next` of the page before.
    after: Option<String>,
    /// How many keys a page has at most; 100 where it is absent.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u16>,
}

/// Lists keys, those of gateway.toml too.
///
/// They are ordered by id, those of the file first. A token that is narrowed to an organization
/// sees its own only.
#[utoipa::path(
    get,
    path = "/v1/keys",
    tag = "keys",
    params(KeyQuery),
    responses((status = OK, description = "A page of keys.", body = KeyPage))
)]
async fn list_keys(
    Caller(actor): Reader,
    Parameters(query): Parameters<KeyQuery>,
    state: AppState,
) -> Answer<Body<KeyPage>> {
    let limit = limit(query.limit)?;
    let KeyQuery { organization, api, environment, status, source, name, parent, after, .. } =
        query;
    let filter = KeyFilter { organization, api, environment, status, source, name, parent };
    let page = state
        .keys
        .read(|keys| async move { keys.list(&actor, filter, after.as_deref(), limit).await });
    Ok(Body(page.await?))
}

/// Makes a key.
///
/// The answer shows it, this once. With an `Idempotency-Key`, the same request within 24 hours
/// answers with the same record, without the key and with `"key_shown": true`; another request
/// under the same `Idempotency-Key` is refused.
#[utoipa::path(
    post,
    path = "/v1/keys",
    tag = "keys",
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes it safe to repeat \
        the request: 1 to 255 visible ASCII characters.", pattern = "^[!-~]{1,255}$")),
    request_body = NewKey,
    responses((status = CREATED, description = "The key, in force.", body = CreatedKey, headers(
        ("Location" = String, description = "Where the record is."),
        ("ETag" = String, description = "The record's revision, in quotes."),
    )))
)]
async fn create_key(
    Caller(actor): Manager,
    Parameters(Nothing {}): Parameters<Nothing>,
    IdempotencyKey(idempotency): IdempotencyKey,
    state: AppState,
    Json(new): Json<NewKey>,
) -> Answer<NewRecord<CreatedKey>> {
    let by = actor.clone();
    let change = state
        .keys
        .change(|keys| async move { keys.create(&by, new, idempotency.as_deref()).await });
    let created = change.await?;
    let id = created.record.id.clone();
    if !created.key_shown {
        actor.log_change("key.create", &id);
    }
    Ok(NewRecord { id, record: created })
}

/// Takes in a key that exists already, by its digest.
///
/// It may have any format. Callers of the key notice nothing.
#[utoipa::path(
    post,
    path = "/v1/keys/import",
    tag = "keys",
    request_body = ImportedKey,
    responses((status = CREATED, description = "Its record; it is in \
        force.", body = KeyView, headers(
        ("Location" = String, description = "Where the record is."),
        ("ETag" = String, description = "The record's revision, in quotes."),
    )))
)]
async fn import_key(
    Caller(actor): Manager,
    Parameters(Nothing {}): Parameters<Nothing>,
    state: AppState,
    Json(imported): Json<ImportedKey>,
) -> Answer<NewRecord<KeyView>> {
    let by = actor.clone();
    let change = state.keys.change(|keys| async move { keys.import(&by, imported).await });
    let key = change.await?;
    actor.log_change("key.import", &key.id);
    Ok(NewRecord { id: key.id.clone(), record: key })
}

/// Shows a key's record.
#[utoipa::path(
    get,
    path = "/v1/keys/{id}",
    tag = "keys",
    params(("id" = String, Path, description = "The key's id.")),
    responses((
        status = OK,
        description = "The record.",
        body = KeyView,
        headers(("ETag" = String, description = "The record's revision, in quotes."))
    ))
)]
async fn show_key(
    call: ReaderCall,
    Parameters(Nothing {}): Parameters<Nothing>,
) -> Answer<Tagged<KeyView>> {
    let (actor, id) = (call.actor, call.name);
    let found = call.state.keys.read(|keys| async move { keys.key(&actor, &id).await });
    Ok(Tagged(found.await?))
}

/// Changes a key of the store.
///
/// Members that are absent stay as they are.
#[utoipa::path(
    patch,
    path = "/v1/keys/{id}",
    tag = "keys",
    params(
        ("id" = String, Path, description = "The key's id."),
        ("If-Match" = Option<String>, Header, description = "The ETag that the change is meant \
            for; without one, or with `*`, whichever there is."),
    ),
    request_body = KeyChange,
    responses((
        status = OK,
        description = "The record; the change is in force.",
        body = KeyView,
        headers(("ETag" = String, description = "The record's revision, in quotes."))
    ))
)]
async fn update_key(
    call: ManagerCall,
    Parameters(Nothing {}): Parameters<Nothing>,
    IfMatch(revision): IfMatch,
    Json(change): Json<KeyChange>,
) -> Answer<Tagged<KeyView>> {
    let update = |keys: Arc<KeyOperations>, actor: Actor, id: String| async move {
        keys.update(&actor, &id, change, revision).await
    };
    call.change("key.update", update).await
}

/// Refuses a key until it is resumed.
#[utoipa::path(
    post,
    path = "/v1/keys/{id}/pause",
    tag = "keys",
    params(
        ("id" = String, Path, description = "The key's id."),
        ("If-Match" = Option<String>, Header, description = "The ETag that the change is meant \
            for; without one, or with `*`, whichever there is."),
    ),
    responses((
        status = OK,
        description = "The record; the key is refused.",
        body = KeyView,
        headers(("ETag" = String, description = "The record's revision, in quotes."))
    ))
)]
async fn pause_key(
    call: ManagerCall,
    Parameters(Nothing {}): Parameters<Nothing>,
    IfMatch(revision): IfMatch,
) -> Answer<Tagged<KeyView>> {
    let change = |keys: Arc<KeyOperations>, actor: Actor, id: String| async move {
        keys.set_paused(&actor, &id, true, revision).await
    };
    call.change("key.pause", change).await
}

/// Accepts a paused key again.
#[utoipa::path(
    post,
    path = "/v1/keys/{id}/resume",
    tag = "keys",
    params(
        ("id" = String, Path, description = "The key's id."),
        ("If-Match" = Option<String>, Header, description = "The ETag that the change is meant \
            for; without one, or with `*`, whichever there is."),
    ),
    responses((
        status = OK,
        description = "The record; the key is accepted.",
        body = KeyView,
        headers(("ETag" = String, description = "The record's revision, in quotes."))
    ))
)]
async fn resume_key(
    call: ManagerCall,
    Parameters(Nothing {}): Parameters<Nothing>,
    IfMatch(revision): IfMatch,
) -> Answer<Tagged<KeyView>> {
    let change = |keys: Arc<KeyOperations>, actor: Actor, id: String| async move {
        keys.set_paused(&actor, &id, false, revision).await
    };
    call.change("key.resume", change).await
}

/// Gives a key a new secret.
///
/// The answer shows it, this once. The secret so far goes on working for a while. With an
/// `Idempotency-Key`, the same request within 24 hours answers with the record, without the key and
/// with `"key_shown": true`.
#[utoipa::path(
    post,
    path = "/v1/keys/{id}/rotate",
    tag = "keys",
    params(
        ("id" = String, Path, description = "The key's id."),
        ("If-Match" = Option<String>, Header, description = "The ETag that the change is meant \
            for; without one, or with `*`, whichever there is."),
        ("Idempotency-Key" = Option<String>, Header, description = "Makes it safe to repeat the \
            request: 1 to 255 visible ASCII characters.", pattern = "^[!-~]{1,255}$"),
    ),
    request_body = Option<Rotation>,
    responses((
        status = OK,
        description = "The record with the new key, in force.",
        body = CreatedKey,
        headers(("ETag" = String, description = "The record's revision, in quotes."))
    ))
)]
async fn rotate_key(
    call: ManagerCall,
    Parameters(Nothing {}): Parameters<Nothing>,
    IfMatch(revision): IfMatch,
    IdempotencyKey(idempotency): IdempotencyKey,
    OptionalJson(rotation): OptionalJson<Rotation>,
) -> Answer<Tagged<CreatedKey>> {
    let (by, id) = (call.actor.clone(), call.name.clone());
    let change = call.state.keys.change(|keys| async move {
        keys.rotate(&by, &id, rotation, revision, idempotency.as_deref()).await
    });
    let rotated = change.await?;
    if !rotated.key_shown {
        call.actor.log_change("key.rotate", &call.name);
    }
    Ok(Tagged(rotated))
}

/// Refuses a key for good, at once.
#[utoipa::path(
    post,
    path = "/v1/keys/{id}/revoke",
    tag = "keys",
    params(("id" = String, Path, description = "The key's id.")),
    request_body = Option<RevocationOrder>,
    responses((status = OK, description = "What is refused now.", body = Revoked))
)]
async fn revoke_key(
    call: ManagerCall,
    Parameters(Nothing {}): Parameters<Nothing>,
    OptionalJson(order): OptionalJson<RevocationOrder>,
) -> Answer<Body<Revoked>> {
    let revoked = call.state.keys.revoke(&call.actor, &call.name, order).await?;
    for id in &revoked.revoked {
        call.actor.log_change("key.revoke", id);
    }
    Ok(Body(revoked))
}
