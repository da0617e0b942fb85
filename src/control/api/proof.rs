//! `/v1/proof`: proves to a client that this gateway knows the digest of its token.

use std::sync::Arc;

use axum::Json as Body;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::problem::{Answer, Problem};
use super::request::{Nothing, Parameters, SmallJson};
use super::state::State;
use crate::proof::{Challenge, Proof, prove};

pub(super) fn routes() -> OpenApiRouter<Arc<State>> {
    OpenApiRouter::default().routes(routes!(prove_tokens))
}

/// What is to be proved.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ProofRequest {
    /// 32 fresh random bytes, in hexadecimal digits.
    #[schema(value_type = String)]
    challenge: Challenge,
}

/// What proves it.
#[derive(Debug, Serialize, ToSchema)]
struct Proofs {
    /// A multiple of 32 values of 32 bytes, in hexadecimal digits and in no order that tells
    /// anything: one for each token, the others random.
    #[schema(value_type = Vec<String>)]
    proofs: Vec<Proof>,
}

/// Proves that this gateway knows the digests of its tokens.
///
/// A client asks for this before it sends its token where no certificate shows whom it talks to.
/// For each token, `proofs` has the HMAC-SHA-256 of the bytes `keygate admin token proof v1`, a
/// zero byte and the challenge, keyed by the 32 bytes of the token's SHA-256 digest. No token is
/// needed.
#[utoipa::path(
    post,
    path = "/v1/proof",
    tag = "gateway",
    security(()),
    request_body = ProofRequest,
    responses((status = OK, description = "The proofs.", body = Proofs))
)]
async fn prove_tokens(
    Parameters(Nothing {}): Parameters<Nothing>,
    state: axum::extract::State<Arc<State>>,
    SmallJson(request): SmallJson<ProofRequest>,
) -> Answer<Body<Proofs>> {
    if !state.proofs.admits((), state.metrics.shared.clock.now().monotonic) {
        let detail = "Proofs are asked for too often. Ask again in a second.";
        return Err(
            Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_proofs", detail).retry_after(1)
        );
    }
    let settings = state.settings.load();
    let tokens = settings.admin.as_ref().map_or(&[][..], |admin| &admin.tokens);
    let proofs = prove(tokens.iter().map(|token| &token.digest), &request.challenge);
    let proofs = proofs.map_err(|_| {
        let detail = "The system gives no random bytes.";
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "fault", detail)
    })?;
    Ok(Body(Proofs { proofs }))
}
