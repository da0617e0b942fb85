//! The checks by name, to report which of them passed.

use super::refusal::Refusal;

/// The checks, in the order in which they run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Check {
    /// Method, framing, path, host and fields that identify the caller have one reading only.
    Request,
    /// The client's address is known, behind trusted proxies.
    ClientAddress,
    /// An API matches the host and the path.
    Api,
    /// The query contains no key.
    Query,
    /// The endpoint needs a key. The check passes only if it does.
    NeedsKey,
    /// The request presents one key, in one credential location.
    Credential,
    /// The key has the prefix of one of the API's environments.
    Environment,
    /// The key is known.
    KnownKey,
    /// Neither the key nor its organisation is revoked.
    NotRevoked,
    /// The key is not paused.
    NotPaused,
    /// The key's organisation is not suspended.
    OrganizationOpen,
    /// Neither the key nor the presented secret has expired.
    NotExpired,
    /// The key is for this API.
    ForApi,
    /// The key may be used from the client's address.
    Address,
    /// The key may be used from the referrer.
    Referrer,
    /// The key may be used for the endpoint.
    Endpoint,
    /// A scope of the key allows the endpoint.
    Scope,
    /// The limit is not exhausted. Only [`charge`](super::charge) checks this.
    Limit,
}

impl Check {
    /// All checks, in order.
    pub const ALL: [Self; 18] = [
        Self::Request,
        Self::ClientAddress,
        Self::Api,
        Self::Query,
        Self::NeedsKey,
        Self::Credential,
        Self::Environment,
        Self::KnownKey,
        Self::NotRevoked,
        Self::NotPaused,
        Self::OrganizationOpen,
        Self::NotExpired,
        Self::ForApi,
        Self::Address,
        Self::Referrer,
        Self::Endpoint,
        Self::Scope,
        Self::Limit,
    ];

    /// Returns the name for machines.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::ClientAddress => "client_address",
            Self::Api => "api",
            Self::Query => "query",
            Self::NeedsKey => "needs_key",
            Self::Credential => "credential",
            Self::Environment => "environment",
            Self::KnownKey => "known_key",
            Self::NotRevoked => "not_revoked",
            Self::NotPaused => "not_paused",
            Self::OrganizationOpen => "organization_open",
            Self::NotExpired => "not_expired",
            Self::ForApi => "for_api",
            Self::Address => "address",
            Self::Referrer => "referrer",
            Self::Endpoint => "endpoint",
            Self::Scope => "scope",
            Self::Limit => "limit",
        }
    }

    /// Returns the check that refuses for this reason, or `None` if the request was refused after
    /// all checks.
    #[must_use]
    pub fn behind(refusal: Refusal) -> Option<Self> {
        Some(match refusal {
            Refusal::MalformedTarget(_)
            | Refusal::MalformedHost
            | Refusal::MalformedFraming
            | Refusal::MalformedHead
            | Refusal::HeadTooLarge
            | Refusal::MethodNotAllowed
            | Refusal::RepeatedHeader => Self::Request,
            Refusal::MalformedForwardedFor => Self::ClientAddress,
            Refusal::UnknownHost | Refusal::Misdirected | Refusal::UnknownPath => Self::Api,
            Refusal::KeyInQuery => Self::Query,
            Refusal::AmbiguousCredential | Refusal::MalformedCredential | Refusal::MissingKey => {
                Self::Credential
            }
            Refusal::UnknownKey => Self::KnownKey,
            Refusal::RevokedKey => Self::NotRevoked,
            Refusal::PausedKey => Self::NotPaused,
            Refusal::SuspendedOrganization => Self::OrganizationOpen,
            Refusal::ExpiredKey => Self::NotExpired,
            Refusal::KeyNotForApi => Self::ForApi,
            Refusal::AddressNotAllowed => Self::Address,
            Refusal::ReferrerNotAllowed => Self::Referrer,
            Refusal::EndpointNotAllowed => Self::Endpoint,
            Refusal::InsufficientScope(_) | Refusal::NoScopeAllows => Self::Scope,
            Refusal::RateLimited(_) => Self::Limit,
            Refusal::UpstreamUnreachable
            | Refusal::UpstreamFailed
            | Refusal::UpstreamTimeout
            | Refusal::ClientAborted
            | Refusal::ClientTimeout
            | Refusal::BodyTooLarge
            | Refusal::Overloaded
            | Refusal::KeyServiceUnavailable => return None,
        })
    }
}

/// Is notified of each check that passes. `()` ignores them, at no cost.
pub trait Trace {
    /// Notes that a check has passed.
    fn passed(&mut self, check: Check);
}

impl Trace for () {
    fn passed(&mut self, _: Check) {}
}

impl Trace for Vec<Check> {
    fn passed(&mut self, check: Check) {
        self.push(check);
    }
}
