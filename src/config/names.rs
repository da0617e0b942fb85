//! The syntax of names: APIs, keys, scopes, hosts, paths and header fields.

use std::net::Ipv6Addr;

use http::HeaderName;

use super::document::Text;
use super::report::Report;
use super::secret::{self, quote};
use crate::policy::{KeyId, hyphened, is_gateway_header};
use crate::text::{self, fault_in_name};

/// Header fields that no setting may name, besides those that Keygate sets itself.
const RESERVED_HEADERS: [&str; 3] = ["content-encoding", "trailer", "date"];

/// Returns whether no setting may name a header field. A spelling that some servers treat as the
/// same name counts as that name.
pub(super) fn is_reserved_header(name: &HeaderName) -> bool {
    is_gateway_header(name) || RESERVED_HEADERS.contains(&same_header(name).as_str())
}

/// Returns the name as some servers see it, which do not distinguish `_` and `.` from `-`.
pub(super) fn same_header(name: &HeaderName) -> String {
    hyphened(name.as_str())
}

fn is_plain(text: &str, longest: usize, extra: &[u8]) -> bool {
    (1..=longest).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || extra.contains(&byte))
}

/// Returns whether a text can be the name of an API, which metrics and challenges contain.
pub(super) fn is_api_name(text: &str) -> bool {
    is_plain(text, 64, b"._-")
}

/// Returns whether a text can be the name of an environment, which header fields contain.
pub(super) fn is_environment_name(text: &str) -> bool {
    is_plain(text, 64, b"._-")
}

/// Returns whether a text can be the id of a key.
pub(super) fn is_key_id(text: &str) -> bool {
    KeyId::parse(text).is_ok()
}

/// Returns whether a text is a `scope-token` (RFC 6749 §3.3).
pub(super) fn is_scope_name(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text.bytes().all(|byte| matches!(byte, b'!' | b'#'..=b'[' | b']'..=b'~'))
}

/// Returns whether a text can be a key prefix: characters that RFC 6750 §2.1 allows in a token.
pub(super) fn is_prefix(text: &str) -> bool {
    is_plain(text, 64, b"-._~+/")
}

/// Returns whether a text is a `cookie-name` (RFC 6265 §4.1.1), which is a token of RFC 9110.
pub(super) fn is_cookie_name(text: &str) -> bool {
    is_plain(text, 128, b"!#$%&'*+-.^_`|~")
}

/// Returns a text for people, such as a name or a description. Reports an error if it contains
/// characters that hide others, or if it is longer than 1024 bytes.
pub(super) fn free_text<'t>(report: &Report<'_>, name: &str, text: Text<'t>) -> &'t str {
    if let Some(fault) = fault_in_name(text.value) {
        let plain: String = text.value.chars().filter(|char| text::is_plain(*char)).collect();
        let hint = if secret::could_be(&plain) {
            "leave out what cannot be seen".to_owned()
        } else {
            let escaped = text::shown(text.value);
            format!("leave out what is written with a backslash in \"{escaped}\"")
        };
        report.error_with_hint(text.at, format!("`{name}` {fault}"), hint);
    } else if text.value.len() > 1024 {
        report.error(text.at, format!("`{name}` is longer than 1024 bytes"));
    }
    text.value
}

/// Returns a host name in lower case, without port. Reports an error if the text is ambiguous or
/// not a host name.
pub(super) fn host(report: &Report<'_>, text: Text<'_>) -> Option<Box<str>> {
    let lower = text.value.to_ascii_lowercase();
    let fault = |message: String, hint: String| {
        report.error_with_hint(text.at, message, hint);
        None
    };
    let form = || "write the name alone, such as `api.example.com`".to_owned();
    if let Some((_, rest)) = lower.split_once("://") {
        let name = rest.split(['/', ':']).next().unwrap_or_default();
        return fault("a host has no scheme".into(), format!("write {}", quote(name)));
    }
    if let Some(address) = lower.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return match address.parse::<Ipv6Addr>() {
            Ok(parsed) if parsed.to_string() == address => Some(lower.into()),
            Ok(parsed) => fault(
                "an IPv6 host must be in its shortest form".into(),
                format!("write `[{parsed}]`"),
            ),
            Err(_) => fault("a host in brackets must be an IPv6 address".into(), form()),
        };
    }
    if let Ok(address) = lower.parse::<Ipv6Addr>() {
        return fault("an IPv6 host stands in brackets".into(), format!("write `[{address}]`"));
    }
    if let Some((name, port)) = lower.rsplit_once(':')
        && port.bytes().all(|byte| byte.is_ascii_digit())
    {
        return fault(
            "a host is named without its port; every port counts".into(),
            format!("write {}", quote(name)),
        );
    }
    if let Some(name) = lower.strip_suffix('.') {
        return fault(
            "a host is named without the final dot".into(),
            format!("write {}", quote(name)),
        );
    }
    if lower.contains('*') {
        return fault(
            "a host cannot have wildcards".into(),
            "name each host; without `hosts` the API answers for any host".into(),
        );
    }
    if !lower.is_ascii() {
        return fault("a host must be in ASCII".into(), "write its `xn--` form".into());
    }
    let label_is_good = |label: &str| is_plain(label, 63, b"-_");
    if lower.len() > 253 || !lower.split('.').all(label_is_good) {
        return fault("this is no host name".into(), form());
    }
    Some(lower.into())
}

/// Returns a path: `/`, or segments of plain characters without a trailing `/`. Reports an error
/// for anything else.
pub(super) fn base_path(report: &Report<'_>, name: &str, text: Text<'_>) -> Option<Box<str>> {
    let path = text.value;
    let good = path == "/"
        || path.strip_prefix('/').is_some_and(|rest| {
            path.len() <= 512
                && rest.split('/').all(|segment| {
                    is_plain(segment, 255, b"._-") && segment != "." && segment != ".."
                })
        });
    if good {
        return Some(path.into());
    }
    let hint = match path.strip_suffix('/') {
        Some(shorter) if shorter.starts_with('/') => {
            format!("leave out the final `/`: {}", quote(shorter))
        }
        _ if !path.starts_with('/') => "it starts with `/`".to_owned(),
        _ => "its segments have letters, digits, `.`, `_` and `-` only".to_owned(),
    };
    report.error_with_hint(text.at, format!("`{name}` is not a plain path"), hint);
    None
}
