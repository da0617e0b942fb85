//! The endpoints under `/v1/organizations`, and `/v1/audit`.

use std::sync::Arc;

use axum::Json as Body;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::call::{OperatorCall, ReaderCall};
use super::problem::Answer;
use super::record::Tagged;
use super::request::{Caller, IfMatch, Json, Nothing, Parameters, Reader, limit};
use super::state::State;
use crate::control::keys::{
    Actor, AuditFilter, AuditPage, KeyOperations, OrganizationChange, OrganizationPage,
    OrganizationView,
};

type AppState = axum::extract::State<Arc<State>>;

pub(super) fn routes() -> OpenApiRouter<Arc<State>> {
    OpenApiRouter::default()
        .routes(routes!(list_organizations))
        .routes(routes!(show_organization, update_organization))
        .routes(routes!(suspend_organization))
        .routes(routes!(resume_organization))
        .routes(routes!(audit_log))
}

/// Which organizations are listed.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct OrganizationQuery {
    /// The `next` of the page before.
    after: Option<String>,
    /// How many a page has at most; 100 where it is absent.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u16>,
}

/// Lists organizations, ordered by name.
///
/// A token that is narrowed to an organization sees its own only.
#[utoipa::path(
    get,
    path = "/v1/organizations",
    tag = "organizations",
    params(OrganizationQuery),
    responses((status = OK, description = "A page of organizations.", body = OrganizationPage))
)]
async fn list_organizations(
    Caller(actor): Reader,
    Parameters(query): Parameters<OrganizationQuery>,
    state: AppState,
) -> Answer<Body<OrganizationPage>> {
    let limit = limit(query.limit)?;
    let page = state.keys.read(|keys| async move {
        keys.organizations(&actor, query.after.as_deref(), limit).await
    });
    Ok(Body(page.await?))
}

/// Shows an organization.
#[utoipa::path(
    get,
    path = "/v1/organizations/{name}",
    tag = "organizations",
    params(("name" = String, Path, description = "The organization's name.")),
    responses((
        status = OK,
        description = "The organization.",
        body = OrganizationView,
        headers(("ETag" = String, description = "Its revision, in quotes."))
    ))
)]
async fn show_organization(
    call: ReaderCall,
    Parameters(Nothing {}): Parameters<Nothing>,
) -> Answer<Tagged<OrganizationView>> {
    let (actor, name) = (call.actor, call.name);
    let found = call.state.keys.read(|keys| async move { keys.organization(&actor, &name).await });
    Ok(Tagged(found.await?))
}

/// Changes an organization.
///
/// Like suspending and resuming, this needs a token that is not narrowed to an organization: these
/// settings bind its own admins.
#[utoipa::path(
    patch,
    path = "/v1/organizations/{name}",
    tag = "organizations",
    params(
        ("name" = String, Path, description = "The organization's name."),
        ("If-Match" = Option<String>, Header, description = "The ETag that the change is meant \
            for; without one, or with `*`, whichever there is."),
    ),
    request_body = OrganizationChange,
    responses((
        status = OK,
        description = "The organization; the change is in force.",
        body = OrganizationView,
        headers(("ETag" = String, description = "Its revision, in quotes."))
    ))
)]
async fn update_organization(
    call: OperatorCall,
    Parameters(Nothing {}): Parameters<Nothing>,
    IfMatch(revision): IfMatch,
    Json(change): Json<OrganizationChange>,
) -> Answer<Tagged<OrganizationView>> {
    let update = |keys: Arc<KeyOperations>, actor: Actor, name: String| async move {
        keys.change_organization(&actor, &name, change, revision).await
    };
    call.change("organization.update", update).await
}

/// Refuses all keys of an organization until it is resumed.
#[utoipa::path(
    post,
    path = "/v1/organizations/{name}/suspend",
    tag = "organizations",
    params(("name" = String, Path, description = "The organization's name.")),
    responses((
        status = OK,
        description = "The organization; its keys are refused.",
        body = OrganizationView,
        headers(("ETag" = String, description = "Its revision, in quotes."))
    ))
)]
async fn suspend_organization(
    call: OperatorCall,
    Parameters(Nothing {}): Parameters<Nothing>,
) -> Answer<Tagged<OrganizationView>> {
    let change = |keys: Arc<KeyOperations>, actor: Actor, name: String| async move {
        keys.set_suspended(&actor, &name, true).await
    };
    call.change("organization.suspend", change).await
}

/// Accepts the keys of a suspended organization again.
#[utoipa::path(
    post,
    path = "/v1/organizations/{name}/resume",
    tag = "organizations",
    params(("name" = String, Path, description = "The organization's name.")),
    responses((
        status = OK,
        description = "The organization; its keys are accepted.",
        body = OrganizationView,
        headers(("ETag" = String, description = "Its revision, in quotes."))
    ))
)]
async fn resume_organization(
    call: OperatorCall,
    Parameters(Nothing {}): Parameters<Nothing>,
) -> Answer<Tagged<OrganizationView>> {
    let change = |keys: Arc<KeyOperations>, actor: Actor, name: String| async move {
        keys.set_suspended(&actor, &name, false).await
    };
    call.change("organization.resume", change).await
}

/// Which entries are listed.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct AuditQuery {
    /// Entries that concern this organization only.
    organization: Option<String>,
    /// Entries about the key with this id, or the organization with this name, only.
    subject: Option<String>,
    /// The `next` of the page before.
    before: Option<String>,
    /// How many a page has at most; 100 where it is absent.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u16>,
}

/// Tells who changed what, the newest first.
///
/// A token that is narrowed to an organization sees what concerns its own only.
#[utoipa::path(
    get,
    path = "/v1/audit",
    tag = "organizations",
    params(AuditQuery),
    responses((status = OK, description = "A page of the audit log.", body = AuditPage))
)]
async fn audit_log(
    Caller(actor): Reader,
    Parameters(query): Parameters<AuditQuery>,
    state: AppState,
) -> Answer<Body<AuditPage>> {
    let limit = limit(query.limit)?;
    let filter = AuditFilter { organization: query.organization, subject: query.subject };
    let page = state.keys.read(|keys| async move {
        keys.audit(&actor, filter, query.before.as_deref(), limit).await
    });
    Ok(Body(page.await?))
}
