//! `/v1/proof`: whoever asks is shown that this gateway knows the digest of a token.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Json as Body;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::problem::{Answer, Problem};
use super::request::{Json, Nothing, Parameters};
use super::state::State;
use crate::proof::{Challenge, Proof, prove};

/// How many proofs may be asked for at once.
const BURST: u32 = 32;
/// How long it takes until one more may be asked for.
const INTERVAL: Duration = Duration::from_millis(1000 / BURST as u64);

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
    Json(request): Json<ProofRequest>,
) -> Answer<Body<Proofs>> {
    if !state.proofs.admits(state.figures.shared.clock.now().monotonic) {
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

/// How often proofs are given, whoever asks: what one of them costs, strangers can ask for.
#[derive(Debug, Default)]
pub(in crate::control) struct ProofRate(Mutex<Bucket>);

impl ProofRate {
    /// `now` is in nanoseconds on a clock that never goes back.
    fn admits(&self, now: u64) -> bool {
        let mut bucket = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        bucket.take(Duration::from_nanos(now))
    }
}

/// A token bucket.
#[derive(Debug, Default)]
struct Bucket {
    /// When it is full again.
    full_at: Duration,
}

impl Bucket {
    /// Takes one token, if there is one.
    fn take(&mut self, now: Duration) -> bool {
        let full_at = self.full_at.max(now) + INTERVAL;
        let admitted = full_at - now <= INTERVAL * BURST;
        if admitted {
            self.full_at = full_at;
        }
        admitted
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn burst_is_admitted_and_then_one_each_interval() {
        let mut bucket = Bucket::default();
        let start = Duration::from_secs(1_000);
        assert_eq!((0..100).filter(|_| bucket.take(start)).count(), BURST as usize);
        assert!(!bucket.take(start + INTERVAL / 2));
        assert!(bucket.take(start + INTERVAL));
        assert!(!bucket.take(start + INTERVAL));
        let later = start + Duration::from_secs(3_600);
        assert_eq!((0..100).filter(|_| bucket.take(later)).count(), BURST as usize);
    }

    proptest! {
        #[test]
        fn no_span_of_time_has_more_than_a_burst_and_one_each_interval(
            steps in vec(0u64..200_000_000, 1..300),
        ) {
            let mut bucket = Bucket::default();
            let mut now = Duration::ZERO;
            let mut admitted = Vec::new();
            for step in steps {
                now += Duration::from_nanos(step);
                if bucket.take(now) {
                    admitted.push(now);
                }
            }
            for (at, first) in admitted.iter().enumerate() {
                for (count, last) in admitted[at..].iter().enumerate() {
                    let most = BURST as u128 + (*last - *first).as_nanos() / INTERVAL.as_nanos();
                    prop_assert!(count as u128 + 1 <= most);
                }
            }
        }
    }
}
