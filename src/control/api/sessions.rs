//! The endpoints under `/v1/portal/sessions`.

use std::sync::Arc;

use axum::Json as Body;
use axum::response::IntoResponse;
use http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::problem::{Answer, Problem};
use super::request::{Json, Name, Nothing, Parameters, SessionToken, limit};
use super::state::State;
use crate::control::keys::{
    Actor, EndOrder, EndedSessions, MintedSession, NewSession, SessionPage,
};

type AppState = axum::extract::State<Arc<State>>;

pub(super) fn routes() -> OpenApiRouter<Arc<State>> {
    OpenApiRouter::default()
        .routes(routes!(list_sessions, create_session))
        .routes(routes!(end_session))
        .routes(routes!(end_sessions))
}

/// Makes a portal session, and the link that opens it.
///
/// A person can then manage the keys of one organization on the pages under `[portal] hosts`, as
/// far as the session goes. The link works once, for five minutes. This needs a token with the role
/// `portal` or `manage`; one that is narrowed to an organization makes sessions of that one only.
#[utoipa::path(
    post,
    path = "/v1/portal/sessions",
    tag = "portal",
    request_body = NewSession,
    responses((status = CREATED, description = "The session and its link.", body = MintedSession))
)]
async fn create_session(
    SessionToken(token): SessionToken<true>,
    Parameters(Nothing {}): Parameters<Nothing>,
    state: AppState,
    Json(new): Json<NewSession>,
) -> Answer<impl IntoResponse> {
    let now = state.metrics.shared.clock.now().monotonic;
    if !state.minting.admits(token.name.clone(), now) {
        let detail = "A token makes 60 sessions a minute at most. Ask again in a second.";
        let status = StatusCode::TOO_MANY_REQUESTS;
        return Err(Problem::new(status, "too_many_sessions", detail).retry_after(1));
    }
    let by = token.clone();
    let change = state.keys.change(|keys| async move { keys.mint_session(&by, new).await });
    let minted = change.await?;
    Actor::of_token(&token).log_change("portal_session.create", &minted.id);
    Ok((StatusCode::CREATED, Body(minted)))
}

/// Which sessions are listed.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct SessionQuery {
    /// Those of this organization only.
    organization: Option<String>,
    /// Those of the person with this id only.
    actor: Option<String>,
    /// The `next` of the page before.
    after: Option<String>,
    /// How many a page has at most; 100 where it is absent.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u16>,
}

/// Lists the portal sessions that have not ended.
///
/// They are ordered by id. A page may have fewer than `limit` although there is a `next`. A token
/// that is narrowed to an organization sees its own only.
#[utoipa::path(
    get,
    path = "/v1/portal/sessions",
    tag = "portal",
    params(SessionQuery),
    responses((status = OK, description = "A page of sessions.", body = SessionPage))
)]
async fn list_sessions(
    SessionToken(token): SessionToken<false>,
    Parameters(query): Parameters<SessionQuery>,
    state: AppState,
) -> Answer<Body<SessionPage>> {
    let limit = limit(query.limit)?;
    let filter = EndOrder { organization: query.organization, actor: query.actor };
    let page = state
        .keys
        .read(|keys| async move { keys.list_sessions(&token, filter, query.after, limit).await });
    Ok(Body(page.await?))
}

/// Ends a portal session, at once.
#[utoipa::path(
    delete,
    path = "/v1/portal/sessions/{id}",
    tag = "portal",
    params(("id" = String, Path, description = "The session's id.")),
    responses((status = NO_CONTENT, description = "It has ended."))
)]
async fn end_session(
    SessionToken(token): SessionToken<true>,
    Name(id): Name,
    Parameters(Nothing {}): Parameters<Nothing>,
    state: AppState,
) -> Answer<StatusCode> {
    let (actor, ended) = (Actor::of_token(&token), id.clone());
    let by = actor.clone();
    state.keys.change(|keys| async move { keys.end_session(&by, &ended).await }).await?;
    actor.log_change("portal_session.end", &id);
    Ok(StatusCode::NO_CONTENT)
}

/// Ends all portal sessions of an organization or of a person, at once.
#[utoipa::path(
    post,
    path = "/v1/portal/sessions/revoke",
    tag = "portal",
    request_body = EndOrder,
    responses((status = OK, description = "What has ended.", body = EndedSessions))
)]
async fn end_sessions(
    SessionToken(token): SessionToken<true>,
    Parameters(Nothing {}): Parameters<Nothing>,
    state: AppState,
    Json(order): Json<EndOrder>,
) -> Answer<Body<EndedSessions>> {
    let by = token.clone();
    let change = state.keys.change(|keys| async move { keys.end_sessions(&by, order).await });
    let ended = change.await?;
    let actor = Actor::of_token(&token);
    ended.ended.iter().for_each(|id| actor.log_change("portal_session.end", id));
    Ok(Body(ended))
}
