//! Errors of the key service.

use http::StatusCode;

use crate::keystore::{self, CommitError, Unavailable};

/// An invalid member of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::control) struct Violation {
    /// Its name, with its index in a list: `scopes[2]`.
    pub(in crate::control) member: String,
    /// What is wrong with it, and what is expected.
    pub(in crate::control) message: String,
}

/// Why an operation failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::control) enum ServiceError {
    /// The object does not exist, or the actor may not see it.
    NotFound,
    /// The request has these faults. Never empty.
    Invalid(Vec<Violation>),
    /// The request conflicts with the current state. The text explains it to people.
    Conflict(Conflict, String),
    /// Another request has changed the object meanwhile.
    Stale,
    /// The `Idempotency-Key` was used for a different request before.
    IdempotencyReused,
    /// The key is in `gateway.toml`, and must be changed there.
    FileKey,
    /// `gateway.toml` has no `[store]`.
    NoStore,
    /// `gateway.toml` has no `[portal]`.
    NoPortal,
    /// The store failed or did not respond. A change that only removes access is in force
    /// nevertheless, until the process ends.
    Unavailable,
    /// The store failed to record a revocation. It is in force nevertheless, until the process
    /// ends.
    Unrecorded,
    /// The actor may not request this.
    Forbidden(String),
}

/// The result of an operation.
pub(in crate::control) type Result<T, E = ServiceError> = std::result::Result<T, E>;

/// What a request conflicts with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::control) enum Conflict {
    /// Another key has the id.
    IdTaken,
    /// Another key has the secret.
    DigestTaken,
    /// The key is permanently revoked.
    KeyRevoked,
    /// The key has expired.
    KeyExpired,
    /// The limit of keys of the organisation, or of keys without one, is reached.
    CapReached,
    /// The path of a backup already exists.
    FileExists,
    /// The organisation is suspended or revoked.
    OrganizationClosed,
}

impl ServiceError {
    /// Returns the error for a single fault.
    pub(super) fn invalid(member: &str, message: impl Into<String>) -> Self {
        Self::Invalid(vec![Violation { member: member.to_owned(), message: message.into() }])
    }

    pub(super) fn cap_reached(cap: u32) -> Self {
        Self::Conflict(
            Conflict::CapReached,
            format!(
                "There are {cap} keys, and there may not be more. Revoke those that are not needed."
            ),
        )
    }

    /// Returns the HTTP status.
    pub(in crate::control) fn status(&self) -> StatusCode {
        match self {
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Invalid(_) | Self::IdempotencyReused => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Conflict(..) | Self::FileKey | Self::NoStore | Self::NoPortal => {
                StatusCode::CONFLICT
            }
            Self::Stale => StatusCode::PRECONDITION_FAILED,
            Self::Unavailable | Self::Unrecorded => StatusCode::SERVICE_UNAVAILABLE,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
        }
    }

    /// Returns the code for programs, which never changes.
    pub(in crate::control) fn code(&self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Invalid(_) => "invalid_request",
            Self::Conflict(Conflict::IdTaken, _) => "id_taken",
            Self::Conflict(Conflict::DigestTaken, _) => "key_taken",
            Self::Conflict(Conflict::KeyRevoked, _) => "key_revoked",
            Self::Conflict(Conflict::KeyExpired, _) => "key_expired",
            Self::Conflict(Conflict::CapReached, _) => "key_cap_reached",
            Self::Conflict(Conflict::FileExists, _) => "file_exists",
            Self::Conflict(Conflict::OrganizationClosed, _) => "organization_closed",
            Self::Stale => "stale",
            Self::IdempotencyReused => "idempotency_key_reused",
            Self::FileKey => "key_of_the_file",
            Self::NoStore => "no_store",
            Self::NoPortal => "no_portal",
            Self::Unavailable | Self::Unrecorded => "store_unavailable",
            Self::Forbidden(_) => "forbidden",
        }
    }

    /// Returns the explanation for people.
    pub(in crate::control) fn detail(&self) -> String {
        match self {
            Self::NotFound => "There is nothing of this name.".into(),
            Self::Invalid(violations) => {
                let all: Vec<String> = violations
                    .iter()
                    .map(|violation| format!("{}: {}", violation.member, violation.message))
                    .collect();
                all.join("; ")
            }
            Self::Conflict(_, detail) | Self::Forbidden(detail) => detail.clone(),
            Self::Stale => "It was changed meanwhile. Read it again, and repeat the change with \
                its new ETag."
                .into(),
            Self::IdempotencyReused => "This Idempotency-Key came with another request before. \
                Use a new one for each request."
                .into(),
            Self::FileKey => "This key stands in gateway.toml. Change it there.".into(),
            Self::NoStore => "gateway.toml has no [store], so keys can be kept in the file \
                only."
                .into(),
            Self::NoPortal => "gateway.toml has no [portal], so there are no pages.".into(),
            Self::Unavailable => "The store cannot be written to or read just now, so nothing was \
                acknowledged. Try again later."
                .into(),
            Self::Unrecorded => {
                "The key is refused from now on, but the store could not take it down: a restart \
                    might admit it again. Repeat this until it \
                 succeeds, or name the key in [revoked] of gateway.toml."
                    .into()
            }
        }
    }
}

impl From<Unavailable> for ServiceError {
    fn from(why: Unavailable) -> Self {
        tracing::error!(%why, "the key service could not do what it was asked");
        Self::Unavailable
    }
}

impl From<CommitError> for ServiceError {
    fn from(error: CommitError) -> Self {
        let conflict = match error {
            CommitError::Unavailable(why) => return why.into(),
            CommitError::Conflict(conflict) => conflict,
        };
        match conflict {
            keystore::Conflict::IdTaken => Self::Conflict(
                Conflict::IdTaken,
                "Another key in the store has, or had, this id.".into(),
            ),
            // The actor may not be allowed to know whose secret it is.
            keystore::Conflict::DigestTaken { .. } => Self::Conflict(
                Conflict::DigestTaken,
                "Another key has, or had, the same secret.".into(),
            ),
            keystore::Conflict::Stale => Self::Stale,
            keystore::Conflict::CapReached(cap) => Self::cap_reached(cap),
            keystore::Conflict::IdempotencyKeyUsed => Self::IdempotencyReused,
            keystore::Conflict::Revoked => Self::Conflict(
                Conflict::KeyRevoked,
                "The key is revoked, which is final. Make a new one.".into(),
            ),
            keystore::Conflict::NotFound => Self::NotFound,
        }
    }
}
