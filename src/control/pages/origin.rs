//! Decides whether a request comes from one of the pages, so that it may change something.
//!
//! No page has a token against forged requests: browsers say where a request comes from.

use http::{HeaderMap, header};

use super::arrival::Arrival;

/// Returns whether a request that changes something was sent by a page of this very origin.
/// Browsers without `Sec-Fetch-Site` send an `Origin`.
pub(super) fn is_same_origin(headers: &HeaderMap, arrival: &Arrival) -> bool {
    if headers.contains_key("sec-fetch-site") {
        return single(headers, "sec-fetch-site") == Some("same-origin");
    }
    single(headers, header::ORIGIN.as_str()).is_some_and(|origin| {
        let scheme = if arrival.https { "https" } else { "http" };
        let host = origin.strip_prefix(scheme).and_then(|rest| rest.strip_prefix("://"));
        host.is_some_and(|host| host.eq_ignore_ascii_case(&arrival.authority))
    })
}

/// Returns whether a person followed a link of another site, so that a strict cookie was not sent.
pub(super) fn is_from_elsewhere(headers: &HeaderMap) -> bool {
    single(headers, "sec-fetch-site").is_some_and(|site| site == "cross-site")
        && single(headers, "sec-fetch-mode").is_some_and(|mode| mode == "navigate")
}

/// Returns whether a person asked for a page, and not a script for fresh figures.
pub(super) fn is_by_a_person(headers: &HeaderMap) -> bool {
    single(headers, "sec-fetch-dest").is_none_or(|destination| destination != "empty")
}

/// Returns the value of a field that occurs exactly once.
fn single<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn came(https: bool, fields: &[(&'static str, &'static str)]) -> bool {
        let arrival = Arrival {
            authority: "keys.example.com:8443".to_owned(),
            https,
            client: [192, 0, 2, 1].into(),
        };
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            let value = HeaderValue::from_static(value);
            headers.append(HeaderName::from_static(name), value);
        }
        is_same_origin(&headers, &arrival)
    }

    #[test]
    fn request_of_this_origin_is_known_by_what_the_browser_says() {
        assert!(came(true, &[("sec-fetch-site", "same-origin")]));
        assert!(came(true, &[("sec-fetch-site", "same-origin"), ("origin", "null")]));
        assert!(came(true, &[("origin", "https://keys.example.com:8443")]));
        assert!(came(false, &[("origin", "http://keys.example.com:8443")]));
        for fields in [
            &[][..],
            &[("sec-fetch-site", "same-site")],
            &[("sec-fetch-site", "cross-site"), ("origin", "https://keys.example.com:8443")],
            &[("sec-fetch-site", "none")],
            &[("sec-fetch-site", "same-origin"), ("sec-fetch-site", "same-origin")],
            &[("origin", "null")],
            &[("origin", "http://keys.example.com:8443")],
            &[("origin", "https://keys.example.com")],
            &[("origin", "https://evil.example")],
            &[("origin", "https://keys.example.com:8443"), ("origin", "https://evil.example")],
        ] {
            assert!(!came(true, fields), "{fields:?}");
        }
    }
}
