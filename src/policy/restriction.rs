//! Restrictions of where a key may be used from, and for which endpoints.

use std::fmt;
use std::net::IpAddr;

use http::Uri;

use super::address::AddressRange;
use super::check::{Check, Trace};
use super::fields::{Fields, HeaderKind, field_text};
use super::head::Head;
use super::pattern::Pattern;
use super::refusal::Refusal;

/// The restrictions of one key. An empty list does not restrict anything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restrictions {
    /// The client addresses that may use the key.
    pub addresses: Vec<AddressRange>,
    /// The pages that may use the key.
    pub referrers: Vec<ReferrerPattern>,
    /// The endpoints that the key may be used for, whatever its scopes allow.
    pub endpoints: Vec<Pattern>,
}

impl Restrictions {
    /// Returns whether there are no restrictions.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.addresses.is_empty() && self.referrers.is_empty() && self.endpoints.is_empty()
    }

    /// Checks the address, then the referrer, then the endpoint.
    pub(super) fn check(
        &self,
        client: IpAddr,
        head: &Head<'_>,
        path: &str,
        ignore_case: bool,
        trace: &mut impl Trace,
    ) -> Result<(), Refusal> {
        if !self.addresses.is_empty() {
            if !self.addresses.iter().any(|range| range.contains(client)) {
                return Err(Refusal::AddressNotAllowed);
            }
            trace.passed(Check::Address);
        }
        if !self.referrers.is_empty() {
            if !self.allows_referrer(head.fields) {
                return Err(Refusal::ReferrerNotAllowed);
            }
            trace.passed(Check::Referrer);
        }
        if !self.endpoints.is_empty() {
            if !self.endpoints.iter().any(|pattern| pattern.matches(head.method, path, ignore_case))
            {
                return Err(Refusal::EndpointNotAllowed);
            }
            trace.passed(Check::Endpoint);
        }
        Ok(())
    }

    /// Returns whether the referrer is allowed. It is not if it is missing, repeated, or not an
    /// http(s) URL.
    fn allows_referrer(&self, fields: &Fields<'_>) -> bool {
        let mut referrers = fields.all(HeaderKind::Referer);
        let (Some(referrer), None) = (referrers.next(), referrers.next()) else { return false };
        let Some(referrer) = field_text(referrer).and_then(Referrer::parse) else { return false };
        self.referrers.iter().any(|pattern| pattern.matches(&referrer))
    }
}

/// The pages of one origin, such as `https://app.example.com/*`. Without the final `*` it is
/// exactly one page.
///
/// An origin alone (`https://app.example.com`) includes all of its pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReferrerPattern {
    origin: Referrer,
    /// Whether the path may continue after the pattern.
    open: bool,
}

/// Why a text is not a referrer pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadReferrer {
    /// The text is not an `http://` or `https://` URL with a host.
    #[error(
        "a referrer pattern is a URL such as `https://app.example.com/*`, without user name, query \
         or fragment"
    )]
    Form,
    /// A `*` is not at the end of the path.
    #[error("`*` may stand only at the end of the path; name each host in full")]
    Wildcard,
}

/// The URL of a page, parsed into its origin (RFC 6454) and its path.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Referrer {
    https: bool,
    /// In lower case.
    host: String,
    port: u16,
    path: String,
}

impl Referrer {
    fn parse(text: &str) -> Option<Self> {
        let uri: Uri = text.parse().ok()?;
        let https = match uri.scheme_str()? {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let authority = uri.authority()?;
        if authority.as_str().contains('@') || authority.host().is_empty() {
            return None;
        }
        let port = match authority.port() {
            Some(port) => port.as_u16(),
            None if authority.as_str().ends_with(':') => return None,
            None if https => 443,
            None => 80,
        };
        Some(Self {
            https,
            host: authority.host().to_ascii_lowercase(),
            port,
            path: uri.path().to_owned(),
        })
    }
}

impl fmt::Display for ReferrerPattern {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Referrer { https, host, port, path } = &self.origin;
        write!(out, "{}://{host}", if *https { "https" } else { "http" })?;
        if *port != if *https { 443 } else { 80 } {
            write!(out, ":{port}")?;
        }
        write!(out, "{path}{}", if self.open { "*" } else { "" })
    }
}

impl ReferrerPattern {
    /// Parses a pattern.
    ///
    /// # Errors
    /// Returns what is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, BadReferrer> {
        let (fixed, open) = text.strip_suffix('*').map_or((text, false), |fixed| (fixed, true));
        if fixed.contains('*') {
            return Err(BadReferrer::Wildcard);
        }
        if fixed.contains(['?', '#']) {
            return Err(BadReferrer::Form);
        }
        let origin = Referrer::parse(fixed).ok_or(BadReferrer::Form)?;
        let after_scheme = fixed.split_once("://").map_or("", |(_, rest)| rest);
        let only_origin = !after_scheme.contains('/');
        if open && only_origin {
            // `https://app.example.com*` would also mean `https://app.example.com.evil.net`.
            return Err(BadReferrer::Wildcard);
        }
        Ok(Self { origin, open: open || only_origin })
    }

    fn matches(&self, referrer: &Referrer) -> bool {
        let same_origin = self.origin.https == referrer.https
            && self.origin.host == referrer.host
            && self.origin.port == referrer.port;
        same_origin
            && if self.open {
                referrer.path.starts_with(&self.origin.path)
            } else {
                referrer.path == self.origin.path
            }
    }
}
