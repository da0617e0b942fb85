//! The cookie of a session.

use http::{HeaderMap, HeaderValue, header};

/// The name of the cookie. The prefix makes browsers keep it to this very host, `Secure` and
/// without a `Domain` (RFC 6265bis §4.1.3.2).
const NAME: &str = "__Host-keygate";

/// Returns the secret of the session, or `None` if there is no cookie or more than one.
pub(super) fn secret(headers: &HeaderMap) -> Option<&str> {
    let mut secrets = headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|cookies| cookies.to_str().ok())
        .flat_map(|cookies| cookies.split(';'))
        .filter_map(|pair| pair.trim().strip_prefix(NAME)?.strip_prefix('='));
    let secret = secrets.next()?;
    secrets.next().is_none().then_some(secret)
}

/// Returns the field that sets the cookie. `Strict`: no other site can make the browser send it.
pub(super) fn set(secret: &str) -> Option<HeaderValue> {
    let cookie = format!("{NAME}={secret}; Path=/; Secure; HttpOnly; SameSite=Strict");
    let mut value = HeaderValue::try_from(cookie).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Returns the field that removes the cookie.
pub(super) fn remove() -> HeaderValue {
    HeaderValue::from_static(
        "__Host-keygate=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(cookies: &[&'static str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for cookie in cookies {
            headers.append(header::COOKIE, HeaderValue::from_static(cookie));
        }
        secret(&headers).map(str::to_owned)
    }

    #[test]
    fn cookie_is_read_where_there_is_exactly_one() {
        assert_eq!(read(&["a=b; __Host-keygate=s; c=d"]).as_deref(), Some("s"));
        assert_eq!(read(&["a=b", "__Host-keygate=s"]).as_deref(), Some("s"));
        assert_eq!(read(&["__Host-keygate=s; __Host-keygate=t"]), None);
        assert_eq!(read(&["__Host-keygate-admin=s; __host-keygate=t"]), None);
        assert_eq!(read(&[]), None);
    }
}
