//! Client addresses: address ranges, and the address that a request really comes from.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use super::fields::{Fields, HeaderKind, field_text};
use super::refusal::Refusal;
use super::target::host_name;

/// An address range: `203.0.113.0/24`, `2001:db8::/32`, or one address. IPv4-mapped IPv6 addresses
/// count as IPv4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressRange(IpNet);

/// Why a text is not an address range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadAddressRange {
    /// The text is neither an address nor a CIDR block.
    #[error(
        "an address range is an address or a CIDR block, such as `203.0.113.0/24` or \
         `2001:db8::/32`"
    )]
    Form,
    /// Bits are set after the prefix length. Holds the range that was probably meant.
    #[error("bits are set behind the prefix length; did you mean `{0}`?")]
    HostBits(IpNet),
}

impl fmt::Display for AddressRange {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A single address is written without a prefix length.
        if self.0.prefix_len() == self.0.max_prefix_len() {
            self.0.addr().fmt(out)
        } else {
            self.0.fmt(out)
        }
    }
}

impl AddressRange {
    /// Parses an address or a CIDR block (RFC 4632 §3.1, RFC 4291 §2.3).
    ///
    /// # Errors
    /// Returns what is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, BadAddressRange> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self(IpNet::from(address.to_canonical())));
        }
        let range: IpNet = text.parse().map_err(|_| BadAddressRange::Form)?;
        if range.addr() != range.network() {
            return Err(BadAddressRange::HostBits(range.trunc()));
        }
        // `::ffff:203.0.113.0/120` means the IPv4 block.
        let mapped = match range {
            IpNet::V6(v6) if v6.prefix_len() >= 96 => {
                v6.addr().to_ipv4_mapped().map(|v4| (v4, v6.prefix_len() - 96))
            }
            _ => None,
        };
        Ok(match mapped {
            Some((v4, length)) => Self(ipnet::Ipv4Net::new(v4, length).map_or(range, IpNet::V4)),
            None => Self(range),
        })
    }

    /// Returns whether the range contains the address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

/// Returns the client's address. It is the peer's, unless the peer is a trusted proxy: then it is
/// the last entry of `X-Forwarded-For` that is not a trusted proxy, or the first entry if all are
/// trusted.
///
/// # Errors
/// Returns [`Refusal::MalformedForwardedFor`] if an entry that is needed is not an address, or if
/// the proxy's `X-Forwarded-Proto` or `X-Forwarded-Host` is malformed.
pub fn client_address(
    peer: IpAddr,
    fields: &Fields<'_>,
    trusted: &[AddressRange],
) -> Result<IpAddr, Refusal> {
    let is_trusted = |address| trusted.iter().any(|range| range.contains(address));
    let mut client = peer.to_canonical();
    if trusted.is_empty() || !is_trusted(client) {
        return Ok(client);
    }
    check_scheme_and_host(fields)?;
    for field in fields.all(HeaderKind::XForwardedFor).rev() {
        let field = field_text(field).ok_or(Refusal::MalformedForwardedFor)?;
        for entry in field.rsplit(',') {
            let address: IpAddr =
                entry.trim().parse().map_err(|_| Refusal::MalformedForwardedFor)?;
            client = address.to_canonical();
            if !is_trusted(client) {
                return Ok(client);
            }
        }
    }
    Ok(client)
}

/// Checks the scheme and the host that a trusted proxy says its client used.
fn check_scheme_and_host(fields: &Fields<'_>) -> Result<(), Refusal> {
    let is_scheme = |scheme: &[u8]| {
        scheme.eq_ignore_ascii_case(b"https") || scheme.eq_ignore_ascii_case(b"http")
    };
    let is_host = |host: &[u8]| field_text(host).and_then(host_name).is_some();
    let sound = last_entry(fields, HeaderKind::XForwardedProto).is_none_or(is_scheme)
        && last_entry(fields, HeaderKind::XForwardedHost).is_none_or(is_host);
    if sound { Ok(()) } else { Err(Refusal::MalformedForwardedFor) }
}

/// Returns the last entry of the lists in these fields, which is the one that the proxy itself has
/// added. The entries before it came from the proxy's client.
pub(super) fn last_entry<'b>(fields: &Fields<'b>, kind: HeaderKind) -> Option<&'b [u8]> {
    let list = fields.all(kind).next_back()?;
    list.rsplit(|byte| *byte == b',').next().map(<[u8]>::trim_ascii)
}
