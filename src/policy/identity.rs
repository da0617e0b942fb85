//! How the upstream is told who calls: values that any text fits into, and the lines about a key.

use smallvec::SmallVec;

use super::fields::Sink as _;

/// The lines about a key. Nearly all fit in place, so that a request follows one pointer to them.
pub(super) type Identity = SmallVec<[u8; 136]>;

/// Makes the lines about a key, on its first use.
pub(super) fn lines(id: &str, name: &str, organization: Option<&str>) -> Identity {
    let mut lines = Vec::new();
    lines.put("x-keygate-key-id", encoded(id).as_bytes());
    lines.put("x-keygate-key-name", encoded(name).as_bytes());
    if let Some(organization) = organization {
        lines.put("x-keygate-organization", encoded(organization).as_bytes());
    }
    Identity::from_slice(&lines)
}

/// Several texts, separated by spaces, each percent-encoded where it is not a plain token.
pub(super) fn encoded_list(texts: &[&str]) -> String {
    let texts: Vec<String> = texts.iter().map(|text| encoded(text)).collect();
    texts.join(" ")
}

/// Any text, with what is not visible ASCII percent-encoded, and what separates or quotes values in
/// headers.
pub(super) fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && !b"%,;\"\\".contains(&byte) {
            out.push(byte as char);
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
