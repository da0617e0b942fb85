//! Reads the destinations of an API's requests, and the header fields that are added to them.

use std::net::Ipv6Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::{HeaderName, header};
use zeroize::Zeroizing;

use super::context::Context;
use crate::config::document::{Section, Text, as_text, type_name};
use crate::config::secret::quote;
use crate::config::{Place, Protocol, Upstream, files, names, tls};
use crate::policy::{CredentialPlace, Environment, Hidden, PassThrough, is_proxy_header};

const FORMS: &str =
    "write `http://127.0.0.1:3000`, `https://name`, `h2c://…`, `h2://…` or `unix:/path/of/socket`";

/// Returns the distinct upstreams, beginning with the one for requests without a key, and the index
/// of the upstream of each environment.
pub(super) fn upstreams(
    context: Context<'_>,
    api: Section<'_>,
    environments: &[Environment],
) -> (Vec<Upstream>, Vec<usize>) {
    let ca = api.text("upstream_ca").map(|text| context.folder.join(text.value));
    let mut upstreams: Vec<Upstream> = Vec::new();
    let mut by_environment = Vec::new();
    if api.require("upstream", "`upstream = \"http://127.0.0.1:3000\"` says where requests go") {
        match api.raw("upstream").filter(|value| value.get_ref().is_table()) {
            None => upstreams
                .extend(api.text("upstream").and_then(|text| upstream(context, text, ca.as_ref()))),
            Some(_) => (upstreams, by_environment) = table(context, api, environments, ca.as_ref()),
        }
    }
    if let Some(ca) = &ca {
        let at = api.at("upstream_ca");
        let encrypted = upstreams
            .iter()
            .any(|upstream| matches!(upstream.protocol, Protocol::Http1Tls | Protocol::Http2Tls));
        if !encrypted && !upstreams.is_empty() {
            context
                .report
                .error(at, "`upstream_ca` has no use where no upstream is `https://` or `h2://`");
        }
        if let Err(bad) = tls::root_store(Some(ca)) {
            let text = api.text("upstream_ca").map_or("", |text| text.value);
            context.report.unusable(at, context.of_file(text, &bad));
        }
    }
    (upstreams, by_environment)
}

fn table(
    context: Context<'_>,
    api: Section<'_>,
    environments: &[Environment],
    ca: Option<&PathBuf>,
) -> (Vec<Upstream>, Vec<usize>) {
    let report = context.report;
    let at = api.at("upstream");
    let names = || environments.iter().map(|environment| &*environment.name);
    let mut named: Vec<(&str, Option<Upstream>)> = Vec::new();
    for (name, value) in api.entries("upstream") {
        if !names().any(|known| known == name.value) {
            let nearest = report.did_you_mean(name.value, names());
            let message =
                format!("{} is none of the API's `environments`{nearest}", quote(name.value));
            report.error(name.at, message);
        }
        let url = as_text(value);
        if url.is_some_and(|url| !report.is_plain(url.at, url.value)) {
            continue;
        }
        if url.is_none() {
            report.error(
                value.span().start,
                format!("an upstream must be a text in quotes, not {}", type_name(value.get_ref())),
            );
        }
        named.push((name.value, url.and_then(|url| upstream(context, url, ca))));
    }
    if !named.iter().any(|(name, _)| *name == "live") {
        report.error_with_hint(
            at,
            "`upstream` has no entry `live`",
            "traffic without a key goes to `live`",
        );
    }
    for name in
        names().filter(|name| *name != "live" && named.iter().all(|(known, _)| known != name))
    {
        report.error(at, format!("`upstream` has no entry for the environment `{name}`"));
    }
    let mut upstreams: Vec<Upstream> = Vec::new();
    let mut index_of = |name: &str| {
        let found = named.iter().find(|(known, _)| *known == name)?.1.as_ref()?;
        Some(upstreams.iter().position(|known| known == found).unwrap_or_else(|| {
            upstreams.push(found.clone());
            upstreams.len() - 1
        }))
    };
    index_of("live");
    // A missing entry has been reported.
    let by_environment = names().map(|name| index_of(name).unwrap_or(0)).collect();
    (upstreams, by_environment)
}

/// Reads the URL of an upstream. Messages never quote it, because it may contain a password.
// Longer than 60 lines: every part of the URL has its own hint.
fn upstream(context: Context<'_>, text: Text<'_>, ca: Option<&PathBuf>) -> Option<Upstream> {
    let fault = |message: &str, hint: &str| {
        context.report.error_with_hint(text.at, message, hint);
        None
    };
    if let Some(path) = text.value.strip_prefix("unix:") {
        if path.is_empty() || path.starts_with("//") || path.contains('\0') {
            return fault(
                "the upstream's socket has no usable path",
                "write `unix:/path/of/socket`",
            );
        }
        let place = Place::Unix(context.folder.join(path));
        return Some(Upstream {
            protocol: Protocol::Http1,
            place,
            authority: "localhost".into(),
            ca: None,
        });
    }
    let Some((scheme, rest)) = text.value.split_once("://") else {
        return fault("the upstream has no scheme", FORMS);
    };
    let (protocol, default_port) = match scheme {
        "http" => (Protocol::Http1, 80),
        "https" => (Protocol::Http1Tls, 443),
        "h2c" => (Protocol::Http2, 80),
        "h2" => (Protocol::Http2Tls, 443),
        _ => return fault("the upstream's scheme is not known", FORMS),
    };
    if rest.contains('@') {
        return fault(
            "an upstream has no user name or password in it",
            "send it in a header: `[api.upstream_headers]`",
        );
    }
    if rest.contains(['/', '?', '#']) {
        return fault(
            "an upstream has no path or query in it",
            "every request keeps the path that its caller sent; leave out what follows the port",
        );
    }
    let (name, port) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) if address.parse::<Ipv6Addr>().is_ok() => (address, port),
        Some(_) => return fault("the upstream's host is no IPv6 address", FORMS),
        None if rest.starts_with('[') => {
            return fault("the upstream's host is no IPv6 address", FORMS);
        }
        None => rest.split_at(rest.find(':').unwrap_or(rest.len())),
    };
    let in_brackets = rest.starts_with('[');
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    if name.is_empty() || (!in_brackets && !name.bytes().all(plain)) {
        return fault("the upstream's host is no name or address", FORMS);
    }
    let port = match port.strip_prefix(':').map(str::parse) {
        None if port.is_empty() => default_port,
        Some(Ok(port)) if port > 0 => port,
        _ => return fault("the upstream's port is not from 1 to 65535", FORMS),
    };
    let encrypted = matches!(protocol, Protocol::Http1Tls | Protocol::Http2Tls);
    Some(Upstream {
        protocol,
        place: Place::Tcp(name.into(), port),
        authority: rest.into(),
        ca: ca.filter(|_| encrypted).cloned(),
    })
}

/// Reads `[api.upstream_headers]`. Messages never quote a value.
pub(super) fn headers(
    context: Context<'_>,
    api: Section<'_>,
    credentials: &[CredentialPlace],
    pass_through: &[PassThrough],
) -> Vec<(HeaderName, Arc<Hidden>)> {
    let report = context.report;
    let mut headers: Vec<(HeaderName, Arc<Hidden>)> = Vec::new();
    for (name, value) in api.entries("upstream_headers") {
        let Ok(header) = HeaderName::from_bytes(name.value.as_bytes()) else {
            report.error(name.at, "this is no header name");
            continue;
        };
        if names::is_reserved_header(&header) {
            report.error(name.at, format!("`{header}` is a header that Keygate sets itself"));
        }
        let passes = |place: &PassThrough| match place {
            PassThrough::Header(other) => names::same_header(other) == names::same_header(&header),
            PassThrough::Cookie(_) => header == header::COOKIE,
        };
        if pass_through.iter().any(passes) {
            report.error(
                name.at,
                format!("{} would replace a credential of `pass_through`", quote(header.as_str())),
            );
        }
        let twin = |other: &HeaderName| names::same_header(other) == names::same_header(&header);
        if headers.iter().any(|(known, _)| twin(known)) {
            report.error(name.at, format!("{} is set twice", quote(header.as_str())));
        }
        let is_credential =
            credentials.iter().any(|place| place.header() != header && twin(place.header()));
        if is_credential {
            report.error(
                name.at,
                format!(
                    "{} is another spelling of a header that keys stand in",
                    quote(header.as_str())
                ),
            );
        }
        let Some(text) = as_text(value) else {
            let message = format!(
                "a header's value must be a text in quotes, not {}",
                type_name(value.get_ref())
            );
            report.error(value.span().start, message);
            continue;
        };
        if let Some(value) = header_value(context, text) {
            let line =
                Hidden::of(&[header.as_str().as_bytes(), b": ", value.trim().as_bytes(), b"\r\n"]);
            headers.push((header, Arc::new(line)));
        }
    }
    headers
}

/// Reads `proxy_headers`: fields that are forwarded only from trusted proxies.
pub(super) fn proxy_headers(root: Section<'_>, api: Section<'_>) -> Vec<HeaderName> {
    let report = api.report;
    let mut headers: Vec<HeaderName> = Vec::new();
    for text in api.texts("proxy_headers") {
        let Ok(header) = HeaderName::from_bytes(text.value.as_bytes()) else {
            report.error(text.at, "this is no header name");
            continue;
        };
        if names::is_reserved_header(&header) {
            report.error(text.at, format!("`{header}` is a header that Keygate sets itself"));
        } else if !is_proxy_header(&header) {
            let hint = "here stand headers that Keygate drops unless a trusted proxy sends them, \
                such as `CF-Connecting-IP`";
            report.error_with_hint(
                text.at,
                format!(
                    "{} is passed on from everybody, so it need not stand here",
                    quote(header.as_str())
                ),
                hint,
            );
        } else if headers.contains(&header) {
            report.error(
                text.at,
                format!("{} stands twice in `proxy_headers`", quote(header.as_str())),
            );
        }
        headers.push(header);
    }
    let trusted =
        root.raw("server").and_then(|server| server.get_ref().as_table()?.get("trusted_proxies"));
    let trusts_nobody = trusted
        .is_none_or(|trusted| trusted.get_ref().as_array().is_some_and(|list| list.is_empty()));
    if !headers.is_empty() && trusts_nobody {
        let hint = "list the proxies in `trusted_proxies` of [server]";
        report.error_with_hint(
            api.at("proxy_headers"),
            "`proxy_headers` has no use where no proxy is trusted",
            hint,
        );
    }
    headers
}

/// Returns the content of a file without its final newlines.
///
/// # Errors
/// Returns an error if the file cannot be read or is not valid UTF-8.
fn secret(path: &Path) -> std::io::Result<Zeroizing<String>> {
    let content = Zeroizing::new(files::read(path, files::SECRET)?);
    let text = std::str::from_utf8(&content).map_err(|_| {
        std::io::Error::new(std::io::ErrorKind::InvalidData, "it is not valid UTF-8")
    })?;
    Ok(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned()))
}

/// Returns a literal value, or one from `env:NAME` or `file:PATH`.
fn header_value(context: Context<'_>, text: Text<'_>) -> Option<Zeroizing<String>> {
    let report = context.report;
    let value = if let Some(name) = text.value.strip_prefix("env:") {
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        {
            report.error(text.at, "`env:` must be followed by the name of an environment variable");
            return None;
        }
        match std::env::var(name) {
            Ok(value) => Zeroizing::new(value),
            Err(std::env::VarError::NotPresent) => {
                let hint = "set it where Keygate is started, or write `file:PATH`";
                report.error_with_hint(
                    text.at,
                    format!("the environment variable {} is not set", quote(name)),
                    hint,
                );
                return None;
            }
            Err(std::env::VarError::NotUnicode(_)) => {
                report.error(
                    text.at,
                    format!("the environment variable {} is not valid UTF-8", quote(name)),
                );
                return None;
            }
        }
    } else if let Some(path) = text.value.strip_prefix("file:") {
        match secret(&context.folder.join(path)) {
            Ok(value) => value,
            Err(error) => {
                report.unusable(text.at, format!("{} cannot be read: {error}", quote(path)));
                return None;
            }
        }
    } else {
        Zeroizing::new(text.value.to_owned())
    };
    // A field value (RFC 9110 §5.5), without `obs-text`.
    let sound = |byte: u8| matches!(byte, b' '..=b'~' | b'\t');
    if value.trim().is_empty() || !value.trim().bytes().all(sound) {
        report.error(
            text.at,
            "this header's value is empty or has characters that no header may have",
        );
        return None;
    }
    Some(value)
}
