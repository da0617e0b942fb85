//! How the upstream is told who calls: an encoding for values with any text, and the header lines
//! about a key.

use smallvec::SmallVec;

use super::fields::Sink as _;

/// The header lines about a key. Nearly all are stored inline, so that a request follows one
/// pointer.
pub(super) type Identity = SmallVec<[u8; 136]>;

/// Builds the header lines about a key, on its first use.
pub(super) fn lines(id: &str, name: &str, organization: Option<&str>) -> Identity {
    let mut lines = Vec::new();
    lines.put("x-keygate-key-id", encoded(id).as_bytes());
    lines.put("x-keygate-key-name", encoded(name).as_bytes());
    if let Some(organization) = organization {
        lines.put("x-keygate-organization", encoded(organization).as_bytes());
    }
    Identity::from_slice(&lines)
}

/// Returns several texts, each [encoded], separated by spaces.
pub(super) fn encoded_list(texts: &[&str]) -> String {
    let texts: Vec<String> = texts.iter().map(|text| encoded(text)).collect();
    texts.join(" ")
}

/// Percent-encodes every byte that is not visible ASCII, or that separates or quotes values in
/// header fields.
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
