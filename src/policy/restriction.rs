//! Where a key may be used from, and for which endpoints.

use std::fmt;
use std::net::IpAddr;

use http::Uri;

use super::address::AddressRange;
use super::check::{Check, Trace};
use super::fields::{Fields, Known, field_text};
use super::head::Head;
use super::pattern::Pattern;
use super::refusal::Refusal;

/// The restrictions of one key. An empty list restricts nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restrictions {
    /// Client addresses that may use it.
    pub addresses: Vec<AddressRange>,
    /// Pages that may use it.
    pub referrers: Vec<ReferrerPattern>,
    /// Endpoints that it may be used for, whatever its scopes.
    pub endpoints: Vec<Pattern>,
}

impl Restrictions {
    /// Whether it restricts nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.addresses.is_empty() && self.referrers.is_empty() && self.endpoints.is_empty()
    }

    /// Address, then referrer, then endpoint.
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

    /// A missing referrer, two of them, or one that is no http(s) URL is not allowed.
    fn allows_referrer(&self, fields: &Fields<'_>) -> bool {
        let mut referrers = fields.all(Known::Referer);
        let (Some(referrer), None) = (referrers.next(), referrers.next()) else { return false };
        let Some(referrer) = field_text(referrer).and_then(Referrer::parse) else { return false };
        self.referrers.iter().any(|pattern| pattern.matches(&referrer))
    }
}

/// Pages of one origin: `https://app.example.com/*`, or without the final `*` one page exactly.
///
/// An origin alone (`https://app.example.com`) means every page of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReferrerPattern {
    origin: Referrer,
    /// Whether what follows the path matches too.
    open: bool,
}

/// Why a text is no referrer pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadReferrer {
    /// Not an `http://` or `https://` URL with a host.
    #[error(
        "a referrer pattern is a URL such as `https://app.example.com/*`, without user name, query \
         or fragment"
    )]
    Form,
    /// A `*` anywhere but at the end of the path.
    #[error("`*` may stand only at the end of the path; name each host in full")]
    Wildcard,
}

/// A parsed URL of a page: what RFC 6454 calls its origin, and the path.
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
    /// Reads a pattern.
    ///
    /// # Errors
    /// What is wrong with the text.
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
