//! The endpoints for the gateway as a whole: metrics, health, reload, upgrade, the running
//! configuration, backup and explain.

use std::sync::Arc;

use axum::Json as Body;
use axum::response::IntoResponse;
use http::{StatusCode, header};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::problem::{Answer, Problem};
use super::reload::{ReloadReport, ReloadRequest};
use super::request::{
    Caller, Json, LargeJson, Nothing, Observer, Operator, OptionalJson, Parameters, Reader,
};
use super::running::RunningConfig;
use super::state::State;
use crate::control::access::Denied;
use crate::control::explain::{Explanation, NoExplanation, Question, dead_key, explain};
use crate::control::keys::{ServiceError, Violation};
use crate::control::metrics;
use crate::control::revoked::RevokedView;
use crate::control::upgrade::{Refused, UpgradeRequest};
use crate::state::Phase;

type Here = axum::extract::State<Arc<State>>;

/// Returns the routes that need no token.
pub(super) fn open_routes() -> OpenApiRouter<Arc<State>> {
    OpenApiRouter::default()
        .routes(routes!(metrics_page))
        .routes(routes!(health))
        .routes(routes!(readiness))
}

/// Returns the routes that need a token.
pub(super) fn routes() -> OpenApiRouter<Arc<State>> {
    OpenApiRouter::default()
        .routes(routes!(reload))
        .routes(routes!(upgrade))
        .routes(routes!(running_config))
        .routes(routes!(backup))
        .routes(routes!(explain_request))
}

/// Figures for Prometheus.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "gateway",
    security(()),
    responses((status = OK, description = "In the Prometheus text format, version \
        0.0.4.", body = String, content_type = "text/plain"))
)]
async fn metrics_page(state: Here) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], metrics::render(&state.metrics).await)
}

/// Tells whether the process is alive.
#[utoipa::path(
    get,
    path = "/healthz",
    tag = "gateway",
    security(()),
    responses((status = OK, description = "It is.", body = String, content_type = "text/plain"))
)]
async fn health() -> &'static str {
    "ok\n"
}

/// Tells whether the gateway takes new work.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "gateway",
    security(()),
    responses(
        (status = OK, description = "It does.", body = String, content_type = "text/plain"),
        (status = SERVICE_UNAVAILABLE, description = "It starts, is about to stop, or \
            drains.", body = String, content_type = "text/plain"),
    )
)]
async fn readiness(state: Here) -> (StatusCode, &'static str) {
    match *state.metrics.shared.phase().borrow() {
        Phase::Leaving => (StatusCode::SERVICE_UNAVAILABLE, "about to stop\n"),
        Phase::Relieved | Phase::Draining => (StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
        Phase::Running if *state.settled.borrow() => (StatusCode::OK, "ok\n"),
        Phase::Starting | Phase::Running => (StatusCode::SERVICE_UNAVAILABLE, "starting\n"),
    }
}

/// How gateway.toml is loaded.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ReloadOrder {
    /// Whether it may drop as many keys as it likes.
    #[serde(default)]
    force: bool,
}

/// What is in force now.
#[derive(Debug, Serialize, ToSchema)]
struct Reloaded {
    /// What is different.
    changes: Vec<String>,
    /// What will be after a restart.
    needs_restart: Vec<String>,
    /// What is probably not meant.
    warnings: Vec<String>,
}

/// Loads gateway.toml now.
///
/// A file that is refused changes nothing, and `errors` names every mistake.
#[utoipa::path(
    post,
    path = "/v1/reload",
    tag = "gateway",
    request_body = Option<ReloadOrder>,
    responses((status = OK, description = "The file is in force.", body = Reloaded))
)]
async fn reload(
    Caller(actor): Operator,
    Parameters(Nothing {}): Parameters<Nothing>,
    state: Here,
    OptionalJson(order): OptionalJson<ReloadOrder>,
) -> Answer<Body<Reloaded>> {
    tracing::info!(by = actor.name, force = order.force, "reload asked for");
    match ask(&state.reloads, |answer| ReloadRequest { force: order.force, answer }).await? {
        ReloadReport::Accepted { changes, needs_restart, warnings } => {
            Ok(Body(Reloaded { changes, needs_restart, warnings }))
        }
        ReloadReport::Refused { errors } => {
            let errors = errors
                .into_iter()
                .map(|message| Violation { member: String::new(), message })
                .collect();
            let detail = "The file is refused; what ran before goes on.";
            Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "file_refused", detail)
                .with_errors(errors))
        }
    }
}

/// Sends a request to the control thread and waits for its response.
///
/// # Errors
/// Returns a 503 if the gateway is stopping.
async fn ask<R, A>(
    thread: &mpsc::Sender<R>,
    request: impl FnOnce(oneshot::Sender<A>) -> R,
) -> Result<A, Problem> {
    let stopping =
        || Problem::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", "The gateway is stopping.");
    let (answer, answered) = oneshot::channel();
    thread.send(request(answer)).await.map_err(|_| stopping())?;
    answered.await.map_err(|_| stopping())
}

/// Who serves now.
#[derive(Debug, Serialize, ToSchema)]
struct Upgraded {
    /// The process that has taken over.
    process: u32,
}

/// Has another process take over, without losing a request.
///
/// It runs the program that now stands where this one was started from. If it cannot take over,
/// this one goes on, and `detail` says why. The answer comes when it has: connections that are open
/// then are served to their end by the process before.
#[utoipa::path(
    post,
    path = "/v1/upgrade",
    tag = "gateway",
    responses((status = OK, description = "It has taken over.", body = Upgraded))
)]
async fn upgrade(
    Caller(actor): Operator,
    Parameters(Nothing {}): Parameters<Nothing>,
    state: Here,
) -> Answer<Body<Upgraded>> {
    tracing::info!(by = actor.name, "upgrade asked for");
    match ask(&state.upgrades, |answer| UpgradeRequest { waiting: 1, answer }).await? {
        Ok(process) => Ok(Body(Upgraded { process })),
        Err(why @ (Refused::UnderWay | Refused::Impossible(_))) => {
            Err(Problem::new(StatusCode::CONFLICT, "no_upgrade", format!("{why}.")))
        }
        Err(Refused::Failed(why)) => {
            let detail = format!("The upgrade failed; what ran before goes on. {why}");
            Err(Problem::new(StatusCode::CONFLICT, "upgrade_failed", detail))
        }
    }
}

/// Shows the configuration that runs.
///
/// Without secrets: of headers towards the upstream it has the names only, of admin tokens no
/// digests.
#[utoipa::path(
    get,
    path = "/v1/config",
    tag = "gateway",
    responses((status = OK, description = "The configuration.", body = RunningConfig))
)]
async fn running_config(
    Caller(_): Observer,
    Parameters(Nothing {}): Parameters<Nothing>,
    state: Here,
) -> Body<RunningConfig> {
    let (config, revoked) =
        state.registry.look(|table| (table.config().clone(), RevokedView::of(table, &state.file)));
    Body(RunningConfig::of(&config, revoked))
}

/// Where the store is copied to.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct BackupOrder {
    /// The name of a new file beside the store's own, such as `keygate-2026-11-22.db`: letters,
    /// digits, `.`, `_` and `-`, with `.db` at its end.
    #[schema(pattern = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}\.db$")]
    file: String,
}

/// A copy of the store.
#[derive(Debug, Serialize, ToSchema)]
struct Backup {
    /// Its path on the gateway's machine.
    path: String,
}

/// Copies the store while it is in use.
///
/// The copy is a whole SQLite database of its own. To restore it, stop the gateway, put the copy in
/// the store's place without the store's `-wal` and `-shm` files, and start the gateway. Whoever
/// asks does not choose the folder, and no file is overwritten.
#[utoipa::path(
    post,
    path = "/v1/backup",
    tag = "gateway",
    request_body = BackupOrder,
    responses((status = CREATED, description = "The copy is there.", body = Backup))
)]
async fn backup(
    Caller(actor): Operator,
    Parameters(Nothing {}): Parameters<Nothing>,
    state: Here,
    Json(order): Json<BackupOrder>,
) -> Answer<(StatusCode, Body<Backup>)> {
    let folder =
        state.store.as_deref().and_then(std::path::Path::parent).ok_or(ServiceError::NoStore)?;
    if !is_backup_name(&order.file) {
        return Err(Problem::invalid(
            "file",
            "expected the name of a file: letters, digits, `.`, `_` and `-`, with `.db` at its end",
        ));
    }
    let path = folder.join(&order.file);
    state.keys.backup(&actor, &path).await?;
    actor.log_change("store.backup", &order.file);
    Ok((StatusCode::CREATED, Body(Backup { path: path.display().to_string() })))
}

/// Returns whether this is a valid name for a backup. The names of folders and of SQLite's own
/// files beside a database are not.
fn is_backup_name(name: &str) -> bool {
    let starts = name.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric());
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    name.len() <= 103 && starts && plain && name.ends_with(".db") && name.len() > 3
}

/// Explains what becomes of a request, check by check.
///
/// The request is judged as a real one would be, but nothing is counted. A token that is narrowed
/// to an organization may ask about its own keys, and not what another gateway.toml would change.
#[utoipa::path(
    post,
    path = "/v1/explain",
    tag = "gateway",
    request_body = Question,
    responses((status = OK, description = "Every check in order.", body = Explanation))
)]
async fn explain_request(
    Caller(actor): Reader,
    Parameters(Nothing {}): Parameters<Nothing>,
    state: Here,
    LargeJson(question): LargeJson<Question>,
) -> Answer<Body<Explanation>> {
    if actor.organization.is_some() && question.tries_a_file() {
        return Err(Denied::Organization.into());
    }
    let digest = state.settings.load().digest;
    let here = state.clone();
    let stored = match dead_key(&question, &here.registry, &here.metrics.shared) {
        Some(key) => state.keys.read(|keys| async move { keys.dead(key).await }).await?,
        None => None,
    };
    // Not on the control thread, because it reads a file.
    let explained = tokio::task::spawn_blocking(move || {
        let (registry, shared) = (&here.registry, &here.metrics.shared);
        explain(&question, stored.as_ref(), &actor, registry, shared, &here.file, digest)
    });
    let explained = explained.await.map_err(|_| {
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "fault", "Explaining failed unexpectedly.")
    })?;
    explained.map(Body).map_err(|why| match why {
        NoExplanation::Invalid(member, message) => Problem::invalid(member, &message),
        NoExplanation::UnknownKey => {
            Problem::new(StatusCode::NOT_FOUND, "not_found", "There is no key with this id.")
        }
        NoExplanation::UnknownRequest => Problem::new(
            StatusCode::NOT_FOUND,
            "not_found",
            "No request with this id was refused in the last hour, as far as is remembered.",
        ),
        NoExplanation::Config(problems) => {
            let errors = problems
                .0
                .iter()
                .map(|problem| Violation {
                    member: "config".to_owned(),
                    message: problem.to_string(),
                })
                .collect();
            Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "invalid",
                "The gateway.toml has mistakes.",
            )
            .with_errors(errors)
        }
    })
}
