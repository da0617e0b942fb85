//! The other end of a connection.

use std::net::IpAddr;

use super::fields::Sink as _;

/// The other end of a connection, and what it always adds to requests.
#[derive(Debug)]
pub struct Peer {
    /// Its address.
    pub address: IpAddr,
    /// The same, as `X-Forwarded-For` ends with it.
    pub(super) address_text: Box<str>,
    /// `X-Forwarded-For` and `X-Forwarded-Proto` of requests that come from the peer itself.
    pub(super) forwarded: Box<[u8]>,
    /// Whether the connection is encrypted.
    pub https: bool,
    /// The name that the client asked for in the TLS handshake.
    pub tls_name: Option<Box<str>>,
}

impl Peer {
    /// A peer at `address`.
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

    /// `https` or `http`.
    pub(super) fn scheme(&self) -> &'static str {
        if self.https { "https" } else { "http" }
    }
}
