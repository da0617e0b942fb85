//! The head of a request.

use http::{HeaderName, Method};

use super::fields::{Fields, HeaderKind, Target};
use super::peer::Peer;
use super::refusal::Refusal;
use super::target::{Host, check_path, host_of};

/// The head of a request, as the decision sees it.
#[derive(Debug, Clone, Copy)]
pub struct Head<'h> {
    /// The method, as sent.
    pub method: &'h Method,
    /// The target, as sent.
    pub target: Target<'h>,
    /// All header fields, as sent.
    pub fields: &'h Fields<'h>,
    /// The peer of the connection.
    pub peer: &'h Peer,
}

impl<'h> Head<'h> {
    /// Checks what every request must satisfy before an API is chosen. Returns the host.
    pub(super) fn check(&self) -> Result<Host<'h>, Refusal> {
        // Some servers read methods regardless of letter case.
        let method = self.method.as_str();
        if method.eq_ignore_ascii_case("CONNECT") || method.eq_ignore_ascii_case("TRACE") {
            return Err(Refusal::MethodNotAllowed);
        }
        check_framing(self.fields)?;
        if self.fields.repeat_who_somebody_is() {
            return Err(Refusal::RepeatedHeader);
        }
        check_path(self.target.path).map_err(Refusal::MalformedTarget)?;
        host_of(&self.target, self.fields).map_err(|_| Refusal::MalformedHost)
    }

    /// Returns whether one of these fields is repeated. `Forwarded` may be, because it is a list
    /// (RFC 7239 §4).
    pub(super) fn repeats_one_of(&self, names: &[HeaderName]) -> bool {
        let is_repeated = |name: &HeaderName| self.fields.named(name.as_str()).nth(1).is_some();
        names.iter().any(|name| name != "forwarded" && is_repeated(name))
    }
}

/// Checks that a body is either `chunked` or has a length, not both, and has no other transfer
/// coding (RFC 9112 §6.1).
fn check_framing(fields: &Fields<'_>) -> Result<(), Refusal> {
    let mut codings = fields.all(HeaderKind::TransferEncoding);
    let Some(coding) = codings.next() else { return Ok(()) };
    let sound = coding.eq_ignore_ascii_case(b"chunked")
        && codings.next().is_none()
        && !fields.has(HeaderKind::ContentLength);
    if sound { Ok(()) } else { Err(Refusal::MalformedFraming) }
}
