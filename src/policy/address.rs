//! Client addresses: ranges of them, and which one a request really comes from.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use super::fields::{Fields, Known, field_text};
use super::refusal::Refusal;
use super::target::host_name;

/// `203.0.113.0/24`, `2001:db8::/32`, or one address. IPv4-mapped IPv6 counts as IPv4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressRange(IpNet);

/// Why a text is no address range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadAddressRange {
    /// Neither an address nor a CIDR block.
    #[error(
        "an address range is an address or a CIDR block, such as `203.0.113.0/24` or \
         `2001:db8::/32`"
    )]
    Form,
    /// Bits are set behind the prefix length; the range that was probably meant.
    #[error("bits are set behind the prefix length; did you mean `{0}`?")]
    HostBits(IpNet),
}

impl fmt::Display for AddressRange {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // An address alone is written as one.
        if self.0.prefix_len() == self.0.max_prefix_len() {
            self.0.addr().fmt(out)
        } else {
            self.0.fmt(out)
        }
    }
}

impl AddressRange {
    /// Reads an address or a CIDR block (RFC 4632 §3.1, RFC 4291 §2.3).
    ///
    /// # Errors
    /// What is wrong with the text.
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

    /// Whether the address lies in it.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

/// The client's address: the peer's, or, while that is a trusted proxy, the one before it in
/// `X-Forwarded-For`, read from the right. Where every hop is trusted, the first one.
///
/// # Errors
/// [`Refusal::MalformedForwardedFor`] where an entry that has to be believed is no address, or what
/// else the proxy says cannot be read.
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
    for field in fields.all(Known::XForwardedFor).rev() {
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

/// What a trusted proxy says of the scheme and the host that its client used.
fn check_scheme_and_host(fields: &Fields<'_>) -> Result<(), Refusal> {
    let is_scheme = |scheme: &[u8]| {
        scheme.eq_ignore_ascii_case(b"https") || scheme.eq_ignore_ascii_case(b"http")
    };
    let is_host = |host: &[u8]| field_text(host).and_then(host_name).is_some();
    let sound = last_entry(fields, Known::XForwardedProto).is_none_or(is_scheme)
        && last_entry(fields, Known::XForwardedHost).is_none_or(is_host);
    if sound { Ok(()) } else { Err(Refusal::MalformedForwardedFor) }
}

/// The last entry of the lists in these fields: the one that the proxy itself has added. What
/// stands before it came from its client.
pub(super) fn last_entry<'b>(fields: &Fields<'b>, known: Known) -> Option<&'b [u8]> {
    let list = fields.all(known).next_back()?;
    list.rsplit(|byte| *byte == b',').next().map(<[u8]>::trim_ascii)
}
