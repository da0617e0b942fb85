//! How a request came.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use axum::extract::FromRequestParts;
use http::request::Parts;
use http::{HeaderMap, StatusCode, header};

use crate::control::keys::Visitor;

/// Limit of what is kept of a `User-Agent`, in bytes.
const LONGEST_AGENT: usize = 64;

/// How a request came. Every request carries it as an extension.
#[derive(Debug, Clone)]
pub(super) struct Arrival {
    /// The host, with its port if it is not the usual one, as the browser sees it.
    pub(super) authority: String,
    /// Whether the browser uses TLS.
    pub(super) https: bool,
    /// The browser's address.
    pub(super) client: IpAddr,
}

impl<S: Sync> FromRequestParts<S> for Arrival {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, StatusCode> {
        parts.extensions.get().cloned().ok_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl Arrival {
    /// Returns scheme, host and port of another host that is reached in the same way.
    pub(super) fn origin_of(&self, host: &str) -> String {
        let scheme = if self.https { "https" } else { "http" };
        match self.authority.rsplit_once(':') {
            Some((_, port)) => format!("{scheme}://{host}:{port}"),
            None => format!("{scheme}://{host}"),
        }
    }

    /// Returns what is kept of the visitor.
    pub(super) fn visitor(&self, headers: &HeaderMap) -> Visitor {
        let agent = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
        let agent = agent.unwrap_or_default().split(' ').next().unwrap_or_default();
        let agent = agent.get(..LONGEST_AGENT).unwrap_or(agent).to_owned();
        Visitor { network: network(self.client), agent }
    }
}

/// Returns the network of an address by which rates are limited: the address itself (IPv4), or its
/// /64 (IPv6).
pub(super) fn limited_network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

/// Returns the network that is shown and kept for an address: its /24 (IPv4) or /48 (IPv6).
pub(super) fn network(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => {
            format!("{}/24", Ipv4Addr::from_bits(address.to_bits() >> 8 << 8))
        }
        IpAddr::V6(address) => {
            format!("{}/48", Ipv6Addr::from_bits(address.to_bits() >> 80 << 80))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn network_of_an_address_is_shown_and_not_the_address() {
        assert_eq!(network(address("203.0.113.77")), "203.0.113.0/24");
        assert_eq!(network(address("2001:db8:1:2:3::4")), "2001:db8:1::/48");
        assert_eq!(limited_network(address("2001:db8:1:2:3::4")), address("2001:db8:1:2::"));
        assert_eq!(limited_network(address("203.0.113.77")), address("203.0.113.77"));
    }
}
