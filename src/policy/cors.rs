//! Cross-origin resource sharing: which web pages may read an API's responses (the CORS protocol of
//! the Fetch standard, §3.3). The header lines are built once.
//!
//! CORS concerns browsers only. The key still decides who may call; an allowed page of another
//! origin may merely read the response.

use std::fmt;

use http::{HeaderName, Method};

use super::fields::{Fields, Sink as _};

/// The `[api.cors]` table of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CorsDefinition {
    /// Allowed origins as browsers send them, such as `https://app.example.com`. Empty: any origin.
    pub origins: Vec<Box<str>>,
    /// Methods that a page may use.
    pub methods: Vec<Box<str>>,
    /// Request header fields that a page may send.
    pub headers: Vec<HeaderName>,
    /// Response header fields that a page may read.
    pub expose_headers: Vec<HeaderName>,
    /// How long a browser may cache the response to a preflight request, in seconds.
    pub max_age: u64,
    /// Whether a page may send cookies. Never set if any origin is allowed.
    pub credentials: bool,
}

impl fmt::Display for CorsDefinition {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { origins, methods, headers, expose_headers, max_age, credentials } = self;
        let origins = if origins.is_empty() { "*".to_owned() } else { origins.join(", ") };
        write!(
            out,
            "origins {origins}; methods {}; headers {}; ",
            methods.join(", "),
            list(headers)
        )?;
        write!(
            out,
            "expose_headers {}; max_age {max_age}s; credentials {credentials}",
            list(expose_headers)
        )
    }
}

/// The header lines of responses, built once.
#[derive(Debug)]
pub(super) struct Cors {
    /// Each allowed origin with its lines.
    origins: Box<[(Box<str>, Lines)]>,
    /// For requests of any other origin, or for all requests if any origin is allowed.
    others: Lines,
}

/// Complete lines, `name: value\r\n`.
#[derive(Debug, Clone)]
struct Lines {
    /// For actual responses, refusals included.
    answer: Box<[u8]>,
    /// For responses to preflight requests.
    preflight: Box<[u8]>,
}

impl Cors {
    pub(super) fn new(definition: &CorsDefinition) -> Self {
        let origins = definition
            .origins
            .iter()
            .map(|origin| (origin.clone(), allowed(definition, origin)))
            .collect();
        let others = if definition.origins.is_empty() {
            allowed(definition, "*")
        } else {
            // These responses depend on the origin, too: a cache must not serve the response to one
            // page to another (Fetch §3.3.6).
            Lines {
                answer: (*b"vary: Origin\r\n").into(),
                preflight: VARY_PREFLIGHT.as_bytes().into(),
            }
        };
        Self { origins, others }
    }

    /// Returns the lines for the response to this request.
    pub(super) fn answer(&self, fields: &Fields<'_>) -> &[u8] {
        &self.lines(fields).answer
    }

    /// Returns the lines for the response to this preflight request.
    pub(super) fn preflight(&self, fields: &Fields<'_>) -> &[u8] {
        &self.lines(fields).preflight
    }

    fn lines(&self, fields: &Fields<'_>) -> &Lines {
        let mut sent = fields.named("origin");
        let (Some(origin), None) = (sent.next(), sent.next()) else { return &self.others };
        self.origins
            .iter()
            .find(|(known, _)| known.as_bytes() == origin)
            .map_or(&self.others, |(_, lines)| lines)
    }
}

/// Returns whether the request is a CORS preflight (Fetch §3.3.2).
pub(super) fn is_preflight(method: &Method, fields: &Fields<'_>) -> bool {
    let has = |name| fields.named(name).next().is_some();
    *method == Method::OPTIONS && has("origin") && has("access-control-request-method")
}

const VARY_PREFLIGHT: &str =
    "vary: Origin, Access-Control-Request-Method, Access-Control-Request-Headers\r\n";

fn allowed(definition: &CorsDefinition, origin: &str) -> Lines {
    let mut both = Vec::new();
    both.put("access-control-allow-origin", origin.as_bytes());
    if definition.credentials {
        both.put("access-control-allow-credentials", b"true");
    }
    let mut answer = both.clone();
    if !definition.expose_headers.is_empty() {
        answer.put("access-control-expose-headers", list(&definition.expose_headers).as_bytes());
    }
    if origin != "*" {
        answer.put_lines(b"vary: Origin\r\n");
    }
    let mut preflight = both;
    preflight.put("access-control-allow-methods", definition.methods.join(", ").as_bytes());
    if !definition.headers.is_empty() {
        preflight.put("access-control-allow-headers", list(&definition.headers).as_bytes());
    }
    preflight.put("access-control-max-age", definition.max_age.to_string().as_bytes());
    preflight.put_lines(VARY_PREFLIGHT.as_bytes());
    Lines { answer: answer.into(), preflight: preflight.into() }
}

fn list(names: &[HeaderName]) -> String {
    names.iter().map(HeaderName::as_str).collect::<Vec<_>>().join(", ")
}
