//! Requests for the pages of the portal, which no API receives.

use std::net::IpAddr;

use super::address::{client_address, last_entry};
use super::fields::{HeaderKind, field_text};
use super::head::Head;
use super::refusal::Refusal;
use super::snapshot::Routes;

/// How a browser reaches the pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Visit<'h> {
    /// The host, with its port if it is not the usual one, as the browser sees it.
    pub authority: &'h str,
    /// Whether the browser uses TLS.
    pub https: bool,
    /// The browser's address.
    pub client: IpAddr,
}

/// Returns how a request reaches the pages, or `None` if it is not for them. It is for them if its
/// host is one of the portal's, whatever the APIs are.
///
/// # Errors
/// Returns the refusal of a check that precedes the choice of an API.
pub fn visit<'h>(head: &Head<'h>, routes: &Routes) -> Option<Result<Visit<'h>, Refusal>> {
    if routes.portal_hosts.is_empty() {
        return None;
    }
    // A request that fails here is refused in the same way as one for an API.
    let host = head.check().ok()?;
    if !routes.portal_hosts.iter().any(|portal| portal.eq_ignore_ascii_case(host.name)) {
        return None;
    }
    let peer = head.peer;
    let client = match client_address(peer.address, head.fields, &routes.trusted_proxies) {
        Ok(client) => client,
        Err(refusal) => return Some(Err(refusal)),
    };
    let is_trusted = routes.trusted_proxies.iter().any(|range| range.contains(peer.address));
    let told = |kind| last_entry(head.fields, kind).filter(|_| is_trusted).and_then(field_text);
    let authority = told(HeaderKind::XForwardedHost).unwrap_or(host.authority);
    let scheme = told(HeaderKind::XForwardedProto);
    let https = scheme.map_or(peer.https, |scheme| scheme.eq_ignore_ascii_case("https"));
    Some(Ok(Visit { authority, https, client }))
}
