//! Header kinds: the names of header fields that a gateway must understand, or that could override
//! its decision.

/// The kind of a header field, determined once when it is received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs, reason = "each is the field of this name")]
pub enum HeaderKind {
    /// Any other name. It may have a meaning in one API.
    Other,
    Authorization,
    Connection,
    ContentLength,
    ContentType,
    Cookie,
    Date,
    Dpop,
    Expect,
    From,
    Host,
    ProxyAuthorization,
    Referer,
    Te,
    Trailer,
    TransferEncoding,
    Upgrade,
    Via,
    XForwardedFor,
    XForwardedHost,
    XForwardedProto,
    XRequestId,
    /// `X-RateLimit-Limit`, `-Remaining` and `-Reset`.
    XRateLimit,
    /// `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers).
    RateLimit,
    /// Any other field of one connection (RFC 9110 §7.6.1), which is never forwarded.
    HopByHop,
    /// `X-Keygate-*`, by which Keygate describes the caller to the upstream.
    Keygate,
    /// A name by which a reverse proxy or a login proxy reports the caller, address, host, method
    /// or path to a server. If a client could send it, the upstream would act on a request other
    /// than the one that was authorised.
    Override,
}

impl HeaderKind {
    /// Returns the kind of the field with this name, which must be in lower case.
    #[must_use]
    pub fn of(name: &str) -> Self {
        match (name.len(), name) {
            (2, "te") => Self::Te,
            (3, "via") => Self::Via,
            (4, "host") => Self::Host,
            (4, "date") => Self::Date,
            (4, "from") => Self::From,
            (4, "dpop") => Self::Dpop,
            // CGI programs read it as the environment variable HTTP_PROXY.
            (5, "proxy") => Self::Override,
            (6, "cookie") => Self::Cookie,
            (6, "expect") => Self::Expect,
            (6, "x-host") => Self::Override,
            (7, "referer") => Self::Referer,
            (7, "trailer") => Self::Trailer,
            (7, "upgrade") => Self::Upgrade,
            (8, "x-scheme") => Self::Override,
            (9, "ratelimit") => Self::RateLimit,
            (9, "forwarded" | "x-real-ip" | "client-ip") => Self::Override,
            (10, "connection") => Self::Connection,
            (10, "keep-alive") => Self::HopByHop,
            (11, "x-client-ip" | "x-forwarded" | "client-cert") => Self::Override,
            (12, "content-type") => Self::ContentType,
            (12, "x-request-id") => Self::XRequestId,
            (12, "x-url-scheme") => Self::Override,
            (13, "authorization") => Self::Authorization,
            (13, "x-rewrite-url" | "x-http-method" | "x-script-name" | "fly-client-ip") => {
                Self::Override
            }
            (14, "content-length") => Self::ContentLength,
            (14, "http2-settings") => Self::HopByHop,
            (14, "true-client-ip") => Self::Override,
            (15, "x-forwarded-for") => Self::XForwardedFor,
            // Rack serves files by it.
            (15, "x-sendfile-type" | "proxy-client-ip") => Self::Override,
            (16, "ratelimit-policy") => Self::RateLimit,
            (16, "proxy-connection") => Self::HopByHop,
            (16, "x-forwarded-host") => Self::XForwardedHost,
            (
                16,
                "cf-connecting-ip" | "fastly-client-ip" | "do-connecting-ip" | "x-azure-clientip"
                | "x-azure-socketip",
            ) => Self::Override,
            (16, "x-originating-ip" | "x-arr-clientcert") => Self::Override,
            (17, "transfer-encoding") => Self::TransferEncoding,
            (17, "x-forwarded-proto") => Self::XForwardedProto,
            (17, "x-ratelimit-limit" | "x-ratelimit-reset") => Self::XRateLimit,
            (17, "x-method-override" | "client-cert-chain") => Self::Override,
            (18, "proxy-authenticate") => Self::HopByHop,
            (18, "cf-connecting-ipv6" | "wl-proxy-client-ip") => Self::Override,
            (19, "proxy-authorization") => Self::ProxyAuthorization,
            (19, "x-cluster-client-ip" | "x-appengine-user-ip") => Self::Override,
            (20, "x-http-host-override") => Self::Override,
            (21, "x-ratelimit-remaining") => Self::XRateLimit,
            (22, "x-http-method-override") => Self::Override,
            // Next.js skips its own authorisation if it is present.
            (23, "x-middleware-subrequest") => Self::Override,
            _ => Self::of_family(name),
        }
    }

    /// Returns the kind of a name in a family of names with a common prefix. The first two letters
    /// rule out nearly all other names. The table in `tests/it/conformance/identity/sources.rs`
    /// lists the product behind each family.
    fn of_family(name: &str) -> Self {
        let families: &[&str] = match name.as_bytes().first_chunk::<2>() {
            Some(b"x-") => return Self::of_extension(name),
            Some(b"$w") => &["$ws"],
            Some(b"-x") => &["-xpack-security-"],
            Some(b"al") => &["ali-cdn-real-ip"],
            Some(b"au") => &["auth-user", "auth-mail", "auth-groups", "auth-cn"],
            Some(b"ca") => &["cas-"],
            Some(b"cf") => {
                &["cf-access-", "cf-cert-", "cf-client-cert-", "cf-pseudo-ip", "cf-visitor"]
            }
            Some(b"cl") => {
                &["cloudfront-viewer-address", "cloudfront-viewer-cert", "cloudfront-forwarded-"]
            }
            Some(b"da") => &["dapr-caller-"],
            Some(b"eo") => &["eo-connecting-ip"],
            Some(b"ep") => &["eppn"],
            Some(b"es") => &["es-security-runas-"],
            Some(b"fa") => &["fastly-client", "fastly-temp-xff"],
            Some(b"fl") => &["fly-forwarded-"],
            Some(b"fo") => &["forwarded-for"],
            Some(b"fr") => &["front-end-https"],
            Some(b"ga") => &["gap-auth", "gap-signature"],
            Some(b"ht") => &["http-client-ip", "http-x-forwarded"],
            Some(b"im") => &["impersonate-"],
            Some(b"in") => &["incap-client-ip"],
            Some(b"iv") => &["iv-"],
            Some(b"l5") => &["l5d-"],
            Some(b"me") => &["mellon-"],
            Some(b"ms") => &["ms-aspnetcore-"],
            Some(b"ng") => &["ngrok-auth-"],
            Some(b"oa") => &["oam-"],
            Some(b"oi") => &["oidc-"],
            Some(b"op") => &["opensearch-security-", "opendistro-security-"],
            Some(b"os") => &["osso-"],
            Some(b"pa") => &["pairwise-id"],
            Some(b"pe") => &["persistent-id"],
            Some(b"re") => &["remote-"],
            Some(b"se") => &["sec-istio-auth-"],
            Some(b"sh") => &["shib-"],
            Some(b"sm") => &["sm-"],
            Some(b"ss") => &["ssl-client-", "sslclientcert"],
            Some(b"ta") => &["tailscale-", "targeted-id"],
            Some(b"te") => &["teleport-"],
            Some(b"un") => &["unscoped-affiliation"],
            Some(b"wl") => &["wl-proxy-"],
            _ => return Self::Other,
        };
        if families.iter().any(|begin| name.starts_with(begin)) {
            Self::Override
        } else {
            Self::Other
        }
    }

    /// Returns the kind of a name that begins with `x-`, by its first word. These are names that
    /// reverse proxies use, and those by which login proxies identify the caller.
    fn of_extension(name: &str) -> Self {
        let Some(name) = name.strip_prefix("x-") else { return Self::Other };
        let (word, rest) = name.split_once('-').unwrap_or((name, ""));
        let begins = |beginnings: &[&str]| beginnings.iter().any(|begin| rest.starts_with(begin));
        let overrides = match word {
            "keygate" if name.len() > word.len() => return Self::Keygate,
            "forwarded" | "forward" | "original" | "remote" | "envoy" | "accel" | "webauth"
            | "authenticated" | "consumer" | "credential" | "pomerium" | "authentik" | "vouch"
            | "appengine" | "teleport" | "spinnaker" => name.len() > word.len(),
            "userinfo" => rest.is_empty(),
            "amzn" => {
                begins(&["oidc-", "mtls-", "lattice-", "vpc", "request-context", "lambda-context"])
            }
            "anonymous" => rest == "consumer",
            "auth" => {
                begins(&["request-", "couchdb-"])
                    || matches!(rest, "userid" | "username" | "roles" | "groups" | "subject")
            }
            "client" => begins(&["cert", "verify"]) || rest == "dn",
            "endpoint" | "apigateway" => begins(&["api-"]),
            "goog" => begins(&["authenticated-user-", "iap-"]),
            "google" => begins(&["internal-"]),
            "grafana" => matches!(rest, "user" | "id"),
            "identity" => rest == "status",
            "jwt" => matches!(rest, "assertion" | "payload"),
            "ms" => begins(&["client-principal", "token-"]),
            "nf" => rest == "client-connection-ip",
            "oauth2" => begins(&["proxy-"]),
            "proxy" => matches!(rest, "user" | "roles") || begins(&["ext-"]),
            "proxyuser" => rest == "ip",
            "rstudio" => begins(&["username"]),
            "ssl" => begins(&["client-", "cert", "issuer", "subject"]),
            "sucuri" => rest == "clientip",
            "token" => begins(&["user-", "subject"]),
            "vercel" => begins(&["forwarded-for", "proxied-for"]),
            "waws" => rest == "unencoded-url",
            _ => false,
        };
        if overrides { Self::Override } else { Self::Other }
    }

    /// Returns whether an upstream could mistake the field for something that Keygate vouches for.
    pub(super) fn is_override(self) -> bool {
        matches!(self, Self::Override) || self.is_own()
    }

    /// Returns whether Keygate itself sends this field to the upstream.
    pub(super) fn is_own(self) -> bool {
        matches!(
            self,
            Self::Keygate | Self::XForwardedFor | Self::XForwardedHost | Self::XForwardedProto
        )
    }

    /// Returns whether the field concerns one connection only, so that it is never forwarded.
    pub(super) fn is_hop_by_hop(self) -> bool {
        matches!(
            self,
            Self::Connection
                | Self::HopByHop
                | Self::ProxyAuthorization
                | Self::TransferEncoding
                | Self::Upgrade
        )
    }

    /// Returns whether the field describes the message itself.
    pub(super) fn is_message(self) -> bool {
        matches!(self, Self::ContentLength | Self::ContentType | Self::Host)
    }
}

/// Returns the name as some servers see it, with `_` and `.` replaced by `-` (RFC 3875 §4.1.18).
/// CGI and WSGI do not distinguish `_` from `-`, and PHP does not distinguish `.` either.
#[must_use]
pub fn hyphened(name: &str) -> String {
    name.replace(['_', '.'], "-")
}

/// Returns whether a server may take the name for another one.
pub(super) fn has_twin(name: &str) -> bool {
    memchr::memchr2(b'_', b'.', name.as_bytes()).is_some()
}
