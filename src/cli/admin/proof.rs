//! Proof that the peer of a plain-text connection is the gateway: it knows the token's digest. The
//! token is never sent to a peer without this proof.

use anyhow::anyhow;
use http::{Method, StatusCode};
use hyper::client::conn::http1::SendRequest;
use serde::Deserialize;
use serde_json::json;
use thiserror::Error;

use super::answer::{Answer, TOKEN_HINT};
use super::exchange::{Content, exchange, request};
use crate::policy::Digest;
use crate::proof::{Challenge, Proof};

/// Limit of the response body, in bytes: proofs for some ten thousand tokens.
const LONGEST_ANSWER: usize = 1024 * 1024;
const STRANGER_HINT: &str = "another program may listen there; a gateway from before this version \
    is to be upgraded first (`kill -USR2` of its process) or called over TLS";

/// Why the token is not sent.
#[derive(Debug, Error)]
pub(super) enum Unproven {
    #[error("the gateway is asked for proofs too often")]
    TooOften,
    #[error("the gateway closes the connection on which it has proved that it knows the token")]
    Closed,
    /// The gateway has no admin token.
    #[error("the gateway has no [[admin.token]]")]
    NoTokens,
    #[error("whoever is there answers {0} where a gateway proves that it knows the token")]
    Unknown(StatusCode),
    #[error("whoever is there does not prove that it knows the token")]
    NotShown,
    #[error("whoever is there gives no proof that it knows the token: {0:#}")]
    Failed(anyhow::Error),
}

impl Unproven {
    /// Returns whether a retry a second later may succeed.
    pub(super) fn may_pass(&self) -> bool {
        matches!(self, Self::TooOften | Self::Closed)
    }

    /// Returns what to do about it.
    pub(super) fn hint(&self) -> String {
        match self {
            Self::TooOften => {
                "try again in a minute; a key is also revoked by its id in [revoked] of \
                gateway.toml, which needs no token"
                    .to_owned()
            }
            Self::Closed => "call it directly, and not through a proxy, or over TLS".to_owned(),
            Self::NoTokens => TOKEN_HINT.to_owned(),
            Self::NotShown => format!(
                "if that is the gateway, it does not know the token: {TOKEN_HINT}; else another \
                    program listens there"
            ),
            Self::Unknown(_) | Self::Failed(_) => STRANGER_HINT.to_owned(),
        }
    }
}

#[derive(Debug, Deserialize)]
struct Proofs {
    proofs: Vec<Proof>,
}

/// Returns once the peer has proved that it knows the token.
///
/// # Errors
/// Fails if the peer gives no valid proof.
pub(super) async fn demand(
    sender: &mut SendRequest<Content>,
    authority: &str,
    token: &str,
) -> Result<(), Unproven> {
    let challenge = Challenge::fresh().map_err(|error| Unproven::Failed(anyhow!(error)))?;
    let asked = json!({ "challenge": challenge });
    let request = request(authority, Method::POST, "/v1/proof", Some(&asked));
    let answer = exchange(sender, request.map_err(Unproven::Failed)?, LONGEST_ANSWER).await;
    let answer = answer.map_err(Unproven::Failed)?;
    judge(&answer, &Digest::of(token.as_bytes()), &challenge)
}

fn judge(answer: &Answer, digest: &Digest, challenge: &Challenge) -> Result<(), Unproven> {
    match answer.status {
        StatusCode::OK => {}
        StatusCode::TOO_MANY_REQUESTS => return Err(Unproven::TooOften),
        _ if answer.has_code("no_admin_token") => return Err(Unproven::NoTokens),
        status => return Err(Unproven::Unknown(status)),
    }
    let Ok(Proofs { proofs }) = serde_json::from_slice(&answer.body) else {
        return Err(Unproven::NotShown);
    };
    if proofs.iter().any(|proof| proof.shows(digest, challenge)) {
        Ok(())
    } else {
        Err(Unproven::NotShown)
    }
}
