//! The endpoints that tell how much keys are used.

use std::sync::Arc;

use axum::Json as Body;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::call::ReaderCall;
use super::problem::Answer;
use super::request::{Nothing, Parameters};
use super::state::State;
use crate::control::keys::{KeyUse, OrganizationUse, UseBy, UseSpan, format_time};
use crate::state::RefusedRequest;

pub(super) fn routes() -> OpenApiRouter<Arc<State>> {
    OpenApiRouter::default()
        .routes(routes!(key_use))
        .routes(routes!(key_refusals))
        .routes(routes!(organization_use))
}

/// Which days.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct UseQuery {
    /// By what.
    #[serde(default)]
    #[param(inline, required = false)]
    by: UseBy,
    /// The first day, such as `2026-11-22`, in UTC.
    #[param(format = Date)]
    from: Option<String>,
    /// The last day.
    #[param(format = Date)]
    to: Option<String>,
}

impl From<UseQuery> for UseSpan {
    fn from(UseQuery { by, from, to }: UseQuery) -> Self {
        Self { by, from, to }
    }
}

/// Tells how many requests came with a key and how they ended, by day or by hour.
///
/// Days and hours are in UTC. What happened is here at most five seconds later. Days are kept for
/// 400 days, hours for 14.
#[utoipa::path(
    get,
    path = "/v1/keys/{id}/use",
    tag = "keys",
    params(("id" = String, Path, description = "The key's id."), UseQuery),
    responses((status = OK, description = "The days with requests.", body = KeyUse))
)]
async fn key_use(
    call: ReaderCall,
    Parameters(query): Parameters<UseQuery>,
) -> Answer<Body<KeyUse>> {
    let (actor, id) = (call.actor, call.name);
    let found =
        call.state.keys.read(|keys| async move { keys.key_use(&actor, &id, query.into()).await });
    Ok(Body(found.await?))
}

/// A request that was refused.
#[derive(Debug, Serialize, ToSchema)]
struct RefusalView {
    at: String,
    /// The id that the client received.
    request_id: String,
    method: String,
    /// Without its query.
    path: String,
    /// Such as `insufficient_scope`.
    code: &'static str,
    /// The address that it came from.
    address: String,
}

/// The requests with a key that were refused lately.
#[derive(Debug, Serialize, ToSchema)]
struct KeyRefusals {
    id: String,
    /// The latest first.
    refusals: Vec<RefusalView>,
}

/// How many refused requests are told at most.
const MOST_REFUSALS: usize = 64;

/// Lists the requests with a key that were refused in the last hour.
///
/// They are kept in memory, 64 a key at most, and are lost when the gateway restarts.
#[utoipa::path(
    get,
    path = "/v1/keys/{id}/refusals",
    tag = "keys",
    params(("id" = String, Path, description = "The key's id.")),
    responses((status = OK, description = "The refused requests.", body = KeyRefusals))
)]
async fn key_refusals(
    call: ReaderCall,
    Parameters(Nothing {}): Parameters<Nothing>,
) -> Answer<Body<KeyRefusals>> {
    let (actor, id) = (call.actor, call.name);
    let key = call.state.keys.read(|keys| async move { keys.key(&actor, &id).await }).await?;
    let found = call.state.metrics.shared.refused_with_key(&key.id, MOST_REFUSALS);
    let view = |request: RefusedRequest| RefusalView {
        at: format_time(request.at),
        request_id: request.request_id().to_owned(),
        method: request.method().to_owned(),
        path: request.path().to_owned(),
        code: request.refusal.code(),
        address: request.address.to_string(),
    };
    Ok(Body(KeyRefusals { id: key.id, refusals: found.into_iter().map(view).collect() }))
}

/// Tells how many requests came with the keys of an organization and how they ended.
///
/// Together by day or by hour, and for each key in the whole time. Days and hours are in UTC.
#[utoipa::path(
    get,
    path = "/v1/organizations/{name}/use",
    tag = "organizations",
    params(("name" = String, Path, description = "The organization's name."), UseQuery),
    responses((status = OK, description = "The days with requests.", body = OrganizationUse))
)]
async fn organization_use(
    call: ReaderCall,
    Parameters(query): Parameters<UseQuery>,
) -> Answer<Body<OrganizationUse>> {
    let (actor, name) = (call.actor, call.name);
    let found = call
        .state
        .keys
        .read(|keys| async move { keys.organization_use(&actor, &name, query.into()).await });
    Ok(Body(found.await?))
}
