//! The checks by name, for whoever wants to know which of them passed.

use super::refusal::Refusal;

/// What is checked, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Check {
    /// Method, framing, path, host and what says who somebody is can be read in one way only.
    Request,
    /// The client's address, by way of trusted proxies.
    ClientAddress,
    /// An API claims host and path.
    Api,
    /// No key in the query.
    Query,
    /// Whether the endpoint needs a key. It passes only where one is needed.
    NeedsKey,
    /// One key is presented, in one place.
    Credential,
    /// Its prefix is one of the API's.
    Environment,
    /// The key is known.
    KnownKey,
    /// It is not revoked, nor its organisation.
    NotRevoked,
    /// It is not paused.
    NotPaused,
    /// Its organisation is not suspended.
    OrganizationOpen,
    /// Neither it nor its secret has expired.
    NotExpired,
    /// It is for this API.
    ForApi,
    /// The client's address is one of the key's.
    Address,
    /// The referrer is one of the key's.
    Referrer,
    /// The endpoint is one of the key's.
    Endpoint,
    /// A scope of the key allows the endpoint.
    Scope,
    /// The limit has room. Only [`charge`](super::charge) finds out.
    Limit,
}

impl Check {
    /// All of them, in order.
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

    /// Its name for machines.
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

    /// The check that refuses for this reason; nothing: the request was refused after all of them.
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
            | Refusal::KeyOfficeUnavailable => return None,
        })
    }
}

/// Hears of each check that passes. `()` does not listen, at no cost.
pub trait Trace {
    /// This check has passed.
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
