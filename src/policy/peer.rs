//! The peer of a connection.

use std::net::IpAddr;

use super::fields::Sink as _;

/// The peer of a connection, with the header lines that its requests have in common.
#[derive(Debug)]
pub struct Peer {
    /// The peer's address.
    pub address: IpAddr,
    /// The address as the last entry of `X-Forwarded-For`.
    pub(super) address_text: Box<str>,
    /// The `X-Forwarded-For` and `X-Forwarded-Proto` lines of requests that do not come through a
    /// trusted proxy.
    pub(super) forwarded: Box<[u8]>,
    /// Whether the connection uses TLS.
    pub https: bool,
    /// The server name that the client sent in the TLS handshake (SNI, RFC 6066 §3).
    pub tls_name: Option<Box<str>>,
}

impl Peer {
    /// Returns a peer with this address.
    #[must_use]
    pub fn new(address: IpAddr, https: bool, tls_name: Option<Box<str>>) -> Self {
        let address = address.to_canonical();
        let address_text = address.to_string();
        let mut peer = Self {
            address,
            address_text: address_text.into(),
            forwarded: Box::default(),
            https,
            tls_name,
        };
        let mut forwarded = Vec::with_capacity(64);
        forwarded.put("x-forwarded-for", peer.address_text.as_bytes());
        forwarded.put("x-forwarded-proto", peer.scheme().as_bytes());
        peer.forwarded = forwarded.into();
        peer
    }

    /// Returns `https` or `http`.
    pub(super) fn scheme(&self) -> &'static str {
        if self.https { "https" } else { "http" }
    }
}
