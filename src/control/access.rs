//! Decides who may call what through the admin address.
//!
//! A call needs a token, but that alone is not enough. A web page in the browser of someone who can
//! reach the address must not be able to use it. The `Host` must therefore be a name that no
//! foreign DNS can point here (DNS rebinding). An `Origin`, which browsers add, must be this very
//! address (CSRF).
//!
//! Paths without a token (`/metrics`, `/healthz`, `/readyz`) have the same rule for the `Host` on a
//! loopback address. Any other address has TLS, and its certificate stops a page under another
//! name. A scraper may use any name there.

use std::net::IpAddr;

use http::{HeaderMap, StatusCode, header};

use crate::config::{Admin, AdminToken};
use crate::policy::{Digest, bearer_token};

/// Why a call is denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Denied {
    /// The `Host` is missing, repeated, not a listed name, or differs from the target's authority.
    Host,
    /// A web page of another origin sent the call.
    Origin,
    /// There is no bearer token, or `Authorization` is repeated.
    MissingToken,
    /// The `Authorization` of the Bearer scheme is ambiguous.
    MalformedToken,
    /// The token is not listed.
    UnknownToken,
    /// The token may only read.
    ReadOnly,
    /// The token is for portal sessions only.
    PortalOnly,
    /// The token is for one organisation, but the call concerns all.
    Organization,
}

impl Denied {
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::MissingToken | Self::UnknownToken => StatusCode::UNAUTHORIZED,
            Self::MalformedToken => StatusCode::BAD_REQUEST,
            Self::Host | Self::Origin | Self::ReadOnly | Self::PortalOnly | Self::Organization => {
                StatusCode::FORBIDDEN
            }
        }
    }

    pub(super) fn code(self) -> &'static str {
        match self {
            Self::Host => "host_not_allowed",
            Self::Origin => "origin_not_allowed",
            Self::MissingToken => "missing_token",
            Self::MalformedToken => "malformed_token",
            Self::UnknownToken => "unknown_token",
            Self::ReadOnly => "read_only_token",
            Self::PortalOnly => "portal_token",
            Self::Organization => "organization_token",
        }
    }

    pub(super) fn detail(self) -> &'static str {
        match self {
            Self::Host => {
                "Call this by address or as localhost, or list the host name in [admin] hosts."
            }
            Self::Origin => "Web pages of another origin may not call this.",
            Self::MissingToken => "Send the admin token as Authorization: Bearer.",
            Self::MalformedToken => "Between Bearer and the admin token stand spaces only.",
            Self::UnknownToken => "The admin token is not known.",
            Self::ReadOnly => "The admin token has the role \"read\"; this needs \"manage\".",
            Self::PortalOnly => {
                "The admin token has the role \"portal\": it opens /v1/portal only."
            }
            Self::Organization => "The admin token is for one organization; this concerns all.",
        }
    }

    /// Returns the `WWW-Authenticate` challenge (RFC 6750 §3), or `None` if the response has none.
    pub(super) fn challenge(self) -> Option<&'static str> {
        match self {
            Self::MissingToken => Some("Bearer realm=\"keygate-admin\""),
            Self::UnknownToken => Some("Bearer realm=\"keygate-admin\", error=\"invalid_token\""),
            _ => None,
        }
    }
}

/// Denies calls without a token that may come from a foreign web page.
///
/// Used for a loopback address, which every browser on the machine can reach. Browsers send a
/// `Host`. A health check over HTTP/1.0 may omit it.
pub(super) fn check_open(headers: &HeaderMap, hosts: &[String]) -> Result<(), Denied> {
    if headers.contains_key(header::HOST) {
        safe_host(headers, hosts)?;
    }
    Ok(())
}

/// Denies calls that may come from a foreign web page. `target` is the host of an absolute request
/// target.
pub(super) fn check_origin(
    target: Option<&str>,
    headers: &HeaderMap,
    encrypted: bool,
    admin: &Admin,
) -> Result<(), Denied> {
    let host = safe_host(headers, &admin.hosts)?;
    if target.is_some_and(|target| !target.eq_ignore_ascii_case(host)) {
        return Err(Denied::Host);
    }
    if headers.contains_key(header::ORIGIN) {
        let scheme = if encrypted { "https://" } else { "http://" };
        let same = only(headers, header::ORIGIN)
            .and_then(|origin| origin.strip_prefix(scheme))
            .is_some_and(|origin| origin == host);
        if !same {
            return Err(Denied::Origin);
        }
    }
    Ok(())
}

/// Returns the `Host` if no foreign DNS can point it here.
fn safe_host<'h>(headers: &'h HeaderMap, hosts: &[String]) -> Result<&'h str, Denied> {
    only(headers, header::HOST).filter(|host| is_safe(host, hosts)).ok_or(Denied::Host)
}

/// Returns the listed token that the call presents.
pub(super) fn token<'a>(
    headers: &HeaderMap,
    tokens: &'a [AdminToken],
) -> Result<&'a AdminToken, Denied> {
    let presented = only(headers, header::AUTHORIZATION).ok_or(Denied::MissingToken)?;
    let presented = bearer_token(presented.as_bytes()).map_err(|_| Denied::MalformedToken)?;
    let digest = Digest::of(presented.ok_or(Denied::MissingToken)?);
    tokens.iter().find(|token| token.digest == digest).ok_or(Denied::UnknownToken)
}

/// Returns the value of a header field that occurs exactly once.
pub(super) fn only(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

/// Returns whether a `Host` is an IP address, `localhost` or listed, with any port. A user name is
/// not allowed (RFC 9110 §4.2.4).
fn is_safe(host: &str, listed: &[String]) -> bool {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').unwrap_or_default(),
        None => host.split_at(host.find(':').unwrap_or(host.len())),
    };
    let port_is_good = port.is_empty()
        || port
            .strip_prefix(':')
            .is_some_and(|port| port.bytes().all(|byte| byte.is_ascii_digit()));
    let is_address =
        name.parse::<IpAddr>().is_ok_and(|address| address.is_ipv6() == host.starts_with('['));
    let is_listed = || listed.iter().any(|listed| listed.eq_ignore_ascii_case(name));
    port_is_good
        && (is_address
            || (!host.starts_with('[') && (name.eq_ignore_ascii_case("localhost") || is_listed())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Role;

    fn admin() -> Admin {
        let ops = AdminToken {
            name: "ops".to_owned(),
            digest: Digest::of(b"ops"),
            role: Role::Manage,
            organization: None,
        };
        Admin {
            listen: ([127, 0, 0, 1], 9190).into(),
            tls: None,
            tokens: vec![ops],
            hosts: vec!["keygate.internal".to_owned()],
        }
    }

    fn verdict(fields: &[(&'static str, &'static str)]) -> Result<String, Denied> {
        let fields = fields.iter().map(|(name, value)| {
            (header::HeaderName::from_static(name), header::HeaderValue::from_static(value))
        });
        let mut headers = HeaderMap::new();
        fields.for_each(|(name, value)| _ = headers.append(name, value));
        let admin = admin();
        check_origin(None, &headers, false, &admin)?;
        token(&headers, &admin.tokens).map(|token| token.name.clone())
    }

    const OPS: (&str, &str) = ("authorization", "Bearer ops");
    const HERE: (&str, &str) = ("host", "127.0.0.1:9190");

    #[test]
    fn listed_token_is_let_through() {
        assert_eq!(verdict(&[HERE, OPS]), Ok("ops".to_owned()));
        assert_eq!(verdict(&[HERE, ("authorization", "bearer   ops")]), Ok("ops".to_owned()));
    }

    #[test]
    fn missing_and_unknown_tokens_are_told_apart() {
        assert_eq!(verdict(&[HERE]), Err(Denied::MissingToken));
        assert_eq!(verdict(&[HERE, ("authorization", "Basic b3Bz")]), Err(Denied::MissingToken));
        assert_eq!(verdict(&[HERE, OPS, OPS]), Err(Denied::MissingToken));
        assert_eq!(verdict(&[HERE, ("authorization", "Bearer nobody")]), Err(Denied::UnknownToken));
        // RFC 9110 §11.4 allows spaces only.
        let with_tab = ("authorization", "Bearer\tops");
        assert_eq!(verdict(&[HERE, with_tab]), Err(Denied::MalformedToken));
    }

    #[test]
    fn host_is_an_address_localhost_or_listed() {
        for host in [
            "127.0.0.1",
            "[::1]:9190",
            "[::1]",
            "localhost:9190",
            "LOCALHOST",
            "keygate.internal:9190",
        ] {
            assert_eq!(verdict(&[("host", host), OPS]), Ok("ops".to_owned()), "{host}");
        }
        for host in [
            "evil.example:9190",
            "localhost.evil.example",
            "",
            "[::1",
            "127.0.0.1.evil.example",
            "127.0.0.1:1@evil.example",
            "127.0.0.1@evil.example",
            "localhost:80:80",
            "localhost:x",
            "[::1]evil.example",
            "[::1]:1@evil.example",
            "[localhost]",
            "::1",
        ] {
            assert_eq!(verdict(&[("host", host), OPS]), Err(Denied::Host), "{host}");
        }
        assert_eq!(verdict(&[OPS]), Err(Denied::Host));
        assert_eq!(verdict(&[HERE, HERE, OPS]), Err(Denied::Host));
    }

    #[test]
    fn absolute_target_names_the_same_host() {
        let headers = HeaderMap::from_iter([(
            header::HOST,
            header::HeaderValue::from_static("localhost:9190"),
        )]);
        assert_eq!(check_origin(Some("LOCALHOST:9190"), &headers, false, &admin()), Ok(()));
        for target in ["localhost", "localhost:9091", "user@localhost:9190", "evil.example", ""] {
            assert_eq!(
                check_origin(Some(target), &headers, false, &admin()),
                Err(Denied::Host),
                "{target}"
            );
        }
    }

    #[test]
    fn origin_is_absent_or_the_same() {
        assert_eq!(
            verdict(&[HERE, OPS, ("origin", "http://127.0.0.1:9190")]),
            Ok("ops".to_owned())
        );
        for origin in
            ["null", "https://127.0.0.1:9190", "http://127.0.0.1", "http://evil.example", ""]
        {
            assert_eq!(verdict(&[HERE, OPS, ("origin", origin)]), Err(Denied::Origin), "{origin}");
        }
    }
}
