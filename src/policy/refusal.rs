//! The reasons for which Keygate responds instead of the upstream, and the only mapping from a
//! reason to status, code and text.

use http::StatusCode;

use super::target::BadTarget;

/// Why the upstream does not respond to a request. The set is closed, because metrics use it as a
/// label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The target is not a path, or the path is ambiguous.
    MalformedTarget(BadTarget),
    /// The host is missing, repeated, malformed or contradictory.
    MalformedHost,
    /// A trusted proxy sent a malformed `X-Forwarded-For`, `-Proto` or `-Host`.
    MalformedForwardedFor,
    /// Keygate does not forward this framing of the message.
    MalformedFraming,
    /// The received bytes are not an HTTP/1.1 head.
    MalformedHead,
    /// The head is larger than allowed or has too many fields.
    HeadTooLarge,
    /// The method is TRACE or CONNECT.
    MethodNotAllowed,
    /// No API matches the host.
    UnknownHost,
    /// No API matches the host, and the TLS connection was made for another name.
    Misdirected,
    /// An API matches the host, but none matches the path.
    UnknownPath,
    /// The query contains a key.
    KeyInQuery,
    /// Two credential locations hold a key, or one is repeated.
    AmbiguousCredential,
    /// `Authorization` is ambiguously Bearer.
    MalformedCredential,
    /// A field that identifies the caller, and must not be repeated, is repeated.
    RepeatedHeader,
    /// The request has no key.
    MissingKey,
    /// The key does not exist, or its prefix belongs to no environment of the API.
    UnknownKey,
    /// The key was revoked.
    RevokedKey,
    /// The key is paused.
    PausedKey,
    /// The key's organisation is suspended.
    SuspendedOrganization,
    /// The key has expired, or the grace period of the secret has ended.
    ExpiredKey,
    /// The key is for other APIs.
    KeyNotForApi,
    /// The key may not be used from the client's address.
    AddressNotAllowed,
    /// The key may not be used from the referrer, or the referrer is missing.
    ReferrerNotAllowed,
    /// The key may not be used for the endpoint.
    EndpointNotAllowed,
    /// The key lacks the scope. Holds the index of the first scope, in file order, that would
    /// suffice.
    InsufficientScope(usize),
    /// No scope of the API allows the endpoint.
    NoScopeAllows,
    /// The limit is exceeded. Holds the nanoseconds until the next request is admitted.
    RateLimited(u64),
    /// No connection to the upstream could be made.
    UpstreamUnreachable,
    /// The upstream aborted the response or sent a malformed one.
    UpstreamFailed,
    /// The upstream did not respond in time.
    UpstreamTimeout,
    /// The client aborted the request or sent a malformed body. It will hardly read the response.
    ClientAborted,
    /// The client sent its body, or received the response, too slowly.
    ClientTimeout,
    /// The body is larger than the API or a key endpoint accepts.
    BodyTooLarge,
    /// There are more connections or requests than allowed.
    Overloaded,
    /// The key endpoints cannot respond at the moment.
    KeyServiceUnavailable,
}

impl Refusal {
    /// Every reason once, for tables of metrics and documents. Details are placeholders.
    pub const ALL: [Self; 35] = [
        Self::MalformedTarget(BadTarget::NotAPath),
        Self::MalformedHost,
        Self::MalformedForwardedFor,
        Self::MalformedFraming,
        Self::MethodNotAllowed,
        Self::UnknownHost,
        Self::Misdirected,
        Self::UnknownPath,
        Self::KeyInQuery,
        Self::AmbiguousCredential,
        Self::MissingKey,
        Self::UnknownKey,
        Self::RevokedKey,
        Self::PausedKey,
        Self::SuspendedOrganization,
        Self::ExpiredKey,
        Self::KeyNotForApi,
        Self::AddressNotAllowed,
        Self::ReferrerNotAllowed,
        Self::EndpointNotAllowed,
        Self::InsufficientScope(0),
        Self::NoScopeAllows,
        Self::RateLimited(0),
        Self::UpstreamUnreachable,
        Self::UpstreamFailed,
        Self::UpstreamTimeout,
        Self::ClientAborted,
        Self::BodyTooLarge,
        Self::KeyServiceUnavailable,
        Self::MalformedHead,
        Self::HeadTooLarge,
        Self::ClientTimeout,
        Self::Overloaded,
        Self::MalformedCredential,
        Self::RepeatedHeader,
    ];

    /// Returns the position in [`Self::ALL`].
    #[must_use]
    pub fn index(self) -> usize {
        match self {
            Self::MalformedTarget(_) => 0,
            Self::MalformedHost => 1,
            Self::MalformedForwardedFor => 2,
            Self::MalformedFraming => 3,
            Self::MethodNotAllowed => 4,
            Self::UnknownHost => 5,
            Self::Misdirected => 6,
            Self::UnknownPath => 7,
            Self::KeyInQuery => 8,
            Self::AmbiguousCredential => 9,
            Self::MissingKey => 10,
            Self::UnknownKey => 11,
            Self::RevokedKey => 12,
            Self::PausedKey => 13,
            Self::SuspendedOrganization => 14,
            Self::ExpiredKey => 15,
            Self::KeyNotForApi => 16,
            Self::AddressNotAllowed => 17,
            Self::ReferrerNotAllowed => 18,
            Self::EndpointNotAllowed => 19,
            Self::InsufficientScope(_) => 20,
            Self::NoScopeAllows => 21,
            Self::RateLimited(_) => 22,
            Self::UpstreamUnreachable => 23,
            Self::UpstreamFailed => 24,
            Self::UpstreamTimeout => 25,
            Self::ClientAborted => 26,
            Self::BodyTooLarge => 27,
            Self::KeyServiceUnavailable => 28,
            Self::MalformedHead => 29,
            Self::HeadTooLarge => 30,
            Self::ClientTimeout => 31,
            Self::Overloaded => 32,
            Self::MalformedCredential => 33,
            Self::RepeatedHeader => 34,
        }
    }

    /// Returns the HTTP status. Without `distinguish`, every credential error is a 401.
    #[must_use]
    pub fn status(self, distinguish: bool) -> StatusCode {
        match self {
            Self::AmbiguousCredential | Self::MalformedCredential if !distinguish => {
                StatusCode::UNAUTHORIZED
            }
            Self::MalformedTarget(_)
            | Self::MalformedHost
            | Self::MalformedForwardedFor
            | Self::MalformedFraming
            | Self::MalformedHead
            | Self::KeyInQuery
            | Self::AmbiguousCredential
            | Self::MalformedCredential
            | Self::RepeatedHeader
            | Self::ClientAborted => StatusCode::BAD_REQUEST,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::UnknownHost | Self::UnknownPath => StatusCode::NOT_FOUND,
            Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            Self::MissingKey
            | Self::UnknownKey
            | Self::RevokedKey
            | Self::PausedKey
            | Self::SuspendedOrganization
            | Self::ExpiredKey
            | Self::KeyNotForApi => StatusCode::UNAUTHORIZED,
            Self::AddressNotAllowed
            | Self::ReferrerNotAllowed
            | Self::EndpointNotAllowed
            | Self::InsufficientScope(_)
            | Self::NoScopeAllows => StatusCode::FORBIDDEN,
            Self::RateLimited(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::UpstreamUnreachable | Self::UpstreamFailed => StatusCode::BAD_GATEWAY,
            Self::UpstreamTimeout => StatusCode::GATEWAY_TIMEOUT,
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::ClientTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::KeyServiceUnavailable | Self::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// Returns the name for machines: the `code` of a problem document, and the `outcome` in
    /// metrics and logs.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::MalformedTarget(_) => "malformed_target",
            Self::MalformedHost => "malformed_host",
            Self::MalformedForwardedFor => "malformed_forwarded_for",
            Self::MalformedFraming => "malformed_framing",
            Self::MalformedHead => "malformed_head",
            Self::HeadTooLarge => "head_too_large",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::UnknownHost => "unknown_host",
            Self::Misdirected => "misdirected",
            Self::UnknownPath => "unknown_path",
            Self::KeyInQuery => "key_in_query",
            Self::AmbiguousCredential => "ambiguous_credential",
            Self::MalformedCredential => "malformed_credential",
            Self::RepeatedHeader => "repeated_header",
            Self::MissingKey => "missing_key",
            Self::UnknownKey => "unknown_key",
            Self::RevokedKey => "revoked_key",
            Self::PausedKey => "paused_key",
            Self::SuspendedOrganization => "suspended_organization",
            Self::ExpiredKey => "expired_key",
            Self::KeyNotForApi => "key_not_for_api",
            Self::AddressNotAllowed => "address_not_allowed",
            Self::ReferrerNotAllowed => "referrer_not_allowed",
            Self::EndpointNotAllowed => "endpoint_not_allowed",
            Self::InsufficientScope(_) => "insufficient_scope",
            Self::NoScopeAllows => "no_scope_allows",
            Self::RateLimited(_) => "rate_limited",
            Self::UpstreamUnreachable => "upstream_unreachable",
            Self::UpstreamFailed => "upstream_failed",
            Self::UpstreamTimeout => "upstream_timeout",
            Self::ClientAborted => "client_aborted",
            Self::ClientTimeout => "client_timeout",
            Self::BodyTooLarge => "body_too_large",
            Self::Overloaded => "overloaded",
            Self::KeyServiceUnavailable => "key_office_unavailable",
        }
    }

    /// Returns what is wrong and what to do, for the developer of the client.
    #[must_use]
    // Longer than 60 lines: a table, one line for each refusal.
    pub fn detail(self) -> &'static str {
        match self {
            Self::MalformedTarget(why) => why.explanation(),
            Self::MalformedHost => BadTarget::Host.explanation(),
            Self::MalformedForwardedFor => {
                "An X-Forwarded header holds something that is no address, scheme or host."
            }
            Self::MalformedFraming => {
                "The length of the request's body is given in a way that is not accepted."
            }
            Self::MalformedHead => "The head of the request is not valid HTTP/1.1.",
            Self::HeadTooLarge => "The head of the request is too large or has too many fields.",
            Self::MethodNotAllowed => "This method is never allowed here.",
            Self::UnknownHost => "No API is served under this host name.",
            Self::Misdirected => {
                "No API is served under this host name, which is not the one the connection was \
                    made for."
            }
            Self::UnknownPath => "No API is served under this path.",
            Self::KeyInQuery => {
                "An API key must not stand in the URL, where logs keep it. Send it in a header, \
                    and replace this key."
            }
            Self::AmbiguousCredential => {
                "The request carries more than one API key. Send exactly one."
            }
            Self::MalformedCredential => {
                "The Authorization header is malformed. Between Bearer and the key stand spaces, \
                    and nothing else."
            }
            Self::RepeatedHeader => {
                "A header that says who is calling stands more than once. Send it once."
            }
            Self::MissingKey => "This endpoint needs an API key.",
            Self::UnknownKey => {
                "The API key is not known. Check that it was copied whole and is meant for this \
                    environment."
            }
            Self::RevokedKey => "The API key has been revoked. Ask for a new one.",
            Self::PausedKey => "The API key is paused. Ask for it to be resumed.",
            Self::SuspendedOrganization => {
                "The organization that the API key belongs to is suspended."
            }
            Self::ExpiredKey => "The API key has expired. Ask for a new one.",
            Self::KeyNotForApi => "The API key is not valid for this API.",
            Self::AddressNotAllowed => "The API key may not be used from this address.",
            Self::ReferrerNotAllowed => {
                "The API key may only be used from certain web pages, and the Referer header does \
                    not name one."
            }
            Self::EndpointNotAllowed => "The API key is restricted to other endpoints.",
            Self::InsufficientScope(_) => {
                "The API key lacks the scope that this endpoint requires."
            }
            Self::NoScopeAllows => {
                "No scope allows this method and path. Check them for a mistake."
            }
            Self::RateLimited(_) => {
                "Too many requests. Wait as long as the Retry-After header says."
            }
            Self::UpstreamUnreachable => {
                "The service behind the gateway cannot be reached. Try again later."
            }
            Self::UpstreamFailed => {
                "The service behind the gateway did not give a complete answer."
            }
            Self::UpstreamTimeout => "The service behind the gateway did not answer in time.",
            Self::ClientAborted => "The request's body ended early or was malformed.",
            Self::ClientTimeout => "The request's body did not come fast enough.",
            Self::BodyTooLarge => "The request's body is too large for this endpoint.",
            Self::Overloaded => {
                "Too many requests are being served. Wait as long as the Retry-After header says."
            }
            Self::KeyServiceUnavailable => "Keys cannot be managed at the moment. Try again later.",
        }
    }

    /// Returns whether the reason is a credential error. `errors_distinguish = false` makes these
    /// indistinguishable.
    #[must_use]
    pub fn is_about_credential(self) -> bool {
        self.is_missing_credential()
            || self.is_invalid_token()
            || matches!(self, Self::AmbiguousCredential | Self::MalformedCredential)
    }

    pub(super) fn is_missing_credential(self) -> bool {
        self == Self::MissingKey
    }

    /// Returns whether the presented key is unknown or not valid. This can also end a request that
    /// is in progress.
    #[must_use]
    pub fn is_invalid_token(self) -> bool {
        matches!(
            self,
            Self::UnknownKey
                | Self::RevokedKey
                | Self::PausedKey
                | Self::SuspendedOrganization
                | Self::ExpiredKey
                | Self::KeyNotForApi
        )
    }

    /// Returns whether a timeout has expired. This can also end a request that is in progress.
    #[must_use]
    pub fn is_about_time(self) -> bool {
        matches!(self, Self::ClientTimeout | Self::UpstreamTimeout)
    }

    /// Returns whether the reason can end a request while its response is being sent.
    #[must_use]
    pub fn can_end_response(self) -> bool {
        self.is_invalid_token()
            || self.is_about_time()
            || matches!(self, Self::ClientAborted | Self::BodyTooLarge)
    }

    /// Returns the corresponding gRPC status (`google.rpc.Code`).
    #[must_use]
    pub fn grpc_status(self) -> &'static str {
        match self.status(true).as_u16() {
            401 => "16",             // UNAUTHENTICATED
            403 => "7",              // PERMISSION_DENIED
            413 | 429 => "8",        // RESOURCE_EXHAUSTED
            404 | 405 | 421 => "12", // UNIMPLEMENTED
            400 | 431 => "3",        // INVALID_ARGUMENT
            408 | 504 => "4",        // DEADLINE_EXCEEDED
            _ => "14",               // UNAVAILABLE
        }
    }
}
